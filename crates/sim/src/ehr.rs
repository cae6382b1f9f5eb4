//! A stand-in for an EHR: FHIR R4 over plain HTTP on the loopback interface, resources in memory.
//!
//! It is the only stand-in of the virtual hospital, and says so in its CapabilityStatement. In scope: transaction
//! Bundles (all or nothing, `urn:uuid:` references resolved, R4 3.1.0.11.2), read, search by `_id`, `target`, `patient`
//! and `device`. Out of scope: validation, versions, everything that a real EHR is bought for.
//! Lost with the process: nothing here is meant to last.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A transaction of 100 entries at 40 KiB, twice.
const MAX_BODY: usize = 8 << 20;
const FHIR_JSON: &str = "application/fhir+json; fhirVersion=4.0";
/// What people should read wherever this appears.
pub const LABEL: &str = "stand-in EHR (simulated, in memory)";

/// A running stand-in; stops when dropped.
pub struct StandInEhr {
    address: SocketAddr,
    records: Arc<Records>,
    _running: DropGuard,
}

impl StandInEhr {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (records, stop) = (Arc::new(Records::default()), CancellationToken::new());
        tokio::spawn(serve(listener, records.clone(), stop.clone()));
        Ok(Self { address, records, _running: stop.drop_guard() })
    }

    /// Base URL of its FHIR service.
    pub fn base_url(&self) -> String {
        format!("http://{}/fhir", self.address)
    }

    /// A resource by type and id, for checks.
    pub fn resource(&self, location: &str) -> Option<Value> {
        self.records.lock().get(location).cloned()
    }

    /// How many resources of a type it holds.
    pub fn count(&self, kind: &str) -> usize {
        let prefix = format!("{kind}/");
        self.records.lock().keys().filter(|k| k.starts_with(&prefix)).count()
    }

    /// Observations that name this device (`urn:uuid:...`).
    pub fn observations_of(&self, device_urn: &str) -> usize {
        self.records.lock().values().filter(|r| device_of(r) == Some(device_urn)).count()
    }

    /// The Provenance whose target is `location`.
    pub fn provenance_of(&self, location: &str) -> Option<Value> {
        self.records.lock().values().find(|r| is_kind(r, "Provenance") && targets(r, location)).cloned()
    }
}

#[derive(Default)]
struct Records {
    /// `Type/id` to resource. Never held across an await.
    resources: Mutex<BTreeMap<String, Value>>,
    last_id: Mutex<u64>,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        // Every change is one insertion or one assignment of a finished map.
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self) -> u64 {
        let mut last = self.last_id.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        *last
    }
}

async fn serve(listener: TcpListener, records: Arc<Records>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (records, stop) = (records.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, records.clone()));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! { () = stop.cancelled() => {}, _ = connection => {} }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    records: Arc<Records>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let path = path.strip_prefix("/fhir").unwrap_or(path).trim_matches('/').to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let outcome = match (parts.method, path.as_str()) {
        (Method::GET, "metadata") => Ok((StatusCode::OK, capabilities())),
        (Method::POST, kind) => match Limited::new(body, MAX_BODY).collect().await {
            Ok(all) => write(&records, kind, &all.to_bytes()),
            Err(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, "body is too large or was cut")),
        },
        (Method::GET, path) if path.contains('/') => match records.lock().get(path) {
            Some(resource) => Ok((StatusCode::OK, resource.clone())),
            None => Err((StatusCode::NOT_FOUND, "no such resource")),
        },
        (Method::GET, kind) if !kind.is_empty() => Ok((StatusCode::OK, search(&records, kind, &query))),
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "this stand-in reads, searches and takes transactions")),
    };
    let (status, body) = outcome.unwrap_or_else(|(status, why)| (status, operation_outcome(why)));
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(FHIR_JSON));
    if let (StatusCode::CREATED, Some(location)) = (status, location_of(&body))
        && let Ok(value) = http::HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(LOCATION, value);
    }
    Ok(response)
}

type Outcome = Result<(StatusCode, Value), (StatusCode, &'static str)>;

fn write(records: &Records, kind: &str, body: &[u8]) -> Outcome {
    let resource: Value =
        serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "body is not JSON"))?;
    if kind.is_empty() {
        return transaction(records, &resource);
    }
    if !is_kind(&resource, kind) {
        return Err((StatusCode::BAD_REQUEST, "resourceType is not the type of the URL"));
    }
    let (location, stored) = with_id(resource, kind, &records.next_id().to_string());
    records.lock().insert(location, stored.clone());
    Ok((StatusCode::CREATED, stored))
}

