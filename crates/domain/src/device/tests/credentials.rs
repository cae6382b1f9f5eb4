//! Secrets, keys outside of TPMs, what each tier asks for, revocation, renewal after the end.

use super::*;
use crate::event::RevocationReason;
use crate::id::SecretId;

const DAY: i64 = 86_400;

fn secret(n: u8) -> SecretId {
    SecretId::from_random([n; 5])
}

fn approved(tier: Tier) -> Life {
    let mut life = Life::registered();
    life.device.record.tier = tier;
    life.approve(2, Role::Security).unwrap();
    life.approve(3, Role::Biomedical).unwrap();
    life
}

fn on(basis: Basis, n: u8) -> Command<'static> {
    let mut command = intend(n);
    if let Command::IntendIssuance { basis: b, .. } = &mut command {
        *b = basis;
    }
    command
}

fn give_secret(life: &mut Life, n: u8, seconds: i64) -> Result<(), &'static str> {
    let by = operator(2, &[Role::Security]);
    let expires = life.now.plus_seconds(seconds);
    life.try_as(by.id, Command::IssueSecret { by: &by, secret: secret(n), expires, statement: signed() })
}

fn use_secret(n: u8, key: u8) -> Command<'static> {
    Command::UseSecret { secret: secret(n), spki_sha256: Digest([key; 32]) }
}

fn maker(n: u8) -> Command<'static> {
    Command::BindMakerKey {
        format: "idevid".into(),
        key: MakerIdentity { key_sha256: Digest([n; 32]), grade: None },
        certificate_sha256: Digest([1; 32]),
        endorsement_sha256: Digest([2; 32]),
    }
}

fn by_secret(tier: Tier) -> Life {
    let mut life = approved(tier);
    give_secret(&mut life, 1, DAY).unwrap();
    life.try_(use_secret(1, 1)).unwrap();
    life.try_(on(Basis::Credential, 1)).unwrap();
    let now = life.now;
    life.try_(certify(1, now)).unwrap();
    life
}

// R36: no shared credential: a secret is one device's, one time, for one key, and it ends.
#[test]
fn a_secret_is_good_once_for_one_key_and_ends() {
    let mut life = approved(Tier::Low);
    assert_eq!(life.try_(use_secret(1, 1)), Err("secret_unknown"));
    give_secret(&mut life, 1, DAY).unwrap();
    life.try_(use_secret(1, 1)).unwrap();
    assert_eq!(life.try_(use_secret(1, 1)), Ok(()), "the same key asks again: its answer was lost");
    assert_eq!(life.try_(use_secret(1, 2)), Err("secret_used"));
    give_secret(&mut life, 2, DAY).unwrap();
    assert_eq!(life.try_(use_secret(1, 1)), Err("secret_unknown"), "a newer one was made");
    life.now = life.now.plus_seconds(DAY + 1);
    assert_eq!(life.try_(use_secret(2, 3)), Err("secret_expired"));
}

// R57, I5: what has no TPM proves no state, however good the evidence is that is shown in its name.
#[test]
fn evidence_of_a_device_without_a_tpm_is_refused() {
    for mut life in [by_secret(Tier::Low), approved(Tier::Low)] {
        let evidence = facts(1, Appraisal::Affirming);
        assert_eq!(life.try_(Command::RecordAppraisal(evidence)), Err("no_attestation_key"));
        assert_eq!(life.verdict(), Verdict::Untrusted);
    }
}

// R36, R49: what was revoked does not come back by the secret that gave it.
#[test]
fn a_secret_gives_no_second_certificate() {
    let mut life = by_secret(Tier::Low);
    assert_eq!(life.try_(use_secret(1, 1)), Err("secret_used"));
    give_secret(&mut life, 2, DAY).unwrap();
    life.try_(use_secret(2, 1)).unwrap();
    life.try_(on(Basis::Credential, 2)).unwrap();
    let issuance = IssuanceId::from_bytes([2; 16]);
    life.try_(Command::AbandonIssuance { issuance, why: "the control plane stopped".into() }).unwrap();
    assert_eq!(
        life.try_(use_secret(2, 1)),
        Ok(()),
        "intended is not issued: a crash in between costs no secret"
    );
}

