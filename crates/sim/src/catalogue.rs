//! What stands in the virtual hospital: four classes of device with their firmware releases, and the purchase list as
//! the hospital gets it (CSV, with one mistake in it, because there always is one).
//!
//! Names of makers and models are invented. To add a class: a variant of [`Class`] and an arm in each `match` below.

use lanyard_domain::id::{DeviceId, ReleaseId};
use lanyard_domain::release::ReleaseRecord;
use lanyard_domain::text::Digest;

use crate::clinical::Reading;
use crate::firmware::{AiModel, Firmware};

/// Where everything stands; one gateway serves it.
pub const SITE: &str = "north-campus";
/// The header of the purchase list.
pub const CSV_HEADER: &str =
    "vendor,model,serial,site,owner,department,purpose,class,tier,ai,scopes,ae_title,zone,ek_sha256";

/// A class of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Infusion pump.
    Pump,
    /// Bedside monitor.
    Monitor,
    /// CT with an AI triage model.
    Ct,
    /// Gateway of a patient's home.
    HomeGateway,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 4] = [Class::Pump, Class::Monitor, Class::Ct, Class::HomeGateway];

    /// The class of the `index`th device of a fleet: of twelve, five pumps, five monitors, a CT and a home gateway.
    pub fn of(index: usize) -> Class {
        match index % 12 {
            2 => Class::Ct,
            5 => Class::HomeGateway,
            n if n % 2 == 0 => Class::Pump,
            _ => Class::Monitor,
        }
    }

    /// Maker.
    pub fn vendor(self) -> &'static str {
        match self {
            Class::Pump => "Meridian Infusion",
            Class::Monitor => "Larkfield Medical",
            Class::Ct => "Tessel Imaging",
            Class::HomeGateway => "Hearthside Care",
        }
    }

    /// Model designation.
    pub fn model(self) -> &'static str {
        match self {
            Class::Pump => "Infusor 4",
            Class::Monitor => "Vista 7",
            Class::Ct => "Tomo One",
            Class::HomeGateway => "Hub 2",
        }
    }

    /// Class slug, also the prefix of serial numbers.
    pub fn slug(self) -> &'static str {
        match self {
            Class::Pump => "infusion-pump",
            Class::Monitor => "bedside-monitor",
            Class::Ct => "ct-scanner",
            Class::HomeGateway => "home-gateway",
        }
    }

    fn columns(self) -> [&'static str; 7] {
        // owner, department, purpose, tier, ai, ae_title, zone
        match self {
            Class::Pump => [
                "biomed-pumps",
                "Intensive care",
                "Continuous intravenous infusion",
                "critical",
                "false",
                "",
                "infusion",
            ],
            Class::Monitor => [
                "biomed-monitoring",
                "Intensive care",
                "Vital signs at the bedside",
                "high",
                "false",
                "",
                "monitoring",
            ],
            Class::Ct => [
                "imaging-engineering",
                "Radiology",
                "Head CT with stroke triage",
                "critical",
                "true",
                "CT_NORTH_1",
                "imaging",
            ],
            Class::HomeGateway => [
                "home-care",
                "Home monitoring",
                "Readings from a patient's home",
                "standard",
                "false",
                "",
                "home",
            ],
        }
    }

    /// What it measures.
    pub fn readings(self) -> &'static [Reading] {
        match self {
            Class::Pump => &[Reading::InfusionRate],
            Class::Monitor => &[Reading::HeartRate, Reading::Spo2],
            Class::Ct => &[Reading::CtTriage],
            Class::HomeGateway => &[Reading::BodyWeight],
        }
    }

    /// The firmware that should run.
    pub fn firmware(self) -> Firmware {
        let version = match self {
            Class::Pump => "4.2.0",
            Class::Monitor => "7.1.3",
            Class::Ct => "1.9.0",
            Class::HomeGateway => "2.0.5",
        };
        Firmware::new(self.vendor(), self.model(), version, 2)
    }

    /// The release before, which lacks a security fix.
    pub fn older_firmware(self) -> Firmware {
        Firmware::new(self.vendor(), self.model(), "1.0.0", 1)
    }

    /// The AI model that should run beside it.
    pub fn ai_model(self) -> Option<AiModel> {
        (self == Class::Ct).then(|| AiModel::new("stroke-triage", "3.4.1"))
    }

    /// Whether the maker prints endorsement keys on its delivery notes.
    fn lists_endorsement_keys(self) -> bool {
        matches!(self, Class::Pump | Class::Ct)
    }

    /// All that two people approve for this class, older firmware first.
    pub fn releases(self) -> Vec<ReleaseRecord> {
        let mut records = vec![self.older_firmware().record(), self.firmware().record()];
        records.extend(self.ai_model().map(|m| m.record(self.vendor(), self.model())));
        records
    }
}

