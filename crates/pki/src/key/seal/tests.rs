use super::super::shares;
use super::*;

fn sealer(passphrase: &str) -> Sealer {
    Sealer::new(Passphrase::from_bytes(passphrase.into(), "test").unwrap(), Cost::LEAST)
}

#[test]
fn a_secret_comes_back_under_the_same_passphrase_only() {
    let sealed = sealer("correct horse battery").seal("token-key", b"secret").unwrap();
    assert!(!sealed.windows(6).any(|w| w == b"secret"));
    let opened = sealer("correct horse battery").unseal("token-key", &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"secret");
    assert_eq!(
        sealer("correct horse batterz").unseal("token-key", &sealed).unwrap_err(),
        SealError::WrongPassphrase
    );
}

#[test]
fn a_secret_does_not_open_in_another_place() {
    let s = sealer("correct horse battery");
    let sealed = s.seal("key p256 root", b"secret").unwrap();
    assert!(matches!(s.unseal("key p256 issuing", &sealed), Err(SealError::OtherPurpose { .. })));
}

// I10, I12
#[test]
fn a_flip_of_any_bit_and_a_cut_at_any_byte_are_refused() {
    let s = sealer("correct horse battery");
    let sealed = s.seal("token-key", b"secret").unwrap();
    for at in 0..sealed.len() {
        assert!(s.unseal("token-key", &sealed[..at]).is_err(), "cut at {at}");
        // Each flip in cost or salt costs an Argon2 run; one bit per byte keeps this under some seconds.
        let mut changed = sealed.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(s.unseal("token-key", &changed).is_err(), "flip at {at}");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(s.unseal("token-key", &longer).unwrap_err(), SealError::Tampered);
}

#[test]
fn a_header_cannot_ask_for_endless_memory_or_for_none() {
    for (memory, passes, lanes) in
        [(u32::MAX, 3, 1), (8, 2, 1), (64 * 1024, 1, 1), (64 * 1024, 1000, 1), (64 * 1024, 3, 0)]
    {
        assert_eq!(Cost::new(memory, passes, lanes), Err(SealError::Cost));
        let mut sealed = b"lanyard-sealed-1\n".to_vec();
        for n in [memory, passes, lanes] {
            sealed.extend(n.to_be_bytes());
        }
        sealed.extend([0; 200]);
        assert_eq!(sealer("correct horse battery").unseal("x", &sealed).unwrap_err(), SealError::Cost);
    }
}

#[test]
fn many_secrets_cost_one_derivation() {
    let s = sealer("correct horse battery");
    let sealed: Vec<_> = (0..20).map(|n| s.seal("x", &[n]).unwrap()).collect();
    assert_eq!(s.derived.lock().unwrap().len(), 1);
    let fresh = sealer("correct horse battery");
    for (n, bytes) in sealed.iter().enumerate() {
        assert_eq!(fresh.unseal("x", bytes).unwrap().as_slice(), &[n as u8]);
    }
    assert_eq!(fresh.derived.lock().unwrap().len(), 1);
}

fn under_shares() -> (Sealer, Vec<shares::Share>) {
    let (key, dealt) = shares::deal(2, 3).unwrap();
    (Sealer::of_shares(key), dealt)
}

#[test]
fn a_secret_under_shares_opens_with_any_threshold_of_them() {
    let (sealer, dealt) = under_shares();
    let sealed = sealer.seal("key p384 root", b"secret").unwrap();
    let (set, threshold) = (dealt[0].set(), 2);
    assert_eq!(sealed_under(&sealed), Ok(SealedUnder::Shares { set, threshold }));
    for pair in [[0, 1], [2, 0], [1, 2]] {
        let key = shares::combine(&pair.map(|n: usize| dealt[n].clone())).unwrap();
        let opened = Sealer::of_shares(key).unseal("key p384 root", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
    }
}

#[test]
fn what_is_needed_is_named_when_something_else_is_given() {
    let (with_shares, dealt) = under_shares();
    let (with_others, others) = under_shares();
    let with_passphrase = sealer("correct horse battery");
    let (a, b) = (with_shares.seal("x", b"s").unwrap(), with_passphrase.seal("x", b"s").unwrap());
    let (set, found) = (dealt[0].set(), others[0].set());
    assert_eq!(with_passphrase.unseal("x", &a).unwrap_err(), SealError::NeedsShares { set, threshold: 2 });
    assert_eq!(with_shares.unseal("x", &b).unwrap_err(), SealError::NeedsPassphrase);
    assert_eq!(with_others.unseal("x", &a).unwrap_err(), SealError::OtherShares { expected: set, found });
    // The set renamed in the file: its name is part of what the key is derived with.
    let mut renamed = a.clone();
    renamed[17..21].copy_from_slice(&found.bytes());
    assert_eq!(with_others.unseal("x", &renamed).unwrap_err(), SealError::WrongShares);
}

// I10, I12
#[test]
fn a_flip_of_any_bit_and_a_cut_at_any_byte_are_refused_under_shares_too() {
    let (s, _) = under_shares();
    let sealed = s.seal("token-key", b"secret").unwrap();
    for at in 0..sealed.len() {
        assert!(s.unseal("token-key", &sealed[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(s.unseal("token-key", &changed).is_err(), "flip of bit {bit} at {at}");
        }
    }
    assert_eq!(s.unseal("token-key", &[&sealed[..], &[0]].concat()).unwrap_err(), SealError::Tampered);
}
