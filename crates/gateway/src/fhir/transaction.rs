//! What a request writes: one operation for a create, update or delete, several for a transaction; each is checked alike.
//!
//! In scope: the transaction Bundle's shape (R4 3.1.0.11), narrowed to POST, PUT and DELETE without conditions. Out of
//! scope: batch (its entries succeed one by one, a Provenance for all could then not be true).

use lanyard_domain::id::{DecisionId, DeviceId};
use lanyard_domain::record::Permission;
use lanyard_domain::time::Timestamp;

use super::Checker;
use super::json::{Json, Limits};
use super::outcome::{Issue, Refusal};
use super::request::{Request, logical_id};
use super::schema::Fault;
use super::types::{self, ResourceType};

/// Most entries of a transaction: a monitor's minute of vital signs is about 60.
const MAX_ENTRIES: usize = 100;

/// One write.
#[derive(Debug)]
pub struct Op<'a> {
    /// What with it.
    pub verb: Verb,
    /// Which type.
    pub kind: &'static ResourceType,
    /// Logical id, for update and delete.
    pub id: Option<String>,
    /// `urn:uuid:` of a create, under which the Provenance and other entries name it.
    pub full_url: Option<String>,
    /// The resource, for create and update.
    pub resource: Option<Json<'a>>,
}

/// Kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// PUT.
    Update,
    /// DELETE.
    Delete,
}

impl Verb {
    /// The HTTP method in a transaction entry.
    pub const fn method(self) -> &'static str {
        match self {
            Verb::Create => "POST",
            Verb::Update => "PUT",
            Verb::Delete => "DELETE",
        }
    }
    /// v3-DataOperation code.
    pub const fn operation(self) -> &'static str {
        match self {
            Verb::Create => "CREATE",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
        }
    }
}

impl<'a> Op<'a> {
    /// The write of a request on one resource.
    pub fn single(request: &Request<'_>, body: &'a [u8], entry_uuid: &str) -> Result<Op<'a>, Refusal> {
        Ok(match request {
            Request::Create(kind) => Op {
                verb: Verb::Create,
                kind,
                id: None,
                full_url: Some(format!("urn:uuid:{entry_uuid}")),
                resource: Some(parse_body(body)?),
            },
            Request::Update(kind, id) => Op {
                verb: Verb::Update,
                kind,
                id: Some((*id).to_owned()),
                full_url: None,
                resource: Some(parse_body(body)?),
            },
            Request::Delete(kind, id) => {
                Op { verb: Verb::Delete, kind, id: Some((*id).to_owned()), full_url: None, resource: None }
            }
            Request::Read(..) | Request::Search(..) | Request::Transaction => {
                return Err(malformed("not_a_write", "This interaction writes nothing."));
            }
        })
    }

    /// The writes of a transaction Bundle.
    pub fn transaction(body: &'a [u8]) -> Result<Vec<Op<'a>>, Refusal> {
        let Json::Object(members) = parse_body(body)? else {
            return Err(malformed("not_a_bundle", "A transaction must be a JSON object."));
        };
        let mut entries = None;
        for (name, value) in members {
            match (name.as_ref(), value) {
                ("resourceType", value) if value.as_text() == Some("Bundle") => {}
                ("type", value) if value.as_text() == Some("transaction") => {}
                ("entry", Json::List(list)) => entries = Some(list),
                _ => {
                    return Err(malformed(
                        "not_a_transaction",
                        "A POST to the base must be a Bundle of type transaction with entries and nothing else.",
                    ));
                }
            }
        }
        let entries = entries.unwrap_or_default();
        if entries.is_empty() || entries.len() > MAX_ENTRIES {
            return Err(
                malformed("entry_count", "A transaction must have 1 to 100 entries.").at("Bundle.entry")
            );
        }
        let ops: Vec<Op<'a>> = entries
            .into_iter()
            .enumerate()
            .map(|(i, entry)| Op::entry(entry).map_err(|r| r.at(format!("Bundle.entry[{i}]"))))
            .collect::<Result<_, _>>()?;
        let mut urls: Vec<&str> = ops.iter().filter_map(|op| op.full_url.as_deref()).collect();
        urls.sort_unstable();
        if urls.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(malformed("full_url_repeated", "Each entry must have a fullUrl of its own."));
        }
        Ok(ops)
    }

    fn entry(entry: Json<'a>) -> Result<Op<'a>, Refusal> {
        let shape = || {
            malformed(
                "entry_malformed",
                "An entry must have `request` with method POST, PUT or DELETE and a url of Type or Type/id without \
                 query, `fullUrl` urn:uuid:... for POST, `resource` unless DELETE, and nothing else.",
            )
        };
        let Json::Object(members) = entry else { return Err(shape()) };
        let (mut full_url, mut resource, mut request) = (None, None, None);
        for (name, value) in members {
            match name.as_ref() {
                "fullUrl" => full_url = Some(value),
                "resource" => resource = Some(value),
                "request" => request = Some(value),
                _ => return Err(shape()),
            }
        }
        let request = request.filter(|r| r.as_object().is_some_and(|m| m.len() == 2)).ok_or_else(shape)?;
        let text = |name| request.get(name).and_then(Json::as_text).ok_or_else(shape);
        let (method, url) = (text("method")?, text("url")?);
        let (kind, id) = match url.split_once('/') {
            None => (url, None),
            Some((kind, id)) => (kind, Some(logical_id(id).map_err(|_| shape())?.to_owned())),
        };
        let kind = types::find(kind).ok_or_else(shape)?;
        let full_url = match full_url.as_ref().map(|u| u.as_text().filter(|t| is_uuid_urn(t))) {
            None => None,
            Some(Some(text)) => Some(text.to_owned()),
            Some(None) => return Err(shape()),
        };
        let verb = match (method, &id, &resource, &full_url) {
            ("POST", None, Some(_), Some(_)) => Verb::Create,
            ("PUT", Some(_), Some(_), None) => Verb::Update,
            ("DELETE", Some(_), None, None) => Verb::Delete,
            _ => return Err(shape()),
        };
        Ok(Op { verb, kind, id, full_url, resource })
    }

    /// What the device's scopes must allow.
    pub fn permission(&self) -> Permission {
        match self.verb {
            Verb::Create => Permission::Create,
            Verb::Update => Permission::Update,
            Verb::Delete => Permission::Delete,
        }
    }

    /// What it is called in a Provenance's target.
    pub fn target(&self) -> String {
        match (&self.full_url, &self.id) {
            (Some(url), _) => url.clone(),
            (None, id) => format!("{}/{}", self.kind.name, id.as_deref().unwrap_or_default()),
        }
    }

    /// The url of its transaction entry.
    pub fn url(&self) -> String {
        match &self.id {
            None => self.kind.name.to_owned(),
            Some(id) => format!("{}/{id}", self.kind.name),
        }
    }
}