// I3: the same request twice at once is one certificate, whoever of the two is answered first.
#[test]
fn a_secret_gives_nothing_else_while_its_certificate_is_being_made() {
    let mut life = approved(Tier::Low);
    give_secret(&mut life, 1, DAY).unwrap();
    life.try_(use_secret(1, 1)).unwrap();
    assert_eq!(
        life.try_(use_secret(1, 1)),
        Ok(()),
        "used and given up, or its answer to a wish for hardware was lost"
    );
    life.try_(on(Basis::Credential, 1)).unwrap();
    assert_eq!(life.try_(use_secret(1, 1)), Err("being_issued"));
    assert_eq!(life.try_(use_secret(1, 2)), Err("secret_used"), "another key is another matter");
    let issuance = IssuanceId::from_bytes([1; 16]);
    life.try_(Command::AbandonIssuance { issuance, why: "the key store is away".into() }).unwrap();
    assert_eq!(life.try_(use_secret(1, 1)), Ok(()));
}

// R36: a device that lost its power between the answer and its confirmation needs nobody to come by.
#[test]
fn a_secret_whose_certificate_was_never_taken_gives_the_same_key_another() {
    let give_up = |reason| Command::RevokeOwn { serial: "01".into(), reason };
    let mut untaken = by_secret(Tier::Low);
    untaken.try_(give_up(RevocationReason::GivenUp)).unwrap();
    assert_eq!(untaken.try_(use_secret(1, 2)), Err("secret_used"), "another key");
    assert_eq!(untaken.try_(use_secret(1, 1)), Ok(()));
    let mut stolen = by_secret(Tier::Low);
    stolen.try_(give_up(RevocationReason::Compromised)).unwrap();
    assert_eq!(stolen.try_(use_secret(1, 1)), Err("secret_used"));
    let mut used = by_secret(Tier::Low);
    used.try_(Command::SeeCertificate { serial: "01".into() }).unwrap();
    used.try_(give_up(RevocationReason::GivenUp)).unwrap();
    assert_eq!(used.try_(use_secret(1, 1)), Err("secret_used"));
}

#[test]
fn a_secret_is_made_by_the_right_people_for_a_bounded_time() {
    let mut life = approved(Tier::Low);
    for seconds in [0, -1, LONGEST_SECRET_SECONDS + 1] {
        assert_eq!(give_secret(&mut life, 1, seconds), Err("secret_lifetime"), "{seconds}");
    }
    let auditor = operator(9, &[Role::Auditor]);
    let expires = life.now.plus_seconds(60);
    let command = Command::IssueSecret { by: &auditor, secret: secret(1), expires, statement: signed() };
    assert_eq!(life.try_as(auditor.id, command), Err("role_missing"));
}

// I1: a device that is only registered may hold a secret and is told to wait.
#[test]
fn a_secret_before_the_approvals_gives_no_certificate() {
    let mut life = Life::registered();
    life.device.record.tier = Tier::Low;
    give_secret(&mut life, 1, DAY).unwrap();
    life.try_(use_secret(1, 1)).unwrap();
    assert_eq!(life.try_(on(Basis::Credential, 1)), Err("not_approved"));
    assert!(WAITS_FOR_A_PERSON.contains(&"not_approved"));
}

// R66: attestation strength follows the tier.
#[test]
fn each_tier_asks_for_its_proof() {
    for (tier, by_soft_key, by_makers_key) in [
        (Tier::Low, Ok(()), Ok(())),
        (Tier::Standard, Ok(()), Ok(())),
        (Tier::High, Err("key_too_weak_for_tier"), Ok(())),
        (Tier::Critical, Err("key_too_weak_for_tier"), Err("attest_first")),
    ] {
        let mut soft = approved(tier);
        give_secret(&mut soft, 1, DAY).unwrap();
        soft.try_(use_secret(1, 1)).unwrap();
        assert_eq!(soft.try_(on(Basis::Credential, 1)), by_soft_key, "{tier}");
        let mut hard = approved(tier);
        hard.try_(maker(1)).unwrap();
        assert_eq!(hard.try_(on(Basis::HardwareKey, 1)), by_makers_key, "{tier}");
    }
}

// R11, I5: a certificate says who, not whether.
#[test]
fn a_certificate_without_evidence_makes_nobody_trusted() {
    let life = by_secret(Tier::Low);
    assert_eq!(life.device.stage, Stage::Enrolled);
    assert_eq!(crate::trust::strength(&life.device, life.now), Strength::SoftKey);
    assert_eq!(life.verdict(), Verdict::Untrusted);
}

