//! What people decide: who may, once, and never in another's name.

use lanyard_api::client::CallError;
use lanyard_api::operator::{
    Bootstrap, DeviceLine, EvidenceClaim, EvidenceExport, EvidenceFile, EvidenceRequest, Recorded,
    StatementRequest,
};
use lanyard_api::signing::{sign_request, sign_statement};
use lanyard_control::evidence::CheckResult;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::id::DeviceId;
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;

use crate::hospital::{Hospital, Person, person, random, record, refusal};

/// The action that makes `second` an operator with `roles`.
fn adding(second: &Person, roles: Vec<Role>) -> Action {
    let (operator, public_key) = (second.id, second.key.public_key());
    Action::AddOperator { operator, name: "Second".into(), roles, public_key }
}

// R32, R99, I1
#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_in_two_roles_or_in_anothers_name() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device = hospital.register(record("P-1")).await.unwrap();

    let by_registrar =
        hospital.decide(&hospital.registrar, Action::ApproveDevice { device, role: Role::Security }).await;
    assert_eq!(by_registrar.unwrap_err().code(), "role_missing");

    // Signed by one, sent as another's.
    let mut statement =
        hospital.statement(&hospital.biomed, Action::ApproveDevice { device, role: Role::Biomedical });
    let forged = sign_statement(&statement, &hospital.security.key).unwrap();
    let refused = hospital.send(&StatementRequest { statement: forged }).await.unwrap_err();
    assert_eq!((refused.code(), refused.status), ("signature_invalid", 401));

    // Meant for another hospital's log.
    statement.log = "other.hospital/main".into();
    let foreign = sign_statement(&statement, &hospital.biomed.key).unwrap();
    assert_eq!(
        hospital.send(&StatementRequest { statement: foreign }).await.unwrap_err().code(),
        "other_log"
    );

    // Signed long ago.
    let mut old =
        hospital.statement(&hospital.biomed, Action::ApproveDevice { device, role: Role::Biomedical });
    old.at = old.at.plus_seconds(-301);
    let old = sign_statement(&old, &hospital.biomed.key).unwrap();
    assert_eq!(
        hospital.send(&StatementRequest { statement: old }).await.unwrap_err().code(),
        "statement_stale"
    );

    // Changed after signing.
    let good = hospital.statement(&hospital.biomed, Action::ApproveDevice { device, role: Role::Biomedical });
    let mut changed = sign_statement(&good, &hospital.biomed.key).unwrap();
    changed.text = changed.text.replace("test", "best");
    let refused = hospital.send(&StatementRequest { statement: changed }).await.unwrap_err();
    assert_eq!(refused.code(), "signature_invalid");
    hospital.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_works_once() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device = hospital.admitted("P-1").await;
    let statement = sign_statement(
        &hospital.statement(&hospital.security, Action::QuarantineDevice { device }),
        &hospital.security.key,
    )
    .unwrap();
    let request = StatementRequest { statement };
    hospital.send(&request).await.unwrap();
    hospital.decide(&hospital.security, Action::ReleaseDevice { device }).await.unwrap();
    let refused = hospital.send(&request).await.unwrap_err();
    assert_eq!((refused.code(), refused.status), ("statement_replayed", 409));
    hospital.running.shutdown().await;
}

// I2, R6
#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_is_registered_once_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    hospital.register(record("P-1")).await.unwrap();
    let again = hospital.register(record("P-1")).await.unwrap_err();
    assert_eq!((again.code(), again.status), ("label_taken", 409));
    hospital.running.shutdown().await;
}

// R10, I12
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_refused_with_field_and_rule_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    for (field, change) in [
        (
            "site",
            Box::new(|r: &mut lanyard_domain::record::DeviceRecord| r.site = "North Campus".into())
                as Box<dyn Fn(&mut _)>,
        ),
        ("zone", Box::new(|r: &mut lanyard_domain::record::DeviceRecord| r.zone = "-x".into())),
        ("serial", Box::new(|r: &mut lanyard_domain::record::DeviceRecord| r.serial = String::new())),
        (
            "ae_title",
            Box::new(|r: &mut lanyard_domain::record::DeviceRecord| {
                r.ae_title = Some("SEVENTEEN_LETTERS".into())
            }),
        ),
    ] {
        let mut bad = record("P-9");
        change(&mut bad);
        let refused = hospital.register(bad).await.unwrap_err();
        assert!(refused.detail.starts_with(field), "{refused:?}");
    }
    let devices: Vec<DeviceLine> = hospital.look(&hospital.security, "/v1/devices").await.unwrap();
    assert!(devices.is_empty());
    hospital.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bootstrap_secret_admits_one_operator() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let request = Bootstrap {
        secret: hospital.running.bootstrap_secret.clone().unwrap(),
        operator: lanyard_domain::id::OperatorId::from_random(random()),
        name: "Mallory".into(),
        roles: vec![Role::Admin],
        public_key: lanyard_domain::text::Digest([9; 32]),
    };
    let mut channel = hospital.channel().await;
    let answer = channel.call::<_, Recorded>(http::Method::POST, "/v1/bootstrap", Some(&request)).await;
    assert_eq!(refusal(answer).unwrap_err().code(), "bootstrap_refused");
    hospital.running.shutdown().await;
}

