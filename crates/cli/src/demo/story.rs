//! What the stages share: the house, the people, the devices, and what was seen so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use lanyard_api::clock::Clock;
use lanyard_api::device::Standing;
use lanyard_api::operator::{DeviceDetail, EventLine};
use lanyard_domain::event::Event;
use lanyard_domain::id::{DeviceId, OperatorId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::trust::Verdict;
use lanyard_sim::catalogue::Class;
use lanyard_sim::device::{Manufactured, Storage, VirtualDevice};
use lanyard_sim::distrust::DistrustTimes;
use lanyard_sim::fleet::{self, Admission};
use lanyard_sim::maker::Maker;
use lanyard_sim::operators::VirtualOperator;
use lanyard_sim::rng::SeededRng;

use super::house::House;

/// Events read at a time.
const PAGE: usize = 500;

/// The hospital and its story so far.
pub(super) struct Story {
    pub(super) house: House,
    pub(super) clock: Clock,
    pub(super) data_dir: PathBuf,
    pub(super) rng: SeededRng,
    pub(super) maker: Arc<Maker>,
    pub(super) people: People,
    /// Delivered, not yet installed.
    pub(super) delivered: Vec<Manufactured>,
    /// Installed, in the order of the purchase list.
    pub(super) devices: Vec<Arc<VirtualDevice>>,
    /// Ids of the registered records, in the same order.
    pub(super) registered: Vec<DeviceId>,
    /// Approved releases: class, version, id, and whether it is an AI model.
    pub(super) releases: Vec<ApprovedRelease>,
    /// Where the EHR put the CT's first reading.
    pub(super) reading: Option<String>,
    pub(super) distrust: Option<DistrustTimes>,
    pub(super) bundle: Option<PathBuf>,
}

/// A release that two people approved.
pub(super) struct ApprovedRelease {
    pub(super) class: Class,
    pub(super) version: String,
    pub(super) id: ReleaseId,
    pub(super) is_model: bool,
}

/// Who works here.
pub(super) struct People {
    pub(super) admin: Arc<VirtualOperator>,
    pub(super) registrar: Arc<VirtualOperator>,
    pub(super) security: Arc<VirtualOperator>,
    pub(super) biomedical: Arc<VirtualOperator>,
    /// Holds both approving roles, and may still use only one of them per device.
    pub(super) both: Arc<VirtualOperator>,
    pub(super) auditor: Arc<VirtualOperator>,
}

impl People {
    fn hire() -> anyhow::Result<Self> {
        let person = |name, roles: &[Role]| VirtualOperator::new(name, roles).map(Arc::new);
        Ok(Self {
            admin: person("Ada Okafor", &[Role::Admin])?,
            registrar: person("Ruben Lindqvist", &[Role::Registrar])?,
            security: person("Sofia Marchetti", &[Role::Security])?,
            biomedical: person("Bilal Haddad", &[Role::Biomedical])?,
            both: person("Dana Whitfield", &[Role::Security, Role::Biomedical])?,
            auditor: person("Aiko Tanaka", &[Role::Auditor])?,
        })
    }

    /// All but the admin, who is admitted by the bootstrap secret.
    pub(super) fn others(&self) -> [&Arc<VirtualOperator>; 5] {
        [&self.registrar, &self.security, &self.biomedical, &self.both, &self.auditor]
    }

    /// Everyone.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<VirtualOperator>> {
        std::iter::once(&self.admin).chain(self.others())
    }

    /// Whose id this is.
    pub(super) fn find(&self, id: OperatorId) -> Option<&Arc<VirtualOperator>> {
        self.all().find(|person| person.id == id)
    }
}

impl Story {
    /// Starts the house and has the devices made.
    pub(super) async fn begin(data_dir: &Path, devices: usize, seed: u64) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let house = House::start(data_dir, &clock).await?;
        let maker = Arc::new(Maker::new("Simulated Secure Chips", clock.now())?);
        let homes = Storage::Under(data_dir.join("devices"));
        let delivered = fleet::manufacture(0, devices, maker.clone(), homes).await?;
        Ok(Self {
            house,
            clock,
            data_dir: data_dir.to_owned(),
            rng: SeededRng::new(seed),
            maker,
            people: People::hire()?,
            delivered,
            devices: Vec::new(),
            registered: Vec::new(),
            releases: Vec::new(),
            reading: None,
            distrust: None,
            bundle: None,
        })
    }

    /// Where everything listens.
    pub(super) fn addresses(&self) -> String {
        format!(
            "control plane https://{}, FHIR gateway https://{}/fhir, {} {}; {} devices made",
            self.house.control.address,
            self.house.gateway.fhir_addr,
            lanyard_sim::ehr::LABEL,
            self.house.ehr.base_url(),
            self.delivered.len()
        )
    }

    /// Stops everything.
    pub(super) async fn end(self) {
        // Their connections end with them; the servers would wait for those.
        drop(self.devices);
        self.house.stop().await;
    }

    /// The `nth` device of a class.
    pub(super) fn device(&self, class: Class, nth: usize) -> anyhow::Result<&Arc<VirtualDevice>> {
        let mut of_class = self.devices.iter().filter(|d| d.class == class);
        of_class.nth(nth).with_context(|| format!("there are too few devices of class {}", class.slug()))
    }

    /// The pump that is tampered with.
    pub(super) fn victim(&self) -> anyhow::Result<&Arc<VirtualDevice>> {
        self.device(Class::Pump, 0)
    }

    /// The pump that must not notice.
    pub(super) fn neighbour(&self) -> anyhow::Result<&Arc<VirtualDevice>> {
        self.device(Class::Pump, 1)
    }

    /// The people that admitting takes.
    pub(super) fn admission(&self) -> Admission {
        Admission {
            desk: self.house.desk.clone(),
            registrar: self.people.registrar.clone(),
            security: self.people.security.clone(),
            biomedical: self.people.biomedical.clone(),
        }
    }

    /// The events of a device's chain that are not erased, in order.
    pub(super) async fn events(&self, device: DeviceId) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut from = 0;
        loop {
            let path = format!("/v1/devices/{device}/events?from={from}&limit={PAGE}");
            let page: Vec<EventLine> = self.house.desk.read(&self.people.auditor, &path).await?;
            let Some(last) = page.last() else { return Ok(events) };
            from = last.seq + 1;
            for payload in page.into_iter().filter_map(|line| line.event) {
                events.push(serde_json::from_value(payload).context("an event cannot be read")?);
            }
        }
    }

    /// What the control plane says about a device, as the auditor sees it.
    pub(super) async fn detail(&self, device: DeviceId) -> anyhow::Result<DeviceDetail> {
        Ok(self.house.desk.read(&self.people.auditor, &format!("/v1/devices/{device}")).await?)
    }
}

/// That a device is trusted now.
pub(super) fn trusted(serial: &str, standing: &Standing) -> anyhow::Result<()> {
    let reasons: Vec<&str> = standing.reasons.iter().map(|r| r.text.as_str()).collect();
    anyhow::ensure!(
        standing.verdict == Verdict::Trusted,
        "{serial} is {} ({}): {}",
        standing.verdict,
        standing.stage,
        reasons.join(" ")
    );
    Ok(())
}

/// That something was refused with this code; says the rest of what was said.
pub(super) fn refused_as(code: &str, found: Option<(&str, &str)>) -> anyhow::Result<String> {
    match found {
        Some((found, text)) if found == code => Ok(text.to_owned()),
        Some((found, text)) => anyhow::bail!("expected the refusal `{code}`, found `{found}`: {text}"),
        None => anyhow::bail!("expected the refusal `{code}`, but it was not refused"),
    }
}
