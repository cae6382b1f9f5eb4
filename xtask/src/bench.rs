//! `cargo xtask bench`: builds the benches optimised and runs them (see `crates/bench`).

use anyhow::Result;

use crate::{peers, shell};

pub fn run(arguments: &[String]) -> Result<()> {
    peers::ensure()?;
    let mut command =
        shell::command("cargo", &["run", "--quiet", "--release", "--locked", "-p", "lanyard-bench", "--"]);
    command.args(arguments);
    shell::run_command(&mut command)
}
