//! Signatures per second through PKCS#11 (SoftHSM2, sessions in a pool) beside keys in memory, from one thread and from sixteen. The
//! difference is what the interface costs, not a module: a real one is slower, or faster, by itself.
//!
//! A module reads its configuration from the environment, so the measurement runs in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use lanyard_hsm::{Config, Hsm};
use lanyard_pki::key::passphrase::Pin;
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};

use crate::Settings;
use crate::table::Row;

/// The argument that makes this program the measuring process.
pub const MEASURE: &str = "--measure-pkcs11";
/// Debian's `softhsm2`.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "87654321";
const KINDS: [(&str, KeyKind); 2] = [("P-256", KeyKind::P256), ("P-384", KeyKind::P384)];
const THREADS: [usize; 2] = [1, 16];
/// About the size of a certificate's body.
const MESSAGE: [u8; 500] = [7; 500];

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    ensure!(Path::new(MODULE).exists(), "SoftHSM2 is not installed: run `cargo xtask peers`");
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("tokens"))?;
    let file = folder.path().join("softhsm2.conf");
    let tokens = folder.path().join("tokens");
    let config = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&file, config)?;
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "bench", "--so-pin", "12345678", "--pin", PIN])
        .env("SOFTHSM2_CONF", &file)
        .stdout(Stdio::null())
        .status()
        .context("cannot run softhsm2-util")?;
    ensure!(made.success(), "softhsm2-util made no token");
    let measured = Command::new(std::env::current_exe()?)
        .args([MEASURE, &settings.time.as_secs_f64().to_string()])
        .env("SOFTHSM2_CONF", &file)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(measured.status.success(), "the measuring process ended with {}", measured.status);
    let text = String::from_utf8(measured.stdout)?;
    text.lines().map(row).collect()
}

fn row(line: &str) -> Result<Row> {
    let mut words = line.split(' ');
    let mut word = || words.next().context("the measuring process says too little");
    let (kind, threads) = (word()?, word()?.parse::<usize>()?);
    let (ours, limit) = (word()?.parse()?, word()?.parse()?);
    Ok(Row {
        ours: Some(ours),
        limit: Some(limit),
        note: format!("SoftHSM2, {threads} at once; limit: our keys in memory"),
        ..Row::rate(format!("PKCS#11 sign {kind}, {threads} at once"))
    })
}

/// In the process of its own: a line for each.
pub fn measure(seconds: &str) -> Result<()> {
    let seconds: f64 = seconds.parse()?;
    let mut config = Config::new(PathBuf::from(MODULE), "bench");
    config.sessions = 16;
    let hsm = Hsm::open(config, Pin::from_bytes(PIN.into(), "bench")?)?;
    let memory = MemoryKeys::default();
    for (name, kind) in KINDS {
        let label: KeyLabel = format!("bench-{}", name.to_lowercase()).parse()?;
        hsm.generate(&label, kind)?;
        memory.generate(&label, kind)?;
        for threads in THREADS {
            let ours = rate(&hsm, &label, threads, seconds)?;
            let limit = rate(&memory, &label, threads, seconds)?;
            println!("{name} {threads} {ours} {limit}");
        }
    }
    Ok(())
}

fn rate(keys: &dyn KeyBackend, label: &KeyLabel, threads: usize, seconds: f64) -> Result<f64> {
    let start = Instant::now();
    let one = || {
        let mut count = 0_usize;
        while start.elapsed().as_secs_f64() < seconds {
            keys.sign(label, &MESSAGE)?;
            count += 1;
        }
        Ok::<_, anyhow::Error>(count)
    };
    let mut all = 0;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        for thread in running {
            let Ok(count) = thread.join() else { bail!("a signing thread died") };
            all += count?;
        }
        Ok(())
    })?;
    Ok(all as f64 / start.elapsed().as_secs_f64())
}
