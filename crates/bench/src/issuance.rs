//! From a request's bytes to a signed certificate in memory: proof of possession, template, lints, signature.

use anyhow::{Context, Result};
use lanyard_domain::id::DeviceId;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

use crate::life::NOW;
use crate::table::{Row, in_sequence, rate};
use crate::{Settings, p256};

/// A registration office: an authority with its keys, and a request to certify.
pub struct Office {
    /// Keys of the authority.
    pub keys: MemoryKeys,
    /// Root and issuing authority.
    pub authority: Authority,
    /// Profile of device certificates.
    pub profile: Profile,
    /// A PKCS#10 request.
    pub request: Vec<u8>,
}

impl Office {
    /// An office with new keys.
    pub fn open() -> Result<Office> {
        let keys = MemoryKeys::default();
        let naming = Naming::new("General Hospital", "hospital.example")?;
        let generation = |label: &str, serial| -> Result<Generation> {
            Ok(Generation { number: 1, label: label.parse()?, serial: Serial::from_random([serial; 16]) })
        };
        let authority = Authority::create(
            &naming,
            &keys,
            &generation("root-g1", 1)?,
            &generation("issuing-g1", 2)?,
            NOW,
        )?;
        let label: KeyLabel = "device".parse()?;
        let spki = keys.generate(&label, KeyKind::P256)?;
        let request = csr::build(&spki, "device", |message| keys.sign(&label, message))?;
        let profile = Profile::new(ProfileName::DeviceLdevid, naming);
        Ok(Office { keys, authority, profile, request })
    }

    /// A new serial number.
    pub fn serial(&self) -> Result<Serial> {
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).context("no randomness")?;
        Ok(Serial::from_random(serial))
    }
}

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let office = Office::open()?;
    let subject = SubjectFacts::Device { id: DeviceId::from_random([5; 16]) };
    let issuer = &office.authority.issuing;
    let ours = rate(settings.time, || {
        let csr = csr::verify(&office.request)?;
        let lifetime = Lifetime::Default;
        let prepared =
            issue::prepare(&office.profile, &csr, &subject, issuer, lifetime, office.serial()?, NOW)?;
        prepared.sign(&office.keys)?;
        Ok(())
    })?;
    let raw = p256::raw(settings.time)?;
    Ok(vec![Row {
        ours: Some(ours),
        limit: Some(in_sequence(raw.sign, raw.verify)),
        target: ">= 8k",
        note: "limit: one verify and one sign".to_owned(),
        ..Row::rate("CSR to certificate in memory, one core")
    }])
}
