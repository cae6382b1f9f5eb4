//! `lanyard demo`: a virtual hospital that shows the main job end to end, for real, and checks every step of it.
//!
//! Each stage is a function that does something and returns what it saw, or an error that says what was not as it should
//! be; a failed stage is reported and gives exit code 1. In scope: the order of things and their checks. Out of scope:
//! devices, people and attacks (`lanyard_sim`), and everything that Lanyard itself does.
//! To add a stage: a function in `stages/`, a line in [`play`].

mod hold;
mod house;
mod narrate;
mod report;
mod stages;
mod story;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::exit::Failure;
use narrate::Voice;
use report::{Report, StageResult};
use story::Story;

/// Fewer than this have no second monitor to retire or no CT.
const FEWEST: usize = 6;
/// A thousand software TPMs fit a laptop; more is a benchmark.
const MOST: usize = 2_000;

/// Options of the demo.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Print one JSON report at the end instead of the narration
    #[arg(long)]
    pub json: bool,
    /// Keep the data in this directory, which must be empty or not exist yet
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep everything running at the end, and print the URLs and what to try next
    #[arg(long)]
    pub hold: bool,
    /// How many devices the hospital has
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = device_count)]
    pub devices: usize,
    /// Seed of readings and choices, to repeat a run
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn device_count(text: &str) -> Result<usize, String> {
    let rule = || format!("must be a number from {FEWEST} to {MOST}");
    text.parse().ok().filter(|n| (FEWEST..=MOST).contains(n)).ok_or_else(rule)
}

/// Runs the demo; a stage that failed is an error with exit code 1, after the report.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    show_logs();
    let voice = Voice::of(args.json);
    enough_files(args.devices, &std::fs::read_to_string("/proc/self/limits").unwrap_or_default())?;
    let data_dir = data_dir(args.data.as_deref())?;
    voice.say(&format!(
        "A virtual hospital with {} devices on 127.0.0.1. Everything is real but the EHR, the patients and the chips.\n",
        args.devices
    ));
    let mut stages = Vec::new();
    let scene = voice.begin("Start control plane, gateway and stand-in EHR");
    let story = Story::begin(&data_dir, args.devices, args.seed).await;
    let (result, story) = match story {
        Ok(story) => (passed("start", story.addresses()), Some(story)),
        Err(error) => (failed("start", &error), None),
    };
    scene.end(&result);
    stages.push(result);
    let Some(mut story) = story else {
        return conclude(args.json, voice, &Report::new(stages, None, None, data_dir));
    };
    play(&mut story, voice, &mut stages).await;
    let report = Report::new(stages, story.distrust, story.bundle.clone(), data_dir);
    let outcome = conclude(args.json, voice, &report);
    if args.hold {
        hold::until_interrupted(&story, voice).await?;
    }
    story.end().await;
    outcome
}

/// The servers' and agents' own log lines, on standard error: what `RUST_LOG` asks for, else what a person must act on.
/// Refusals are warnings, and the demo is full of them.
fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::ERROR.into())
        .from_env_lossy();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else may have chosen a way to show logs already; then theirs holds.
    let _ = logs.try_init();
}

/// What to do after a stage that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing after it can work.
    Stop,
    /// The others stand for themselves.
    GoOn,
}

macro_rules! stage {
    ($story:ident, $voice:ident, $results:ident, $then:expr, $name:literal, $title:literal, $run:path) => {{
        let scene = $voice.begin($title);
        let result = match $run($story, &scene).await {
            Ok(detail) => passed($name, detail),
            Err(error) => failed($name, &error),
        };
        let stop = !result.ok && $then == Then::Stop;
        scene.end(&result);
        $results.push(result);
        if stop {
            return;
        }
    }};
}

