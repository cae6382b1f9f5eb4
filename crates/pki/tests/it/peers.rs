//! Where foreign programs and foreign test data are. `cargo xtask peers` gets them; without them a test fails, unless
//! `LANYARD_WITHOUT_PEERS` says that they are left out, and then it says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The build folder's `peers`.
pub fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty());
    target.map_or_else(|| root.join("target"), |dir| root.join(dir)).join("peers")
}

/// Whether the command is there.
pub fn program(name: &str, package: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok() || absent(&format!("the command `{name}` (Debian package `{package}`)"))
}

/// The Python that has the peers' packages.
pub fn python() -> Option<PathBuf> {
    let given = std::env::var_os("LANYARD_PEERS_PYTHON").filter(|path| !path.is_empty());
    let path = given.map_or_else(|| folder().join("venv/bin/python3"), PathBuf::from);
    if path.exists() || absent(&format!("the peers' Python at {}", path.display())) {
        return Some(path);
    }
    None
}

/// Fails, or says that it is left out.
pub fn absent(what: &str) -> bool {
    assert!(
        std::env::var_os("LANYARD_WITHOUT_PEERS").is_some(),
        "{what} is missing: run `cargo xtask peers`"
    );
    println!("SKIPPED: {what} is not here");
    false
}
