//! The contract of [`RootOfTrust`], run by every backend's tests. Answers are checked with the verifier's own
//! code.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use lanyard_attest::tpm::credential::{Credential, make_credential};
use lanyard_attest::tpm::endorsement::EndorsementCa;
use lanyard_attest::tpm::keys::{check_ak, check_ek, check_tls_key};
use lanyard_attest::tpm::quote::Expected;
use lanyard_attest::tpm::structures::{Attest, Public};
use lanyard_attest::tpm::{certify, endorsement, quote};
use lanyard_domain::time::Timestamp;

use super::*;

const NONCE: &[u8] = b"a nonce of thirty-two bytes, no.";
const SECRET: &[u8] = b"the credential of an enrolment";

/// All that one TPM must do. Leaves an AK and nothing in the slots; PCRs 8 and 23 are extended.
pub(super) fn of_one_tpm(tpm: &dyn RootOfTrust) {
    a_missing_key_is_not_found(tpm);
    keys_are_fit_for_their_role_and_stay(tpm);
    certified_keys_verify_and_are_bound_to_the_nonce(tpm);
    signatures_of_both_slots_verify(tpm);
    credentials_open_only_for_the_right_keys(tpm);
    quotes_verify_and_follow_extends(tpm);
    bad_arguments_are_refused(tpm);
    several_threads_are_served(tpm);
    forgotten_keys_are_gone(tpm);
}

/// The maker's certificate is of this TPM's endorsement key, and another maker's root does not vouch for it.
pub(super) fn of_an_endorsed_tpm(tpm: &dyn RootOfTrust, maker: &[u8], (other, refusal): (&[u8], &str)) {
    let ek = Public::parse(&tpm.ek_public().unwrap()).unwrap();
    let chain = tpm.ek_certificate_chain().unwrap();
    let (leaf, between) = chain.split_first().unwrap();
    let now = Timestamp::from_seconds(4_000_000_000);
    let verify = |root: &[u8]| {
        let registered = EndorsementCa { name: "maker".to_owned(), certificate: root.to_vec() };
        endorsement::verify(&ek, leaf, between, &[registered], now)
    };
    assert_eq!(verify(maker).unwrap().public(), &ek);
    assert_eq!(verify(other).unwrap_err().code(), refusal);
}

/// `open` gives the same TPM again, after the one before was dropped.
pub(super) fn of_a_restart(open: impl Fn() -> Box<dyn RootOfTrust>) {
    let (ek, ak, tls, pcr) = {
        let tpm = open();
        tpm.pcr_extend(9, &[9; 32]).unwrap();
        let tls = tpm.create_tls_key(KeySlot::A).unwrap();
        (tpm.ek_public().unwrap(), tpm.ensure_ak().unwrap(), tls, tpm.pcr_read(&[9]).unwrap())
    };
    let mut before = None;
    for _ in 0..3 {
        let tpm = open();
        assert_eq!(tpm.ek_public().unwrap(), ek);
        assert_eq!(tpm.ensure_ak().unwrap(), ak);
        assert_eq!(tpm.load_tls_key(KeySlot::A).unwrap(), tls);
        assert_eq!(tpm.pcr_read(&[9]).unwrap(), pcr);
        verify_tls(&tls, &tpm.sign_tls(KeySlot::A, b"hello").unwrap(), b"hello");
        let clock = Attest::parse(&tpm.quote(NONCE, &[9]).unwrap().attest).unwrap().clock;
        assert!(before.is_none_or(|earlier| clock.clock >= earlier), "the clock went back");
        before = Some(clock.clock);
    }
}

/// Two TPMs of the same kind: what is one's is of no use to the other.
// R34, I2
pub(super) fn of_two_tpms(one: &dyn RootOfTrust, other: &dyn RootOfTrust) {
    let (ak, other_ak) = (one.ensure_ak().unwrap(), other.ensure_ak().unwrap());
    assert_ne!(ak, other_ak);
    assert_ne!(one.ek_public().unwrap(), other.ek_public().unwrap());
    let ek = Public::parse(&one.ek_public().unwrap()).unwrap();
    let mixed = make_credential(&ek, &other_ak.name, SECRET).unwrap();
    for tpm in [one, other] {
        let opened = tpm.activate_credential(&mixed.blob, &mixed.encrypted_secret);
        assert!(matches!(opened, Err(TpmError::CredentialMismatch)), "{opened:?}");
    }
    let good = make_credential(&ek, &ak.name, SECRET).unwrap();
    assert_eq!(one.activate_credential(&good.blob, &good.encrypted_secret).unwrap(), SECRET);
}

