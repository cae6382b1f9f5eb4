//! `lanyard-bench [--seconds N] [names...]`: what Lanyard does per second, beside what this machine could do at all.
//!
//! Each line has our rate, the limit (what the cryptography, the disk or a foreign program alone reaches here, in
//! the same run), and the ratio. Benches print and assert nothing: a slow machine is not a wrong one.
//! To add a bench: a module with `pub fn run(&Settings) -> Result<Vec<Row>>`, one line in [`BENCHES`].

mod appraisal;
mod issuance;
mod load;
mod log;
mod material;
mod nginx;
mod p256;
mod relay;
mod table;
mod upstream;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use table::Row;

/// What the caller chose.
pub struct Settings {
    /// How long each measurement runs.
    pub time: Duration,
}

struct Bench {
    name: &'static str,
    run: fn(&Settings) -> Result<Vec<Row>>,
}

const BENCHES: &[Bench] = &[
    Bench { name: "p256", run: p256::run },
    Bench { name: "issuance", run: issuance::run },
    Bench { name: "appraisal", run: appraisal::run },
    Bench { name: "log", run: log::run },
    Bench { name: "relay", run: relay::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let mut settings = Settings { time: Duration::from_secs(3) };
    let mut chosen: Vec<&Bench> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let seconds = rest.next().context("`--seconds` needs a number")?;
            settings.time = Duration::from_secs_f64(seconds.parse()?);
            continue;
        }
        let names = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
        match BENCHES.iter().find(|bench| bench.name == argument) {
            Some(bench) => chosen.push(bench),
            None => bail!("no bench is called `{argument}`: {}", names()),
        }
    }
    if chosen.is_empty() {
        chosen.extend(BENCHES);
    }
    let mut rows = Vec::new();
    for bench in chosen {
        eprintln!("measuring {} ...", bench.name);
        rows.extend((bench.run)(&settings).with_context(|| format!("bench `{}`", bench.name))?);
    }
    print!("{}", table::render(&rows));
    Ok(())
}