/// The stages, in order.
async fn play(story: &mut Story, voice: Voice, results: &mut Vec<StageResult>) {
    use Then::{GoOn, Stop};
    use stages::*;
    stage!(story, voice, results, Stop, "staff", "Admit people, makers and releases", people::staff);
    stage!(
        story,
        voice,
        results,
        Stop,
        "register",
        "Register the devices from the purchase list",
        people::register
    );
    stage!(story, voice, results, Stop, "approve", "Approve them, by two people", people::approve);
    stage!(
        story,
        voice,
        results,
        Stop,
        "enroll",
        "Enroll: TPM, credential activation, certificate",
        identity::enroll
    );
    stage!(story, voice, results, Stop, "attest", "Attest: what runs is what was approved", identity::attest);
    stage!(
        story,
        voice,
        results,
        Stop,
        "send",
        "Send Observations; each arrives with its Provenance",
        data::send
    );
    stage!(story, voice, results, GoOn, "token", "Tokens are bound to the certificate", data::token);
    stage!(story, voice, results, GoOn, "renew", "Renew certificates while data flows", data::renew);
    stage!(story, voice, results, GoOn, "distrust", "Tamper with a pump's firmware", containment::distrust);
    stage!(story, voice, results, GoOn, "clone", "Copy a device's disk to another device", attacks::clone);
    stage!(story, voice, results, GoOn, "replay", "Send recorded evidence again", attacks::replay);
    stage!(story, voice, results, GoOn, "downgrade", "Install an older firmware release", attacks::downgrade);
    stage!(
        story,
        voice,
        results,
        GoOn,
        "unregistered",
        "Connect a device that nobody registered",
        attacks::unregistered
    );
    stage!(story, voice, results, GoOn, "restore", "Restore the pump", containment::restore);
    stage!(
        story,
        voice,
        results,
        GoOn,
        "retire",
        "Retire a monitor, and prove that it is out",
        retirement::retire
    );
    stage!(
        story,
        voice,
        results,
        GoOn,
        "evidence",
        "Export the evidence for a reading and verify it",
        evidence::export
    );
}

fn passed(name: &'static str, detail: impl Into<String>) -> StageResult {
    StageResult { name, ok: true, detail: detail.into() }
}

fn failed(name: &'static str, error: &anyhow::Error) -> StageResult {
    StageResult { name, ok: false, detail: format!("{error:#}") }
}

/// Tells how it ended.
fn conclude(json: bool, voice: Voice, report: &Report) -> anyhow::Result<()> {
    if json {
        let text = serde_json::to_string(report)?;
        writeln!(std::io::stdout(), "{text}").context("the report could not be printed")?;
    }
    let all = report.stages.len();
    voice.say(&format!("\nThe data is in {}.", report.data_dir.display()));
    if report.ok {
        voice.say(&format!("All {all} stages did what they should."));
        return Ok(());
    }
    let failed: Vec<&str> = report.stages.iter().filter(|s| !s.ok).map(|s| s.name).collect();
    Err(Failure::refused(format!("{} of {all} stages failed: {}", failed.len(), failed.join(", "))))
}

/// Everything runs in one process: of each device its chip's lock, both ends of its connection to the gateway and of the
/// gateway's to the EHR, and one more pair while it enrolls.
const FILES_PER_DEVICE: usize = 7;
/// Logs, listeners, libraries.
const FILES_OF_THE_HOUSE: usize = 200;

/// Whether the process may open that many files; `limits` is the text of `/proc/self/limits`, and what is not there does
/// not limit.
fn enough_files(devices: usize, limits: &str) -> anyhow::Result<()> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft =
        line.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|n| n.parse::<usize>().ok());
    let needed = devices * FILES_PER_DEVICE + FILES_OF_THE_HOUSE;
    match soft {
        Some(soft) if soft < needed => Err(Failure::usage(format!(
            "{devices} devices need {needed} open files, this shell allows {soft}: run `ulimit -n {needed}` first, or ask \
             for fewer devices"
        ))),
        _ => Ok(()),
    }
}

