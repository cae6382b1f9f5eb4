//! Each rule of an application's life, and where it says no.

use super::*;
use crate::device::Refusal;
use crate::event::RevocationReason;
use crate::id::{IssuanceId, SecretId};
use crate::operator::{Operator, Role};
use crate::statement::SignedStatement;
use crate::text::{Blob, Digest};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

fn operator(n: u8, roles: &[Role]) -> Operator {
    Operator {
        id: OperatorId::from_bytes([n; 16]),
        name: format!("operator {n}"),
        roles: roles.to_vec(),
        public_key: Digest([n; 32]),
        active: true,
    }
}

fn signed() -> SignedStatement {
    SignedStatement { text: "{}".into(), signature: Blob(vec![0; 64]) }
}

fn record() -> ApplicationRecord {
    ApplicationRecord {
        name: "pacs-viewer".into(),
        dns: vec!["viewer.hospital.example".into()],
        ips: vec![],
        site: "north".into(),
        owner: "imaging-it".into(),
        purpose: "viewing images".into(),
        profiles: Vec::new(),
    }
}

fn registered() -> Application {
    let by = operator(1, &[Role::Registrar, Role::Security]);
    let event = Application::register(record(), &by, signed()).unwrap().events.remove(0);
    Application::begin(ApplicationId::from_bytes([7; 16]), &event, by.id).unwrap()
}

fn after(application: &Application, command: Command<'_>) -> Result<Application, &'static str> {
    let events = application.decide(command, NOW).map_err(|r: Refusal| r.code)?.events;
    let recorded = Recorded { pos: 5, time: NOW };
    Ok(events.iter().fold(application.clone(), |a, e| a.apply(e, recorded)))
}

fn approved() -> Application {
    let by = operator(2, &[Role::Security]);
    after(&registered(), Command::Approve { by: &by, statement: signed() }).unwrap()
}

fn intend(n: u8) -> Command<'static> {
    Command::IntendIssuance {
        issuance: IssuanceId::from_bytes([n; 16]),
        protocol: "acme".into(),
        profile: "application".into(),
        serial: format!("{n:02x}"),
        spki_sha256: Digest([n; 32]),
        tbs_sha256: Digest([n; 32]),
    }
}

fn certify(n: u8) -> Command<'static> {
    Command::RecordCertificate {
        issuance: IssuanceId::from_bytes([n; 16]),
        serial: format!("{n:02x}"),
        certificate: vec![n],
        certificate_sha256: Digest([n; 32]),
        spki_sha256: Digest([n; 32]),
        not_before: NOW,
        not_after: NOW.plus_seconds(86_400),
    }
}

// I1
#[test]
fn an_application_is_approved_by_another_person_for_security() {
    let application = registered();
    assert_eq!(after(&application, intend(1)).unwrap_err(), "not_approved");
    let own = operator(1, &[Role::Security]);
    let by_requester = Command::Approve { by: &own, statement: signed() };
    assert_eq!(after(&application, by_requester).unwrap_err(), "requester_cannot_approve");
    let other = operator(3, &[Role::Biomedical]);
    let wrong_role = Command::Approve { by: &other, statement: signed() };
    assert_eq!(after(&application, wrong_role).unwrap_err(), "role_missing");
    let by = operator(2, &[Role::Security]);
    assert_eq!(
        after(&approved(), Command::Approve { by: &by, statement: signed() }).unwrap_err(),
        "already_approved"
    );
    assert!(after(&approved(), intend(1)).is_ok());
}

// I3
#[test]
fn a_certificate_without_an_intent_is_refused() {
    assert_eq!(after(&approved(), certify(1)).unwrap_err(), "not_intended");
    let issued = after(&after(&approved(), intend(1)).unwrap(), certify(1)).unwrap();
    assert_eq!(issued.certificates.len(), 1);
    assert!(issued.pending.is_empty());
}

