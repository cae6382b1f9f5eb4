//! `cargo xtask fuzz-smoke`: every fuzz target for a short while, on stable Rust.
//!
//! The targets are functions in `crates/fuzz`; this starts its runner. Long hunts with coverage guidance need
//! nightly Rust and cargo-fuzz, and lie in the `fuzz/` workspace over the same functions.

use anyhow::Result;

use crate::shell;

pub fn run(arguments: &[String]) -> Result<()> {
    let mut command = shell::command("cargo", &["run", "--quiet", "--locked", "-p", "lanyard-fuzz", "--"]);
    command.args(arguments);
    shell::run_command(&mut command)
}