struct Planned {
    method: String,
    location: String,
    resource: Option<Value>,
}

/// All entries are checked and named before the first one is stored.
fn transaction(records: &Records, bundle: &Value) -> Outcome {
    let malformed = (StatusCode::BAD_REQUEST, "not a transaction Bundle that this stand-in understands");
    if !is_kind(bundle, "Bundle") || text(bundle, "type") != Some("transaction") {
        return Err(malformed);
    }
    let entries = bundle.get("entry").and_then(Value::as_array).ok_or(malformed)?;
    let mut planned = Vec::with_capacity(entries.len());
    let mut names = BTreeMap::new();
    for entry in entries {
        let request = entry.get("request").ok_or(malformed)?;
        let (method, url) =
            (text(request, "method").ok_or(malformed)?, text(request, "url").ok_or(malformed)?);
        let resource = entry.get("resource").cloned();
        let location = match method {
            "POST" => format!("{url}/{}", records.next_id()),
            "PUT" | "DELETE" if url.contains('/') => url.to_owned(),
            _ => return Err(malformed),
        };
        let kind = location.split('/').next().unwrap_or_default();
        let fits = match (&resource, method) {
            (Some(resource), "POST" | "PUT") => is_kind(resource, kind),
            (None, "DELETE") => true,
            _ => false,
        };
        if !fits {
            return Err(malformed);
        }
        if let Some(full_url) = text(entry, "fullUrl") {
            names.insert(full_url.to_owned(), location.clone());
        }
        planned.push(Planned { method: method.to_owned(), location, resource });
    }
    Ok((StatusCode::OK, store(records, planned, &names)))
}

fn store(records: &Records, planned: Vec<Planned>, names: &BTreeMap<String, String>) -> Value {
    let mut stored = records.lock();
    let mut answers = Vec::with_capacity(planned.len());
    for Planned { method, location, resource } in planned {
        let existed = stored.contains_key(&location);
        let status = match (method.as_str(), existed) {
            ("DELETE", _) => "204 No Content",
            ("PUT", true) => "200 OK",
            _ => "201 Created",
        };
        match resource {
            None => {
                stored.remove(&location);
            }
            Some(mut resource) => {
                resolve(&mut resource, names);
                let (kind, id) = location.split_once('/').unwrap_or((&location, ""));
                let (location, resource) = with_id(resource, kind, id);
                stored.insert(location, resource);
            }
        }
        answers
            .push(json!({ "response": { "status": status, "location": format!("{location}/_history/1") } }));
    }
    json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": answers })
}

/// R4 3.1.0.11.2: references to entries of the same transaction become references to what was stored.
fn resolve(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "reference" => {
                        if let Some(location) = names.get(target) {
                            target.clone_from(location);
                        }
                    }
                    other => resolve(other, names),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|member| resolve(member, names)),
        _ => {}
    }
}

fn with_id(mut resource: Value, kind: &str, id: &str) -> (String, Value) {
    if let Some(members) = resource.as_object_mut() {
        members.insert("id".to_owned(), json!(id));
    }
    (format!("{kind}/{id}"), resource)
}

fn search(records: &Records, kind: &str, query: &str) -> Value {
    let stored = records.lock();
    let matches = stored.values().filter(|resource| is_kind(resource, kind)).filter(|resource| {
        query.split('&').filter_map(|pair| pair.split_once('=')).all(|(name, value)| match name {
            "_id" => text(resource, "id") == Some(value),
            "target" => targets(resource, value),
            "patient" | "subject" => {
                let subject = resource.pointer("/subject/reference").and_then(Value::as_str);
                subject.is_some_and(|s| s == value || s.strip_prefix("Patient/") == Some(value))
            }
            "device" => device_of(resource) == Some(value),
            // `_count`, `_format` and the like select nothing.
            _ => name.starts_with('_'),
        })
    });
    let entries: Vec<Value> =
        matches.map(|resource| json!({ "resource": resource, "search": { "mode": "match" } })).collect();
    let link = json!([{ "relation": "self", "url": format!("{kind}?{query}") }]);
    json!({ "resourceType": "Bundle", "type": "searchset", "total": entries.len(), "link": link, "entry": entries })
}

fn capabilities() -> Value {
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "software": { "name": LABEL },
        "rest": [{ "mode": "server", "interaction": [{ "code": "transaction" }] }],
    })
}

