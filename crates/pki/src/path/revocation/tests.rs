use rustls_pki_types::CertificateDer;

use super::*;
use crate::path::generic::{AnchoredPath, Policy, Strictness, Usage, validate};
use crate::path::{Anchors, Purpose};
use crate::testing::{self, Installation, Issued, List, NOW};
use crate::write::Critical;

const SHARD: &str = "http://crl.example/7.crl";

/// A maker's certificate: revocable, by the installation's authority in the maker's role.
fn revocable(a: &Installation) -> Issued {
    a.forge(|d| d.remove("no_rev_avail"))
}

fn sharded(a: &Installation) -> Issued {
    a.forge(|d| {
        d.remove("no_rev_avail");
        d.set("crl", testing::distribution_point(SHARD));
    })
}

fn check(a: &Installation, issued: &Issued, crls: &[Crl]) -> Result<AnchoredPath, PathError> {
    let anchors = Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap();
    let chain: Vec<CertificateDer<'_>> =
        vec![issued.certificate.der().clone(), a.authority.issuing.certificate().der().clone()];
    let policy = Policy {
        strictness: Strictness::Maker,
        revocation: Revocation::Crls(crls),
        ..Policy::strict(Usage::TlsIfNamed(Purpose::Client), NOW)
    };
    validate(&chain, &anchors, &policy)
}

fn of_issuing(a: &Installation, list: &List) -> Crl {
    Crl::parse(&list.sign(&a.keys, &a.authority.issuing)).unwrap()
}

fn of_root(a: &Installation, revoked: &[&Certificate]) -> Crl {
    Crl::parse(&List::of(revoked).sign(&a.keys, &a.authority.root)).unwrap()
}

#[test]
fn a_certificate_on_the_list_of_its_issuer_is_refused() {
    let a = Installation::new();
    let (good, bad) = (revocable(&a), revocable(&a));
    let crls = [of_root(&a, &[]), of_issuing(&a, &List::of(&[&bad.certificate]))];
    assert!(check(&a, &good, &crls).is_ok());
    assert_eq!(check(&a, &bad, &crls).unwrap_err(), PathError::Revoked);
}

#[test]
fn a_revoked_authority_takes_its_certificates_with_it() {
    let a = Installation::new();
    let crls = [of_root(&a, &[a.authority.issuing.certificate()]), of_issuing(&a, &List::of(&[]))];
    assert_eq!(check(&a, &revocable(&a), &crls).unwrap_err(), PathError::Revoked);
    // Also those that need no list for themselves.
    assert_eq!(check(&a, &a.forge(|_| {}), &crls).unwrap_err(), PathError::Revoked);
}

#[test]
fn without_a_list_for_each_certificate_the_status_is_unknown() {
    let a = Installation::new();
    let leaf = revocable(&a);
    for crls in [vec![], vec![of_root(&a, &[])], vec![of_issuing(&a, &List::of(&[]))]] {
        assert_eq!(check(&a, &leaf, &crls).unwrap_err(), PathError::RevocationUnknown);
    }
}

// RFC 9608: the end entity needs no list, the CA above it does.
#[test]
fn no_rev_avail_is_for_the_end_entity_alone() {
    let a = Installation::new();
    let leaf = a.forge(|_| {});
    let unknown = PathError::RevocationUnknown;
    assert_eq!(check(&a, &leaf, &[]).unwrap_err(), unknown);
    assert_eq!(check(&a, &leaf, &[of_issuing(&a, &List::of(&[]))]).unwrap_err(), unknown);
    let shard = List::of(&[]).shard(SHARD).sign(&a.keys, &a.authority.root);
    assert_eq!(check(&a, &leaf, &[Crl::parse(&shard).unwrap()]).unwrap_err(), unknown);
    assert!(check(&a, &leaf, &[of_root(&a, &[])]).is_ok());
    // Beside a distribution point it means nothing.
    let both = a.forge(|d| d.set("crl", testing::distribution_point(SHARD)));
    assert_eq!(check(&a, &both, &[of_root(&a, &[])]).unwrap_err(), PathError::RevocationUnknown);
}

#[test]
fn an_old_list_is_no_answer() {
    let a = Installation::new();
    let leaf = revocable(&a);
    let ending = |next: Timestamp| {
        let list = List { next_update: Some(next), ..List::of(&[]) };
        check(&a, &leaf, &[of_root(&a, &[]), of_issuing(&a, &list)]).map(drop)
    };
    let skew = Freshness::at(NOW).skew_seconds;
    assert_eq!(ending(NOW.plus_seconds(-skew)), Ok(()));
    let this_update = List::of(&[]).this_update;
    assert_eq!(ending(NOW.plus_seconds(-skew - 1)), Err(PathError::CrlNotFresh { this_update }));
}

#[test]
fn the_newest_list_of_an_issuer_counts_in_whatever_order_they_come() {
    let a = Installation::new();
    let leaf = revocable(&a);
    let older =
        |revoked: &[&Certificate]| List { this_update: NOW.plus_seconds(-7_200), ..List::of(revoked) };
    for (old, new, expected) in [
        (older(&[]), List::of(&[&leaf.certificate]), Err(PathError::Revoked)),
        (older(&[&leaf.certificate]), List::of(&[]), Ok(())),
    ] {
        let lists = [&old, &new];
        for [first, second] in [lists, [lists[1], lists[0]]] {
            let crls = [of_issuing(&a, first), of_root(&a, &[]), of_issuing(&a, second)];
            assert_eq!(check(&a, &leaf, &crls).map(drop), expected);
        }
    }
}