// R38, I2: who copied a certificate's key does not get a certificate for a key of their own.
#[test]
fn a_new_key_of_a_device_with_hardware_needs_the_hardware() {
    let mut life = Life::in_service();
    life.device.record.tier = Tier::Low;
    assert_eq!(life.try_(on(Basis::Credential, 2)), Err("new_key_not_in_hardware"));
    assert_eq!(life.try_(on(Basis::Credential, 1)), Ok(()), "the key of its current certificate");
    give_secret(&mut life, 1, DAY).unwrap();
    life.try_(use_secret(1, 3)).unwrap();
    assert!(life.device.identity.as_ref().unwrap().tpm().is_some(), "a secret replaces no hardware");
    assert_eq!(life.try_(on(Basis::Credential, 3)), Err("new_key_not_in_hardware"));
}

// R57, R60: renewal always re-attests.
#[test]
fn a_device_with_a_tpm_renews_only_with_fresh_evidence() {
    let mut life = Life::in_service();
    life.device.record.tier = Tier::Standard;
    life.now = life.now.plus_seconds(Tier::Standard.rules().fresh_seconds + 1);
    assert_eq!(life.try_(on(Basis::Credential, 1)), Err("attest_first"));
    life.try_(Command::RecordAppraisal(facts(2, Appraisal::Affirming))).unwrap();
    assert_eq!(life.try_(on(Basis::Credential, 1)), Ok(()));
}

// R39, I2
#[test]
fn hardware_takes_the_place_of_a_file_and_never_the_other_way_round() {
    let mut life = by_secret(Tier::Low);
    assert_eq!(life.try_(maker(5)), Err("hardware_not_vouched_for"), "any board of the maker could come");
    assert_eq!(life.try_(bind(5)), Err("hardware_not_vouched_for"));
    give_secret(&mut life, 2, DAY).unwrap();
    life.try_(maker(5)).unwrap();
    assert_eq!(life.try_(maker(5)), Ok(()));
    assert_eq!(life.try_(maker(6)), Err("other_hardware"));
    assert_eq!(life.try_(bind(6)), Err("other_hardware"));
    let mut purchased = approved(Tier::Low);
    purchased.device.record.ek_sha256 = Some(Digest([9; 32]));
    assert_eq!(purchased.try_(maker(1)), Err("not_the_purchased_hardware"));
}

// R49
#[test]
fn a_revoked_device_has_no_credential_and_gets_none_until_it_is_released() {
    let mut life = by_secret(Tier::Low);
    let person = operator(2, &[Role::Security]);
    let revoke = || Command::Revoke { by: &person, reason: RevocationReason::Stolen, statement: signed() };
    let nobody = operator(9, &[Role::Registrar]);
    let by_nobody = Command::Revoke { by: &nobody, reason: RevocationReason::Stolen, statement: signed() };
    assert_eq!(life.try_as(nobody.id, by_nobody), Err("role_missing"));
    life.try_as(person.id, revoke()).unwrap();
    assert!(life.device.certificates.is_empty() && life.device.former.len() == 1);
    assert!(matches!(life.device.stage, Stage::Quarantined { .. }));
    assert_eq!(life.try_(on(Basis::Credential, 1)), Err("revoked"));
    assert_eq!(life.try_(bind(1)), Err("revoked"));
    assert_eq!(life.try_as(person.id, revoke()), Err("revoked"));
    life.try_as(person.id, Command::Release { by: &person, statement: signed() }).unwrap();
    assert_eq!(life.try_(on(Basis::Credential, 1)), Err("key_compromised"), "a thief had the key");
    assert_eq!(life.try_(on(Basis::Credential, 2)), Ok(()));
}

// R49
#[test]
fn single_certificates_are_revoked_and_the_device_may_have_others() {
    let mut life = by_secret(Tier::Low);
    let person = operator(2, &[Role::Biomedical]);
    let revoke = |serials: Vec<String>| Command::RevokeCertificates {
        by: &person,
        serials,
        reason: RevocationReason::Compromised,
        statement: signed(),
    };
    assert_eq!(life.try_(revoke(vec!["99".into()])), Err("certificate_not_current"));
    assert_eq!(life.try_(revoke(vec![])), Err("no_certificate_named"));
    life.try_(revoke(vec!["01".into()])).unwrap();
    assert!(life.device.certificates.is_empty());
    assert_eq!(life.try_(on(Basis::Credential, 2)), Ok(()));
}