// I12
#[test]
fn an_application_in_a_loop_gets_so_many_certificates_and_no_more() {
    let both = |a: Application, n: u8| after(&after(&a, intend(n)).unwrap(), certify(n)).unwrap();
    let full = (1..=128).fold(approved(), both);
    assert_eq!(after(&full, intend(129)).unwrap_err(), "too_many_certificates");
    let own = Command::RevokeOwn { serial: "01".into(), reason: RevocationReason::GivenUp };
    assert!(after(&after(&full, own).unwrap(), intend(129)).is_ok());
}

// R49
#[test]
fn a_removed_application_loses_its_certificates_and_gets_none() {
    let issued = after(&after(&approved(), intend(1)).unwrap(), certify(1)).unwrap();
    let pending = after(&issued, intend(2)).unwrap();
    let by = operator(2, &[Role::Security]);
    let removed = after(&pending, Command::Remove { by: &by, statement: signed() }).unwrap();
    assert!(removed.certificates.is_empty());
    assert_eq!(after(&removed, certify(2)).unwrap_err(), "wrong_stage");
    assert_eq!(after(&removed, intend(3)).unwrap_err(), "wrong_stage");
    let again = Command::Remove { by: &by, statement: signed() };
    assert_eq!(after(&removed, again).unwrap_err(), "wrong_stage");
}

#[test]
fn a_secret_binds_one_account() {
    let by = operator(2, &[Role::Security]);
    let secret = SecretId::from_random([1; 5]);
    let bind = |n| Command::BindAccount { secret, account_sha256: Digest([n; 32]), jwk: "{}".into() };
    assert_eq!(after(&approved(), bind(1)).unwrap_err(), "secret_unknown");
    let expires = NOW.plus_seconds(60);
    let given =
        after(&approved(), Command::IssueSecret { by: &by, secret, expires, statement: signed() }).unwrap();
    let bound = after(&given, bind(1)).unwrap();
    assert!(after(&bound, bind(1)).is_ok());
    assert_eq!(after(&bound, bind(2)).unwrap_err(), "secret_used");
    let late = bound.decide(bind(1), NOW.plus_seconds(61)).unwrap_err();
    assert_eq!(late.code, "secret_expired");
}

#[test]
fn only_its_own_current_certificates_are_revoked() {
    let issued = after(&after(&approved(), intend(1)).unwrap(), certify(1)).unwrap();
    let own =
        |serial: &str| Command::RevokeOwn { serial: serial.into(), reason: RevocationReason::Superseded };
    assert_eq!(after(&issued, own("09")).unwrap_err(), "certificate_not_current");
    assert!(after(&issued, own("01")).unwrap().certificates.is_empty());
}

#[test]
fn a_record_names_full_names_without_wildcards() {
    for (dns, good) in [
        ("viewer.hospital.example", true),
        ("*.hospital.example", false),
        ("viewer", false),
        ("Viewer.hospital.example", false),
        ("a..example", false),
        ("-a.example", false),
    ] {
        let record = ApplicationRecord { dns: vec![dns.into()], ..record() };
        assert_eq!(record.check().is_ok(), good, "{dns}");
    }
    assert!(ApplicationRecord { dns: vec![], ..record() }.check().is_err());
    assert!(ApplicationRecord { dns: vec!["a.example".into(); 33], ..record() }.check().is_err());
}

// R39
#[test]
fn another_key_takes_the_place_of_an_accounts_key() {
    let (old, new) = (Digest([1; 32]), Digest([2; 32]));
    let command = Command::ReplaceAccount { account_sha256: old, by_sha256: new, jwk: "{}".into() };
    let events = approved().decide(command, NOW).unwrap().events;
    assert_eq!(
        events,
        [
            Event::AcmeAccountBound { account_sha256: new, jwk: "{}".into() },
            Event::AcmeAccountEnded { account_sha256: old, successor: Some(new) },
        ]
    );
    let events = approved().decide(Command::EndAccount { account_sha256: new }, NOW).unwrap().events;
    assert_eq!(events, [Event::AcmeAccountEnded { account_sha256: new, successor: None }]);
}
