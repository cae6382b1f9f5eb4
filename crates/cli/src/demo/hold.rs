//! `--hold`: the hospital goes on; the screen says where it is and what to try.

use std::sync::Arc;
use std::time::Duration;

use lanyard_sim::device::VirtualDevice;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::narrate::Voice;
use super::story::Story;

/// A reading of each device this often.
const EVERY: Duration = Duration::from_secs(5);

/// Runs all agents and lets all devices send until Ctrl-C.
pub(super) async fn until_interrupted(story: &Story, voice: Voice) -> anyhow::Result<()> {
    if voice != Voice::Silent {
        tell(story);
    }
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for device in &story.devices {
        let (agent, end) = (device.agent.clone(), stop.clone());
        tasks.spawn(async move { agent.run(end).await });
        tasks.spawn(keep_sending(device.clone(), stop.clone()));
    }
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// A refused device keeps trying, as a real one would; the gateway's answer is what there is to see.
async fn keep_sending(device: Arc<VirtualDevice>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = device.send().await {
            tracing::debug!(serial = %device.serial, %error, "a reading was not sent");
        }
    }
}

fn tell(story: &Story) {
    let house = &story.house;
    println!("\nThe hospital keeps running; Ctrl-C ends it.\n");
    println!("  control plane   https://{}", house.control.address);
    println!("  FHIR gateway    https://{}/fhir", house.gateway.fhir_addr);
    println!("  stand-in EHR    {}", house.ehr.base_url());
    println!("  log key         {}", house.control.log_vkey);
    println!("  data            {}\n", story.data_dir.display());
    println!("Try:");
    println!("  curl {}/metadata", house.ehr.base_url());
    println!("  curl '{}/Provenance?_count=5'", house.ehr.base_url());
    println!("  openssl s_client -connect {} </dev/null    # refused: no certificate", house.gateway.fhir_addr);
    if let Some(bundle) = &story.bundle {
        println!("  lanyard verify {}", bundle.display());
    }
    println!();
}