/// A release as it is proposed: its id and its content.
pub type NamedRelease = (ReleaseId, ReleaseRecord);

/// One line of the delivery note.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// What.
    pub class: Class,
    /// Serial number.
    pub serial: String,
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo.
    pub ek_sha256: Digest,
}

/// The serial number of the `index`th device.
pub fn serial(index: usize) -> String {
    let class = Class::of(index);
    let prefix: String = class.slug().split('-').filter_map(|word| word.chars().next()).collect();
    format!("{}-{:05}", prefix.to_uppercase(), 1001 + index)
}

/// The purchase list as it arrives: the row of the last device has a scope that no device may have.
pub fn purchase_list(delivered: &[Delivered]) -> String {
    let last = delivered.len().saturating_sub(1);
    let rows = delivered.iter().enumerate().map(|(index, item)| {
        let scopes = if index == last { "system/*.cruds" } else { "system/Observation.c" };
        row(item, scopes)
    });
    std::iter::once(CSV_HEADER.to_owned()).chain(rows).map(|line| line + "\n").collect()
}

/// The corrected row of the last device, with its header.
pub fn corrected_row(delivered: &[Delivered]) -> String {
    let row = delivered.last().map(|item| row(item, "system/Observation.c")).unwrap_or_default();
    format!("{CSV_HEADER}\n{row}\n")
}

fn row(item: &Delivered, scopes: &str) -> String {
    let class = item.class;
    let [owner, department, purpose, tier, ai, ae_title, zone] = class.columns();
    let ek = if class.lists_endorsement_keys() { item.ek_sha256.to_string() } else { String::new() };
    [
        class.vendor(),
        class.model(),
        &item.serial,
        SITE,
        &format!("{owner}@hospital.example"),
        department,
        purpose,
        class.slug(),
        tier,
        ai,
        scopes,
        ae_title,
        zone,
        &ek,
    ]
    .join(",")
}

/// An invented patient for a device.
pub fn patient_of(device: DeviceId) -> String {
    let id = device.to_string();
    format!("sim-{}", id.split('-').next().unwrap_or("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_devices_are_five_pumps_five_monitors_a_ct_and_a_home_gateway() {
        let count = |class| (0..12).filter(|i| Class::of(*i) == class).count();
        assert_eq!(Class::ALL.map(count), [5, 5, 1, 1]);
        let mut serials: Vec<String> = (0..1000).map(serial).collect();
        serials.sort();
        serials.dedup();
        assert_eq!(serials.len(), 1000);
    }

    #[test]
    fn releases_can_be_approved_and_the_older_one_is_below_the_minimum() {
        for class in Class::ALL {
            let releases = class.releases();
            releases.iter().for_each(|r| r.check().unwrap());
            assert!(releases[0].security_version < releases[1].minimum_security_version);
            assert_eq!(releases.len(), if class == Class::Ct { 3 } else { 2 });
        }
    }

    #[test]
    fn the_list_has_a_column_for_each_heading_and_one_bad_row() {
        let delivered: Vec<Delivered> = (0..12)
            .map(|i| Delivered { class: Class::of(i), serial: serial(i), ek_sha256: Digest([1; 32]) })
            .collect();
        let list = purchase_list(&delivered);
        let columns = CSV_HEADER.split(',').count();
        assert!(list.lines().all(|line| line.split(',').count() == columns));
        assert_eq!((list.lines().count(), list.matches("system/*").count()), (13, 1));
        assert!(!corrected_row(&delivered).contains('*'));
    }
}
