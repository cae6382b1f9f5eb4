//! `cargo xtask test`: every test there is, in one run with one sum.
//!
//! 1. the peers that tests talk to are installed ([`crate::peers`]; `--without-peers` leaves them out),
//! 2. `cargo test` over the workspace,
//! 3. the agent's tests with the feature `tpm` (tpm2-tss; swtpm stands in for the chip),
//! 4. each `tests/interop/<peer>/run.py` or `run.sh` with the built `lanyard` (tests/interop/README.md).
//!
//! Nothing stops at the first failure. The last line is `N passed, N failed`; zero tests are a failure.
//! To add an interop suite: a folder with one of the two scripts; it is found by its name.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tally::{Tally, cargo_line, suite_line};
use crate::{peers, shell};

pub fn run(arguments: &[String]) -> Result<()> {
    let with_peers = match arguments {
        [] => true,
        [only] if only == "--without-peers" && !shell::in_gate() => false,
        other => {
            bail!("`test` knows only `--without-peers` (never in the gate); found `{}`", other.join(" "))
        }
    };
    let mut sum = Tally::default();
    let mut broken = Vec::new();
    let mut add = |name: &str, outcome: Result<Tally>| match outcome {
        Ok(tally) => {
            sum += tally;
            if tally.failed > 0 {
                broken.push(format!("{name}: {} failed", tally.failed));
            }
        }
        Err(error) => {
            // A suite that cannot be built or gives no result counts as one failed test.
            sum.failed += 1;
            broken.push(format!("{name}: {error:#}"));
        }
    };
    if with_peers {
        peers::ensure()?;
    }
    add("workspace", cargo_test(&["--workspace"], with_peers));
    if with_peers {
        add("agent with feature tpm", cargo_test(&["-p", "lanyard-agent", "--features", "tpm"], with_peers));
        for suite in interop_suites()? {
            add(&suite.name(), suite.run());
        }
    }
    for line in &broken {
        println!("FAILED {line}");
    }
    if !with_peers {
        println!("left out by --without-peers: feature tpm, tests/interop, and every test that needs a peer");
    }
    println!("\n{sum}");
    std::io::stdout().flush()?;
    if sum.passed == 0 {
        bail!("no test passed: nothing was tested");
    }
    if sum.failed > 0 {
        bail!("{} of {} tests failed", sum.failed, sum.passed + sum.failed);
    }
    Ok(())
}

/// `cargo test` with these packages: its output streamed, its results summed over all test binaries.
fn cargo_test(packages: &[&str], with_peers: bool) -> Result<Tally> {
    let mut command = shell::command("cargo", &["test", "--locked", "--no-fail-fast"]);
    command.args(packages);
    prepare(&mut command, with_peers);
    let (lines, success) = stream(&mut command)?;
    let mut tally = Tally::default();
    for line in lines.iter().filter_map(|line| cargo_line(line)) {
        tally += line;
    }
    if !success && tally.failed == 0 {
        bail!("`cargo test {}` failed without a failed test: see the errors above", packages.join(" "));
    }
    Ok(tally)
}

/// A folder under `tests/interop` with a script that drives a foreign program.
struct Suite {
    script: PathBuf,
}

/// Where the suites lie, in alphabetical order.
fn interop_suites() -> Result<Vec<Suite>> {
    let folder = shell::root().join("tests/interop");
    let mut suites = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let peer = entry?.path();
        suites.extend(
            ["run.py", "run.sh"]
                .iter()
                .map(|name| peer.join(name))
                .filter(|script| script.is_file())
                .map(|script| Suite { script }),
        );
    }
    suites.sort_by(|a, b| a.script.cmp(&b.script));
    Ok(suites)
}

impl Suite {
    fn name(&self) -> String {
        let path = self.script.strip_prefix(shell::root()).unwrap_or(&self.script);
        path.display().to_string()
    }

    fn run(&self) -> Result<Tally> {
        println!("\n     Running {}", self.name());
        let binary = built_lanyard()?;
        let is_python = self.script.extension().is_some_and(|extension| extension == "py");
        let interpreter = if is_python { peers::python() } else { PathBuf::from("bash") };
        let mut command = shell::command(&interpreter.to_string_lossy(), &[]);
        command.arg(&self.script).env("LANYARD_BIN", binary);
        prepare(&mut command, true);
        let (lines, success) = stream(&mut command)?;
        let Some(tally) = lines.iter().rev().find_map(|line| suite_line(line)) else {
            bail!("it did not end with a line `N passed, N failed`");
        };
        if !success && tally.failed == 0 {
            bail!("it exited with an error although it counted no failed test");
        }
        if tally == Tally::default() {
            bail!("it ran no test");
        }
        Ok(tally)
    }
}

/// The `lanyard` binary for interop suites, built with the feature that talks to a TPM when the cli has it.
fn built_lanyard() -> Result<PathBuf> {
    let features = crate::metadata::load()?.features_of("lanyard-cli");
    let mut arguments = vec!["build", "--quiet", "--locked", "-p", "lanyard-cli"];
    if features.iter().any(|feature| feature == "tpm") {
        arguments.extend(["--features", "tpm"]);
    }
    shell::run("cargo", &arguments)?;
    Ok(shell::target_dir().join("debug").join("lanyard"))
}

/// What every test process may rely on.
fn prepare(command: &mut Command, with_peers: bool) {
    command.env("LANYARD_PEERS_PYTHON", peers::python());
    command.env("LANYARD_INSTANT_ACME", peers::instant_acme());
    if !with_peers {
        command.env("LANYARD_WITHOUT_PEERS", "1");
    }
}

/// Runs it, prints its lines as they come, and returns them with whether it exited with 0.
fn stream(command: &mut Command) -> Result<(Vec<String>, bool)> {
    let program = Path::new(command.get_program()).display().to_string();
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{program}`"))?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        let mut reader = BufReader::new(output);
        let mut raw = Vec::new();
        // Bytes, not lines: a test may print what is not UTF-8.
        while reader.read_until(b'\n', &mut raw)? > 0 {
            let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
            println!("{line}");
            lines.push(line);
            raw.clear();
        }
    }
    Ok((lines, child.wait()?.success()))
}