// R100
#[tokio::test(flavor = "multi_thread")]
async fn reads_need_a_fresh_signature_of_a_known_operator_and_work_once() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let mut channel = hospital.channel().await;
    let bare = channel.call::<(), Vec<DeviceLine>>(http::Method::GET, "/v1/devices", None).await;
    assert_eq!(refusal(bare).unwrap_err().status, 401);
    let headers = hospital.signed(&hospital.security, "/v1/devices");
    let call = async |path: &str| {
        let mut channel = hospital.channel().await;
        refusal(channel.call_with::<(), Vec<DeviceLine>>(http::Method::GET, path, &headers, None).await)
    };
    assert_eq!(call("/v1/devices?limit=5").await.unwrap_err().code(), "signature_invalid");
    call("/v1/devices").await.unwrap();
    assert_eq!(call("/v1/devices").await.unwrap_err().code(), "request_replayed");
    hospital.running.shutdown().await;
}

// R42
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_still_holds_state_cannot_be_erased() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device: DeviceId = hospital.register(record("P-1")).await.unwrap();
    let events: Vec<lanyard_api::operator::EventLine> =
        hospital.look(&hospital.security, &format!("/v1/devices/{device}/events")).await.unwrap();
    let action = Action::ErasePayload { pos: events[0].pos, legal_basis: "GDPR Art. 17".into() };
    assert_eq!(hospital.decide(&hospital.admin, action).await.unwrap_err().code(), "payload_in_use");
    let removed = Action::RemoveOperator { operator: hospital.registrar.id };
    hospital.decide(&hospital.admin, removed).await.unwrap();
    let pos = hospital.running.state.control.world().operator_pos[&hospital.registrar.id];
    let action = Action::ErasePayload { pos, legal_basis: "GDPR Art. 17".into() };
    hospital.decide(&hospital.admin, action).await.unwrap();
    let store = hospital.running.state.control.journal.store().clone();
    assert!(store.event(pos).await.unwrap().unwrap().payload.is_none());
    hospital.running.shutdown().await;
    let report = lanyard_store::check(&dir.path().join("log"), &lanyard_store::Trust::default());
    assert!(report.is_ok(), "{:?}", report.err());
}

// R42, I11: what ended someone's rights is not erasable, or a restart would give them back.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_rights_cannot_be_erased() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let removed = Action::RemoveOperator { operator: hospital.registrar.id };
    let removal = hospital.decide(&hospital.admin, removed).await.unwrap().pos;
    let device = hospital.register(record("P-1")).await;
    assert_eq!(device.unwrap_err().code(), "operator_unknown");
    let action = Action::ErasePayload { pos: removal, legal_basis: "GDPR Art. 17".into() };
    assert_eq!(hospital.decide(&hospital.admin, action).await.unwrap_err().code(), "payload_in_use");
    hospital.running.shutdown().await;
}

// I1: two admins who remove each other at the same moment leave one.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_however_fast_two_are() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let second = person();
    let action = adding(&second, vec![Role::Admin]);
    hospital.decide(&hospital.admin, action).await.unwrap();
    let (one, other) = tokio::join!(
        hospital.decide(&hospital.admin, Action::RemoveOperator { operator: second.id }),
        hospital.decide(&second, Action::RemoveOperator { operator: hospital.admin.id }),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let admins = {
        let world = hospital.running.state.control.world();
        world.operators.values().filter(|o| o.may(&[Role::Admin])).count()
    };
    assert_eq!(admins, 1);
    hospital.running.shutdown().await;
}

