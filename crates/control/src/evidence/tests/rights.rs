//! Who may decide what: the use cases, both verifiers and `docs/evidence-bundle.md` say the same of every kind of statement (L2).

use std::collections::BTreeMap;

use lanyard_domain::application::ApplicationRecord;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::event::{Event, FileProof, RevocationReason, StreamKind};
use lanyard_domain::id::{ApplicationId, GatewayId, OperatorId, ReleaseId, SecretId, StreamId};
use lanyard_domain::operator::Role;
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::watched::WatchRecord;

use super::super::testkit::*;
use super::super::*;
use super::peer::python;
use crate::carry_out::accept;
use crate::plane::ControlError;

const PAGE: &str = include_str!("../../../../../docs/evidence-bundle.md");
const OTHER: [u8; 16] = [0x77; 16];

/// One of each, about objects that the claim does not rest on.
fn actions() -> Vec<Action> {
    let device = other_device();
    let (application, release) = (ApplicationId::from_random(OTHER), ReleaseId::from_random(OTHER));
    let (secret, digest, text) = (SecretId::from_random([1; 5]), Digest([7; 32]), || "x".to_owned());
    let plan = CompromisePlan {
        mode: CompromiseMode::ReplaceFirst,
        per_minute: 1,
        deadlines: Deadlines::all(3_600),
    };
    let (serials, reason) = (vec!["1f".to_owned()], RevocationReason::Superseded);
    let (purpose, keys) = (AuthorityPurpose::Devices, KeyStore::Sealed);
    let (record, release_record) = records();
    let watched = WatchRecord { address: text(), site: text(), owner: text(), purpose: text() };
    vec![
        Action::AddOperator {
            operator: OperatorId::from_random(OTHER),
            name: text(),
            roles: vec![Role::Auditor],
            public_key: digest,
        },
        Action::RemoveOperator { operator: PEOPLE.bea.id },
        Action::ReplaceOperatorKey { operator: PEOPLE.bea.id, public_key: digest },
        Action::RegisterDevice { device, record },
        Action::ApproveDevice { device, role: Role::Biomedical },
        Action::QuarantineDevice { device },
        Action::ReleaseDevice { device },
        Action::RetireDevice { device },
        Action::IssueSecret { device, secret, expires: START },
        Action::RevokeDevice { device, reason },
        Action::RevokeCertificates { device, serials: serials.clone(), reason },
        Action::AllowLateRenewal { device, until: START },
        Action::RegisterApplication { application, record: application_record() },
        Action::ApproveApplication { application },
        Action::RemoveApplication { application },
        Action::IssueApplicationSecret { application, secret, expires: START },
        Action::RevokeApplicationCertificates { application, serials, reason },
        Action::ProposeRelease { release, record: release_record },
        Action::ApproveRelease { release },
        Action::WithdrawRelease { release },
        Action::AddEndorsement { certificate: Blob(vec![1]), grade: None, uses: Vec::new() },
        Action::TakeMakerList { authority_sha256: digest, issuers: Vec::new(), list: Blob(vec![1]) },
        Action::CreateAuthority { name: text(), purpose, site: None, keys },
        Action::RequestAuthority { name: text(), purpose, site: None, keys, under: Blob(vec![1]) },
        Action::ImportAuthority { name: text(), certificate: issuing(), above: vec![issuing()] },
        Action::ActivateAuthority { name: text() },
        Action::RetireAuthority { name: text() },
        Action::DeclareCompromise { name: text(), successor: text(), plan },
        Action::ConfirmCompromise { name: text(), successor: text(), plan },
        Action::SetMaintenance { site: text(), windows: Vec::new() },
        Action::ProposeProfile { text: text() },
        Action::ApproveProfile { name: text(), text_sha256: digest },
        Action::AddGateway {
            gateway: GatewayId::from_random(OTHER),
            site: text(),
            spki_sha256: digest,
            vkey: text(),
            names: Vec::new(),
        },
        Action::RemoveGateway { gateway: GatewayId::from_random(OTHER), reason: None },
        Action::HandInRequest { device, request_sha256: digest },
        Action::WatchServer { record: watched },
        Action::UnwatchServer { address: text() },
        Action::ErasePayload { pos: 1, legal_basis: text() },
        Action::ExportEvidence { device, claim_sha256: digest },
    ]
}

