//! Revocation lists per second (RFC 5280 5), made from entries in memory: encoded, every lint run over the bytes, signed; on one core.
//!
//! The limit is the signature alone. Beside it `openssl ca -gencrl`, which reads its database from a file each time.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lanyard_pki::crl::{self, Contents, Entry, Kind, Scope};
use lanyard_pki::revocation::{Reason, Revocation};
use lanyard_pki::serial::Serial;

use crate::issuance::Office;
use crate::life::NOW;
use crate::table::{Row, rate};
use crate::{Settings, material, p256};

/// A ward, a site, five million certificates of which one in a hundred is revoked over 32 lists, and a list that has grown.
const LENGTHS: [usize; 4] = [10, 100, 1_600, 100_000];

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let office = Office::open()?;
    let sign = p256::raw(settings.time)?.sign;
    let folder = tempfile::tempdir()?;
    material::make(folder.path())?;
    LENGTHS.iter().map(|length| list(settings, &office, sign, *length, folder.path())).collect()
}

fn list(settings: &Settings, office: &Office, sign: f64, length: usize, folder: &Path) -> Result<Row> {
    let revocation = Revocation { at: NOW, reason: Reason::KeyCompromise };
    let entries: Vec<Entry> = std::iter::repeat_with(|| Ok(Entry { serial: office.serial()?, revocation }))
        .take(length)
        .collect::<Result<_>>()?;
    let (mut number, mut bytes) = (0, 0);
    let ours = rate(settings.time, || {
        number += 1;
        let contents = Contents {
            number,
            scope: &Scope::All,
            kind: &Kind::Complete { freshest: None },
            this_update: NOW,
            next_update: NOW.plus_seconds(86_400),
            entries: &entries,
        };
        let signed = crl::prepare(&office.authority.issuing, &contents)?.sign(&office.keys)?;
        bytes = signed.der.len();
        Ok(())
    })?;
    let serials: Vec<Serial> = entries.iter().map(|entry| entry.serial).collect();
    let openssl = openssl(folder, &serials)?;
    Ok(Row {
        ours: Some(ours),
        limit: Some(sign),
        note: format!(
            "{bytes} bytes, {:.2} ms each, one core; limit: one P-256 sign; `openssl ca -gencrl` takes {openssl:.0} ms",
            1_000.0 / ours
        ),
        ..Row::rate(format!("revocation list of {length}"))
    })
}

/// Milliseconds, the best of three.
fn openssl(folder: &Path, serials: &[Serial]) -> Result<f64> {
    let mut index = String::new();
    for serial in serials {
        let serial = serial.to_string().to_uppercase();
        writeln!(index, "R\t291231235959Z\t261127120000Z,keyCompromise\t{serial}\tunknown\t/CN=device")?;
    }
    std::fs::write(folder.join("index.txt"), index)?;
    std::fs::write(folder.join("crlnumber"), "01\n")?;
    let config =
        "[ca]\ndefault_ca = all\n[all]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n";
    std::fs::write(folder.join("ca.cnf"), config)?;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let made = Command::new("openssl")
            .current_dir(folder)
            .args(["ca", "-gencrl", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem"])
            .args(["-crldays", "1", "-out", "list.pem"])
            .stdout(Stdio::null())
            .output()
            .context("cannot run openssl")?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        best = best.min(start.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(best)
}
