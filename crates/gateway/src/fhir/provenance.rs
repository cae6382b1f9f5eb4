//! The Provenance that the gateway writes with every resource (R81); `docs/fhir-provenance.md` is its specification.
//!
//! In scope: what was known when the decision was made. Out of scope: signatures: the decision log, whose position the
//! reading's location leads to, is what proves it.
//! To add a fact: a line in [`extensions`] and one in the document.

use lanyard_domain::access::{DeviceView, POLICY, ReleaseName};
use lanyard_domain::trust::Verdict;

use super::json::Json;
use super::transaction::Op;
use super::{Circumstances, Guard};

/// What the facts come from.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Who decided.
    pub guard: &'a Guard,
    /// About whom.
    pub view: &'a DeviceView,
    /// On which verdict.
    pub verdict: Verdict,
    /// When, and under which ids.
    pub at: &'a Circumstances,
}

/// The Provenance of these writes.
pub fn build(ops: &[Op<'_>], stamp: &Stamp<'_>) -> Json<'static> {
    let targets = ops.iter().map(|op| Json::object([("reference", Json::text(op.target()))])).collect();
    let operation = ops.first().map_or("CREATE", |op| op.verb.operation());
    let view = stamp.view;
    let device = format!("{} {} {}", view.vendor, view.model, view.serial);
    let gateway = format!("Lanyard gateway, {}", stamp.guard.site);
    let mut members = vec![
        ("resourceType", Json::text("Provenance")),
        ("extension", Json::List(extensions(stamp))),
        ("target", Json::List(targets)),
        ("recorded", Json::text(stamp.at.now.to_string())),
        ("policy", Json::List(vec![Json::text(format!("urn:lanyard:policy:{POLICY}"))])),
        ("activity", concept("http://terminology.hl7.org/CodeSystem/v3-DataOperation", operation)),
        (
            "agent",
            Json::List(vec![
                agent("author", view.device.urn(), device),
                agent("assembler", format!("urn:uuid:{}", stamp.guard.gateway), gateway),
            ]),
        ),
    ];
    if let Some(evidence) = view.evidence_sha256 {
        let identifier = Json::object([
            ("system", Json::text("urn:lanyard:fhir:evidence-sha256")),
            ("value", Json::text(evidence.to_string())),
        ]);
        let what = Json::object([
            ("identifier", identifier),
            ("display", Json::text("attestation evidence of the device")),
        ]);
        members.push((
            "entity",
            Json::List(vec![Json::object([("role", Json::text("source")), ("what", what)])]),
        ));
    }
    Json::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn extensions(stamp: &Stamp<'_>) -> Vec<Json<'static>> {
    let view = stamp.view;
    let scopes: Vec<String> = view.scopes.iter().map(ToString::to_string).collect();
    let facts = [
        ("decision", Some(format!("urn:uuid:{}", stamp.at.ids.decision))),
        ("verdict", Some(stamp.verdict.to_string())),
        ("approved-use", Some(scopes.join(" "))),
        ("log-origin", Some(stamp.guard.main_log.clone())),
        ("log-heard-position", Some(stamp.at.heard_pos.to_string())),
        ("evidence-position", view.evidence_pos.map(|pos| pos.to_string())),
    ];
    let mut list: Vec<Json<'static>> = facts
        .into_iter()
        .filter_map(|(name, value)| value.filter(|v| !v.is_empty()).map(|v| extension(name, v)))
        .collect();
    list.extend(view.firmware.as_ref().map(|r| release("firmware-release", r)));
    list.extend(view.ai_model.as_ref().map(|r| release("model-release", r)));
    list
}

fn extension(name: &str, value: String) -> Json<'static> {
    Json::object([
        ("url", Json::text(format!("urn:lanyard:fhir:{name}"))),
        ("valueString", Json::text(value)),
    ])
}

/// A release: R4 Identifier with its id as value, its version as the label of the type.
fn release(name: &str, release: &ReleaseName) -> Json<'static> {
    let part = |url: &'static str, value: String| {
        Json::object([("url", Json::text(url)), ("valueString", Json::text(value))])
    };
    Json::object([
        ("url", Json::text(format!("urn:lanyard:fhir:{name}"))),
        (
            "extension",
            Json::List(vec![
                part("id", format!("urn:uuid:{}", release.id)),
                part("version", release.version.clone()),
            ]),
        ),
    ])
}

fn agent(kind: &'static str, urn: String, display: String) -> Json<'static> {
    let identifier = Json::object([("system", Json::text("urn:ietf:rfc:3986")), ("value", Json::text(urn))]);
    let who = Json::object([
        ("type", Json::text("Device")),
        ("identifier", identifier),
        ("display", Json::text(display)),
    ]);
    Json::object([
        ("type", concept("http://terminology.hl7.org/CodeSystem/provenance-participant-type", kind)),
        ("who", who),
    ])
}

fn concept(system: &'static str, code: &'static str) -> Json<'static> {
    Json::object([(
        "coding",
        Json::List(vec![Json::object([("system", Json::text(system)), ("code", Json::text(code))])]),
    )])
}
