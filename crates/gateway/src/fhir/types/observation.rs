//! Observation (R4): what a device measured or an AI model found.

use super::Write;
use super::common::*;
use crate::fhir::json::Json;
use crate::fhir::outcome::Issue;
use crate::fhir::schema::Card::{Many, Optional, Required};
use crate::fhir::schema::{Element, Fault, Kind, element};

pub(super) const WRITE: Write = Write { table: TABLE, rules };

/// Required binding `observation-status`.
const STATUS: Kind = Kind::Code(&[
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "cancelled",
    "entered-in-error",
    "unknown",
]);

const TABLE: &[Element] = &[
    element("meta", Optional, Kind::Group(META)),
    element("identifier", Many, Kind::Group(IDENTIFIER)),
    element("basedOn", Many, Kind::Reference(&["ServiceRequest", "MedicationRequest"])),
    element("partOf", Many, Kind::Reference(&["ImagingStudy"])),
    element("status", Required, STATUS),
    element("category", Many, Kind::Group(CONCEPT)),
    element("code", Required, Kind::Group(CONCEPT)),
    element("subject", Optional, SUBJECTS),
    element("encounter", Optional, Kind::Reference(&["Encounter"])),
    element("effectiveDateTime", Optional, Kind::DateTime),
    element("effectivePeriod", Optional, Kind::Group(PERIOD)),
    element("effectiveInstant", Optional, Kind::Instant),
    element("issued", Optional, Kind::Instant),
    element("performer", Many, PERFORMERS),
    element("valueQuantity", Optional, Kind::Group(QUANTITY)),
    element("valueCodeableConcept", Optional, Kind::Group(CONCEPT)),
    element("valueBoolean", Optional, Kind::Boolean),
    element("valueInteger", Optional, Kind::Integer(i32::MIN)),
    element("valueRange", Optional, Kind::Group(RANGE)),
    element("valueRatio", Optional, Kind::Group(RATIO)),
    element("valueSampledData", Optional, Kind::Group(SAMPLED_DATA)),
    element("valueTime", Optional, Kind::Time),
    element("valueDateTime", Optional, Kind::DateTime),
    element("valuePeriod", Optional, Kind::Group(PERIOD)),
    element("dataAbsentReason", Optional, Kind::Group(CONCEPT)),
    element("interpretation", Many, Kind::Group(CONCEPT)),
    element("bodySite", Optional, Kind::Group(CONCEPT)),
    element("method", Optional, Kind::Group(CONCEPT)),
    element("specimen", Optional, Kind::Reference(&["Specimen"])),
    element("device", Optional, Kind::OwnDevice),
    element("referenceRange", Many, Kind::Group(REFERENCE_RANGE)),
    element("hasMember", Many, Kind::Reference(&["Observation"])),
    element("derivedFrom", Many, Kind::Reference(&["Observation", "ImagingStudy"])),
    element("component", Many, Kind::Group(COMPONENT)),
];

const REFERENCE_RANGE: &[Element] = &[
    element("low", Optional, Kind::Group(QUANTITY)),
    element("high", Optional, Kind::Group(QUANTITY)),
    element("type", Optional, Kind::Group(CONCEPT)),
    element("appliesTo", Many, Kind::Group(CONCEPT)),
    element("age", Optional, Kind::Group(RANGE)),
];

const COMPONENT: &[Element] = &[
    element("code", Required, Kind::Group(CONCEPT)),
    element("valueQuantity", Optional, Kind::Group(QUANTITY)),
    element("valueCodeableConcept", Optional, Kind::Group(CONCEPT)),
    element("valueBoolean", Optional, Kind::Boolean),
    element("valueInteger", Optional, Kind::Integer(i32::MIN)),
    element("valueRange", Optional, Kind::Group(RANGE)),
    element("valueRatio", Optional, Kind::Group(RATIO)),
    element("valueSampledData", Optional, Kind::Group(SAMPLED_DATA)),
    element("valueTime", Optional, Kind::Time),
    element("valueDateTime", Optional, Kind::DateTime),
    element("valuePeriod", Optional, Kind::Group(PERIOD)),
    element("dataAbsentReason", Optional, Kind::Group(CONCEPT)),
    element("interpretation", Many, Kind::Group(CONCEPT)),
    element("referenceRange", Many, Kind::Group(REFERENCE_RANGE)),
];

fn rules(observation: &Json<'_>) -> Result<(), Fault> {
    choice(observation, "effective")?;
    let has_value = value_or_absent(observation)?;
    let components = observation.get("component").and_then(Json::as_list).unwrap_or_default();
    for (i, component) in components.iter().enumerate() {
        if !value_or_absent(component).map_err(|f| f.below(format!("[{i}]")).below("component"))? {
            return Err(nothing_said().below(format!("[{i}]")).below("component"));
        }
    }
    if has_value || !components.is_empty() || observation.get("hasMember").is_some() {
        return Ok(());
    }
    Err(nothing_said())
}

fn nothing_said() -> Fault {
    Fault::new(
        Issue::Required,
        "value_missing",
        "There must be a value, or a dataAbsentReason that says why not.",
    )
}

/// obs-6: `dataAbsentReason` only without a value.
fn value_or_absent(holder: &Json<'_>) -> Result<bool, Fault> {
    let value = choice(holder, "value")?;
    let absent = holder.get("dataAbsentReason").is_some();
    if value && absent {
        return Err(Fault::new(
            Issue::Invariant,
            "obs_6",
            "dataAbsentReason must be left out when there is a value (obs-6).",
        )
        .below("dataAbsentReason"));
    }
    Ok(value || absent)
}
