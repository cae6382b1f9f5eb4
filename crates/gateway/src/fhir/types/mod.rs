//! Which resource types pass the gateway, and in what shape devices may write them.
//!
//! To let devices read or search one more type: a line in [`TYPES`]. To let them write it: a file with its table and its
//! rules, and both in its line. Whether one device may do it is still for its record's scopes to say.

mod common;
mod device_metric;
mod diagnostic_report;
mod observation;

use super::json::Json;
use super::schema::{Element, Fault};

/// A resource type.
#[derive(Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// Its name.
    pub name: &'static str,
    /// How devices may write it; `None`: they may only read.
    pub write: Option<Write>,
}

/// The shape in which devices may write a type.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    /// Its elements.
    pub table: &'static [Element],
    /// Rules over several elements.
    pub rules: fn(&Json<'_>) -> Result<(), Fault>,
}

impl PartialEq for Write {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.table, other.table)
    }
}
impl Eq for Write {}

/// Everything that passes. Reading is for context: who lies in the bed, what was ordered (R28, R80).
pub static TYPES: [ResourceType; 12] = [
    ResourceType { name: "Observation", write: Some(observation::WRITE) },
    ResourceType { name: "DiagnosticReport", write: Some(diagnostic_report::WRITE) },
    ResourceType { name: "DeviceMetric", write: Some(device_metric::WRITE) },
    ResourceType { name: "Patient", write: None },
    ResourceType { name: "Encounter", write: None },
    ResourceType { name: "Location", write: None },
    ResourceType { name: "ServiceRequest", write: None },
    ResourceType { name: "MedicationRequest", write: None },
    ResourceType { name: "Appointment", write: None },
    ResourceType { name: "ImagingStudy", write: None },
    ResourceType { name: "Specimen", write: None },
    ResourceType { name: "Device", write: None },
];

/// The type of this name.
pub fn find(name: &str) -> Option<&'static ResourceType> {
    TYPES.iter().find(|kind| kind.name == name)
}

/// The `meta` that devices may send, for types to include.
pub(super) const AI_LABEL: (&str, &str) =
    ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "AIAST");