/// The directory of this hospital: a new one, never one with something in it.
fn data_dir(wanted: Option<&std::path::Path>) -> anyhow::Result<PathBuf> {
    let Some(dir) = wanted else {
        let dir = tempfile::Builder::new().prefix("lanyard-demo-").tempdir();
        // Kept: the report names the bundle in it.
        return Ok(dir.context("cannot make a temporary directory")?.keep());
    };
    let at = || format!("cannot use `{}` as data directory", dir.display());
    std::fs::create_dir_all(dir).with_context(at)?;
    if std::fs::read_dir(dir).with_context(at)?.next().is_some() {
        return Err(Failure::usage(format!(
            "`{}` is not empty; the demo makes a new hospital and needs an empty directory",
            dir.display()
        )));
    }
    dir.canonicalize().with_context(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(data_dir(Some(&dir.path().join("new/deep"))).is_ok());
        let error = data_dir(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
    }

    #[test]
    fn too_many_devices_for_the_open_files_limit_are_refused_at_once() {
        let limits =
            |soft: &str| format!("Limit\nMax open files            {soft}                 4096    files\n");
        assert!(enough_files(12, &limits("1024")).is_ok());
        let error = enough_files(1_000, &limits("1024")).unwrap_err().to_string();
        assert!(error.contains("ulimit -n 7200"), "{error}");
        for unknown in [limits("unlimited"), String::new(), "Max open files".to_owned()] {
            assert!(enough_files(1_000, &unknown).is_ok());
        }
    }

    // I1, I2, I6, I7, I11, R31, R32, R38, R44, R55, R61, R62, R81, R114, R125: the main job, on the real servers and the
    // real agent; what each stage checks stands in the stage.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_main_job_goes_end_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut story = Story::begin(dir.path(), FEWEST, 7).await.unwrap();
        let mut results = Vec::new();
        play(&mut story, Voice::Silent, &mut results).await;
        let failed: Vec<&StageResult> = results.iter().filter(|r| !r.ok).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(results.len(), 16);
        assert!(story.distrust.is_some() && story.bundle.as_ref().is_some_and(|b| b.exists()));
        // What is done cannot be done again: the checks say no when there is nothing to see.
        let scene = Voice::Silent.begin("again");
        assert!(stages::people::staff(&mut story, &scene).await.is_err());
        assert!(stages::people::register(&mut story, &scene).await.is_err());
        assert!(stages::containment::restore(&mut story, &scene).await.is_err());
        assert!(stages::retirement::retire(&mut story, &scene).await.is_err());
        assert!(stages::identity::attest(&mut story, &scene).await.is_err());
        story.end().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stage_without_what_it_needs_fails_and_does_not_panic() {
        let dir = tempfile::tempdir().unwrap();
        let mut story = Story::begin(dir.path(), FEWEST, 7).await.unwrap();
        let scene = Voice::Silent.begin("too early");
        let outcomes = [
            stages::people::approve(&mut story, &scene).await,
            stages::data::token(&mut story, &scene).await,
            stages::data::renew(&mut story, &scene).await,
            stages::containment::distrust(&mut story, &scene).await,
            stages::containment::restore(&mut story, &scene).await,
            stages::attacks::clone(&mut story, &scene).await,
            stages::attacks::replay(&mut story, &scene).await,
            stages::attacks::downgrade(&mut story, &scene).await,
            stages::retirement::retire(&mut story, &scene).await,
            stages::evidence::export(&mut story, &scene).await,
        ];
        for (at, outcome) in outcomes.iter().enumerate() {
            assert!(outcome.is_err(), "stage {at}: {outcome:?}");
        }
        // Nobody approved anything: the fleet cannot enroll.
        assert!(stages::identity::enroll(&mut story, &scene).await.is_err());
        story.end().await;
    }

    #[test]
    fn the_number_of_devices_has_its_bounds() {
        for (text, expected) in
            [("12", Ok(12)), ("6", Ok(6)), ("5", Err(())), ("2001", Err(())), ("x", Err(()))]
        {
            assert_eq!(device_count(text).map_err(|_| ()), expected, "{text}");
        }
    }
}
