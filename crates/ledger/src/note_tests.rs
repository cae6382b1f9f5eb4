use super::*;

// Published with Go's golang.org/x/mod/sumdb/note as its example key and note.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer(name: &str, byte: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[byte; 32]).unwrap()
}

#[test]
fn the_go_example_note_verifies_and_writes_back() {
    let verifier = NoteVerifier::parse(VKEY).unwrap();
    assert_eq!(verifier.vkey(), VKEY);
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(verifier.verify(&note), Ok(()));
    assert_eq!(note.to_string(), NOTE);
}

#[test]
fn unknown_signatures_are_ignored_but_a_wrong_one_by_a_known_key_refuses_the_note() {
    let (a, b) = (signer("a.example", 1), signer("b.example", 2));
    let mut note = a.sign("text\n\nmore\n").unwrap();
    note.push(b.sign("text\n\nmore\n").unwrap().signatures()[0].clone()).unwrap();
    assert_eq!(a.verifier().verify(&note), Ok(()));
    assert_eq!(b.verifier().verify(&note), Ok(()));
    let stranger = signer("c.example", 3);
    assert!(matches!(stranger.verifier().verify(&note), Err(NoteError::NoSignature { .. })));
    // Same name, other key: another key id, so unknown rather than wrong.
    assert!(matches!(signer("a.example", 9).verifier().verify(&note), Err(NoteError::NoSignature { .. })));
    note.push(Signature { bytes: vec![0; 64], ..note.signatures()[0].clone() }).unwrap();
    assert!(matches!(a.verifier().verify(&note), Err(NoteError::BadSignature { .. })));
    assert_eq!(b.verifier().verify(&note), Ok(()));
}

#[test]
fn every_truncation_and_every_bit_flip_is_refused() {
    let verifier = NoteVerifier::parse(VKEY).unwrap();
    let check = |bytes: &[u8]| Note::parse(bytes).and_then(|n| verifier.verify(&n));
    for len in 0..NOTE.len() {
        assert!(check(&NOTE.as_bytes()[..len]).is_err(), "{len}");
    }
    for bit in 0..NOTE.len() * 8 {
        let mut flipped = NOTE.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&flipped).is_err(), "bit {bit}");
        if let Ok(note) = Note::parse(&flipped) {
            assert_eq!(note.to_string().as_bytes(), flipped);
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let sig = "\u{2014} a AAAAAAA=\n";
    for bad in [
        "text\n",
        "text\n\n",
        &format!("text\n{sig}"),
        &format!("text\n\n{sig}trailing\n"),
        &format!("te\txt\n\n{sig}"),
        &format!("text\r\n\n{sig}"),
        "text\n\n- a AAAAAAA=\n",
        "text\n\n\u{2014}  AAAAAAA=\n",
        "text\n\n\u{2014} a+b AAAAAAA=\n",
        "text\n\n\u{2014} a\u{a0}b AAAAAAA=\n",
        "text\n\n\u{2014} a AAAA\n",
        "text\n\n\u{2014} a AAAAAAB=\n",
        "text\n\n\u{2014} a AAAAAAA=",
        &format!("text\n\n{}", sig.repeat(MAX_SIGNATURES + 1)),
        &format!("{}\n\n{sig}", "a".repeat(MAX_NOTE_LEN)),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{}", bad.chars().take(40).collect::<String>());
    }
    assert!(Note::parse(format!("text\n\n{}", sig.repeat(MAX_SIGNATURES)).as_bytes()).is_ok());
}

#[test]
fn malformed_keys_are_refused() {
    let good = signer("log.example", 1).verifier().vkey();
    assert_eq!(NoteVerifier::parse(&good).unwrap(), *signer("log.example", 1).verifier());
    for len in 0..good.len() {
        assert!(NoteVerifier::parse(good.get(..len).unwrap()).is_err(), "{len}");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = String::from_utf8(flipped) {
            assert!(NoteVerifier::parse(&text).is_err(), "{text}");
        }
    }
    let unknown = [&[0x77][..], &[0; 32]].concat();
    assert!(NoteVerifier::parse(&format!("a+00000000+{}", BASE64.encode(&unknown))).is_err());
}

#[test]
fn a_post_quantum_key_is_recognised_and_its_use_is_refused_by_type() {
    let key = NoteVerifier::new("w.example", SignatureType::CosignatureMlDsa44, &[5; 1312]).unwrap();
    assert_eq!(NoteVerifier::parse(&key.vkey()).unwrap(), key);
    let note = signer("a.example", 1).sign("x\n").unwrap();
    assert!(matches!(key.verify(&note), Err(NoteError::WrongType { found: 6, expected: 1, .. })));
}

#[test]
fn a_signer_never_shows_its_key() {
    assert_eq!(format!("{:?}", signer("a.example", 1)), "NoteSigner(a.example, [redacted])");
}
