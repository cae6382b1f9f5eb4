//! What the control plane does without being asked: note that time has passed or a release has changed, give up
//! intents that a crash left behind, prove refusal of the retired.

use lanyard_domain::access::authenticate;
use lanyard_domain::device::{Basis, Command};
use lanyard_domain::event::Probe;
use lanyard_domain::id::{DeviceId, OperatorId};
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::evaluate;

use crate::journal::Journal;
use crate::plane::{Control, ControlError, Extras, find};

/// The control plane itself as actor.
pub const ITSELF: OperatorId = OperatorId::from_bytes([0; 16]);

impl<J: Journal> Control<J> {
    /// All devices there are, to be looked at a few at a time.
    pub fn device_ids(&self) -> Vec<DeviceId> {
        self.world().devices.keys().copied().collect()
    }

    /// Those of `among` whose chain states another verdict than holds now. Give it some thousand at a time: the log
    /// waits to be folded while the world is being looked at.
    pub fn drifted(&self, among: &[DeviceId], now: Timestamp) -> Vec<DeviceId> {
        let world = self.world();
        let differs =
            |d: &&lanyard_domain::device::Device| evaluate(d, &world.releases, now).verdict != d.recorded;
        among.iter().filter_map(|id| world.devices.get(id)).filter(differs).map(|d| d.id).collect()
    }

    /// Records the verdict that holds now, if the chain states another.
    pub async fn reassess(&self, id: DeviceId, now: Timestamp) -> Result<(), ControlError> {
        self.on_device(id, ITSELF, now, Extras::default(), |_, _| Ok(vec![Command::Reassess])).await?;
        Ok(())
    }

    /// After a start: every intent without a certificate was cut short by the stop. Its signature, if one was made,
    /// died in memory with the process; say so in the chain. Returns how many.
    pub async fn recover(&self, now: Timestamp) -> Result<usize, ControlError> {
        let pending: Vec<_> = {
            let world = self.world();
            world.devices.values().flat_map(|d| d.pending.iter().map(|i| (d.id, i.issuance))).collect()
        };
        for (device, issuance) in &pending {
            let issuance = *issuance;
            self.on_device(*device, ITSELF, now, Extras::default(), |_, _| {
                let why = "the process stopped between intent and record".to_owned();
                Ok(vec![Command::AbandonIssuance { issuance, why }])
            })
            .await?;
        }
        let applications: Vec<_> = {
            let world = self.world();
            world.applications.values().flat_map(|a| a.pending.iter().map(|i| (a.id, i.issuance))).collect()
        };
        for (application, issuance) in &applications {
            let issuance = *issuance;
            self.on_application(*application, ITSELF, (None, Vec::new()), now, |_| {
                let why = "the process stopped between intent and record".to_owned();
                Ok(vec![lanyard_domain::application::Command::AbandonIssuance { issuance, why }])
            })
            .await?;
        }
        let own = self.recover_own("the process stopped between intent and record", now).await?;
        Ok(pending.len() + applications.len() + own)
    }

    /// Devices whose retirement still has to be proven.
    pub fn retiring(&self) -> Vec<DeviceId> {
        self.world().retiring().collect()
    }

    /// The control plane's own enforcement points, asked by the function that they ask themselves.
    pub fn probe_here(&self, id: DeviceId, now: Timestamp) -> Result<Vec<Probe>, ControlError> {
        let world = self.world();
        let device = find(&world, id)?;
        let view = world.view(device, now);
        let mut probes = Vec::new();
        for certificate in device.certificates.iter().chain(&device.former) {
            let answer = authenticate(&view, &certificate.sha256, now);
            probes.push(probe(
                "token",
                &certificate.serial,
                answer.map(|_| ()).map_err(|d| words(&d.reasons)),
            ));
        }
        let renewal = Command::IntendIssuance {
            basis: Basis::Evidence,
            issuance: lanyard_domain::id::IssuanceId::from_bytes([0; 16]),
            protocol: "probe".to_owned(),
            profile: String::new(),
            serial: String::new(),
            spki_sha256: Default::default(),
            tbs_sha256: Default::default(),
            evidence_sha256: Default::default(),
        };
        let context = lanyard_domain::device::Context { now, releases: &world.releases };
        let answer = device.decide(renewal, context).map(|_| ()).map_err(|r| r.text);
        probes.push(probe("renewal", "hardware key", answer));
        Ok(probes)
    }

    /// Records probes of a retiring device; when all were refused it is retired.
    pub async fn record_probes(
        &self,
        id: DeviceId,
        probes: Vec<Probe>,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        self.on_device(id, ITSELF, now, Extras::default(), |_, _| {
            Ok(vec![Command::RecordProbes { probes: probes.clone() }])
        })
        .await?;
        Ok(())
    }
}

fn probe(point: &str, credential: &str, answer: Result<(), String>) -> Probe {
    let refused = answer.is_err();
    Probe {
        point: point.to_owned(),
        credential: credential.to_owned(),
        refused,
        answer: answer.err().unwrap_or_else(|| "accepted".to_owned()),
    }
}

fn words(reasons: &[lanyard_domain::trust::Reason]) -> String {
    reasons.iter().map(|r| r.text.as_str()).collect::<Vec<_>>().join(" ")
}