fn a_missing_key_is_not_found(tpm: &dyn RootOfTrust) {
    tpm.ensure_ak().unwrap();
    for slot in KeySlot::ALL {
        assert!(matches!(tpm.load_tls_key(slot), Err(TpmError::NotFound(_))));
        assert!(matches!(tpm.sign_tls(slot, b"x"), Err(TpmError::NotFound(_))));
        assert!(matches!(tpm.certify_tls_key(slot, NONCE), Err(TpmError::NotFound(_))));
        tpm.forget_tls_key(slot).unwrap();
    }
}

fn keys_are_fit_for_their_role_and_stay(tpm: &dyn RootOfTrust) {
    let ek = Public::parse(&tpm.ek_public().unwrap()).unwrap();
    assert_eq!(check_ek(&ek), Ok(()));
    let ak = tpm.ensure_ak().unwrap();
    assert_eq!(tpm.ensure_ak().unwrap(), ak);
    let public = Public::parse(&ak.public).unwrap();
    assert_eq!(check_ak(&public), Ok(()));
    assert_eq!(public.name(), ak.name);
    let a = tpm.create_tls_key(KeySlot::A).unwrap();
    let b = tpm.create_tls_key(KeySlot::B).unwrap();
    assert_ne!(a, b);
    for (slot, key) in [(KeySlot::A, &a), (KeySlot::B, &b), (KeySlot::A, &a)] {
        assert_eq!(&tpm.load_tls_key(slot).unwrap(), key);
        assert_eq!(check_tls_key(&Public::parse(key).unwrap()), Ok(()));
    }
    let renewed = tpm.create_tls_key(KeySlot::A).unwrap();
    assert_ne!(renewed, a);
    assert_eq!(tpm.load_tls_key(KeySlot::B).unwrap(), b);
}

fn certified_keys_verify_and_are_bound_to_the_nonce(tpm: &dyn RootOfTrust) {
    let ak = Public::parse(&tpm.ensure_ak().unwrap().public).unwrap();
    for slot in KeySlot::ALL {
        let key = Public::parse(&tpm.load_tls_key(slot).unwrap()).unwrap();
        let other = Public::parse(&tpm.load_tls_key(slot.other()).unwrap()).unwrap();
        let Certified { attest, signature } = tpm.certify_tls_key(slot, NONCE).unwrap();
        assert_eq!(certify::verify(&ak, &attest, &signature, NONCE, &key).unwrap().public(), &key);
        assert!(certify::verify(&ak, &attest, &signature, b"another nonce", &key).is_err());
        assert!(certify::verify(&ak, &attest, &signature, NONCE, &other).is_err());
    }
}

fn signatures_of_both_slots_verify(tpm: &dyn RootOfTrust) {
    for slot in KeySlot::ALL {
        let key = tpm.load_tls_key(slot).unwrap();
        let long = vec![7; 100_000];
        for message in [&b""[..], b"a handshake hash", &long] {
            verify_tls(&key, &tpm.sign_tls(slot, message).unwrap(), message);
        }
    }
}

fn credentials_open_only_for_the_right_keys(tpm: &dyn RootOfTrust) {
    let ek = Public::parse(&tpm.ek_public().unwrap()).unwrap();
    let ak = tpm.ensure_ak().unwrap();
    // A second one while both slots were used: no handle may have been left behind.
    for _ in 0..2 {
        let Credential { blob, encrypted_secret } = make_credential(&ek, &ak.name, SECRET).unwrap();
        assert_eq!(tpm.activate_credential(&blob, &encrypted_secret).unwrap(), SECRET);
        let mut changed = blob.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(
            tpm.activate_credential(&changed, &encrypted_secret),
            Err(TpmError::CredentialMismatch)
        ));
        for end in [0, 1, 2, 20, blob.len() - 1] {
            assert!(tpm.activate_credential(&blob[..end], &encrypted_secret).is_err(), "blob cut at {end}");
        }
        for end in [0, 1, 2, encrypted_secret.len() - 1] {
            assert!(tpm.activate_credential(&blob, &encrypted_secret[..end]).is_err(), "seed cut at {end}");
        }
        assert!(tpm.activate_credential(&[0; 5000], &encrypted_secret).is_err());
        assert!(tpm.activate_credential(&blob, &[0; 5000]).is_err());
    }
    let for_other = make_credential(&ek, &[&[0, 11][..], &[7; 32]].concat(), SECRET).unwrap();
    assert!(matches!(
        tpm.activate_credential(&for_other.blob, &for_other.encrypted_secret),
        Err(TpmError::CredentialMismatch)
    ));
}

