//! What the EHR gets for a write: one transaction Bundle of the resources and one Provenance, so that neither is there
//! without the other (clinical.md §0: upstream provenance support cannot be relied on).

use lanyard_domain::access::DeviceView;
use lanyard_domain::trust::Verdict;

use super::json::Json;
use super::provenance::{self, Stamp};
use super::transaction::Op;
use super::types::AI_LABEL;

/// Code system of the tag on data from a device whose proof is ageing.
pub const VERDICT_SYSTEM: &str = "urn:lanyard:fhir:verdict";

/// Labels the resource: AI (R62, AIAST), and degraded where the verdict is.
pub fn label(op: &mut Op<'_>, view: &DeviceView, verdict: Verdict) {
    let Some(resource) = &mut op.resource else { return };
    if view.ai {
        let (system, code) = AI_LABEL;
        add_coding(resource, "security", system, code);
    }
    if verdict != Verdict::Trusted {
        add_coding(resource, "tag", VERDICT_SYSTEM, "degraded");
    }
}

/// Adds a coding to a list in `meta`, unless it is there.
fn add_coding(resource: &mut Json<'_>, list: &'static str, system: &'static str, code: &'static str) {
    let Some(meta) = member(resource, "meta", Json::Object(Vec::new())) else { return };
    let Some(Json::List(codings)) = member(meta, list, Json::List(Vec::new())) else { return };
    let is = |coding: &Json<'_>, name, value| coding.get(name).and_then(Json::as_text) == Some(value);
    if !codings.iter().any(|c| is(c, "system", system) && is(c, "code", code)) {
        codings.push(Json::object([("system", Json::text(system)), ("code", Json::text(code))]));
    }
}

/// The member of an object, put there when it is missing.
fn member<'v, 'a>(value: &'v mut Json<'a>, name: &'static str, empty: Json<'a>) -> Option<&'v mut Json<'a>> {
    if value.get(name).is_none()
        && let Json::Object(members) = value
    {
        members.push((name.into(), empty));
    }
    value.get_mut(name)
}

/// The transaction, as text. `hint` is the size of what the device sent.
pub fn compose(ops: &[Op<'_>], stamp: &Stamp<'_>, hint: usize) -> String {
    // A Provenance has about 3 kB.
    let mut out = String::with_capacity(hint + 4096);
    out.push_str(r#"{"resourceType":"Bundle","type":"transaction","entry":["#);
    for op in ops {
        entry(op.full_url.as_deref(), op.resource.as_ref(), op.verb.method(), &op.url(), &mut out);
        out.push(',');
    }
    let provenance = provenance::build(ops, stamp);
    let full_url = format!("urn:uuid:{}", stamp.at.ids.provenance);
    entry(Some(&full_url), Some(&provenance), "POST", "Provenance", &mut out);
    out.push_str("]}");
    out
}

fn entry(full_url: Option<&str>, resource: Option<&Json<'_>>, method: &str, url: &str, out: &mut String) {
    out.push('{');
    if let Some(full_url) = full_url {
        out.push_str("\"fullUrl\":");
        Json::text(full_url).write(out);
        out.push(',');
    }
    if let Some(resource) = resource {
        out.push_str("\"resource\":");
        resource.write(out);
        out.push(',');
    }
    out.push_str("\"request\":");
    Json::object([("method", Json::text(method)), ("url", Json::text(url))]).write(out);
    out.push('}');
}
