//! `lanyard-fuzz [--seconds N] [--seed N] [--replay TARGET FILE]`: the smoke run of all targets.
//!
//! A crash is written to `fuzz/artifacts/<target>` and can be replayed.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lanyard_fuzz::{smoke, targets};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    // 30 s over some twenty targets: enough to see a parser that breaks easily, short enough for every change.
    let (mut seconds, mut seed) = (30, 1);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--seconds" => seconds = value()?.parse()?,
            "--seed" => seed = value()?.parse()?,
            "--replay" => {
                let (target, file) = (value()?.clone(), value()?.clone());
                return replay(&target, Path::new(&file));
            }
            other => bail!("`{other}` is not known: --seconds N, --seed N, --replay TARGET FILE"),
        }
    }
    let share = Duration::from_secs(seconds) / u32::try_from(targets().count().max(1)).unwrap_or(u32::MAX);
    // One short line per finding instead of a backtrace: the input is kept, and `--replay` shows the rest.
    std::panic::set_hook(Box::new(|info| {
        let text: String = info.to_string().chars().take(200).collect();
        eprintln!("{}", text.replace('\n', " "));
    }));
    let mut crashed = Vec::new();
    for target in targets() {
        let report = smoke::hunt(target, seed, share, 100);
        let (time, length) = report.slowest;
        println!(
            "{:<24} {:>9} inputs, slowest {:.1} ms ({length} bytes)",
            target.name,
            report.runs,
            time.as_secs_f64() * 1000.0
        );
        if let Some(input) = report.crash {
            let file = save(target.name, &input)?;
            println!("{}: CRASH, replay with `cargo xtask fuzz-smoke --replay {0} {file}`", target.name);
            crashed.push(target.name);
        }
    }
    if !crashed.is_empty() {
        bail!("targets that panicked: {} (seed {seed})", crashed.join(", "));
    }
    Ok(())
}

fn save(target: &str, input: &[u8]) -> Result<String> {
    let folder = format!("fuzz/artifacts/{target}");
    std::fs::create_dir_all(&folder)?;
    let file = format!("{folder}/smoke-crash");
    std::fs::write(&file, input)?;
    Ok(file)
}

fn replay(name: &str, file: &Path) -> Result<()> {
    let target = targets().find(|target| target.name == name).context("no such target")?;
    let input = std::fs::read(file).with_context(|| file.display().to_string())?;
    (target.run)(&input);
    println!("{name}: no crash on {}", file.display());
    Ok(())
}
