//! From a request's bytes to a signed certificate in memory: proof of possession, template, lints, signature.

use anyhow::{Context, Result};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

use crate::Settings;
use crate::p256;
use crate::table::{Row, in_sequence, rate};

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let keys = MemoryKeys::default();
    let naming = Naming::new("General Hospital", "hospital.example")?;
    let generation = |label: &str, serial| -> Result<Generation> {
        Ok(Generation { number: 1, label: label.parse()?, serial: Serial::from_random([serial; 16]) })
    };
    let authority =
        Authority::create(&naming, &keys, &generation("root-g1", 1)?, &generation("issuing-g1", 2)?, NOW)?;
    let label: KeyLabel = "device".parse()?;
    let spki = keys.generate(&label, KeyKind::P256)?;
    let request = csr::build(&spki, "device", |message| keys.sign(&label, message))?;
    let profile = Profile::new(ProfileName::DeviceLdevid, naming);
    let subject = SubjectFacts::Device { id: DeviceId::from_random([5; 16]) };
    let ours = rate(settings.time, || {
        let csr = csr::verify(&request)?;
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).context("no randomness")?;
        let serial = Serial::from_random(serial);
        let prepared =
            issue::prepare(&profile, &csr, &subject, &authority.issuing, Lifetime::Default, serial, NOW)?;
        prepared.sign(&keys)?;
        Ok(())
    })?;
    let raw = p256::raw(settings.time)?;
    Ok(vec![Row {
        what: "CSR to certificate in memory, one core".to_owned(),
        ours: Some(ours),
        limit: Some((in_sequence(raw.sign, raw.verify), "one verify and one sign".to_owned())),
        target: "target 8k/s",
    }])
}
