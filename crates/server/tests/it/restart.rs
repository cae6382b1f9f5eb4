//! What survives a stop.

use std::sync::Arc;
use std::time::Duration;

use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_domain::trust::Verdict;

use crate::hospital::{Hospital, client, start};

/// Waits for something that another task will bring about.
pub async fn until(condition: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("did not happen within 30 s");
}

// R51, I3, I7
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_resumes_with_the_same_log_the_same_keys_and_the_same_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    let device = hospital.admitted("P-1").await;
    let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", "P-1").unwrap());
    firmware.boot(&chip);
    hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap();
    let about = hospital.about().await;

    hospital.running.shutdown().await;
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    let after = hospital.about().await;
    assert_eq!(
        (about.log_vkey, about.anchors_pem, false),
        (after.log_vkey, after.anchors_pem, after.needs_bootstrap)
    );
    assert!(hospital.running.bootstrap_secret.is_none());
    let detail = hospital.device(device).await;
    assert_eq!((detail.verdict, detail.stage.as_str()), (Verdict::Trusted, "in-service"));
    let agent = hospital.agent("P-1", &chip, &firmware);
    assert_eq!(agent.attest().await.unwrap().verdict, Verdict::Trusted);
    hospital.running.shutdown().await;
}
