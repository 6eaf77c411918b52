//! What belongs to a credential: steps, answer, renewal, rejection, and where the token goes.

use super::Default::{Is, None, Required, Says};
use super::Kind::{Boolean, Either, Field, Integer, Many, Map, Param, Tables, Word};
use super::{Form, Key, Kind, Section, key, words};
use crate::config::{inject, permanent, rejection, response, revocation, schedule, shape, steps, tls};

pub(super) const ALL: &[Section] = &[
    Section {
        id: "step",
        heading: "[[credentials.NAME.steps]]",
        about: "Requests before the token request, in this order, all within one `token_request`. Cookies go on to the same host by themselves. A value of `params` or `headers` here, in the credential, in `refresh` and in `revocation` may be `{ step = \"NAME\", pointer = \"/…\" }`, or with `header` or `cookie` instead of `pointer`, and a `prefix`.",
        keys: &steps::KEYS,
        rows: &[STEP, SHAPE],
    },
    Section {
        id: "response",
        heading: "[credentials.NAME.response]",
        about: "Where the token endpoint's answer keeps what: JSON Pointers (RFC 6901); `\"\"` is the whole answer.",
        keys: &response::KEYS,
        rows: &[RESPONSE],
    },
    Section {
        id: "permanent",
        heading: "[[credentials.NAME.permanent]]",
        about: "Refusals that trying again will not cure, besides the standard error codes. All that is written must match, and something must be.",
        keys: &permanent::KEYS,
        rows: &[PERMANENT],
    },
    Section {
        id: "refresh",
        heading: "[credentials.NAME.refresh]",
        about: "When a token is renewed, and a refresh request of its own shape; what is left out of that is as in the token request.",
        keys: &schedule::KEYS,
        rows: &[SCHEDULE, REFRESH, SHAPE],
    },
    Section {
        id: "revocation",
        heading: "[credentials.NAME.revocation]",
        about: "Tokens are given back when bearerd ends, after the last answer, within 3 s: RFC 7009, or a vendor's logout. A failure is only logged (T027). Not for tokens that others use too.",
        keys: &revocation::KEYS,
        rows: &[REVOCATION, SHAPE],
    },
    Section {
        id: "rejection",
        heading: "[credentials.NAME.rejection] and [routes.NAME.rejection]",
        about: "An answer rejects the token if any of these holds; `insufficient_scope` never counts.",
        keys: &rejection::KEYS,
        rows: &[REJECTION],
    },
    Section {
        id: "rejection_body",
        heading: "rejection.body",
        about: "Looked for in a declared, uncompressed body of at most 16 KiB.",
        keys: &rejection::BODY_KEYS,
        rows: &[BODY],
    },
    Section {
        id: "inject",
        heading: "[credentials.NAME.inject] and [routes.NAME.inject]",
        about: "Where the token goes: one place, from which what the caller sends is removed.",
        keys: &inject::KEYS,
        rows: &[INJECT],
    },
    Section {
        id: "tls",
        heading: "[credentials.NAME.tls] and [routes.NAME.tls]",
        about: "Towards the token endpoint, and towards the upstream. Files are read again when they change.",
        keys: &tls::KEYS,
        rows: &[TLS],
    },
];

const SOME: Kind = Kind::Form(Form::Some);
const POINTER: Kind = Kind::Form(Form::Pointer);
const DURATION: Kind = Kind::Form(Form::Duration);
const STATUS: Kind = Integer(200, 599);

#[rustfmt::skip]
const STEP: &[Key] = &[
    key("name", Kind::Form(Form::Name), Required, "Messages and references call the step by it."),
    key("url", Kind::Form(Form::Url), Required, "Where it goes."),
];

/// What all requests have that a table describes.
#[rustfmt::skip]
const SHAPE: &[Key] = &[
    key("allow_plain_http", Boolean, Says("`false`"), "Accept plain `http` beyond loopback."),
    key("method", Kind::Form(Form::Method), Says("`\"POST\"`, or the token request's"), "Of the request."),
    key("encoding", Word(|| words(shape::ENCODINGS)), Says("`\"form\"`, or the token request's"), "How the fields are written."),
    key("params", Map(Form::Text, &Param), Says("none, or the token request's"), "Its fields. A value may be `{ refresh_token = true }` in `refresh` and `revocation`, `{ access_token = true }` in the latter, with a `prefix`."),
    key("headers", Map(Form::Header, &Field), Says("none, or the token request's"), "Its header fields; values likewise."),
    key("expect_status", Many(&Integer(200, 399)), Says("every 2xx"), "What the answer must be, such as `[302]`; a redirect is never followed."),
];