#[test]
fn a_list_that_another_key_signed_is_not_believed() {
    let (a, b) = (Installation::new(), Installation::new());
    let leaf = revocable(&a);
    // Under our CA's name, by the key of another hospital's.
    let name = a.authority.issuing.certificate().subject_der();
    let forged = Crl::parse(&List::of(&[]).sign_as(&b.keys, &b.authority.issuing, name)).unwrap();
    let crls = [of_root(&a, &[]), forged, of_issuing(&a, &List::of(&[]))];
    assert_eq!(check(&a, &leaf, &crls[..2]).unwrap_err(), PathError::RevocationUnknown);
    // Nor does it stand in the way of a good one.
    assert!(check(&a, &leaf, &crls).is_ok());
}

#[test]
fn a_shard_speaks_for_the_certificates_that_name_it() {
    let a = Installation::new();
    let (mine, other, unsharded) = (sharded(&a), sharded(&a), revocable(&a));
    let shard = |uri, revoked: &[&Certificate]| of_issuing(&a, &List::of(revoked).shard(uri));
    let with = |leaf: &Issued, shard: Crl| check(&a, leaf, &[of_root(&a, &[]), shard]).map(drop);
    assert_eq!(with(&mine, shard(SHARD, &[&other.certificate])), Ok(()));
    assert_eq!(with(&other, shard(SHARD, &[&other.certificate])), Err(PathError::Revoked));
    assert_eq!(with(&mine, shard("http://crl.example/8.crl", &[])), Err(PathError::RevocationUnknown));
    // It may stand in another shard.
    assert_eq!(with(&unsharded, shard(SHARD, &[])), Err(PathError::RevocationUnknown));
    // A whole list speaks for all.
    assert_eq!(with(&mine, of_issuing(&a, &List::of(&[&mine.certificate]))), Err(PathError::Revoked));
}

#[test]
fn an_anchor_that_signs_no_lists_vouches_for_no_list() {
    let a = Installation::new();
    let root = a.authority.root.certificate();
    let silent = a.sign_draft(
        &testing::Draft {
            serial: testing::serial(7),
            not_before: root.not_before(),
            not_after: root.not_after(),
            subject: root.subject_der().to_vec(),
            spki: root.public_key().unwrap().der().to_vec(),
            extensions: vec![
                ("ca", testing::authority(Critical::Yes)),
                ("ku", testing::key_usage(&[2, 0x04])),
            ],
        },
        &a.authority.root,
    );
    let leaf = revocable(&a);
    let crls = [of_root(&a, &[]), of_issuing(&a, &List::of(&[]))];
    let chain = [leaf.certificate.der().clone(), a.authority.issuing.certificate().der().clone()];
    let policy = Policy {
        strictness: Strictness::Maker,
        revocation: Revocation::Crls(&crls),
        ..Policy::strict(Usage::TlsIfNamed(Purpose::Client), NOW)
    };
    assert_eq!(
        validate(&chain, &Anchors::new(vec![silent]).unwrap(), &policy).unwrap_err(),
        PathError::RevocationUnknown
    );
}

#[test]
fn a_list_that_says_less_than_everything_makes_nothing_good_and_still_revokes() {
    let a = Installation::new();
    let (good, bad) = (revocable(&a), revocable(&a));
    let yes = |id, value: &[u8]| testing::extension(id, Critical::Yes, value);
    for extension in [
        // deltaCRLIndicator; IDP with onlySomeReasons
        yes("2.5.29.27", &[2, 1, 3]),
        yes("2.5.29.28", &[0x30, 4, 0x83, 2, 1, 0x40]),
    ] {
        let mut list = List::of(&[&bad.certificate]);
        list.extensions.push(extension);
        let crls = [of_root(&a, &[]), of_issuing(&a, &list)];
        assert_eq!(check(&a, &good, &crls).unwrap_err(), PathError::RevocationUnknown);
        assert_eq!(check(&a, &bad, &crls).unwrap_err(), PathError::Revoked);
    }
}

// I12
#[test]
fn cut_and_flipped_lists_are_refused() {
    let a = Installation::new();
    let leaf = revocable(&a);
    let der = List::of(&[&a.device().certificate]).sign(&a.keys, &a.authority.issuing);
    let root = of_root(&a, &[]);
    let crls = [root, Crl::parse(&der).unwrap()];
    assert!(check(&a, &leaf, &crls).is_ok());
    let [root, _] = crls;
    let mut kept = vec![root];
    for at in 0..der.len() {
        assert!(Crl::parse(&der[..at]).is_err(), "cut at {at}");
        let mut changed = der.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(crl) = Crl::parse(&changed) {
            kept.push(crl);
            assert!(check(&a, &leaf, &kept).is_err(), "flip at {at}");
            kept.pop();
        }
    }
}