// R49: what a device gives up needs no person, and only what it has can be given up.
#[test]
fn a_device_gives_one_of_its_certificates_up_and_keeps_its_identity() {
    let mut life = by_secret(Tier::Low);
    life.try_(on(Basis::Credential, 2)).unwrap();
    let now = life.now;
    life.try_(certify(2, now)).unwrap();
    let give_up =
        |serial: &str| Command::RevokeOwn { serial: serial.into(), reason: RevocationReason::GivenUp };
    assert_eq!(life.try_(give_up("99")), Err("certificate_not_current"));
    life.try_(give_up("02")).unwrap();
    assert_eq!(life.try_(give_up("02")), Err("certificate_not_current"), "once");
    let kept: Vec<&str> = life.device.certificates.iter().map(|c| c.serial.as_str()).collect();
    assert_eq!(kept, ["01"]);
    assert_eq!(life.device.barred, None);
    assert_eq!(life.try_(on(Basis::Credential, 2)), Ok(()), "it may have another");
}

// I12
#[test]
fn a_device_in_a_loop_gets_so_many_certificates_and_no_more() {
    let mut life = by_secret(Tier::Low);
    for n in 2..=32 {
        life.try_(on(Basis::Credential, n)).unwrap();
        let now = life.now;
        life.try_(certify(n, now)).unwrap();
    }
    // Evidence is no reason for more: an agent that loses its state at each start is a loop too.
    for basis in [Basis::Credential, Basis::Evidence] {
        assert_eq!(life.try_(on(basis, 33)), Err("too_many_certificates"));
    }
    life.try_(Command::RevokeOwn { serial: "02".into(), reason: RevocationReason::GivenUp }).unwrap();
    assert_eq!(life.try_(on(Basis::Credential, 33)), Ok(()));
}

// R43, R51: a device that was switched off comes back, by tier with a person's word.
#[test]
fn renewal_after_the_end_needs_a_person_for_the_upper_tiers() {
    for (tier, by_itself) in
        [(Tier::Low, Ok(())), (Tier::Standard, Ok(())), (Tier::High, Err("late_renewal_not_allowed"))]
    {
        let mut life = approved(tier);
        life.try_(maker(1)).unwrap();
        life.try_(on(Basis::HardwareKey, 1)).unwrap();
        let now = life.now;
        life.try_(certify(1, now)).unwrap();
        let ended = life.device.certificates[0].not_after;
        life.now = ended.plus_seconds(DAY);
        let late = || on(Basis::EndedCertificate { ended }, 1);
        assert_eq!(life.try_(late()), by_itself, "{tier}");
        let person = operator(2, &[Role::Security]);
        let allow = |until| Command::AllowLateRenewal { by: &person, until, statement: signed() };
        assert_eq!(life.try_(allow(life.now.plus_seconds(-1))), Err("allowance_lifetime"));
        life.try_(allow(life.now.plus_seconds(DAY))).unwrap();
        assert_eq!(life.try_(late()), Ok(()), "{tier}");
        life.now = ended.plus_seconds(LATE_RENEWAL_SECONDS + 1);
        assert_eq!(life.try_(late()), Err("ended_too_long_ago"));
    }
}

// R44, I7: the answer to a late renewal was lost: the ended certificate is enough once more, for a day, and the person's word too.
#[test]
fn a_late_renewal_whose_answer_was_lost_is_asked_for_again() {
    for (tier, needs_a_person) in [(Tier::Standard, false), (Tier::High, true)] {
        let mut life = approved(tier);
        life.try_(maker(1)).unwrap();
        life.try_(on(Basis::HardwareKey, 1)).unwrap();
        let now = life.now;
        life.try_(certify(1, now)).unwrap();
        life.try_(Command::SeeCertificate { serial: "01".into() }).unwrap();
        let ended = life.device.certificates[0].not_after;
        life.now = ended.plus_seconds(DAY);
        if needs_a_person {
            let person = operator(2, &[Role::Security]);
            let until = life.now.plus_seconds(3 * DAY);
            life.try_(Command::AllowLateRenewal { by: &person, until, statement: signed() }).unwrap();
        }
        let late_with = |n, key: u8| {
            let mut command = on(Basis::EndedCertificate { ended }, n);
            if let Command::IntendIssuance { spki_sha256, .. } = &mut command {
                *spki_sha256 = Digest([key; 32]);
            }
            command
        };
        for n in [2, 3] {
            life.now = life.now.plus_seconds(60);
            life.try_(late_with(n, 1)).unwrap();
            let now = life.now;
            life.try_(certify(n, now)).unwrap();
            assert!(life.device.certificates.iter().any(|c| c.serial == "01"), "{tier}: what it has to show");
        }
        let lost = life.device.clone();
        life.try_(Command::SeeCertificate { serial: "03".into() }).unwrap();
        assert_eq!(life.try_(late_with(4, 3)), Err("not_its_last_certificate"), "{tier}");
        let kept: Vec<&str> = life.device.certificates.iter().map(|c| c.serial.as_str()).collect();
        assert_eq!(kept, ["02", "03"], "{tier}: the ended one is gone with the first use of its successor");
        // What nobody was seen with is no way in for whoever finds the old key later.
        life.device = lost;
        life.now = life.now.plus_seconds(DAY + 600);
        assert_eq!(life.try_(late_with(4, 1)), Err("not_its_last_certificate"), "{tier}");
    }
}

