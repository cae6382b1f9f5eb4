//! What the EHR answered, and what the device hears of it: never success that the EHR did not report in full.
//!
//! In scope: the status map, transaction-response, searchset and read checks (R82, I9). Out of scope: time-outs (`relay`).
//! The EHR's own words are not passed on: they may tell whether a patient exists. They are in its own log.

use super::json::{Json, Limits};
use super::outcome::{Issue, Refusal};
use super::request::{logical_id, parameter_names};
use super::transaction::{Op, Verb};

/// What a good answer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// One resource of this type and id.
    Read {
        /// Type.
        kind: &'static str,
        /// Logical id.
        id: String,
    },
    /// A searchset of this type only.
    Search {
        /// Type.
        kind: &'static str,
        /// Parameters that must not have been dropped.
        parameters: Vec<String>,
    },
    /// A transaction-response with one entry for each write and one for the Provenance.
    Transaction {
        /// The device's writes, in order.
        entries: Vec<(Verb, &'static str)>,
        /// How the device asked.
        asked: Asked,
    },
}

/// Whether the device sent one resource or a Bundle; it is answered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// One resource.
    Single,
    /// A transaction.
    Bundle,
}

impl Expect {
    /// For these writes.
    pub fn transaction(ops: &[Op<'_>], is_bundle: bool) -> Expect {
        let entries = ops.iter().map(|op| (op.verb, op.kind.name)).collect();
        Expect::Transaction { entries, asked: if is_bundle { Asked::Bundle } else { Asked::Single } }
    }
}

/// What the device hears, and what the log keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Location` for the device, below the gateway.
    pub location: Option<String>,
    /// Body.
    pub body: Body,
    /// `Type/id` of what was written; one completion each is recorded.
    pub written: Vec<String>,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// The EHR's bytes, checked.
    Upstream,
    /// Ours.
    Own(String),
}

/// Judges the EHR's answer.
pub fn judge(expect: &Expect, status: u16, body: &[u8]) -> Result<Answer, Refusal> {
    if !(200..300).contains(&status) {
        return Err(failed(status, matches!(expect, Expect::Read { .. })));
    }
    let json =
        Json::parse(body, Limits::EHR).map_err(|_| garbled("its answer is not JSON within our limits"))?;
    match expect {
        Expect::Read { kind, id } => read(&json, kind, id),
        Expect::Search { kind, parameters } => search(&json, kind, parameters),
        Expect::Transaction { entries, asked } => transaction(&json, entries, *asked),
    }
}

/// The EHR said no, or failed (clinical.md §3.4). Its 401 and 403 are about the gateway's credential, not the device's.
fn failed(status: u16, is_read: bool) -> Refusal {
    let transient = |status, text: &str| Refusal::new(status, Issue::Transient, "ehr_failed", text);
    match status {
        404 | 410 if is_read => Refusal::new(404, Issue::NotFound, "not_found", "There is no such resource."),
        409 | 412 => Refusal::new(
            409,
            Issue::Conflict,
            "ehr_conflict",
            "The EHR reports an edit conflict; read the resource again.",
        ),
        400 | 404 | 410 | 413 | 422 => Refusal::new(
            422,
            Issue::BusinessRule,
            "ehr_refused",
            "The EHR refused the content; its own log has the reason under this time.",
        ),
        429 | 503 => transient(503, "The EHR is busy or in maintenance; try again later."),
        504 => Refusal::new(
            504,
            Issue::Timeout,
            "ehr_timeout",
            "The system behind the EHR did not answer in time.",
        ),
        401 | 403 => {
            transient(502, "The EHR did not accept the gateway's own credential; its operators must look.")
        }
        _ => transient(502, "The EHR failed; try again later."),
    }
}

/// The EHR's answer cannot be relied on. What was written, if anything, is for its log to tell.
pub fn garbled(what: &str) -> Refusal {
    Refusal::new(
        502,
        Issue::Transient,
        "ehr_garbled",
        format!("The EHR's answer cannot be relied on: {what}."),
    )
}

fn read(json: &Json<'_>, kind: &str, id: &str) -> Result<Answer, Refusal> {
    let is = |name, value| json.get(name).and_then(Json::as_text) == Some(value);
    if !is("resourceType", kind) || !is("id", id) {
        return Err(garbled("it is not the resource that was asked for"));
    }
    Ok(Answer { status: 200, location: None, body: Body::Upstream, written: Vec::new() })
}

