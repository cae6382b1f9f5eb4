//! The project's chores: `cargo xtask <command>`.
//!
//! Why a crate and not scripts: the chores are typed, tested and run wherever cargo runs.
//! In scope: tests, the gate's checks, generated documents, installing test peers, starting the benches.
//! Out of scope: anything that the product itself does; no Lanyard crate is a dependency of this one.
//! To add a chore: a module with `pub fn run`, one line in [`COMMANDS`].

mod bench;
mod check;
mod deny;
mod fuzz;
mod generated;
mod invariants;
mod metadata;
mod peers;
mod requirements;
mod shell;
mod spdx;
mod suites;
mod tally;
mod unused;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// A chore: its name, what it is for, and its code (given the arguments after the name).
struct Command {
    name: &'static str,
    purpose: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        purpose: "all tests, foreign peers included; ends with `N passed, N failed`",
        run: suites::run,
    },
    Command { name: "check", purpose: "everything that the gate runs, fast checks first", run: check::run },
    Command {
        name: "peers",
        purpose: "installs the programs that tests talk to (Debian, PyPI)",
        run: peers::run,
    },
    Command {
        name: "deny",
        purpose: "licences, banned crates, duplicates and sources, by deny.toml",
        run: deny::run,
    },
    Command {
        name: "invariants",
        purpose: "which crate may know which crate and library",
        run: invariants::run,
    },
    Command {
        name: "unused",
        purpose: "dependencies that a crate declares and never names",
        run: unused::run,
    },
    Command {
        name: "requirements",
        purpose: "writes docs/requirements.md from the tags above tests",
        run: requirements::run,
    },
    Command {
        name: "generated",
        purpose: "writes every generated file, fails when one was not committed so",
        run: generated::run,
    },
    Command {
        name: "fuzz-smoke",
        purpose: "every fuzz target over its seeds and random mutations [--seconds N] [--seed N]",
        run: fuzz::run,
    },
    Command { name: "bench", purpose: "table of ours / limit / ratio [names...]", run: bench::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        usage();
        bail!("say which chore");
    };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None if matches!(name.as_str(), "help" | "--help" | "-h") => {
            usage();
            Ok(())
        }
        None => {
            usage();
            bail!("no chore is called `{name}`");
        }
    }
}

fn usage() {
    eprintln!("cargo xtask <chore>\n");
    for command in COMMANDS {
        eprintln!("  {:<13} {}", command.name, command.purpose);
    }
    eprintln!();
}
