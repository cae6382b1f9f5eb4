//! DiagnosticReport (R4): groups a device's observations under coded conclusions; prose and attachments stay out.

use super::Write;
use super::common::*;
use crate::fhir::json::Json;
use crate::fhir::schema::Card::{Many, Optional, Required};
use crate::fhir::schema::{Element, Fault, Kind, element};

pub(super) const WRITE: Write = Write { table: TABLE, rules };

/// Required binding `diagnostic-report-status`.
const STATUS: Kind = Kind::Code(&[
    "registered",
    "partial",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "appended",
    "cancelled",
    "entered-in-error",
    "unknown",
]);

const TABLE: &[Element] = &[
    element("meta", Optional, Kind::Group(META)),
    element("identifier", Many, Kind::Group(IDENTIFIER)),
    element("basedOn", Many, Kind::Reference(&["ServiceRequest", "MedicationRequest"])),
    element("status", Required, STATUS),
    element("category", Many, Kind::Group(CONCEPT)),
    element("code", Required, Kind::Group(CONCEPT)),
    element("subject", Optional, SUBJECTS),
    element("encounter", Optional, Kind::Reference(&["Encounter"])),
    element("effectiveDateTime", Optional, Kind::DateTime),
    element("effectivePeriod", Optional, Kind::Group(PERIOD)),
    element("issued", Optional, Kind::Instant),
    element("performer", Many, PERFORMERS),
    element("specimen", Many, Kind::Reference(&["Specimen"])),
    element("result", Many, Kind::Reference(&["Observation"])),
    element("imagingStudy", Many, Kind::Reference(&["ImagingStudy"])),
    element("conclusionCode", Many, Kind::Group(CONCEPT)),
];

fn rules(report: &Json<'_>) -> Result<(), Fault> {
    choice(report, "effective").map(|_| ())
}