/// Records that the good story has.
fn records() -> (lanyard_domain::record::DeviceRecord, lanyard_domain::release::ReleaseRecord) {
    let story = Story::good();
    let device = story.main.iter().find_map(|d| match &d.event {
        Event::DeviceRegistered { record, .. } => Some(record.clone()),
        _ => None,
    });
    let release = story.main.iter().find_map(|d| match &d.event {
        Event::ReleaseProposed { record, .. } => Some(record.clone()),
        _ => None,
    });
    (device.unwrap(), release.unwrap())
}

fn application_record() -> ApplicationRecord {
    let text = || "x".to_owned();
    ApplicationRecord {
        name: text(),
        dns: Vec::new(),
        ips: Vec::new(),
        site: text(),
        owner: text(),
        purpose: text(),
        profiles: Vec::new(),
    }
}

/// A certificate that can be read.
fn issuing() -> Blob {
    let certificate = Story::good().main.into_iter().rev().find_map(|d| match d.event {
        Event::AuthorityCreated { certificate, .. } => Some(certificate),
        _ => None,
    });
    certificate.unwrap()
}

/// The event that records a decision, and the stream in which it stands.
fn recorded(action: Action, statement: SignedStatement) -> (StreamKind, StreamId, Event) {
    let device = |id: lanyard_domain::id::DeviceId, event| (StreamKind::Device, StreamId::from(id), event);
    let of = |id: ApplicationId, event| (StreamKind::Application, StreamId::from(id), event);
    let release = |id: ReleaseId, event| (StreamKind::Release, StreamId::from(id), event);
    let operator = |id: OperatorId, event| (StreamKind::Operator, StreamId::from(id), event);
    let gateway = |id: GatewayId, event| (StreamKind::Gateway, StreamId::from(id), event);
    let system = |event| (StreamKind::System, StreamId::SYSTEM, event);
    match action {
        Action::AddOperator { operator: id, name, roles, public_key } => {
            operator(id, Event::OperatorAdded { name, roles, public_key, statement: Some(statement) })
        }
        Action::RemoveOperator { operator: id } => operator(id, Event::OperatorRemoved { statement }),
        Action::ReplaceOperatorKey { operator: id, public_key } => {
            operator(id, Event::OperatorKeyReplaced { public_key, statement })
        }
        Action::RegisterDevice { device: id, record } => {
            device(id, Event::DeviceRegistered { record, statement })
        }
        Action::ApproveDevice { device: id, role } => device(id, Event::DeviceApproved { role, statement }),
        Action::QuarantineDevice { device: id } => {
            device(id, Event::DeviceQuarantined { reasons: Vec::new(), statement: Some(statement) })
        }
        Action::ReleaseDevice { device: id } => device(id, Event::QuarantineReleased { statement }),
        Action::RetireDevice { device: id } => device(id, Event::RetirementBegun { statement }),
        Action::IssueSecret { device: id, secret, expires } => {
            device(id, Event::EnrollmentSecretIssued { secret, expires, statement })
        }
        Action::RevokeDevice { device: id, reason } => {
            device(id, Event::RevocationOrdered { reason, serials: Vec::new(), statement })
        }
        Action::RevokeCertificates { device: id, serials, reason } => {
            device(id, Event::RevocationOrdered { reason, serials, statement })
        }
        Action::AllowLateRenewal { device: id, until } => {
            device(id, Event::LateRenewalAllowed { until, statement })
        }
        Action::RegisterApplication { application, record } => {
            of(application, Event::ApplicationRegistered { record, statement })
        }
        Action::ApproveApplication { application } => {
            of(application, Event::ApplicationApproved { statement })
        }
        Action::RemoveApplication { application } => of(application, Event::ApplicationRemoved { statement }),
        Action::IssueApplicationSecret { application, secret, expires } => {
            of(application, Event::EnrollmentSecretIssued { secret, expires, statement })
        }
        Action::RevokeApplicationCertificates { application, serials, reason } => {
            of(application, Event::RevocationOrdered { reason, serials, statement })
        }
        Action::ProposeRelease { release: id, record } => {
            release(id, Event::ReleaseProposed { record, statement })
        }
        Action::ApproveRelease { release: id } => release(id, Event::ReleaseApproved { statement }),
        Action::WithdrawRelease { release: id } => release(id, Event::ReleaseWithdrawn { statement }),
        Action::AddEndorsement { certificate, grade, uses } => {
            let certificate_sha256 = crate::digest::sha256(&certificate.0);
            system(Event::EndorsementAdded { certificate, certificate_sha256, grade, uses, statement })
        }
        Action::TakeMakerList { authority_sha256, issuers, list } => system(Event::MakerListTaken {
            authority_sha256,
            issuers,
            list_sha256: crate::digest::sha256(&list.0),
            number: None,
            this_update: START,
            next_update: None,
            statement,
        }),
        Action::CreateAuthority { name, purpose, site, keys } => {
            system(Event::AuthorityPlanned { name, purpose, site, keys, under: None, statement })
        }
        Action::RequestAuthority { name, purpose, site, keys, under } => {
            system(Event::AuthorityPlanned { name, purpose, site, keys, under: Some(under), statement })
        }
        Action::ImportAuthority { name, certificate, above } => {
            let certificate_sha256 = crate::digest::sha256(&certificate.0);
            system(Event::AuthorityImported { name, certificate, certificate_sha256, above, statement })
        }
        Action::ActivateAuthority { name } => system(Event::AuthorityActivated { name, statement }),
        Action::RetireAuthority { name } => system(Event::AuthorityRetired { name, statement }),
        Action::DeclareCompromise { name, successor, plan } => {
            system(Event::AuthorityCompromiseDeclared { name, successor, plan, statement })
        }
        Action::ConfirmCompromise { name, successor, plan } => {
            system(Event::AuthorityCompromiseConfirmed { name, successor, plan, statement })
        }
        Action::SetMaintenance { site, windows } => {
            system(Event::MaintenanceSet { site, windows, statement })
        }
        Action::ProposeProfile { text } => {
            system(Event::ProfileProposed { name: "x".to_owned(), text, statement })
        }
        Action::ApproveProfile { name, text_sha256 } => {
            system(Event::ProfileApproved { name, text_sha256, statement })
        }
        Action::AddGateway { gateway: id, site, spki_sha256, vkey, names } => {
            let statement = Some(statement);
            gateway(id, Event::GatewayAdded { site, vkey, spki_sha256, names, statement })
        }
        Action::RemoveGateway { gateway: id, reason } => {
            gateway(id, Event::GatewayRemoved { reason, statement })
        }
        Action::HandInRequest { device: id, request_sha256 } => {
            let (proof, expires) = (FileProof::Challenge, START);
            device(id, Event::RequestFileHandedIn { request_sha256, proof, expires, statement })
        }
        Action::WatchServer { record } => system(Event::ServerWatched { record, statement }),
        Action::UnwatchServer { address } => system(Event::ServerUnwatched { address, statement }),
        Action::ErasePayload { pos, legal_basis } => {
            system(Event::PayloadErased { pos, legal_basis, statement })
        }
        Action::ExportEvidence { device: id, claim_sha256 } => {
            device(id, Event::EvidenceExported { claim_sha256, statement })
        }
    }
}

