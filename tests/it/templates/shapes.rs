//! What each vendor documents, a row each.

use super::fake::{Auth, Mistake, SECRET, Shape};

pub(super) static OKTA: Shape = Shape {
    name: "okta",
    set: &[("org", "acme"), ("client_id", "0oa1/b"), ("scope", "items.read")],
    endpoint: "https://acme.okta.com/oauth2/default/v1/token",
    auth: Auth::Basic,
    client_id: "0oa1/b",
    fields: &[("grant_type", "client_credentials"), ("scope", "items.read")],
    answer: r#"{"token_type":"Bearer","expires_in":LIFE,"access_token":"TOKEN","scope":"items.read"}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((
        401,
        r#"{"error":"invalid_client","error_description":"The client secret supplied for a confidential client is invalid."}"#,
    )),
    code: "T021",
    words: "The client secret supplied",
    required: &[(
        "scope",
        400,
        r#"{"error":"invalid_scope","error_description":"The authorization server resource does not have any configured default scopes, 'scope' must be provided."}"#,
    )],
    mistakes: &[
        Mistake {
            what: "no scope",
            edit: |c| {
                c.remove("scope").unwrap();
            },
            words: "must be provided",
        },
        Mistake {
            what: "the secret in the form",
            edit: |c| {
                c.insert("client_authentication".to_owned(), "client_secret_post".into());
            },
            words: "The client secret supplied",
        },
    ],
};

pub(super) static ENTRA: Shape = Shape {
    name: "entra",
    set: &[("tenant-id", "3f2b"), ("client_id", "9c1d")],
    endpoint: "https://login.microsoftonline.com/3f2b/oauth2/v2.0/token",
    auth: Auth::Post,
    client_id: "9c1d",
    fields: &[("grant_type", "client_credentials"), ("scope", "https://graph.microsoft.com/.default")],
    answer: r#"{"token_type":"Bearer","expires_in":LIFE,"ext_expires_in":LIFE,"access_token":"TOKEN"}"#,
    prefix: "",
    lifetime: 3599,
    refusal: Some((
        401,
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215],"timestamp":"2026-01-01 00:00:00Z","trace_id":"a","correlation_id":"b","error_uri":"https://login.microsoftonline.com/error?code=7000215"}"#,
    )),
    code: "T021",
    words: "AADSTS7000215",
    required: &[(
        "scope",
        400,
        r#"{"error":"invalid_scope","error_description":"AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}"#,
    )],
    mistakes: &[Mistake {
        what: "a scope without .default",
        edit: |c| {
            c.insert("scope".to_owned(), "https://graph.microsoft.com/User.Read".into());
        },
        words: "AADSTS1002012",
    }],
};

pub(super) static KEYCLOAK: Shape = Shape {
    name: "keycloak",
    set: &[("keycloak-host", "sso.acme.com"), ("realm", "prod"), ("client_id", "svc")],
    endpoint: "https://sso.acme.com/realms/prod/protocol/openid-connect/token",
    auth: Auth::Basic,
    client_id: "svc",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","expires_in":LIFE,"refresh_expires_in":0,"token_type":"Bearer","not-before-policy":0,"scope":"profile email"}"#,
    prefix: "",
    lifetime: 300,
    refusal: Some((
        401,
        r#"{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}"#,
    )),
    code: "T021",
    words: "Invalid client or Invalid client credentials",
    required: &[],
    mistakes: &[],
};

