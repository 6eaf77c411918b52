//! `[credentials.*]` and what signs.

use super::Default::{Is, None, Required, Says};
use super::Kind::{Boolean, Either, Field, Integer, Json, Many, Map, Param, Proxy, Secret, Table, Tables, Word};
use super::{Form, Key, Kind, Section, key, words};
use crate::config::{assertion, budget, client, credential, dpop, grant, secret, shape};
use crate::jose::Algorithm;

pub(super) const ALL: &[Section] = &[
    Section {
        id: "credential",
        heading: "[credentials.NAME]",
        about: "One configured way to get tokens. Either `token_endpoint` or `issuer` must be written.",
        keys: &credential::KEYS,
        rows: &[WHERE, CLIENT, GRANT, REQUEST, LIFE],
    },
    Section {
        id: "budget",
        heading: "[credentials.NAME.budget]",
        about: "How many token requests the server bills for or allows. Counted over all who share a store that is not memory, and by each process alone without one. Forced fetches, after a rejected token, may use half of them; renewals have the rest.",
        keys: &budget::KEYS,
        rows: &[BUDGET],
    },
    Section {
        id: "secret",
        heading: "A secret",
        about: "Wherever a secret may stand: a plain string, or better a table with where it is read. Files are read and commands run again at every token request, so a secret that was rotated is used by itself; one newline at the end and a byte order mark at the beginning are left out.",
        keys: &secret::KEYS,
        rows: &[SECRET],
    },
    Section {
        id: "client_assertion",
        heading: "[credentials.NAME.client_assertion]",
        about: "A JWT with each token request instead of a secret (RFC 7523), signed here or ready (`token`). Instead of the table, a secret that holds a ready JWT.",
        keys: &assertion::CLIENT_KEYS,
        rows: &[ASSERTION],
    },
    Section {
        id: "assertion",
        heading: "[credentials.NAME.assertion]",
        about: "The JWT of the grant jwt-bearer. Instead of the table, a secret that holds a ready JWT.",
        keys: &assertion::GRANT_KEYS,
        rows: &[ASSERTION],
    },
    Section {
        id: "dpop",
        heading: "[credentials.NAME.dpop]",
        about: "Tokens are bound to a key (RFC 9449), and a proof goes with each request. `dpop = true` makes a key of the process's own.",
        keys: &dpop::KEYS,
        rows: &[DPOP],
    },
];

const TEXT: Kind = Kind::Form(Form::Text);
const SOME: Kind = Kind::Form(Form::Some);
const TOKEN_TYPE: Kind = Either(&Word(|| words(grant::TOKEN_TYPES)), &Kind::Form(Form::TokenType));
const ALGORITHM: Kind = Word(|| words(Algorithm::ALL));

#[rustfmt::skip]
const WHERE: &[Key] = &[
    key("token_endpoint", Kind::Form(Form::Url), Says("required, unless there is an `issuer`"), "The address of the token endpoint."),
    key("issuer", Kind::Form(Form::Url), None, "Instead of `token_endpoint`: its metadata say where that is (RFC 8414, OpenID Connect Discovery)."),
    key("allow_plain_http", Boolean, Is("false"), "Accept an `http` token endpoint beyond loopback."),
    key("proxy", Proxy, Says("`\"env\"`"), "The HTTP proxy on the way to the token endpoint, as for routes."),
    key("tls", Table("tls"), None, "TLS towards the token endpoint."),
];

#[rustfmt::skip]
const CLIENT: &[Key] = &[
    key("client_id", Secret, None, "The client."),
    key("client_secret", Secret, None, "Its secret."),
    key("client_authentication", Word(|| words(client::METHODS)), Says("by assertion if there is one, `client_secret_basic` with id and secret, else `none`"), "How the client proves who it is. With `tls_client_auth` the routes show the same certificate (RFC 8705)."),
    key("client_assertion", Either(&Secret, &Table("client_assertion")), None, "A JWT instead of a secret."),
    key("basic_encoding", Word(|| words(client::BASIC_ENCODINGS)), Says("`\"form\"`"), "`raw` for servers that do not decode id and secret (RFC 6749 §2.3.1)."),
];

#[rustfmt::skip]
const GRANT: &[Key] = &[
    key("grant_type", Word(|| words(grant::KNOWN)), Says("`password` with a password, else `client_credentials`"), "`none` leaves the field out."),
    key("username", Secret, None, "Sent whenever set, whatever the grant."),
    key("password", Secret, None, "Likewise."),
    key("refresh_token", Secret, None, "The grant `refresh_token`: the first one. Those that replace it are kept in `state_directory`."),
    key("assertion", Either(&Secret, &Table("assertion")), None, "The grant `jwt-bearer` (RFC 7523)."),
    key("subject_token", Secret, None, "The grant `token-exchange` (RFC 8693)."),
    key("subject_token_type", TOKEN_TYPE, Says("`\"jwt\"`"), "A short name or any URN."),
    key("actor_token", Secret, None, "For whom it acts."),
    key("actor_token_type", TOKEN_TYPE, Says("`\"jwt\"`"), "A short name or any URN."),
    key("requested_token_type", TOKEN_TYPE, None, "A short name or any URN."),
];

