//! Texts of operators, devices and the log: statements, scopes, times, ids, event payloads.

use lanyard_domain::event::Event;
use lanyard_domain::id::DeviceId;
use lanyard_domain::record::Scope;
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::time::Timestamp;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "domain_statement", run: statement, seeds: statements },
    Target { name: "domain_event", run: event, seeds: events },
    Target { name: "domain_scope", run: scope, seeds: scopes },
    Target { name: "domain_time", run: time, seeds: times },
    Target { name: "domain_id", run: id, seeds: ids },
];

fn statement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let signed = SignedStatement { text: text.to_owned(), signature: Blob::default() };
    if let Ok(statement) = signed.parse() {
        assert!(signed.signed_bytes().ends_with(data), "the signature covers the text as it came");
        if let Action::RegisterDevice { record, .. } = statement.action {
            let _faults = record.check();
        }
    }
}

fn statements() -> Vec<Vec<u8>> {
    let device = r#""device":"07070707-0707-4707-8707-070707070707""#;
    let actions = [
        format!(r#"{{"do":"quarantine_device",{device}}}"#),
        format!(r#"{{"do":"approve_device",{device},"role":"security"}}"#),
        r#"{"do":"erase_payload","pos":7,"legal_basis":"GDPR Art. 17"}"#.to_owned(),
        r#"{"do":"add_endorsement","certificate":"MAA="}"#.to_owned(),
    ];
    let nonce = "0a".repeat(32);
    let text = |action: &String| {
        format!(
            r#"{{"log":"lanyard.example/log","operator":"07070707-0707-4707-8707-070707070707","at":"2026-11-22T00:00:00.000000Z","nonce":"{nonce}","reason":"routine","action":{action}}}"#
        )
    };
    actions.iter().map(|action| text(action).into_bytes()).collect()
}

/// The kind from the header as two bytes, then the payload.
fn event(data: &[u8]) {
    let Some((kind, payload)) = data.split_first_chunk::<2>() else { return };
    if let Ok(event) = Event::from_payload(u16::from_be_bytes(*kind), payload) {
        let again = event.to_payload().map(|bytes| Event::from_payload(event.kind(), &bytes));
        assert!(matches!(again, Ok(Ok(read)) if read == event), "an event reads back as written");
    }
}

fn events() -> Vec<Vec<u8>> {
    let statement = SignedStatement { text: "{}".to_owned(), signature: Blob(vec![1; 64]) };
    let device = DeviceId::from_random([7; 16]);
    let events = [
        Event::PayloadErased { pos: 7, legal_basis: "GDPR Art. 17".to_owned(), statement },
        Event::EpochSealed { size: 9, map_root: Digest([4; 32]), time_source: "ntp".to_owned() },
        Event::OperatorRemoved {
            statement: SignedStatement { text: device.to_string(), signature: Blob::default() },
        },
    ];
    let with_kind = |event: &Event| {
        let payload = event.to_payload().ok()?;
        Some([event.kind().to_be_bytes().as_slice(), &payload].concat())
    };
    events.iter().filter_map(with_kind).collect()
}

fn scope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(scope) = text.parse::<Scope>() {
        assert_eq!(scope.to_string(), text, "one scope, one spelling");
    }
}

fn scopes() -> Vec<Vec<u8>> {
    ["system/Observation.c", "system/Patient.rs"].map(|text| text.as_bytes().to_vec()).to_vec()
}

fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time), "a time reads back as written");
    }
}

fn times() -> Vec<Vec<u8>> {
    [0, 1_795_305_600_123_456, -1]
        .map(|micros| Timestamp::from_micros(micros).to_string().into_bytes())
        .to_vec()
}

fn id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<DeviceId>() {
        assert_eq!(id.to_string(), text, "one id, one spelling");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text, "one digest, one spelling");
    }
}

fn ids() -> Vec<Vec<u8>> {
    vec![DeviceId::from_random([7; 16]).to_string().into_bytes(), Digest([8; 32]).to_string().into_bytes()]
}