pub(super) static GOOGLE: Shape = Shape {
    name: "google",
    set: &[("account", "robot"), ("project", "acme")],
    endpoint: "https://oauth2.googleapis.com/token",
    auth: Auth::Assertion {
        issuer: "robot@acme.iam.gserviceaccount.com",
        subject: None,
        audience: "https://oauth2.googleapis.com/token",
        longest: 3600,
        scope: Some("https://www.googleapis.com/auth/cloud-platform"),
    },
    client_id: "robot",
    fields: &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
    answer: r#"{"access_token":"TOKEN","expires_in":LIFE,"token_type":"Bearer"}"#,
    prefix: "",
    lifetime: 3599,
    refusal: Some((400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#)),
    code: "T021",
    words: "Invalid JWT Signature",
    required: &[],
    mistakes: &[Mistake {
        what: "a life of two hours",
        edit: |c| {
            c["assertion"].as_table_mut().unwrap().insert("lifetime".to_owned(), "2h".into());
        },
        words: "Invalid JWT Signature",
    }],
};

pub(super) static COGNITO: Shape = Shape {
    name: "cognito",
    set: &[
        ("domain", "acme"),
        ("region", "eu-west-1"),
        ("client_id", "6tl8"),
        ("resource-server", "items"),
        ("scope", "read"),
    ],
    endpoint: "https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
    auth: Auth::Basic,
    client_id: "6tl8",
    fields: &[("grant_type", "client_credentials"), ("scope", "items/read")],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((400, r#"{"error":"invalid_client"}"#)),
    code: "T021",
    words: "invalid_client",
    required: &[("scope", 400, r#"{"error":"invalid_scope"}"#)],
    mistakes: &[Mistake {
        what: "a scope of no resource server",
        edit: |c| {
            c.insert("scope".to_owned(), "openid".into());
        },
        words: "invalid_scope",
    }],
};

pub(super) static PING: Shape = Shape {
    name: "ping",
    set: &[("environment-id", "5c7e"), ("client_id", "a1")],
    endpoint: "https://auth.pingone.com/5c7e/as/token",
    auth: Auth::Basic,
    client_id: "a1",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((
        401,
        r#"{"error":"invalid_client","error_description":"Request denied: Invalid client credentials (Correlation ID: c-1)"}"#,
    )),
    code: "T021",
    words: "Request denied",
    required: &[],
    mistakes: &[Mistake {
        what: "the secret in the form",
        edit: |c| {
            c.insert("client_authentication".to_owned(), "client_secret_post".into());
        },
        words: "Request denied",
    }],
};

pub(super) static ZITADEL: Shape = Shape {
    name: "zitadel",
    set: &[("domain", "acme.zitadel.cloud"), ("client_id", "svc"), ("project_id", "42")],
    endpoint: "https://acme.zitadel.cloud/oauth/v2/token",
    auth: Auth::Basic,
    client_id: "svc",
    fields: &[("grant_type", "client_credentials"), ("scope", "openid urn:zitadel:iam:org:project:id:42:aud")],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 43199,
    refusal: Some((401, r#"{"error":"invalid_client","error_description":"invalid secret"}"#)),
    code: "T021",
    words: "invalid secret",
    required: &[("scope", 400, r#"{"error":"invalid_scope","error_description":"openid is missing"}"#)],
    mistakes: &[Mistake {
        what: "no scope",
        edit: |c| {
            c.remove("scope").unwrap();
        },
        words: "invalid_scope",
    }],
};

pub(super) static ZITADEL_JWT: Shape = Shape {
    name: "zitadel-jwt",
    set: &[("domain", "acme.zitadel.cloud"), ("user_id", "77"), ("key_id", "88"), ("project_id", "42")],
    endpoint: "https://acme.zitadel.cloud/oauth/v2/token",
    auth: Auth::Assertion {
        issuer: "77",
        subject: Some("77"),
        audience: "https://acme.zitadel.cloud",
        longest: 3600,
        scope: None,
    },
    client_id: "77",
    fields: &[
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("scope", "openid urn:zitadel:iam:org:project:id:42:aud"),
    ],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 43199,
    refusal: Some((400, r#"{"error":"invalid_grant","error_description":"signature verification failed"}"#)),
    code: "T021",
    words: "signature verification failed",
    required: &[],
    mistakes: &[Mistake {
        what: "the token endpoint as aud",
        edit: |c| {
            c["assertion"].as_table_mut().unwrap().remove("audience");
        },
        words: "invalid_grant",
    }],
};

pub(super) static AUTHENTIK: Shape = Shape {
    name: "authentik",
    set: &[("authentik-host", "sso.acme.com"), ("client_id", "c1"), ("service-account", "robot")],
    endpoint: "https://sso.acme.com/application/o/token/",
    auth: Auth::IdAlone,
    client_id: "c1",
    fields: &[("grant_type", "client_credentials"), ("username", "robot"), ("password", SECRET), ("scope", "profile")],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 300,
    refusal: Some((
        400,
        r#"{"error":"invalid_grant","error_description":"The provided authorization grant or refresh token is invalid, expired, revoked","request_id":"r"}"#,
    )),
    code: "T021",
    words: "The provided authorization grant",
    required: &[],
    mistakes: &[Mistake {
        what: "no slash at the end",
        edit: |c| {
            let url = c["token_endpoint"].as_str().unwrap().trim_end_matches('/').to_owned();
            c.insert("token_endpoint".to_owned(), url.into());
        },
        words: "404",
    }],
};

pub(super) static SALESFORCE: Shape = Shape {
    name: "salesforce",
    set: &[("domain", "acme"), ("consumer_key", "3MVG9")],
    endpoint: "https://acme.my.salesforce.com/services/oauth2/token",
    auth: Auth::Post,
    client_id: "3MVG9",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","signature":"c2ln","token_format":"opaque","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D/005","token_type":"Bearer","issued_at":"1627237872637"}"#,
    prefix: "00D5e!AQ",
    lifetime: 3600,
    refusal: Some((400, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#)),
    code: "T021",
    words: "invalid client credentials",
    required: &[],
    mistakes: &[Mistake {
        what: "Basic",
        edit: |c| {
            c.remove("client_authentication");
        },
        words: "invalid client credentials",
    }],
};

pub(super) static SALESFORCE_JWT: Shape = Shape {
    name: "salesforce-jwt",
    set: &[("domain", "acme"), ("consumer_key", "3MVG9"), ("username", "me@acme.com")],
    endpoint: "https://acme.my.salesforce.com/services/oauth2/token",
    auth: Auth::Assertion {
        issuer: "3MVG9",
        subject: Some("me@acme.com"),
        audience: "https://login.salesforce.com",
        longest: 180,
        scope: None,
    },
    client_id: "3MVG9",
    fields: &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
    answer: r#"{"access_token":"TOKEN","signature":"c2ln","token_format":"opaque","instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/00D/005","token_type":"Bearer","issued_at":"1627237872637"}"#,
    prefix: "00D5e!AQ",
    lifetime: 3600,
    refusal: Some((400, r#"{"error":"invalid_grant","error_description":"invalid assertion"}"#)),
    code: "T021",
    words: "invalid assertion",
    required: &[],
    mistakes: &[Mistake {
        what: "a life of an hour",
        edit: |c| {
            c["assertion"].as_table_mut().unwrap().insert("lifetime".to_owned(), "1h".into());
        },
        words: "invalid assertion",
    }],
};

pub(super) static SAP: Shape = Shape {
    name: "sap",
    set: &[("subdomain", "acme"), ("region", "eu10"), ("client_id", "sb-i!b1|app!b2")],
    endpoint: "https://acme.authentication.eu10.hana.ondemand.com/oauth/token",
    auth: Auth::RawBasic,
    client_id: "sb-i!b1|app!b2",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","token_type":"bearer","expires_in":LIFE,"scope":"app!t1.read","jti":"0a"}"#,
    prefix: "",
    lifetime: 43199,
    refusal: Some((401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#)),
    code: "T021",
    words: "Bad credentials",
    required: &[],
    mistakes: &[Mistake {
        what: "the form-encoding of RFC 6749",
        edit: |c| {
            c.remove("basic_encoding").unwrap();
        },
        words: "Bad credentials",
    }],
};

pub(super) static SAP_MTLS: Shape = Shape {
    name: "sap-mtls",
    set: &[],
    endpoint: "https://acme.authentication.cert.eu10.hana.ondemand.com/oauth/token",
    auth: Auth::IdAlone,
    client_id: "sb-a!t1",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","token_type":"bearer","expires_in":LIFE,"scope":"app!t1.read","jti":"0a"}"#,
    prefix: "",
    lifetime: 43199,
    refusal: Some((401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#)),
    code: "T021",
    words: "Bad credentials",
    required: &[],
    mistakes: &[],
};

pub(super) static SERVICENOW: Shape = Shape {
    name: "servicenow",
    set: &[("instance", "acme"), ("client_id", "be3a"), ("username", "robot")],
    endpoint: "https://acme.service-now.com/oauth_token.do",
    auth: Auth::Post,
    client_id: "be3a",
    fields: &[("grant_type", "password"), ("username", "robot"), ("password", SECRET)],
    answer: r#"{"access_token":"TOKEN","scope":"useraccount","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 1799,
    refusal: Some((401, r#"{"error_description":"access_denied","error":"server_error"}"#)),
    code: "T021",
    words: "access_denied",
    required: &[],
    mistakes: &[Mistake {
        what: "JSON",
        edit: |c| {
            c.insert("encoding".to_owned(), "json".into());
        },
        words: "415",
    }],
};

pub(super) static ADOBE: Shape = Shape {
    name: "adobe",
    set: &[("client_id", "c9"), ("scopes", "openid,AdobeID,ff_apis")],
    endpoint: "https://ims-na1.adobelogin.com/ims/token/v3",
    auth: Auth::Post,
    client_id: "c9",
    fields: &[("grant_type", "client_credentials"), ("scope", "openid,AdobeID,ff_apis")],
    answer: r#"{"access_token":"TOKEN","token_type":"bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 86399,
    refusal: Some((400, r#"{"error":"invalid_client","error_description":"invalid client_secret parameter"}"#)),
    code: "T021",
    words: "invalid client_secret parameter",
    required: &[("scope", 400, r#"{"error":"invalid_scope"}"#)],
    mistakes: &[Mistake {
        what: "spaces between scopes",
        edit: |c| {
            c.insert("scope".to_owned(), "openid AdobeID ff_apis".into());
        },
        words: "invalid_scope",
    }],
};

pub(super) static DOCUSIGN: Shape = Shape {
    name: "docusign",
    set: &[("integration_key", "7c2b"), ("user_id", "50d8")],
    endpoint: "https://account-d.docusign.com/oauth/token",
    auth: Auth::Assertion {
        issuer: "7c2b",
        subject: Some("50d8"),
        audience: "account-d.docusign.com",
        longest: 3600,
        scope: Some("signature impersonation"),
    },
    client_id: "7c2b",
    fields: &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
    answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":LIFE}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((400, r#"{"error":"invalid_grant","error_description":"no_valid_keys_or_signatures"}"#)),
    code: "T021",
    words: "no_valid_keys_or_signatures",
    required: &[],
    mistakes: &[Mistake {
        what: "aud as a URL",
        edit: |c| {
            c["assertion"]
                .as_table_mut()
                .unwrap()
                .insert("audience".to_owned(), "https://account-d.docusign.com".into());
        },
        words: "no_valid_keys",
    }],
};

pub(super) static PAYPAL: Shape = Shape {
    name: "paypal",
    set: &[("client_id", "AX7")],
    endpoint: "https://api-m.paypal.com/v1/oauth2/token",
    auth: Auth::Basic,
    client_id: "AX7",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"scope":"https://uri.paypal.com/services/invoicing","access_token":"TOKEN","token_type":"Bearer","app_id":"APP-80W","expires_in":LIFE,"nonce":"n"}"#,
    prefix: "",
    lifetime: 32400,
    refusal: Some((401, r#"{"error":"invalid_client","error_description":"Client Authentication failed"}"#)),
    code: "T021",
    words: "Client Authentication failed",
    required: &[],
    mistakes: &[Mistake {
        what: "the secret in the form",
        edit: |c| {
            c.insert("client_authentication".to_owned(), "client_secret_post".into());
        },
        words: "Client Authentication failed",
    }],
};

pub(super) static TWILIO: Shape = Shape {
    name: "twilio",
    set: &[("client_id", "OQ1")],
    endpoint: "https://oauth.twilio.com/v2/token",
    auth: Auth::Post,
    client_id: "OQ1",
    fields: &[("grant_type", "client_credentials")],
    answer: r#"{"access_token":"TOKEN","id_token":null,"token_type":"Bearer","expires_in":LIFE,"refresh_token":null}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((
        401,
        r#"{"code":20003,"message":"Authentication Error - invalid client","more_info":"https://www.twilio.com/docs/errors/20003","status":401}"#,
    )),
    code: "T020",
    words: "Authentication Error",
    required: &[],
    mistakes: &[],
};

pub(super) static ZOOM: Shape = Shape {
    name: "zoom",
    set: &[("client_id", "z1"), ("account_id", "ac2")],
    endpoint: "https://zoom.us/oauth/token",
    auth: Auth::Basic,
    client_id: "z1",
    fields: &[("grant_type", "account_credentials"), ("account_id", "ac2")],
    answer: r#"{"access_token":"TOKEN","token_type":"bearer","expires_in":LIFE,"scope":"user:read:admin","api_url":"https://api.zoom.us"}"#,
    prefix: "",
    lifetime: 3600,
    refusal: Some((400, r#"{"reason":"Invalid client_id or client_secret","error":"invalid_client"}"#)),
    code: "T021",
    words: "Invalid client_id or client_secret",
    required: &[("grant_type", 400, r#"{"reason":"unsupported grant type","error":"unsupported_grant_type"}"#)],
    mistakes: &[Mistake {
        what: "client_credentials",
        edit: |c| {
            c.remove("grant_type");
            c["params"].as_table_mut().unwrap().remove("grant_type");
        },
        words: "unsupported grant type",
    }],
};
