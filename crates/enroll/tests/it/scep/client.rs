//! Running a foreign program in a folder of its own.

use std::path::Path;
use std::process::Command;

/// Whether this peer is to be tested. Missing is a failure, unless the whole run goes without peers.
pub fn has(program: &str) -> bool {
    if std::env::var_os("LANYARD_WITHOUT_PEERS").is_some() {
        println!("left out: needs {program}");
        return false;
    }
    assert!(Path::new(program).exists(), "{program} is missing: run `cargo xtask peers`");
    true
}

/// Standard output and error in one, and whether it succeeded.
pub fn run(command: &mut Command) -> (bool, String) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The DER of a PEM file's first block.
pub fn pem(file: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}

/// Writes DER as one PEM block.
pub fn write_pem(file: &Path, der: &[u8]) {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    std::fs::write(file, text).unwrap();
}
