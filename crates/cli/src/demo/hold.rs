//! `--hold`: the hospital goes on; the screen says where it is and what to try, and each
//! person's profile and key are written for the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lanyard_sim::device::VirtualDevice;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::narrate::Voice;
use super::story::Story;
use crate::profile::{Pinned, Profile};

/// A reading of each device this often.
const EVERY: Duration = Duration::from_secs(5);

/// Runs all agents and lets all devices send until Ctrl-C.
pub(super) async fn until_interrupted(story: &Story, voice: Voice) -> anyhow::Result<()> {
    let profiles = write_profiles(story)?;
    tell(story, &profiles, voice);
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

fn tell(story: &Story, profiles: &Path, voice: Voice) {
    let house = &story.house;
    voice.say("\nThe hospital keeps running; Ctrl-C ends it.\n");
    voice.say(&format!("  control plane   https://{}", house.control.address));
    voice.say(&format!("  FHIR gateway    https://{}/fhir", house.gateway.fhir_addr));
    voice.say(&format!("  EHR             {}  ({})", house.ehr.base_url(), lanyard_sim::ehr::LABEL));
    voice.say(&format!("  log key         {}", house.control.log_vkey));
    voice.say(&format!("  data            {}", story.data_dir.display()));
    voice.say(&format!("  profiles        {}/<role>.toml, one per person\n", profiles.display()));
    voice.say("Try, in another terminal:\n");
    voice.say(&format!("  export LANYARD_PROFILE={}/security.toml", profiles.display()));
    voice.say("  lanyard device list");
    if let Some(device) = story.devices.first() {
        voice.say(&format!("  lanyard device describe {}", device.serial));
        voice.say(&format!("  lanyard device quarantine {} --reason 'try it'", device.serial));
        voice.say(&format!("  lanyard device release {} --reason 'tried it'", device.serial));
    }
    if let Some(bundle) = &story.bundle {
        voice.say(&format!("  lanyard verify {}", bundle.display()));
    }
    voice.say(&format!("  curl '{}/Provenance?_count=5'", house.ehr.base_url()));
    voice.say(&format!(
        "  openssl s_client -connect {} </dev/null    # refused: no certificate",
        house.gateway.fhir_addr
    ));
    voice.say("");
}

/// A profile and a key file for each person, for the command line. Like all data of the demo, for nothing else.
fn write_profiles(story: &Story) -> anyhow::Result<PathBuf> {
    let dir = story.data_dir.join("people");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    let server = Pinned {
        address: story.house.control.address.to_string(),
        origin: story.house.control.origin.clone(),
        log_vkey: story.house.control.log_vkey.clone(),
        anchors_pem: story.house.control.anchors_pem.clone(),
    };
    for person in story.people.all() {
        let roles: Vec<String> = person.roles.iter().map(ToString::to_string).collect();
        let name = roles.join("-and-");
        let key_file = PathBuf::from(format!("{name}.key"));
        person.key().write(&dir.join(&key_file))?;
        let profile = Profile {
            operator: Some(person.id),
            name: Some(person.name.clone()),
            key_file: Some(key_file),
            server: Some(server.clone()),
        };
        profile.write(&dir.join(format!("{name}.toml")))?;
    }
    Ok(dir)
}