// R44: the old certificate stays good until the new one was seen in use.
#[test]
fn an_old_certificate_ends_only_after_the_new_one_was_seen() {
    let mut life = by_secret(Tier::Low);
    life.now = life.now.plus_seconds(60);
    life.try_(on(Basis::Credential, 2)).unwrap();
    let now = life.now;
    life.try_(certify(2, now)).unwrap();
    let supersede = || Command::Supersede { serials: vec!["01".into(), "02".into()] };
    life.try_(supersede()).unwrap();
    assert_eq!(life.device.certificates.len(), 2, "the new one was not seen yet");
    life.try_(Command::SeeCertificate { serial: "01".into() }).unwrap();
    life.try_(supersede()).unwrap();
    assert_eq!(life.device.certificates.len(), 2, "the old one is still what it uses");
    life.try_(Command::SeeCertificate { serial: "02".into() }).unwrap();
    let seen = life.log.len();
    life.try_(Command::SeeCertificate { serial: "02".into() }).unwrap();
    assert_eq!(life.log.len(), seen, "seen once is enough");
    life.try_(supersede()).unwrap();
    let kept: Vec<&str> = life.device.certificates.iter().map(|c| c.serial.as_str()).collect();
    assert_eq!(kept, ["02"]);
}

// R44, I7: a device that has a certificate for its network port and one for TLS keeps both.
#[test]
fn a_certificate_for_another_use_takes_nobodys_place() {
    let mut life = by_secret(Tier::Low);
    for (n, profile) in [(2, "network-port"), (3, "network-port")] {
        life.now = life.now.plus_seconds(60);
        let mut command = on(Basis::Credential, n);
        if let Command::IntendIssuance { profile: by, .. } = &mut command {
            *by = profile.into();
        }
        life.try_(command).unwrap();
        let now = life.now;
        life.try_(certify(n, now)).unwrap();
        life.try_(Command::SeeCertificate { serial: format!("{n:02x}") }).unwrap();
    }
    life.try_(Command::Supersede { serials: vec!["01".into(), "02".into(), "03".into()] }).unwrap();
    let kept: Vec<&str> = life.device.certificates.iter().map(|c| c.serial.as_str()).collect();
    assert_eq!(kept, ["01", "03"]);
}

// RFC 5280 5.3.1
#[test]
fn reasons_of_revocation_have_their_codes_and_names() {
    for reason in RevocationReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        assert!((1..=5).contains(&reason.crl_reason()));
    }
    assert!("expired".parse::<RevocationReason>().is_err());
}

// R36: an account is bound by a secret that nothing else was given for; it is no identity.
#[test]
fn a_secret_binds_one_account_and_no_key() {
    let mut life = approved(Tier::Standard);
    give_secret(&mut life, 1, DAY).unwrap();
    let bind =
        |n| Command::BindAccount { secret: secret(1), account_sha256: Digest([n; 32]), jwk: "{}".into() };
    life.try_(bind(7)).unwrap();
    assert_eq!(life.device.identity, None);
    assert_eq!(life.try_(bind(8)), Err("secret_used"));
    assert_eq!(life.try_(use_secret(1, 1)), Err("secret_used"));
    assert_eq!(life.try_(on(Basis::HardwareKey, 1)), Err("no_identity"));
    let mut other = by_secret(Tier::Low);
    assert_eq!(other.try_(bind(1)), Err("secret_used"), "it gave a certificate for another key");
}

// RFC 5280 5.3.1: a holder speaks of its own key, not of authorities, and nothing is revoked for a while.
#[test]
fn a_holder_gives_reasons_that_are_a_holders() {
    let by_holder = |code| RevocationReason::by_holder(code).map(RevocationReason::as_str);
    for (code, reason) in
        [(0, "given_up"), (1, "compromised"), (3, "transferred"), (4, "superseded"), (9, "given_up")]
    {
        assert_eq!(by_holder(code), Some(reason), "{code}");
    }
    for code in [2, 6, 7, 8, 10, 255] {
        assert_eq!(by_holder(code), None, "{code}");
    }
}
