use super::*;
use crate::path::Rule;
use crate::testing::{self, Draft, Installation, Issued, NOW};

const DAY: i64 = 86_400;

fn expired(a: &Installation, edit: impl FnOnce(&mut Draft)) -> Issued {
    a.forge(|d| {
        d.not_before = NOW.plus_seconds(-30 * DAY);
        d.not_after = NOW.plus_seconds(-23 * DAY);
        edit(d);
    })
}

fn check(a: &Installation, issued: &Issued, anchors: &[&Installation]) -> Result<ExpiredChain, PathError> {
    let roots = anchors.iter().map(|i| i.authority.root.certificate().clone()).collect();
    let chain = [issued.certificate.der().clone(), a.authority.issuing.certificate().der().clone()];
    validate_expired(&chain, &Anchors::new(roots).unwrap(), Purpose::Client, NOW)
}

// R44: renewal after expiry begins with knowing whose certificate it was.
#[test]
fn an_expired_certificate_of_ours_names_its_device() {
    let a = Installation::at(NOW.plus_seconds(-60 * DAY));
    let found = check(&a, &expired(&a, |_| {}), &[&a]).unwrap();
    assert_eq!(found.identity(), PeerIdentity::Device(testing::device_id()));
    assert_eq!(found.expired_seconds(), 23 * DAY);
    let just = expired(&a, |d| d.not_after = NOW.plus_seconds(-1));
    assert_eq!(check(&a, &just, &[&a]).unwrap().expired_seconds(), 1);
}

#[test]
fn what_is_not_expired_is_not_taken_for_expired() {
    let a = Installation::at(NOW.plus_seconds(-60 * DAY));
    let last_second = expired(&a, |d| d.not_after = NOW);
    assert_eq!(check(&a, &last_second, &[&a]).unwrap_err(), PathError::NotExpired);
    let early = expired(&a, |d| {
        d.not_before = NOW.plus_seconds(5);
        d.not_after = NOW.plus_seconds(10);
    });
    assert_eq!(check(&a, &early, &[&a]).unwrap_err(), PathError::NotExpired);
}

#[test]
fn being_expired_excuses_nothing_else() {
    let a = Installation::at(NOW.plus_seconds(-60 * DAY));
    let foreign = Installation::at(NOW.plus_seconds(-60 * DAY));
    assert_eq!(check(&foreign, &expired(&foreign, |_| {}), &[&a]).unwrap_err(), PathError::UnknownIssuer);
    for (rule, issued) in [
        (Rule::ForeignNames, expired(&a, |d| d.remove("names"))),
        (Rule::PurposeNotNamed, expired(&a, |d| d.remove("purposes"))),
        (Rule::RevocationUnknown, expired(&a, |d| d.remove("no_rev_avail"))),
    ] {
        assert_eq!(check(&a, &issued, &[&a]).unwrap_err(), PathError::Refused { position: 0, rule });
    }
    let reversed = expired(&a, |d| d.not_before = NOW.plus_seconds(-DAY));
    assert!(check(&a, &reversed, &[&a]).is_err());
}

// An authority of ten years that ended a month ago: its key may be anywhere by now.
#[test]
fn an_issuer_that_ended_meanwhile_vouches_for_nothing() {
    let old = Installation::at(NOW.plus_seconds(-3 * 365 * DAY - 400 * DAY));
    let issuing = old.authority.issuing.certificate();
    let root = old.authority.root.certificate();
    let ended = issuing.not_after().min(root.not_after());
    let now = ended.plus_seconds(10 * DAY);
    let issued = old.forge(|d| {
        d.not_before = ended.plus_seconds(-2 * DAY);
        d.not_after = ended.plus_seconds(-DAY);
    });
    let chain = [issued.certificate.der().clone(), issuing.der().clone()];
    let anchors = Anchors::new(vec![root.clone()]).unwrap();
    let before = validate_expired(&chain, &anchors, Purpose::Client, ended);
    assert_eq!(before.unwrap().expired_seconds(), DAY);
    let refused = validate_expired(&chain, &anchors, Purpose::Client, now).unwrap_err();
    assert!(matches!(refused, PathError::Expired { .. } | PathError::AnchorOutsideValidity), "{refused:?}");
}