// I1: what a removed person approved still counts, so whoever removes them hears what that is.
#[tokio::test(flavor = "multi_thread")]
async fn who_removes_a_person_hears_what_they_left_half_decided() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let half = hospital.register(record("P-1")).await.unwrap();
    let role = Role::Security;
    hospital.decide(&hospital.security, Action::ApproveDevice { device: half, role }).await.unwrap();
    let whole = hospital.admitted("P-2").await;
    let name = "forgotten".to_owned();
    let (purpose, keys) = (AuthorityPurpose::Devices, KeyStore::Sealed);
    let action = Action::CreateAuthority { name, purpose, site: None, keys };
    hospital.decide(&hospital.security, action).await.unwrap();

    let removed = async |who: &Person| {
        let action = Action::RemoveOperator { operator: who.id };
        hospital.decide(&hospital.admin, action).await.unwrap().outcome
    };
    let said = removed(&hospital.security).await;
    assert!(said.contains(&half.to_string()) && said.contains("approved as security"), "{said}");
    assert!(said.contains("authority `forgotten`, ordered"), "{said}");
    assert!(!said.contains(&whole.to_string()), "{said}");
    let said = removed(&hospital.registrar).await;
    assert!(said.contains(&format!("device {half}")) && said.contains(", registered"), "{said}");
    assert!(!said.contains(&whole.to_string()), "{said}");
    assert_eq!(
        removed(&hospital.biomed).await,
        format!("operator {} has no rights any more", hospital.biomed.id)
    );
    // Who comes back under the same name may be the same person, who would then pass for two.
    let added = async |name: &str| {
        let again = person();
        let (operator, public_key) = (again.id, again.key.public_key());
        let (name, roles) = (name.to_owned(), vec![Role::Registrar]);
        let action = Action::AddOperator { operator, name, roles, public_key };
        hospital.decide(&hospital.admin, action).await.unwrap().outcome
    };
    let said = added("Registrar Person").await;
    assert!(said.contains(&format!("the removed operator {}", hospital.registrar.id)), "{said}");
    assert!(!added("Somebody else").await.contains("removed"));
    hospital.running.shutdown().await;
}

// R10, R99
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let second = person();
    let action = adding(&second, vec![Role::Auditor, Role::Security, Role::Auditor]);
    let refused = hospital.decide(&hospital.admin, action).await.unwrap_err();
    assert!(refused.detail.contains("roles") && refused.detail.contains("`auditor`"), "{refused:?}");
    assert!(!hospital.running.state.control.world().operators.contains_key(&second.id));
    hospital.running.shutdown().await;
}

/// The same person with another key.
fn another_key(who: &Person) -> Person {
    Person { id: who.id, ..person() }
}

fn replace(old: &Person, new: &Person) -> Action {
    Action::ReplaceOperatorKey { operator: old.id, public_key: new.key.public_key() }
}