#[rustfmt::skip]
const RESPONSE: &[Key] = &[
    key("format", Word(|| words(response::FORMATS)), Is("\"auto\""), "`json`, `form` or `xml` where the look and the `Content-Type` mislead. Elements of XML are members without their prefix, attributes are `@name`."),
    key("expect_status", Many(&Integer(200, 399)), Says("every 2xx"), "Statuses that are a success, such as `[302]`."),
    key("access_token", POINTER, Is("\"/access_token\""), "The token."),
    key("access_token_header", Kind::Form(Form::Header), None, "Instead: the token is in this header field."),
    key("access_token_cookie", Kind::Form(Form::Cookie), None, "Instead: the token is this cookie, whose `Max-Age` or `Expires` is its lifetime."),
    key("expires_in", POINTER, Is("\"/expires_in\""), "Its lifetime in seconds, as a number or a numeric string."),
    key("expires_at", POINTER, None, "An absolute time: RFC 3339, epoch seconds or milliseconds."),
    key("refresh_token", POINTER, Is("\"/refresh_token\""), "The refresh token."),
    key("default_lifetime", DURATION, Is("\"1h\""), "Only if neither the answer nor the JWT in it says more."),
    key("error_code", POINTER, Is("\"/error\""), "In a refusal."),
    key("error_message", POINTER, Is("\"/error_description\""), "In a refusal."),
];

#[rustfmt::skip]
const PERMANENT: &[Key] = &[
    key("status", STATUS, None, "The status of the refusal."),
    key("body_contains", SOME, None, "A text in its body."),
    key("error_code", SOME, None, "What `response.error_code` finds."),
];

#[rustfmt::skip]
const SCHEDULE: &[Key] = &[
    key("early", Either(&Kind::Form(Form::Percent), &DURATION), Says("20 %, at most 1 h"), "How long before its end a token is renewed, of its lifetime or as a time; never more than half of it."),
    key("wait", DURATION, Is("\"10s\""), "How long a request may wait while there is no token."),
];

#[rustfmt::skip]
const REFRESH: &[Key] = &[
    key("endpoint", Kind::Form(Form::Url), Says("the token endpoint"), "Where the refresh request goes."),
    key("grant_type", SOME, Says("`\"refresh_token\"`"), "`\"none\"` leaves it out."),
    key("token_field", SOME, Says("`\"refresh_token\"`; none where `params` or `headers` have the token"), "The field that carries the refresh token."),
];

#[rustfmt::skip]
const REVOCATION: &[Key] = &[
    key("endpoint", Kind::Form(Form::Url), Says("required, unless the credential has an `issuer`"), "Where tokens are given back."),
    key("on_shutdown", Boolean, Says("`true`"), "Whether they are, at the end."),
    key("token_field", SOME, Says("`\"token\"`; none where `params` or `headers` have a token"), "The field that carries the token: one request for each, with its `token_type_hint`."),
];

#[rustfmt::skip]
const REJECTION: &[Key] = &[
    key("status", Many(&Integer(300, 599)), Is("[401]"), "Statuses."),
    key("www_authenticate_error", Many(&SOME), Is("[\"invalid_token\"]"), "A 4xx whose challenge carries one of these."),
    key("body", Tables("rejection_body"), Is("[]"), "Texts in a body, each for one status."),
    key("grpc_status", Many(&Integer(1, 16)), Is("[]"), "In a trailers-only answer; 16 is UNAUTHENTICATED."),
    key("gap", DURATION, Is("\"10m\""), "The most that the pause after a useless re-authentication grows to; the credential's alone."),
    key("replay", Word(|| words(rejection::REPLAYS)), Is("\"all\""), "`idempotent` never sends POST or PATCH twice."),
    key("replay_body_limit", Kind::Form(Form::Size), Is("\"64KiB\""), "The longest request body that is kept to be sent again."),
];

#[rustfmt::skip]
const BODY: &[Key] = &[
    key("status", STATUS, Required, "The status that it belongs to."),
    key("contains", SOME, Required, "The text."),
];

#[rustfmt::skip]
const INJECT: &[Key] = &[
    key("header", Kind::Form(Form::Header), Is("\"Authorization\""), "The header field."),
    key("scheme", Kind::Form(Form::Scheme), Is("\"Bearer\""), "What stands before the token; `\"\"` sends it bare. With `dpop` the default is `\"DPoP\"`."),
    key("cookie", Kind::Form(Form::Cookie), None, "Instead: a cookie of this name beside the caller's others. The upstream's `Set-Cookie` of that name does not reach the caller."),
    key("query", Kind::Form(Form::Parameter), None, "Instead: the last parameter of the query, never logged, and taken out of `Location` and the like."),
];

#[rustfmt::skip]
const TLS: &[Key] = &[
    key("ca", SOME, Says("the system's"), "A PEM file of authorities to trust instead."),
    key("certificate", SOME, None, "A PEM file: what is shown where the server asks for a certificate (mTLS)."),
    key("key", SOME, None, "Its key, a PEM file."),
    key("server_name", SOME, Says("the host"), "The name to send and to check."),
];
