//! `docs/event-catalogue.md` and the code say the same.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::event::{AlarmCode, Event, FileProof, Probe, RevocationReason};
use lanyard_domain::id::{IssuanceId, SecretId};
use lanyard_domain::maker::{MakerCertificate, MakerReason};
use lanyard_domain::statement::Action;
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::trust::Verdict;
use lanyard_domain::watched::{SeenCertificate, WatchAlarm, WatchRecord};

use super::super::testkit::*;

const CATALOGUE: &str = include_str!("../../../../../docs/event-catalogue.md");

struct Row<'a> {
    code: u16,
    name: &'a str,
    streams: Vec<&'a str>,
    members: Vec<&'a str>,
    erasable: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let table = CATALOGUE.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 8);
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let quoted = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        Some(Row {
            code: cells[0].parse().ok()?,
            name: quoted(cells[1])[0],
            streams: cells[2].split(", ").collect(),
            members: quoted(cells[3]),
            erasable: cells[6],
        })
    };
    table.filter_map(row).collect()
}

/// What serde knows about the tag or the members: it names them when it is given one that it does not know.
fn expected(json: &str) -> Vec<String> {
    let error = serde_json::from_str::<Event>(json).unwrap_err().to_string();
    let (_, list) = error.split_once("expected").unwrap_or(("", ""));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn watch_record() -> WatchRecord {
    WatchRecord { address: String::new(), site: String::new(), owner: String::new(), purpose: String::new() }
}

fn seen_certificate() -> SeenCertificate {
    SeenCertificate {
        sha256: Digest::default(),
        subject: String::new(),
        issuer: String::new(),
        serial: String::new(),
        not_before: START,
        not_after: START,
    }
}

/// A status list of the maker that the story accepts: the only kind that a world takes without a maker's key to sign it.
fn maker_list_taken(story: &Story) -> Event {
    let maker = story.main.iter().find_map(|draft| match &draft.event {
        Event::EndorsementAdded { certificate_sha256, .. } => Some(*certificate_sha256),
        _ => None,
    });
    let list = br#"{"entries":{"a1":{"status":"SUSPENDED"}}}"#.to_vec();
    let (authority_sha256, list_sha256) = (maker.unwrap(), crate::digest::sha256(&list));
    let action = Action::TakeMakerList { authority_sha256, issuers: vec![], list: Blob(list) };
    Event::MakerListTaken {
        authority_sha256,
        issuers: vec![],
        list_sha256,
        number: None,
        this_update: START,
        next_update: None,
        statement: PEOPLE.sam.sign(START, action),
    }
}

/// At least one of each.
pub(super) fn events() -> Vec<Event> {
    let mut story = Story::good();
    story.withdraw_release();
    let sam = &PEOPLE.sam;
    let statement = sam.sign(START, Action::RetireDevice { device: device() });
    let digest = Digest::default();
    let issuance = IssuanceId::from_random([1; 16]);
    let secret = SecretId::from_random([1; 5]);
    let probe =
        Probe { point: String::new(), credential: String::new(), refused: true, answer: String::new() };
    let plan = CompromisePlan {
        mode: CompromiseMode::ReplaceFirst,
        per_minute: 1,
        deadlines: Deadlines::all(3_600),
    };
    let by_hand = vec![
        Event::IssuanceAbandoned { issuance, why: String::new() },
        Event::CertificateRevoked { serial: String::new(), reason: RevocationReason::Retired },
        Event::TrustChanged { from: Verdict::Trusted, to: Verdict::Degraded, reasons: vec![] },
        Event::DeviceQuarantined { reasons: vec![], statement: None },
        Event::QuarantineReleased { statement: statement.clone() },
        Event::RetirementBegun { statement: statement.clone() },
        Event::RefusalProbed { probes: vec![probe] },
        Event::DeviceRetired {},
        Event::AlarmRaised { code: AlarmCode::CloneSuspected, detail: String::new() },
        Event::TokenGranted {
            token_sha256: digest,
            certificate_sha256: digest,
            scopes: vec![],
            expires: START,
        },
        Event::EvidenceExported { claim_sha256: digest, statement: statement.clone() },
        Event::OperatorRemoved { statement: statement.clone() },
        Event::OperatorKeyReplaced { public_key: digest, statement: statement.clone() },
        Event::MakerKeyBound {
            format: String::new(),
            key_sha256: digest,
            certificate_sha256: digest,
            endorsement_sha256: digest,
            grade: None,
        },
        Event::SoftKeyAccepted { secret },
        Event::EnrollmentSecretIssued { secret, expires: START, statement: statement.clone() },
        Event::EnrollmentSecretUsed { secret, spki_sha256: digest },
        Event::RevocationOrdered {
            reason: RevocationReason::Stolen,
            serials: vec![],
            statement: statement.clone(),
        },
        Event::CertificateSeen { serial: String::new() },
        Event::LateRenewalAllowed { until: START, statement: statement.clone() },
        Event::AcmeAccountBound { account_sha256: digest, jwk: String::new() },
        Event::AcmeAccountEnded { account_sha256: digest, successor: None },
        Event::RequestFileHandedIn {
            request_sha256: digest,
            proof: FileProof::Challenge,
            expires: START,
            statement: statement.clone(),
        },
        Event::ApplicationRegistered {
            record: ApplicationRecord {
                name: String::new(),
                dns: vec![],
                ips: vec![],
                site: String::new(),
                owner: String::new(),
                purpose: String::new(),
                profiles: Vec::new(),
            },
            statement: statement.clone(),
        },
        Event::ApplicationApproved { statement: statement.clone() },
        Event::ApplicationRemoved { statement: statement.clone() },
        Event::AuthorityPlanned {
            name: String::new(),
            purpose: AuthorityPurpose::Devices,
            site: None,
            keys: KeyStore::Pkcs11,
            under: Some(Blob::default()),
            statement: statement.clone(),
        },
        Event::AuthorityImported {
            name: String::new(),
            certificate: Blob::default(),
            certificate_sha256: Digest::default(),
            above: Vec::new(),
            statement: statement.clone(),
        },
        Event::ResponderCertified {
            issuance,
            authority: String::new(),
            serial: String::new(),
            certificate: Blob::default(),
            certificate_sha256: digest,
            not_after: START,
        },
        Event::RaCertified {
            issuance,
            authority: String::new(),
            serial: String::new(),
            certificate: Blob::default(),
            certificate_sha256: digest,
            not_after: START,
        },
        Event::ProfileProposed { name: String::new(), text: String::new(), statement: statement.clone() },
        Event::ProfileApproved { name: String::new(), text_sha256: digest, statement: statement.clone() },
        Event::AuthorityActivated { name: String::new(), statement: statement.clone() },
        Event::AuthorityRetired { name: String::new(), statement: statement.clone() },
        Event::AuthorityCompromiseDeclared {
            name: String::new(),
            successor: String::new(),
            plan,
            statement: statement.clone(),
        },
        Event::AuthorityCompromiseConfirmed {
            name: String::new(),
            successor: String::new(),
            plan,
            statement: statement.clone(),
        },
        Event::MaintenanceSet { site: String::new(), windows: vec![], statement: statement.clone() },
        Event::AuthorityRevoked { name: String::new(), serial: String::new() },
        Event::GatewayCertified {
            serial: String::new(),
            certificate: Blob::default(),
            certificate_sha256: digest,
            not_after: START,
        },
        Event::GatewayRemoved { reason: None, statement: statement.clone() },
        Event::MakerCertificatesShown {
            endorsement_sha256: digest,
            certificates: vec![MakerCertificate { issuer_sha256: digest, serial: "a1".to_owned() }],
            lists: vec![digest],
        },
        Event::MakerRevocationFound {
            list_sha256: digest,
            issuer_sha256: digest,
            serial: "a1".to_owned(),
            revoked_at: Some(START),
            reason: MakerReason::CertificateHold,
        },
        maker_list_taken(&story),
        Event::ServerWatched { record: watch_record(), statement: statement.clone() },
        Event::ServerUnwatched { address: String::new(), statement: statement.clone() },
        Event::ServerSeen { address: String::new(), certificate: seen_certificate() },
        Event::WatchAlarmRaised {
            address: String::new(),
            alarm: WatchAlarm::Ending,
            certificate_sha256: digest,
            detail: String::new(),
        },
        Event::PayloadErased { pos: 1, legal_basis: String::new(), statement },
        Event::LogIdle {},
        Event::ServerCertified {
            issuance,
            serial: String::new(),
            certificate: Blob::default(),
            certificate_sha256: digest,
            not_after: START,
        },
        Event::EpochSealed { size: 1, map_root: digest, time_source: String::new() },
    ];
    let told = story.main.iter().chain(&story.gateway).map(|draft| draft.event.clone());
    told.chain(by_hand).collect()
}

/// One of each, so that codes can be compared.
fn one_of_each() -> BTreeMap<String, u16> {
    let name = |event: Event| {
        let json: serde_json::Value = serde_json::from_slice(&event.to_payload().unwrap()).unwrap();
        (json["event"].as_str().unwrap().to_owned(), event.kind())
    };
    events().into_iter().map(name).collect()
}

// R115: nobody can read a log whose events are not written down.
#[test]
fn every_event_is_in_the_catalogue() {
    let rows = rows();
    let names: BTreeSet<String> = rows.iter().map(|row| row.name.to_owned()).collect();
    let known: BTreeSet<String> = expected(r#"{"event":"?"}"#).into_iter().collect();
    assert!(known.len() > 30, "serde names its variants: {known:?}");
    assert_eq!(names, known, "the page's events, then the code's");
    assert_eq!(names.len(), rows.len(), "an event is listed twice");
    let codes = one_of_each();
    let examples: BTreeSet<String> = codes.keys().cloned().collect();
    assert_eq!(examples, known, "this test lacks an example of the new event");
    for row in &rows {
        assert_eq!(Some(&row.code), codes.get(row.name), "code of `{}`", row.name);
        let members = expected(&format!(r#"{{"event":"{}","?":1}}"#, row.name));
        assert_eq!(row.members, members, "members of `{}`: the page's, then the code's", row.name);
    }
}

#[test]
fn the_catalogue_says_which_payloads_may_be_erased_and_where_events_stand() {
    for row in rows() {
        let audit_only = super::super::verify::AUDIT_ONLY.contains(&row.code);
        let erasable = match row.code {
            _ if audit_only => "any time",
            1..=30 | 32 => "retired",
            60..=62 => "removed",
            _ => "no",
        };
        assert_eq!(row.erasable, erasable, "`{}`", row.name);
        for (n, stream) in
            ["system", "device", "release", "operator", "gateway", "application"].iter().enumerate()
        {
            let log = usize::from(row.code >= 120);
            let may = super::super::verify::may_stand(log, row.code, n as u8);
            assert_eq!(row.streams.contains(stream), may, "`{}` in a {stream} stream", row.name);
        }
    }
}
