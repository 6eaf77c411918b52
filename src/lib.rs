//! bearerd.
pub mod backoff;
pub mod clock;
pub mod config;
pub mod metrics;
pub mod oauth;
pub mod proxy;
pub mod reason;
pub mod secret;
pub mod shutdown;
pub mod tls;
pub mod token;
pub mod upstream;
