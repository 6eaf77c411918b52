//! A secret in a volume of Kubernetes that is rotated 20 times under load (G22), the last time by somebody who writes it in two pieces.

use std::path::Path;

use crate::figures::{Row, held, row, secs};
use crate::load::{Pace, Paced};
use crate::rotated_secret::RotatedSecret;
use crate::support::swaps::swap;
use crate::support::{Request, eventually, now, seconds};

const ROTATIONS: usize = 20;

fn secret(version: usize) -> String {
    format!("rotation-canary-secret-{version}")
}

pub(crate) fn prove() -> Vec<Row> {
    let rotating = RotatedSecret::stage(3, "volume/secret", &secret(0));
    let volume = rotating.setup.directory().join("volume");
    swap(&volume, 0, &secret(0));
    rotating.upstream.count_only();
    rotating.upstream.on("/", |exchange| exchange.brief());
    let bearerd = rotating.setup.start_ready();
    let load = Paced::start(bearerd.address(), Pace::of(500.0, 16), &Request::get("/items"));
    let mut late = 0;
    let mut refused_before = 0;
    let start = now();
    for version in 1..ROTATIONS {
        let before = rotating.endpoint.count();
        rotating.rotate(&secret(version - 1), &secret(version), |new| swap(&volume, version, new));
        // One may have been on its way while the link was exchanged.
        late += usize::from(rotating.endpoint.count() > before + 2);
        refused_before = rotating.refused();
    }
    let took = start.elapsed();
    let healed = halves(&rotating, &volume);
    let report = load.stop();
    report.tell("rotations");
    let (bad, refused) = (rotating.upstream.counted()[1], rotating.refused() - refused_before);
    let what = format!("{ROTATIONS} rotations in a volume of Kubernetes");
    vec![
        row(format!("{what}: all but the last took"), secs(took), ""),
        held(format!("{what}: not used by the next token request"), late, "0", late == 0),
        held(format!("{what}: token requests refused until then"), refused_before, "0", refused_before == 0),
        held(
            format!("{what}: token requests with half a secret, the last time"),
            refused,
            "1, made to be",
            refused == 1,
        ),
        row(format!("{what}: the whole of it used after it was written"), secs(healed), ""),
        held(format!("{what}: failed, of {} requests", report.total()), report.failed(), "0", report.failed() == 0),
        held(format!("{what}: requests at the upstream without a live token"), bad, "0", bad == 0),
    ]
}

/// The last one: half of it is written, a token request comes with that, then the rest. It takes another token before the old one ends.
fn halves(rotating: &RotatedSecret, volume: &Path) -> std::time::Duration {
    rotating.endpoint.tokens().set_lifetime(20);
    let issued = rotating.endpoint.tokens().count();
    eventually("a token that lives longer", seconds(10.0), || rotating.endpoint.tokens().count() > issued);
    let (old, new) = (secret(ROTATIONS - 1), secret(ROTATIONS));
    let half = &new[..new.len() / 2];
    rotating.take_only(&[&new]);
    rotating.endpoint.canaries().add_basic("svc", &old);
    let path = volume.join("secret");
    std::fs::write(&path, half).unwrap();
    let refused = rotating.refused();
    eventually("a token request with half of it", seconds(25.0), || rotating.refused() > refused);
    std::fs::write(&path, format!("{new}\n")).unwrap();
    let written = now();
    eventually("all of it", seconds(15.0), || rotating.has_come(&new));
    written.elapsed()
}
