//! `lanyard`: operators' and auditors' command line, and every role of the product in one binary.
//!
//! In scope: arguments, files, printing, exit codes. Out of scope: rules; each command is one or two calls of a crate that
//! has them. To add a command: a file in `command/`, a variant in [`args::Command`], an arm in [`command::run`].

mod args;
mod command;
mod demo;
mod exit;
mod files;
mod import;
mod output;
mod profile;
mod session;
mod tls;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use exit::{Exit, code_of};

/// Of all roles. Requests are decoded on one thread and freed on another all day, which glibc's pays dearly for (ADR 15).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // `--help` and `--version` are answers, not errors.
            let exit = if told.use_stderr() { Exit::Usage as u8 } else { 0 };
            let _ = told.print();
            return ExitCode::from(exit);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(Exit::Internal as u8);
        }
    };
    let outcome = runtime.block_on(command::run(cli));
    // A blocking call of a lost server or chip must not keep a finished command alive.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", exit::in_words(&error));
            ExitCode::from(code_of(&error) as u8)
        }
    }
}