/// A parameter that the EHR dropped, or an entry of another type, would widen what the device sees (clinical.md §2b).
fn search(json: &Json<'_>, kind: &str, parameters: &[String]) -> Result<Answer, Refusal> {
    let is = |value: &Json<'_>, name, text| value.get(name).and_then(Json::as_text) == Some(text);
    if !is(json, "resourceType", "Bundle") || !is(json, "type", "searchset") {
        return Err(garbled("it is not a searchset"));
    }
    let entries = json.get("entry").and_then(Json::as_list).unwrap_or_default();
    let foreign = entries.iter().filter_map(|entry| entry.get("resource")).any(|resource| {
        !is(resource, "resourceType", kind) && !is(resource, "resourceType", "OperationOutcome")
    });
    if foreign {
        return Err(garbled("it holds resources of a type that was not asked for"));
    }
    let links = json.get("link").and_then(Json::as_list).unwrap_or_default();
    let own = links.iter().find(|link| is(link, "relation", "self"));
    if let Some(url) = own.and_then(|link| link.get("url")).and_then(Json::as_text) {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        // `_count`, `_format` and the like do not select; servers may leave them out of the link.
        let selects = |name: &&String| !name.starts_with('_') || *name == "_id" || *name == "_lastUpdated";
        let dropped =
            parameters.iter().filter(selects).any(|name| !parameter_names(query).any(|n| n == name));
        if dropped {
            return Err(garbled("it ignored a search parameter"));
        }
    }
    Ok(Answer { status: 200, location: None, body: Body::Upstream, written: Vec::new() })
}

fn transaction(json: &Json<'_>, entries: &[(Verb, &str)], asked: Asked) -> Result<Answer, Refusal> {
    let is = |name, text| json.get(name).and_then(Json::as_text) == Some(text);
    if !is("resourceType", "Bundle") || !is("type", "transaction-response") {
        return Err(garbled("it is not a transaction-response"));
    }
    let answers = json.get("entry").and_then(Json::as_list).unwrap_or_default();
    // One more: the Provenance.
    if answers.len() != entries.len() + 1 {
        return Err(garbled("it does not answer each entry"));
    }
    let mut results = Vec::with_capacity(entries.len());
    for (answer, (verb, kind)) in
        answers.iter().zip(entries.iter().copied().chain([(Verb::Create, "Provenance")]))
    {
        results.push(result(answer, verb, kind)?);
    }
    results.truncate(entries.len());
    let written: Vec<String> = results.iter().filter_map(|r| r.written.clone()).collect();
    match (asked, results.first()) {
        (Asked::Single, Some(result)) => Ok(Answer {
            status: result.status,
            location: result.location.clone(),
            body: Body::Empty,
            written,
        }),
        (Asked::Bundle, _) => {
            Ok(Answer { status: 200, location: None, body: Body::Own(response_bundle(&results)), written })
        }
        (Asked::Single, None) => Err(garbled("it answers nothing")),
    }
}

struct EntryResult {
    status: u16,
    location: Option<String>,
    written: Option<String>,
}

fn result(answer: &Json<'_>, verb: Verb, kind: &str) -> Result<EntryResult, Refusal> {
    let response = answer.get("response").ok_or_else(|| garbled("an entry has no response"))?;
    let text = |name| response.get(name).and_then(Json::as_text);
    let code = text("status").and_then(|s| s.split(' ').next()).and_then(|s| s.parse::<u16>().ok());
    if !code.is_some_and(|c| (200..300).contains(&c)) {
        return Err(garbled("an entry did not succeed"));
    }
    if verb == Verb::Delete {
        return Ok(EntryResult { status: 204, location: None, written: None });
    }
    let resource = answer.get("resource");
    let by_resource = resource
        .filter(|r| r.get("resourceType").and_then(Json::as_text) == Some(kind))
        .and_then(|r| r.get("id")?.as_text())
        .filter(|id| logical_id(id).is_ok())
        .map(|id| (format!("{kind}/{id}"), None));
    let named = text("location").and_then(|url| locate(url, kind)).or(by_resource);
    let (written, version) = named.ok_or_else(|| garbled("it does not name what it wrote"))?;
    let location = match version {
        Some(version) => format!("{}/{written}/_history/{version}", super::request::BASE),
        None => format!("{}/{written}", super::request::BASE),
    };
    let status = if verb == Verb::Create { 201 } else { 200 };
    Ok(EntryResult { status, location: Some(location), written: Some(written) })
}

/// `Type/id` and the version in a location, absolute or relative.
fn locate(url: &str, kind: &str) -> Option<(String, Option<String>)> {
    let parts: Vec<&str> = url.split('/').collect();
    let at = parts.iter().rposition(|part| *part == kind)?;
    let id = logical_id(parts.get(at + 1)?).ok()?;
    let version = match (parts.get(at + 2), parts.get(at + 3)) {
        (Some(&"_history"), Some(version)) => Some(logical_id(version).ok()?.to_owned()),
        _ => None,
    };
    Some((format!("{kind}/{id}"), version))
}

fn response_bundle(results: &[EntryResult]) -> String {
    let entries = results.iter().map(|result| {
        let status = match result.status {
            201 => "201 Created",
            204 => "204 No Content",
            _ => "200 OK",
        };
        let mut response = vec![("status".into(), Json::text(status))];
        if let Some(location) = &result.location {
            response.push(("location".into(), Json::text(location.as_str())));
        }
        Json::object([("response", Json::Object(response))])
    });
    let bundle = Json::object([
        ("resourceType", Json::text("Bundle")),
        ("type", Json::text("transaction-response")),
        ("entry", Json::List(entries.collect())),
    ]);
    let mut out = String::new();
    bundle.write(&mut out);
    out
}