/// Checks the resources of all operations.
pub fn check(ops: &[Op<'_>], device: DeviceId, now: Timestamp) -> Result<(), Refusal> {
    // Only a transaction's own entries may be named; with a single create the fullUrl is ours.
    let full_urls: Vec<&str> = match ops {
        [_] => Vec::new(),
        _ => ops.iter().filter_map(|op| op.full_url.as_deref()).collect(),
    };
    let checker = Checker { device, now, full_urls: &full_urls };
    ops.iter().try_for_each(|op| check_one(op, &checker))
}

fn check_one(op: &Op<'_>, checker: &Checker<'_>) -> Result<(), Refusal> {
    let Some(resource) = &op.resource else { return Ok(()) };
    let Some(write) = op.kind.write else { return Err(not_writable()) };
    if resource.get("resourceType").and_then(Json::as_text) != Some(op.kind.name) {
        return Err(malformed(
            "resource_type_differs",
            "`resourceType` must be the type that the URL names.",
        )
        .at("resourceType"));
    }
    let id = resource.get("id");
    let id_fits = match op.verb {
        Verb::Create => id.is_none(),
        Verb::Update | Verb::Delete => id.and_then(Json::as_text) == op.id.as_deref(),
    };
    if !id_fits {
        return Err(malformed(
            "id_differs",
            "`id` must be left out of a create, and must be that of the URL in an update.",
        )
        .at(format!("{}.id", op.kind.name)));
    }
    checker
        .group(resource, write.table, &["resourceType", "id"])
        .and_then(|()| (write.rules)(resource))
        .map_err(|fault: Fault| fault.below(op.kind.name).refusal())
}

/// The refusal of a write to a type that devices may only read.
pub fn not_writable() -> Refusal {
    Refusal::new(
        422,
        Issue::NotSupported,
        "type_not_writable",
        "Devices may write Observation, DiagnosticReport and DeviceMetric.",
    )
}

/// As the decision log names it.
pub fn name(ops: &[Op<'_>]) -> String {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for op in ops {
        let part = format!("{} {}", op.verb.operation().to_lowercase(), op.kind.name);
        match parts.iter_mut().find(|(p, _)| *p == part) {
            Some((_, n)) => *n += 1,
            None => parts.push((part, 1)),
        }
    }
    let list: Vec<String> = parts.into_iter().map(|(part, n)| format!("{part} x{n}")).collect();
    format!("transaction: {}", list.join(", "))
}

fn parse_body(body: &[u8]) -> Result<Json<'_>, Refusal> {
    Json::parse(body, Limits::DEVICE).map_err(|e| malformed("json_malformed", &format!("{e}.")))
}

fn malformed(code: &str, text: &str) -> Refusal {
    Refusal::new(400, Issue::Structure, code, text)
}

fn is_uuid_urn(text: &str) -> bool {
    text.strip_prefix("urn:uuid:").is_some_and(|uuid| uuid.parse::<DecisionId>().is_ok())
}