fn quotes_verify_and_follow_extends(tpm: &dyn RootOfTrust) {
    let ak = Public::parse(&tpm.ensure_ak().unwrap().public).unwrap();
    let baseline = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14];
    for (pcr, event) in [(8u8, b"kernel".as_slice()), (23, b"model")] {
        let measured = <[u8; 32]>::try_from(digest(&SHA256, event).as_ref()).unwrap();
        let (_, before) = tpm.pcr_read(&[pcr]).unwrap()[0];
        tpm.pcr_extend(pcr, &measured).unwrap();
        let (_, after) = tpm.pcr_read(&[pcr]).unwrap()[0];
        assert_eq!(after, digest(&SHA256, &[before, measured].concat()).as_ref());
    }
    let all: Vec<u8> = (0..PCR_COUNT).collect();
    for pcrs in [&baseline[..], &[23, 8, 8, 0], &all] {
        let made = tpm.quote(NONCE, pcrs).unwrap();
        let mut expected = pcrs.to_vec();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(made.pcrs.iter().map(|(i, _)| *i).collect::<Vec<_>>(), expected);
        assert_eq!(made.pcrs, tpm.pcr_read(pcrs).unwrap());
        let check = |nonce, values: &[PcrValue]| {
            let expected = Expected { nonce, required: pcrs };
            quote::verify(&ak, &made.attest, &made.signature, values, expected).verified
        };
        let verified = check(NONCE, &made.pcrs).unwrap();
        assert_eq!(verified.pcrs(), made.pcrs);
        assert!(check(b"another nonce", &made.pcrs).is_none());
        let mut lie = made.pcrs.clone();
        lie[0].1[0] ^= 1;
        assert!(check(NONCE, &lie).is_none());
    }
    // Drtm registers start as ones on a PC client TPM.
    assert!(tpm.pcr_read(&[17, 18, 19, 20, 21, 22]).unwrap().iter().all(|(_, value)| value == &[0xff; 32]));
}

fn bad_arguments_are_refused(tpm: &dyn RootOfTrust) {
    let malformed = |result: Result<(), TpmError>| assert!(matches!(result, Err(TpmError::Malformed { .. })));
    malformed(tpm.quote(NONCE, &[]).map(drop));
    malformed(tpm.quote(NONCE, &[24]).map(drop));
    malformed(tpm.quote(&[0; MAX_QUALIFYING_DATA + 1], &[0]).map(drop));
    malformed(tpm.certify_tls_key(KeySlot::A, &[0; MAX_QUALIFYING_DATA + 1]).map(drop));
    malformed(tpm.pcr_read(&[255]).map(drop));
    malformed(tpm.pcr_extend(24, &[0; 32]));
    assert!(matches!(tpm.pcr_extend(17, &[0; 32]), Err(TpmError::Refused { .. })));
    tpm.quote(&[0; MAX_QUALIFYING_DATA], &[0]).unwrap();
    tpm.quote(&[], &[0]).unwrap();
}

fn several_threads_are_served(tpm: &dyn RootOfTrust) {
    let keys = KeySlot::ALL.map(|slot| (slot, tpm.load_tls_key(slot).unwrap()));
    std::thread::scope(|scope| {
        for n in 0..4u8 {
            let keys = &keys;
            scope.spawn(move || {
                for (slot, key) in keys {
                    verify_tls(key, &tpm.sign_tls(*slot, &[n]).unwrap(), &[n]);
                    tpm.quote(&[n], &[n]).unwrap();
                }
            });
        }
    });
}

fn forgotten_keys_are_gone(tpm: &dyn RootOfTrust) {
    tpm.sign_tls(KeySlot::A, b"loaded").unwrap();
    tpm.forget_tls_key(KeySlot::A).unwrap();
    assert!(matches!(tpm.sign_tls(KeySlot::A, b"x"), Err(TpmError::NotFound(_))));
    tpm.sign_tls(KeySlot::B, b"the other slot still serves").unwrap();
    tpm.forget_tls_key(KeySlot::B).unwrap();
}

fn verify_tls(public: &[u8], signature: &[u8], message: &[u8]) {
    let point = Public::parse(public).unwrap().point().unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).unwrap();
}
