//! bearerd.
pub mod admin;
pub mod app;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod guard;
pub mod log;
pub mod metrics;
pub mod oauth;
pub mod proxy;
pub mod reason;
pub mod secret;
pub mod server;
pub mod shutdown;
pub mod tls;
pub mod token;
pub mod upstream;