// I1: who has another key is not another person.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_new_key_cannot_approve_what_she_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let uma = person();
    let action = Action::AddOperator {
        operator: uma.id,
        name: "Uma".into(),
        roles: vec![Role::Registrar, Role::Security, Role::Biomedical],
        public_key: uma.key.public_key(),
    };
    hospital.decide(&hospital.admin, action).await.unwrap();
    let approve = |device, role| Action::ApproveDevice { device, role };
    let hers = DeviceId::from_random(random());
    let action = Action::RegisterDevice { device: hers, record: record("U-1") };
    hospital.decide(&uma, action).await.unwrap();
    let other = hospital.register(record("P-1")).await.unwrap();
    hospital.decide(&uma, approve(other, Role::Security)).await.unwrap();

    let now = another_key(&uma);
    let early = hospital.decide(&now, approve(hers, Role::Security)).await.unwrap_err();
    assert_eq!(early.code(), "signature_invalid");
    let replaced = hospital.decide(&hospital.admin, replace(&uma, &now)).await.unwrap();

    // The old key is good for nothing, at once.
    let old = hospital.decide(&uma, Action::QuarantineDevice { device: other }).await.unwrap_err();
    assert_eq!((old.code(), old.status), ("signature_invalid", 401));
    let read = hospital.look::<Vec<DeviceLine>>(&uma, "/v1/devices").await.unwrap_err();
    assert_eq!(read.code(), "signature_invalid");

    // The new one is hers, as are her request and her approval.
    let own = hospital.decide(&now, approve(hers, Role::Security)).await.unwrap_err();
    assert_eq!(own.code(), "requester_cannot_approve");
    let twice = hospital.decide(&now, approve(other, Role::Biomedical)).await.unwrap_err();
    assert_eq!(twice.code(), "one_person_one_role");
    hospital.decide(&hospital.biomed, approve(other, Role::Biomedical)).await.unwrap();
    hospital.decide(&now, Action::QuarantineDevice { device: other }).await.unwrap();

    // Without the replacement a restart would accept the old key.
    let erase = Action::ErasePayload { pos: replaced.pos, legal_basis: "GDPR Art. 17".into() };
    assert_eq!(hospital.decide(&hospital.admin, erase).await.unwrap_err().code(), "payload_in_use");

    // Exported now, with her approval by the old key and her quarantine by the new one.
    let request = EvidenceRequest::Device { device: other, at: hospital.clock.now() };
    let body = serde_json::to_vec(&request).unwrap();
    let path = "/v1/evidence/claim";
    let target: http::Uri = path.parse().unwrap();
    let (post, at) = (http::Method::POST, hospital.clock.now());
    let headers = sign_request(now.id, &now.key, &post, &target, at, random(), &body);
    let offered: EvidenceClaim =
        hospital.channel().await.call_json(post.clone(), path, &headers, body).await.unwrap();
    let action = Action::ExportEvidence { device: other, claim_sha256: offered.claim_sha256 };
    let statement = sign_statement(&hospital.statement(&now, action), &now.key).unwrap();
    let export = EvidenceExport { claim: offered.claim, statement };
    let file: EvidenceFile =
        hospital.channel().await.call(post, "/v1/evidence/bundle", Some(&export)).await.unwrap();
    let report = lanyard_control::evidence::verify(&file.bundle.0, &Default::default());
    assert_eq!(report.flaw, None);
    let signatures = report.check("signatures").unwrap();
    assert!(matches!(signatures.result, CheckResult::Passed), "{signatures:?}");
    hospital.running.shutdown().await;
}

// I1
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_by_another_admin_with_one_that_was_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    let new = another_key(&hospital.security);
    let code = async |who: &Person, action| hospital.decide(who, action).await.unwrap_err().code().to_owned();

    assert_eq!(code(&hospital.biomed, replace(&hospital.security, &new)).await, "role_missing");
    assert_eq!(code(&hospital.admin, replace(&hospital.admin, &new)).await, "own_key");
    let taken = Action::ReplaceOperatorKey {
        operator: hospital.security.id,
        public_key: hospital.biomed.key.public_key(),
    };
    assert_eq!(code(&hospital.admin, taken).await, "operator_exists");
    assert_eq!(code(&hospital.admin, replace(&person(), &new)).await, "not_found");

    hospital.decide(&hospital.admin, replace(&hospital.security, &new)).await.unwrap();
    // The former key is nobody's again: not hers, not another's, not a new operator's.
    assert_eq!(code(&hospital.admin, replace(&new, &hospital.security)).await, "operator_exists");
    let back = Action::ReplaceOperatorKey {
        operator: hospital.biomed.id,
        public_key: hospital.security.key.public_key(),
    };
    assert_eq!(code(&hospital.admin, back).await, "operator_exists");
    let added = Action::AddOperator {
        operator: person().id,
        name: "Second".into(),
        roles: vec![Role::Security],
        public_key: hospital.security.key.public_key(),
    };
    assert_eq!(code(&hospital.admin, added).await, "operator_exists");

    // Who left gets no key.
    hospital.decide(&hospital.admin, Action::RemoveOperator { operator: hospital.biomed.id }).await.unwrap();
    let late = another_key(&hospital.biomed);
    assert_eq!(code(&hospital.admin, replace(&hospital.biomed, &late)).await, "not_found");

    hospital.security = new;
    hospital.register(record("P-1")).await.unwrap();
    hospital.running.shutdown().await;
    let report = lanyard_store::check(&dir.path().join("log"), &lanyard_store::Trust::default());
    assert!(report.is_ok(), "{:?}", report.err());
}

// I12
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_send_megabytes_to_introduce_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    for path in ["/v1/bootstrap", "/v1/enroll/begin", "/v1/gateway/certificate"] {
        let mut channel = hospital.channel().await;
        let body = "x".repeat(200 << 10);
        let answer = channel.call::<_, Recorded>(http::Method::POST, path, Some(&body)).await;
        // The server does not read on: the answer may arrive, or the end of the connection before it.
        match answer {
            Err(CallError::Refused(problem)) => assert_eq!(problem.code(), "body_too_large", "{path}"),
            Err(CallError::Unavailable { .. }) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    hospital.running.shutdown().await;
}
