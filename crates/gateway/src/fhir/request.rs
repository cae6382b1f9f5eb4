//! The head of a request: which FHIR R4 REST interaction it is, and whether its formats are ours (R4 3.1.0).
//!
//! In scope: method, path, query, media types; create, read, search, update, delete, transaction. Everything else (history,
//! operations, patch, batch, compartments, conditional forms) is refused here. Out of scope: who asks, the body.
//! To offer an interaction: a variant of [`Request`], a line in [`parse`], its permission in [`Request::permission`].

use lanyard_domain::record::Permission;

use super::outcome::{Issue, Refusal};
use super::types::{self, ResourceType};

/// Where the gateway's FHIR service starts.
pub const BASE: &str = "/fhir";
/// Longest query string; a search by six tokens has about 500 bytes.
const MAX_QUERY: usize = 2048;

/// What the guard wants to know of a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path as sent, not decoded.
    pub path: &'a str,
    /// Query as sent, not decoded.
    pub query: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Accept`.
    pub accept: Option<&'a str>,
    /// A header that changes the meaning of the request and that we do not honour, see [`UNSUPPORTED`].
    pub unsupported: Option<&'static str>,
}

/// Headers that must not be ignored silently: without them the EHR would do something else than was asked.
pub const UNSUPPORTED: [&str; 5] =
    ["if-none-exist", "if-match", "x-provenance", "content-encoding", "x-http-method-override"];

/// An interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// `POST /fhir/[type]`.
    Create(&'static ResourceType),
    /// `GET /fhir/[type]/[id]`.
    Read(&'static ResourceType, &'a str),
    /// `GET /fhir/[type]?...`.
    Search(&'static ResourceType, &'a str),
    /// `PUT /fhir/[type]/[id]`.
    Update(&'static ResourceType, &'a str),
    /// `DELETE /fhir/[type]/[id]`.
    Delete(&'static ResourceType, &'a str),
    /// `POST /fhir`; what it does stands in the body.
    Transaction,
}

impl Request<'_> {
    /// What it asks for; `None` for a transaction, whose entries ask one by one.
    pub fn permission(&self) -> Option<(&'static ResourceType, Permission)> {
        match self {
            Request::Create(kind) => Some((kind, Permission::Create)),
            Request::Read(kind, _) => Some((kind, Permission::Read)),
            Request::Search(kind, _) => Some((kind, Permission::Search)),
            Request::Update(kind, _) => Some((kind, Permission::Update)),
            Request::Delete(kind, _) => Some((kind, Permission::Delete)),
            Request::Transaction => None,
        }
    }

    /// As the decision log names it; ids and query values are left out, they can point to a patient.
    pub fn name(&self) -> String {
        let (verb, kind) = match self {
            Request::Create(kind) => ("create", kind),
            Request::Read(kind, _) => ("read", kind),
            Request::Search(kind, _) => ("search", kind),
            Request::Update(kind, _) => ("update", kind),
            Request::Delete(kind, _) => ("delete", kind),
            Request::Transaction => return "transaction".to_owned(),
        };
        format!("{verb} {}", kind.name)
    }

    /// Whether a body belongs to it.
    pub fn has_body(&self) -> bool {
        matches!(self, Request::Create(_) | Request::Update(..) | Request::Transaction)
    }
}

/// The interaction that `head` asks for.
pub fn parse<'a>(head: &Head<'a>) -> Result<Request<'a>, Refusal> {
    if let Some(header) = head.unsupported {
        return Err(Refusal::new(
            if header == "content-encoding" { 415 } else { 400 },
            Issue::NotSupported,
            "header_not_supported",
            format!("The header {header} is not supported; leave it out."),
        ));
    }
    let request = interaction(head)?;
    accepts_json(head)?;
    if request.has_body() {
        is_fhir_json(head.content_type)?;
    }
    Ok(request)
}

fn interaction<'a>(head: &Head<'a>) -> Result<Request<'a>, Refusal> {
    let rest = head.path.strip_prefix(BASE).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let rest = rest.ok_or_else(no_such_path)?.trim_start_matches('/');
    if head.path.contains("//") || head.path.contains('%') {
        return Err(no_such_path());
    }
    let mut parts = rest.trim_end_matches('/').split('/');
    let (kind, id, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if more.is_some() {
        return Err(no_such_path());
    }
    if kind.is_empty() {
        return match head.method {
            "POST" => no_query(head).map(|()| Request::Transaction),
            _ => Err(no_such_method()),
        };
    }
    let kind = types::find(kind).ok_or_else(|| {
        Refusal::new(
            404,
            Issue::NotSupported,
            "resource_not_offered",
            "This gateway offers no such resource type or operation; see the list of types in its documentation.",
        )
    })?;
    match (head.method, id) {
        ("GET", None) => search_query(head.query).map(|query| Request::Search(kind, query)),
        ("POST", None) => no_query(head).map(|()| Request::Create(kind)),
        ("GET", Some(id)) => no_query(head).and(logical_id(id)).map(|id| Request::Read(kind, id)),
        ("PUT", Some(id)) => no_query(head).and(logical_id(id)).map(|id| Request::Update(kind, id)),
        ("DELETE", Some(id)) => no_query(head).and(logical_id(id)).map(|id| Request::Delete(kind, id)),
        _ => Err(no_such_method()),
    }
}

fn no_such_path() -> Refusal {
    Refusal::new(
        404,
        Issue::NotSupported,
        "path_not_offered",
        "This gateway offers create, read, search, update, delete and transaction below /fhir, nothing else.",
    )
}

fn no_such_method() -> Refusal {
    Refusal::new(405, Issue::NotSupported, "method_not_offered", "This method is not offered on this path.")
}

fn no_query(head: &Head<'_>) -> Result<(), Refusal> {
    if head.query.is_none_or(str::is_empty) {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        Issue::NotSupported,
        "query_not_offered",
        "This interaction takes no query; conditional forms are not offered.",
    ))
}

/// R4 2.24.0.1 `id`.
pub fn logical_id(id: &str) -> Result<&str, Refusal> {
    let fits = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    // `.` and `..` fit the grammar, and are steps in a path.
    if fits && id.bytes().any(|b| b != b'.') {
        return Ok(id);
    }
    Err(Refusal::new(
        400,
        Issue::Value,
        "id_malformed",
        "A logical id has 1 to 64 letters, digits, hyphens or dots; operations are not offered.",
    ))
}

/// Search parameters for all types that neither widen the answer to other types nor ask free text (R4 3.1.1.1.2).
const COMMON_PARAMETERS: [&str; 7] =
    ["_id", "_lastUpdated", "_count", "_sort", "_format", "_summary", "_elements"];

/// `_include`, `_revinclude`, `_has`, chains (`subject.name`) and modifiers (`subject:Patient`) would read, or tell
/// the existence of, resources of types that the scope does not name: they are refused.
fn search_query(query: Option<&str>) -> Result<&str, Refusal> {
    let query = query.unwrap_or_default();
    let refuse = |code, text| Err(Refusal::new(400, Issue::NotSupported, code, text));
    if query.len() > MAX_QUERY || !query.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return refuse("query_malformed", "A query has at most 2048 visible ASCII characters.");
    }
    for name in parameter_names(query) {
        let plain = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain || (name.starts_with('_') && !COMMON_PARAMETERS.contains(&name)) {
            return refuse(
                "parameter_not_offered",
                "Includes, chains, modifiers and free text search are not offered, only plain search parameters.",
            );
        }
    }
    // R80: minimum necessary. A search that selects nothing would read all patients.
    if !parameter_names(query).any(|name| !name.starts_with('_') || name == "_id") {
        return refuse(
            "search_selects_nothing",
            "A search must have a parameter that selects, such as `identifier`.",
        );
    }
    let format = query.split('&').find_map(|pair| pair.strip_prefix("_format="));
    if format.is_some_and(|f| !matches!(f, "json" | "application/json" | "application/fhir%2Bjson")) {
        return Err(not_acceptable());
    }
    Ok(query)
}

/// The names in a query, in order.
pub fn parameter_names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').map_or(pair, |(n, _)| n))
}

fn accepts_json(head: &Head<'_>) -> Result<(), Refusal> {
    let Some(accept) = head.accept else { return Ok(()) };
    let acceptable = accept.split(',').any(|range| {
        let (kind, version) = media_type(range);
        matches!(kind, Some("*/*" | "application/*" | "application/fhir+json" | "application/json"))
            && version.is_none_or(|v| v == "4.0")
    });
    if acceptable { Ok(()) } else { Err(not_acceptable()) }
}

fn not_acceptable() -> Refusal {
    Refusal::new(406, Issue::NotSupported, "format_not_offered", "Answers are FHIR R4 (4.0) JSON only.")
}

fn is_fhir_json(content_type: Option<&str>) -> Result<(), Refusal> {
    let (kind, version) = content_type.map(media_type).unwrap_or_default();
    if matches!(kind, Some("application/fhir+json" | "application/json"))
        && version.is_none_or(|v| v == "4.0")
    {
        return Ok(());
    }
    Err(Refusal::new(
        415,
        Issue::NotSupported,
        "content_type_not_accepted",
        "The body must be application/fhir+json, FHIR version 4.0.",
    ))
}

/// The type and the `fhirVersion` parameter (R4 3.1.0.1.12); a charset other than UTF-8 makes the type unknown.
fn media_type(text: &str) -> (Option<&str>, Option<&str>) {
    let mut parts = text.split(';').map(str::trim);
    let mut kind = parts.next();
    let mut version = None;
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("fhirVersion") {
            version = Some(value);
        } else if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            kind = None;
        }
    }
    (kind, version)
}
