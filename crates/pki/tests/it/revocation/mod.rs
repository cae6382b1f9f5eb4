//! Lists and OCSP answers of ours, judged by programs that nobody here wrote: OpenSSL, GnuTLS, pyca, pkilint.
//!
//! All of it happens at one moment ([`NOW`]): programs that take no time as an argument run under faketime.

mod crl;
mod ocsp;
mod pkilint;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::{self as list, BACKDATE_SECONDS, Contents, Entry, Kind, Scope};
use lanyard_pki::revocation::{Reason, Revocation};

use crate::installation::{Installation, NOW, random_serial};
use crate::peers;

pub const COMPLETE: Kind = Kind::Complete { freshest: None };

/// Runs a program in `dir` at `at`; stdout and stderr in one, and whether it succeeded.
fn run_at(at: Timestamp, dir: &Path, program: impl Into<PathBuf>, arguments: &[&str]) -> (bool, String) {
    let program = program.into();
    let out = Command::new("faketime")
        .arg(format!("@{}", at.as_seconds()))
        .arg(&program)
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap_or_else(|e| panic!("faketime: {e}"));
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn run(dir: &Path, program: impl Into<PathBuf>, arguments: &str) -> (bool, String) {
    run_at(NOW, dir, program, &arguments.split_whitespace().collect::<Vec<_>>())
}

fn have(program: &str, package: &str) -> bool {
    peers::program(program, package) && peers::program("faketime", "faketime")
}

/// A folder with `root.pem` and `issuing.pem`.
fn folder(a: &Installation) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("root.pem"), a.authority.root.certificate().to_pem()).unwrap();
    fs::write(dir.path().join("issuing.pem"), a.authority.issuing.certificate().to_pem()).unwrap();
    dir
}

fn revoked(certificate: &Certificate, reason: Reason) -> Entry {
    Entry { serial: certificate.serial(), revocation: Revocation { at: NOW.plus_seconds(-60), reason } }
}

/// One entry for each reason that an end entity can have.
fn one_of_each() -> Vec<Entry> {
    let not_these = [Reason::CaCompromise, Reason::AaCompromise, Reason::RemoveFromCrl];
    let reasons = Reason::ALL.into_iter().filter(|reason| !not_these.contains(reason));
    reasons
        .map(|reason| {
            let revocation = Revocation { at: NOW.plus_seconds(-3600), reason };
            Entry { serial: random_serial(), revocation }
        })
        .collect()
}

/// A list of the issuing CA, in DER.
fn signed(a: &Installation, number: u64, scope: &Scope, kind: &Kind, entries: &[Entry]) -> Vec<u8> {
    let contents = Contents {
        number,
        scope,
        kind,
        this_update: NOW.plus_seconds(-BACKDATE_SECONDS),
        next_update: NOW.plus_seconds(86_400),
        entries,
    };
    list::prepare(&a.authority.issuing, &contents).unwrap().sign(&a.keys).unwrap().der
}

/// One PEM block.
fn pem(name: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).unwrap()).collect();
    format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
}
