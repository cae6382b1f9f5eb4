//! What devices send through the FHIR gateway, and what the EHR answers.

use std::sync::LazyLock;

use lanyard_domain::access::{DeviceView, ReleaseName};
use lanyard_domain::id::{DeviceId, GatewayId, ReleaseId};
use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_gateway::fhir::answer::{Expect, judge};
use lanyard_gateway::fhir::json::{Json, Limits};
use lanyard_gateway::fhir::request::Head;
use lanyard_gateway::fhir::{Caller, Circumstances, Guard, Ids, Ruling, Upstream};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "gateway_json", run: json, seeds: bodies },
    Target { name: "gateway_head", run: head, seeds: heads },
    Target { name: "gateway_resource", run: resource, seeds: bodies },
    Target { name: "gateway_transaction", run: transaction, seeds: transactions },
    Target { name: "gateway_answer", run: answer, seeds: answers },
];

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
const CERTIFICATE: Digest = Digest([7; 32]);
const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}]},"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-11-21T23:59:00+00:00","valueQuantity":{"value":72.50,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}"#;

static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    Guard::new(GatewayId::from_random([3; 16]), "north", "hospital.example/log", Guard::MAX_BODY)
});

/// A trusted device that may do anything with observations.
static VIEW: LazyLock<DeviceView> = LazyLock::new(|| DeviceView {
    device: DeviceId::from_random([1; 16]),
    site: "north".to_owned(),
    vendor: "Acme".to_owned(),
    model: "Pump 3".to_owned(),
    serial: "SN\"1".to_owned(),
    tier: Tier::Critical,
    ai: false,
    scopes: ["system/Observation.crud", "system/Patient.rs"].iter().filter_map(|s| s.parse().ok()).collect(),
    verdict: Verdict::Trusted,
    reasons: Vec::new(),
    fresh_until: Some(NOW.plus_seconds(300)),
    untrusted_after: Some(NOW.plus_seconds(3600)),
    certificates: vec![CERTIFICATE],
    firmware: Some(ReleaseName { id: ReleaseId::from_random([2; 16]), version: "1.2.3".to_owned() }),
    ai_model: None,
    evidence_pos: Some(41),
    evidence_sha256: Some(Digest([9; 32])),
    as_of: 42,
});

fn rule(head: &Head<'_>, body: &[u8]) -> Ruling {
    let caller = Caller { view: &VIEW, certificate: &CERTIFICATE, token_scopes: None };
    let at = Circumstances { now: NOW, heard_pos: 99, ids: Ids::from_random([5; 48]) };
    GUARD.decide(head, body, &caller, &at)
}

fn post(path: &str) -> Head<'_> {
    let kind = Some("application/fhir+json");
    Head { method: "POST", path, query: None, content_type: kind, accept: kind, unsupported: None }
}

/// Whatever the guard says, what it sends on or answers is JSON that it would itself read.
fn check(ruling: &Ruling) {
    let text = match ruling {
        Ruling::Forward(forward) => match &forward.upstream {
            Upstream::Get(_) => return,
            Upstream::Transaction(body) => body.clone(),
        },
        Ruling::Refuse(refused) => refused.refusal.body(),
    };
    assert!(Json::parse(text.as_bytes(), Limits::EHR).is_ok(), "what the guard writes is JSON");
}

fn json(data: &[u8]) {
    let Ok(value) = Json::parse(data, Limits::DEVICE) else { return };
    let mut text = String::new();
    value.write(&mut text);
    assert_eq!(
        Json::parse(text.as_bytes(), Limits::DEVICE).as_ref(),
        Ok(&value),
        "a value reads back as written"
    );
}

fn bodies() -> Vec<Vec<u8>> {
    vec![OBSERVATION.as_bytes().to_vec(), br#"{"a":[1,-2.5e3,"\u00e9\n",true,null,{}]}"#.to_vec()]
}

/// Method, path and query, one a line.
fn head(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (method, path, query) =
        (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next());
    check(&rule(&Head { method, query, ..post(path) }, OBSERVATION.as_bytes()));
}

fn heads() -> Vec<Vec<u8>> {
    [
        "POST\n/fhir/Observation",
        "PUT\n/fhir/Observation/o1",
        "GET\n/fhir/Patient/p1",
        "GET\n/fhir/Patient\nidentifier=http://hospital.example|17&_count=1",
        "POST\n/fhir",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn resource(data: &[u8]) {
    check(&rule(&post("/fhir/Observation"), data));
}

fn transaction(data: &[u8]) {
    check(&rule(&post("/fhir"), data));
}

fn transactions() -> Vec<Vec<u8>> {
    let entry = |number: u8| {
        format!(
            r#"{{"fullUrl":"urn:uuid:0707070{number}-0707-4707-8707-070707070707","resource":{OBSERVATION},"request":{{"method":"POST","url":"Observation"}}}}"#
        )
    };
    let bundle = |entries: &[String]| {
        format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
    };
    vec![bundle(&[entry(1)]).into_bytes(), bundle(&[entry(1), entry(2)]).into_bytes()]
}

/// What the EHR must answer to a single write and to a transaction.
static EXPECTED: LazyLock<Vec<Expect>> = LazyLock::new(|| {
    let body = transactions().into_iter().next().unwrap_or_default();
    let rulings = [rule(&post("/fhir/Observation"), OBSERVATION.as_bytes()), rule(&post("/fhir"), &body)];
    let expect = |ruling| match ruling {
        Ruling::Forward(forward) => Some(forward.expect),
        Ruling::Refuse(_) => None,
    };
    rulings.into_iter().filter_map(expect).collect()
});

fn answer(data: &[u8]) {
    assert_eq!(EXPECTED.len(), 2, "the seeds of this module are requests that the guard forwards");
    for expect in EXPECTED.iter() {
        for status in [200, 400, 500] {
            if let Err(refusal) = judge(expect, status, data) {
                assert!(Json::parse(refusal.body().as_bytes(), Limits::EHR).is_ok(), "a refusal is JSON");
            }
        }
    }
}

fn answers() -> Vec<Vec<u8>> {
    let entry = |location: &str| {
        format!(r#"{{"response":{{"status":"201 Created","location":"{location}","etag":"W/\"1\""}}}}"#)
    };
    let (reading, provenance) = (entry("Observation/o1/_history/1"), entry("Provenance/v1/_history/1"));
    vec![
        format!(r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{reading},{provenance}]}}"#)
            .into_bytes(),
        br#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","diagnostics":"no"}]}"#
            .to_vec(),
    ]
}
