//! DeviceMetric (R4): what a device can measure, and how it is calibrated.

use super::Write;
use super::common::*;
use crate::fhir::json::Json;
use crate::fhir::schema::Card::{Many, Optional, Required};
use crate::fhir::schema::{Element, Fault, Kind, element};

pub(super) const WRITE: Write = Write { table: TABLE, rules };

const TABLE: &[Element] = &[
    element("meta", Optional, Kind::Group(META)),
    element("identifier", Many, Kind::Group(IDENTIFIER)),
    element("type", Required, Kind::Group(CONCEPT)),
    element("unit", Optional, Kind::Group(CONCEPT)),
    element("source", Optional, Kind::OwnDevice),
    element("operationalStatus", Optional, Kind::Code(&["on", "off", "standby", "entered-in-error"])),
    element(
        "color",
        Optional,
        Kind::Code(&["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]),
    ),
    element("category", Required, Kind::Code(&["measurement", "setting", "calculation", "unspecified"])),
    element("calibration", Many, Kind::Group(CALIBRATION)),
];

const CALIBRATION: &[Element] = &[
    element("type", Optional, Kind::Code(&["unspecified", "offset", "gain", "two-point"])),
    element(
        "state",
        Optional,
        Kind::Code(&["not-calibrated", "calibration-required", "calibrated", "unspecified"]),
    ),
    element("time", Optional, Kind::Instant),
];

fn rules(_: &Json<'_>) -> Result<(), Fault> {
    Ok(())
}
