//! `cargo xtask check`: what the gate (`.ci/run`) runs, for developers, fast checks first.

use anyhow::Result;

use crate::{deny, fuzz, generated, invariants, peers, shell, suites, unused};

pub fn run(_: &[String]) -> Result<()> {
    shell::step("format", || {
        shell::run("cargo", &["fmt", "--all", "--check"])?;
        shell::run("cargo", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
    })?;
    shell::step("peers", peers::ensure)?;
    shell::step("clippy", clippy)?;
    shell::step("deny", || deny::run(&[]))?;
    shell::step("unused", || unused::run(&[]))?;
    shell::step("invariants", || invariants::run(&[]))?;
    shell::step("documentation", documentation)?;
    shell::step("generated", || generated::run(&[]))?;
    shell::step("fuzz smoke", || fuzz::run(&[]))?;
    suites::run(&[])
}

fn clippy() -> Result<()> {
    let workspace = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    shell::run("cargo", &workspace)?;
    let tpm = ["-p", "lanyard-agent", "--features", "tpm"];
    let mut arguments = vec!["clippy", "--all-targets", "--locked"];
    arguments.extend(tpm);
    arguments.extend(["--", "-D", "warnings"]);
    shell::run("cargo", &arguments)
}

fn documentation() -> Result<()> {
    let mut command = shell::command("cargo", &["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    shell::run_command(&mut command)
}