/// What `do` says in JSON.
fn word(action: &Action) -> String {
    serde_json::to_value(action).unwrap()["do"].as_str().unwrap().to_owned()
}

/// The table of the page: the roles of each decision.
fn page() -> BTreeMap<String, Vec<Role>> {
    let rows = PAGE.lines().skip_while(|l| !l.starts_with("| event | `do` |")).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, what, _, _, roles] = cells[..] else { panic!("not a row: {line}") };
        let roles = match roles {
            "any" => Role::ALL.to_vec(),
            // As it is in `actions`.
            "the role itself" => vec![Role::Biomedical],
            named => named.split(", ").map(|role| role.parse().unwrap()).collect(),
        };
        (what.trim_matches('`').to_owned(), roles)
    };
    rows.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// One person for each role.
fn people() -> Vec<(Role, Person)> {
    (0xb0..).zip(Role::ALL).map(|(n, role)| (role, Person::new(n, "Kim", &[role]))).collect()
}

/// With those people.
fn story() -> Story {
    let mut story = Story::good();
    for (_, person) in people() {
        let action = Action::AddOperator {
            operator: person.id,
            name: "Kim".to_owned(),
            roles: person.roles.clone(),
            public_key: person.public_key(),
        };
        let statement = PEOPLE.ada.sign(story.now, action);
        story.add(StreamKind::Operator, person.id, PEOPLE.ada.id, person.added(Some(statement)));
    }
    story
}