#[rustfmt::skip]
const REQUEST: &[Key] = &[
    key("scope", TEXT, None, "Left out it is not sent; `\"\"` is sent empty."),
    key("audience", TEXT, None, "Likewise."),
    key("resource", Many(&TEXT), None, "Likewise (RFC 8707)."),
    key("params", Map(Form::Text, &Param), None, "More fields; any value may be a secret, or come from a step."),
    key("headers", Map(Form::Header, &Field), None, "Header fields of the token request; values likewise."),
    key("method", Kind::Form(Form::Method), Is("\"POST\""), "Of the token request."),
    key("encoding", Word(|| words(shape::ENCODINGS)), Is("\"form\""), "How the fields are written."),
    key("steps", Tables("step"), None, "Requests before the token request."),
    key("response", Table("response"), None, "Where the answer keeps what."),
    key("permanent", Tables("permanent"), None, "Refusals that trying again will not cure."),
];

#[rustfmt::skip]
const LIFE: &[Key] = &[
    key("use_refresh_token", Boolean, Says("`true`; `false` with `grant_type = \"none\"`"), "Use a refresh token that came, before the login."),
    key("dpop", Either(&Boolean, &Table("dpop")), Says("`false`"), "Bind tokens to a key."),
    key("required", Boolean, Is("true"), "Whether readiness waits for this credential."),
    key("lockout", Boolean, Says("`true` if a password is set, or a login of `steps`"), "A wrong try may lock an account: try more rarely."),
    key("refresh", Table("refresh"), None, "When and how tokens are renewed."),
    key("budget", Table("budget"), None, "How many token requests may be made."),
    key("revocation", Table("revocation"), None, "How tokens are given back at the end."),
    key("rejection", Table("rejection"), None, "What counts as a rejection of the token."),
    key("inject", Table("inject"), None, "Where the token goes."),
];

#[rustfmt::skip]
const SECRET: &[Key] = &[
    key("file", SOME, None, "A path."),
    key("env", SOME, None, "The name of a variable."),
    key("systemd", SOME, None, "A credential of the systemd unit: NAME of `LoadCredential=NAME:…`."),
    key("command", Kind::Command, None, "`[\"PROGRAM\", \"ARGUMENT\"]`, run without a shell and without input, in bearerd's environment less its secrets."),
    key("timeout", Kind::Form(Form::Duration), Says("`\"10s\"`"), "How long the command may take, at most 2m."),
    key("pointer", Kind::Form(Form::Pointer), None, "A JSON Pointer into a secret that is JSON."),
];

#[rustfmt::skip]
const ASSERTION: &[Key] = &[
    key("key", Secret, Says("required, unless there is a `token`"), "A private key: PEM (PKCS#8, PKCS#1, SEC 1) or JWK."),
    key("algorithm", ALGORITHM, Says("what is usual for the key"), "`HS…` with `client_secret_jwt` alone."),
    key("key_id", SOME, Says("a JWK's own"), "`kid`."),
    key("certificate", Secret, None, "A certificate that the header names: `x5t` and `x5t#S256`."),
    key("issuer", Secret, Says("the client id"), "`iss`."),
    key("subject", Secret, Says("the client id; of a grant none"), "`sub`."),
    key("audience", SOME, Says("the token endpoint"), "`aud`."),
    key("lifetime", Kind::Form(Form::Duration), Says("`\"60s\"`"), "From `iat` to `exp`, at most 24h."),
    key("claims", Map(Form::Text, &Json), None, "More claims."),
    key("token", Secret, None, "Instead of a key: a JWT that is ready, read at each token request."),
    key("type", SOME, Says("RFC 7523's"), "A `client_assertion_type` of its own (SPIFFE)."),
];

#[rustfmt::skip]
const DPOP: &[Key] = &[
    key("key", Secret, Required, "A private key, PEM or JWK; EC is quicker than RSA."),
    key("algorithm", Word(|| Algorithm::ALL.iter().filter(|(_, a)| !a.is_symmetric()).map(|(name, _)| *name).collect()), Says("what is usual for the key"), "Of the proofs."),
];

#[rustfmt::skip]
const BUDGET: &[Key] = &[
    key("requests", Integer(budget::LEAST, budget::MOST), Required, "So many token requests."),
    key("per", Kind::Form(Form::Duration), Required, "In this time, from 1m to 366d."),
];
