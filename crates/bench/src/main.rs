//! `lanyard-bench [--seconds N] [--devices N] [--certificates N] [--data DIR] [names...]`: what Lanyard does per second, beside what this machine could
//! do at all.
//!
//! Each line has our figure, the limit (what the cryptography, the disk or a foreign program alone reaches here, in
//! the same run), and the ratio. Benches print and assert nothing about speed: a slow machine is not a wrong one. What
//! must not be wrong (a refused reading, an untrusted device) ends the run with an error.
//! To add a bench: a module with a `run` that returns rows, one line in [`BENCHES`].

mod acme;
mod appraisal;
mod bare;
mod cmp;
mod cpu;
mod crl;
mod disk;
mod distrust;
mod durable;
mod enrollment;
mod est;
mod hospital;
mod issuance;
mod life;
mod load;
mod log;
mod material;
mod memory;
mod million;
mod nginx;
mod ocsp;
mod p256;
mod pkcs11;
mod push;
mod queue;
mod relay;
mod renewal;
mod scep;
mod table;
mod upstream;
mod ward;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hospital::Hospital;
use table::Row;

/// The one of `lanyard` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the caller chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long each measurement runs.
    pub time: Duration,
    /// Devices of the hospital that the end-to-end benches share.
    pub devices: usize,
    /// Certificates of the bench `million`.
    pub certificates: usize,
    /// Where that keeps its data directory, to use it again; gone with the bench without.
    pub data: Option<PathBuf>,
}

struct Bench {
    name: &'static str,
    run: Run,
}

enum Run {
    /// Needs nothing else.
    Alone(fn(&Settings) -> Result<Vec<Row>>),
    /// Runs against a started hospital with enrolled devices; one is made for all of them.
    Inside(fn(&Settings, &Hospital) -> Result<Vec<Row>>),
}

/// In this order when nobody chooses: memory first, while the process has not allocated anything that could be reused.
const BENCHES: &[Bench] = &[
    Bench { name: "memory", run: Run::Alone(memory::run) },
    Bench { name: "p256", run: Run::Alone(p256::run) },
    Bench { name: "issuance", run: Run::Alone(issuance::run) },
    Bench { name: "crl", run: Run::Alone(crl::run) },
    Bench { name: "pkcs11", run: Run::Alone(pkcs11::run) },
    Bench { name: "durable", run: Run::Alone(durable::run) },
    Bench { name: "appraisal", run: Run::Alone(appraisal::run) },
    Bench { name: "log", run: Run::Alone(log::run) },
    Bench { name: "million", run: Run::Alone(million::run) },
    Bench { name: "enrollment", run: Run::Inside(enrollment::run) },
    Bench { name: "renewal", run: Run::Inside(renewal::run) },
    Bench { name: "relay", run: Run::Inside(relay::run) },
    Bench { name: "est", run: Run::Inside(est::run) },
    Bench { name: "cmp", run: Run::Inside(cmp::run) },
    Bench { name: "scep", run: Run::Inside(scep::run) },
    Bench { name: "acme", run: Run::Inside(acme::run) },
    Bench { name: "ocsp", run: Run::Inside(ocsp::run) },
    Bench { name: "distrust", run: Run::Inside(distrust::run) },
    Bench { name: "push", run: Run::Inside(push::run) },
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
    if let [serve, folder] = arguments
        && serve == million::SERVE
    {
        return million::serve(Path::new(folder));
    }
    if let [measure, seconds] = arguments
        && measure == pkcs11::MEASURE
    {
        return pkcs11::measure(seconds);
    }
    let (settings, chosen) = parse(arguments)?;
    let mut rows = Vec::new();
    let mut hospital = None;
    for bench in chosen {
        eprintln!("measuring {} ...", bench.name);
        let measured = match bench.run {
            Run::Alone(run) => run(&settings),
            Run::Inside(run) => {
                if hospital.is_none() {
                    hospital = Some(Hospital::open(&settings).context("cannot start the hospital")?);
                }
                hospital
                    .as_ref()
                    .context("there is no hospital")
                    .and_then(|hospital| run(&settings, hospital))
            }
        };
        rows.extend(measured.with_context(|| format!("bench `{}`", bench.name))?);
    }
    if let Some(hospital) = hospital {
        hospital.close();
    }
    print!("{}", table::render(&rows));
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(Settings, Vec<&'static Bench>)> {
    let mut settings =
        Settings { time: Duration::from_secs(3), devices: 1_000, certificates: 200_000, data: None };
    let mut chosen: Vec<&Bench> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--seconds" => settings.time = Duration::from_secs_f64(value()?.parse()?),
            "--devices" => settings.devices = value()?.parse()?,
            "--certificates" => settings.certificates = value()?.parse()?,
            "--data" => settings.data = Some(value()?.into()),
            name => match BENCHES.iter().find(|bench| bench.name == name) {
                Some(bench) => chosen.push(bench),
                None => {
                    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
                    bail!("no bench is called `{name}`: {}", names.join(", "))
                }
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(BENCHES);
    }
    Ok((settings, chosen))
}