#[test]
fn every_kind_of_statement_is_here_and_in_the_page() {
    let error = serde_json::from_str::<Action>(r#"{"do":"?"}"#).unwrap_err().to_string();
    let (_, list) = error.split_once("expected").unwrap();
    let mut known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    known.sort_unstable();
    let mut here: Vec<String> = actions().iter().map(word).collect();
    here.sort_unstable();
    assert_eq!(here, known);
    assert_eq!(page().into_keys().collect::<Vec<_>>(), known);
}

// R1, I1
#[test]
fn the_use_cases_ask_for_the_roles_of_the_page() {
    let (story, page) = (story(), page());
    let world = story.world();
    for action in actions() {
        for (role, person) in people() {
            let signed = person.sign(story.now, action.clone());
            let may = match accept(&world, &signed, story.now) {
                Ok(_) => true,
                Err(ControlError::Refused(refused)) if refused.code == "role_missing" => false,
                Err(other) => panic!("{action:?} by {role}: {other}"),
            };
            assert_eq!(may, page[&word(&action)].contains(&role), "{} by {role}", word(&action));
        }
    }
}

// R115, I1
#[test]
fn both_verifiers_ask_for_the_roles_of_the_page() {
    let (story, page) = (story(), page());
    let mut files = Vec::new();
    let mut expected = Vec::new();
    for action in actions() {
        for (role, person) in people() {
            let mut story = story.clone();
            let claim = story.claim_at(story.now);
            let signed = person.sign(story.now, action.clone());
            let (kind, stream, event) = recorded(action.clone(), signed);
            story.add(kind, stream, person.id, event);
            let name = format!("{} by {role}", word(&action));
            files.push((name, story.raw_bundle(&claim.to_text().unwrap())));
            expected.push(page[&word(&action)].contains(&role));
        }
    }
    for ((name, bytes), expected) in files.iter().zip(&expected) {
        let report = verify(bytes, &trust());
        let signatures = report.check("signatures").unwrap_or_else(|| panic!("{name}: {report:#?}"));
        let words = &signatures.detail;
        let result = if *expected { CheckResult::Passed } else { CheckResult::Failed };
        assert_eq!(signatures.result, result, "{name}: {words}");
        assert!(*expected || words.contains("holds no role that may decide this"), "{name}: {words}");
    }
    for (((name, _), expected), (outcome, part)) in files.iter().zip(&expected).zip(python(&files)) {
        assert_eq!(part != "signatures", *expected, "{name}: Python says {outcome}, {part}");
    }
}
