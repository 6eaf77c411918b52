//! Ways out, and what a route may change on them: proxies, own timeouts, header rules, cookies, absolute-form.

mod addresses;
mod environment;
mod proxies;
mod refusals;
mod routes;
mod tinyproxy;
