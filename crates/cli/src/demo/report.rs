//! What the demo reports: one line per stage, the distrust times, where the bundle and the data are.
//!
//! The JSON shape is a promise to scripts: members are added, never renamed.

use std::path::PathBuf;

use lanyard_sim::distrust::DistrustTimes;
use serde::Serialize;

/// The outcome of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct StageResult {
    /// Name of the stage.
    pub(super) name: &'static str,
    /// Whether everything was as it should be.
    pub(super) ok: bool,
    /// What was seen, or what was not as it should be.
    pub(super) detail: String,
}

/// The whole demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether each stage did what it should.
    pub(super) ok: bool,
    /// All stages, in order.
    pub(super) stages: Vec<StageResult>,
    /// Milliseconds from the tampered evidence to the refusal on each path; absent when it was not measured.
    pub(super) distrust_ms: Option<DistrustTimes>,
    /// The exported evidence.
    pub(super) bundle: Option<PathBuf>,
    /// Where the data is.
    pub(super) data_dir: PathBuf,
}

impl Report {
    /// A report of `stages`; ok when there are some and each is.
    pub(super) fn new(
        stages: Vec<StageResult>,
        distrust_ms: Option<DistrustTimes>,
        bundle: Option<PathBuf>,
        data_dir: PathBuf,
    ) -> Self {
        let ok = !stages.is_empty() && stages.iter().all(|s| s.ok);
        Self { ok, stages, distrust_ms, bundle, data_dir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(ok: bool) -> StageResult {
        StageResult { name: "enroll", ok, detail: "12 devices".to_owned() }
    }

    #[test]
    fn one_failed_stage_or_none_at_all_is_not_ok() {
        let report = |stages| Report::new(stages, None, None, PathBuf::from("d"));
        assert!(report(vec![stage(true), stage(true)]).ok);
        assert!(!report(vec![stage(true), stage(false)]).ok);
        assert!(!report(vec![]).ok);
    }

    #[test]
    fn the_report_has_the_promised_shape() {
        let times = DistrustTimes { token: 1.0, mtls: 2.5, connection: 3.0, fhir: 4.0, max: 4.0 };
        let report = Report::new(vec![stage(true)], Some(times), Some("d/b".into()), "d".into());
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "ok": true,
                "stages": [{ "name": "enroll", "ok": true, "detail": "12 devices" }],
                "distrust_ms": { "token": 1.0, "mtls": 2.5, "connection": 3.0, "fhir": 4.0, "max": 4.0 },
                "bundle": "d/b",
                "data_dir": "d",
            })
        );
    }
}