fn operation_outcome(why: &str) -> Value {
    json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": "error", "code": "processing", "diagnostics": format!("{LABEL}: {why}") }],
    })
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

fn is_kind(resource: &Value, kind: &str) -> bool {
    text(resource, "resourceType") == Some(kind)
}

fn location_of(resource: &Value) -> Option<String> {
    Some(format!("{}/{}", text(resource, "resourceType")?, text(resource, "id")?))
}

fn targets(provenance: &Value, location: &str) -> bool {
    let list = provenance.get("target").and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|t| text(t, "reference") == Some(location)))
}

fn device_of(resource: &Value) -> Option<&str> {
    resource.pointer("/device/identifier/value").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http1::handshake;
    use tokio::net::TcpStream;

    use super::*;

    async fn call(ehr: &StandInEhr, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let stream = TcpStream::connect(ehr.address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "ehr");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    fn bundle() -> Value {
        let observation = json!({
            "resourceType": "Observation", "status": "final", "subject": { "reference": "Patient/p1" },
            "device": { "identifier": { "value": "urn:uuid:d" } },
        });
        let provenance = json!({ "resourceType": "Provenance", "target": [{ "reference": "urn:uuid:1" }] });
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            { "fullUrl": "urn:uuid:1", "resource": observation, "request": { "method": "POST", "url": "Observation" } },
            { "fullUrl": "urn:uuid:2", "resource": provenance, "request": { "method": "POST", "url": "Provenance" } },
        ] })
    }

    #[tokio::test]
    async fn a_transaction_stores_all_and_resolves_its_references() {
        let ehr = StandInEhr::start().await.unwrap();
        let (status, answer) = call(&ehr, Method::POST, "/fhir", &bundle().to_string()).await;
        assert_eq!((status, &answer["type"]), (StatusCode::OK, &json!("transaction-response")));
        let location = answer["entry"][0]["response"]["location"].as_str().unwrap();
        let location = location.strip_suffix("/_history/1").unwrap();
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");

        let (status, read) = call(&ehr, Method::GET, &format!("/fhir/{location}"), "").await;
        assert_eq!((status, &read["resourceType"]), (StatusCode::OK, &json!("Observation")));
        assert_eq!(ehr.provenance_of(location).unwrap()["target"][0]["reference"], location);
        assert_eq!((ehr.observations_of("urn:uuid:d"), ehr.observations_of("urn:uuid:e")), (1, 0));
        let query = format!("/fhir/Provenance?target={location}");
        assert_eq!(call(&ehr, Method::GET, &query, "").await.1["total"], 1);
        assert_eq!(call(&ehr, Method::GET, "/fhir/Provenance?target=Observation/0", "").await.1["total"], 0);
        assert_eq!(call(&ehr, Method::GET, "/fhir/Observation?patient=p1&_count=3", "").await.1["total"], 1);
        assert_eq!(call(&ehr, Method::GET, "/fhir/Observation?unheard=1", "").await.1["total"], 0);
    }

    #[tokio::test]
    async fn a_transaction_with_one_bad_entry_stores_nothing() {
        let ehr = StandInEhr::start().await.unwrap();
        for (pointer, value) in [
            ("/entry/1/request/method", json!("PATCH")),
            ("/entry/1/request/url", json!("Patient")),
            ("/entry/1/resource", Value::Null),
            ("/type", json!("batch")),
            ("/entry", json!("none")),
        ] {
            let mut bad = bundle();
            *bad.pointer_mut(pointer).unwrap() = value;
            let (status, answer) = call(&ehr, Method::POST, "/", &bad.to_string()).await;
            assert_eq!(
                (status, &answer["resourceType"]),
                (StatusCode::BAD_REQUEST, &json!("OperationOutcome"))
            );
        }
        assert_eq!(ehr.count("Observation") + ehr.count("Provenance"), 0);
        assert_eq!(call(&ehr, Method::POST, "/", "no json").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(call(&ehr, Method::GET, "/fhir/Observation/1", "").await.0, StatusCode::NOT_FOUND);
        assert_eq!(call(&ehr, Method::DELETE, "/fhir", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn it_says_that_it_is_a_stand_in() {
        let ehr = StandInEhr::start().await.unwrap();
        let (_, capabilities) = call(&ehr, Method::GET, "/fhir/metadata", "").await;
        assert_eq!(capabilities["software"]["name"], LABEL);
    }
}
