//! The data path between programs that nobody here wrote: callers, upstreams and proxies of other makes.

mod java;
mod nghttp2;
mod nginx;
mod python;
mod squid;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Setup, TokenEndpoint, Tokens};

/// A bearerd in front of a server that looks at no token.
fn before(url: &str) -> (TokenEndpoint, Setup) {
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let credential = format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\n", endpoint.url());
    let setup = Setup::new(endpoint.canaries()).credential_only(url, &credential);
    (endpoint, setup)
}

/// Bytes that no compression or repetition makes right by accident.
fn noise(size: usize) -> Vec<u8> {
    (0..size as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn file_of_noise(directory: &Path, size: usize) -> PathBuf {
    let path = directory.join(format!("noise-{size}"));
    std::fs::write(&path, noise(size)).unwrap();
    path
}

/// curl: the status, and the body as it came.
#[track_caller]
fn curl(arguments: &[&str]) -> (u16, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "-m", "30", "-w", "%{http_code}", "-o"]).arg(&body).args(arguments);
    let output = command.output().expect("curl is installed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told} {}", String::from_utf8_lossy(&output.stderr));
    (told.parse().expect("a status"), std::fs::read(body).unwrap_or_default())
}
