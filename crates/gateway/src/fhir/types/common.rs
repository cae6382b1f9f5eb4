//! Data types that several resources use, narrowed as `schema` says: each lists what a device may send of it.

use crate::fhir::json::Json;
use crate::fhir::outcome::Issue;
use crate::fhir::schema::Card::{Many, Optional, Required, Some as AtLeastOne};
use crate::fhir::schema::{Element, Fault, Kind, element};

/// Longest label of a code.
const LABEL: Kind = Kind::Label(128);

pub(super) const CODING: &[Element] = &[
    element("system", Required, Kind::Uri),
    element("version", Optional, Kind::Label(64)),
    element("code", Required, Kind::Token),
    element("display", Optional, LABEL),
    element("userSelected", Optional, Kind::Boolean),
];
/// A concept without a code is free text.
pub(super) const CONCEPT: &[Element] =
    &[element("coding", AtLeastOne, Kind::Group(CODING)), element("text", Optional, LABEL)];
pub(super) const IDENTIFIER: &[Element] = &[
    element("use", Optional, Kind::Code(&["usual", "official", "temp", "secondary", "old"])),
    element("system", Required, Kind::Uri),
    element("value", Required, LABEL),
];
pub(super) const PERIOD: &[Element] =
    &[element("start", Optional, Kind::DateTime), element("end", Optional, Kind::DateTime)];
pub(super) const QUANTITY: &[Element] = &[
    element("value", Required, Kind::Decimal),
    element("comparator", Optional, Kind::Code(&["<", "<=", ">=", ">"])),
    element("unit", Optional, Kind::Label(64)),
    element("system", Optional, Kind::Uri),
    element("code", Optional, Kind::Token),
];
pub(super) const RANGE: &[Element] =
    &[element("low", Optional, Kind::Group(QUANTITY)), element("high", Optional, Kind::Group(QUANTITY))];
pub(super) const RATIO: &[Element] = &[
    element("numerator", Required, Kind::Group(QUANTITY)),
    element("denominator", Required, Kind::Group(QUANTITY)),
];
pub(super) const SAMPLED_DATA: &[Element] = &[
    element("origin", Required, Kind::Group(QUANTITY)),
    element("period", Required, Kind::Decimal),
    element("factor", Optional, Kind::Decimal),
    element("lowerLimit", Optional, Kind::Decimal),
    element("upperLimit", Optional, Kind::Decimal),
    element("dimensions", Required, Kind::Integer(1)),
    element("data", Optional, Kind::Samples),
];
/// Of `meta` only what says what the content is; tags, source and versions are the gateway's and the EHR's to write.
pub(super) const META: &[Element] =
    &[element("profile", Many, Kind::Uri), element("security", Many, Kind::Group(SECURITY))];
const SECURITY: &[Element] = &[
    element(
        "system",
        Required,
        Kind::Code(&[
            "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        ]),
    ),
    element("code", Required, Kind::Code(&["AIAST", "U", "L", "M", "N", "R", "V"])),
    element("display", Optional, LABEL),
];

pub(super) const SUBJECTS: Kind = Kind::Reference(&["Patient", "Group", "Device", "Location"]);
pub(super) const PERFORMERS: Kind = Kind::Reference(&[
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "CareTeam",
    "Patient",
    "RelatedPerson",
]);

/// At most one member of a choice such as `value[x]`; says whether there is one.
pub(super) fn choice(value: &Json<'_>, stem: &str) -> Result<bool, Fault> {
    let members = value.as_object().unwrap_or_default();
    let chosen = members.iter().filter(|(name, _)| {
        name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    match chosen.count() {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::new(
            Issue::Structure,
            "choice_repeated",
            "Of an element with a choice of types only one may be present.",
        )
        .below(format!("{stem}[x]"))),
    }
}
