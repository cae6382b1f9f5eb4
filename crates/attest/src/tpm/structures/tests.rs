use super::*;
use crate::testkit::{truncations, vector};
use crate::tpm::keys;

fn publics() -> Vec<Public> {
    let sized = |key, scheme_attrs| Public {
        name_alg: HashAlg::Sha256,
        attributes: scheme_attrs,
        auth_policy: vec![],
        key,
    };
    let ecc = |curve: Curve, scheme, x: Vec<u8>| Key::Ecc {
        symmetric: Symmetric::Null,
        scheme,
        curve,
        x,
        y: vec![7; curve.size()],
    };
    let rsa = |bits: u16, scheme| Key::Rsa {
        symmetric: Symmetric::Null,
        scheme,
        bits,
        exponent: 0,
        modulus: vec![0xC1; usize::from(bits / 8)],
    };
    let h = HashAlg::Sha256;
    vec![
        keys::ek_template_rsa2048(),
        keys::ek_template_p256(),
        sized(ecc(Curve::P256, Scheme::Ecdsa(h), vec![5; 31]), keys::AK_ATTRIBUTES),
        sized(ecc(Curve::P384, Scheme::Ecdsa(HashAlg::Sha384), vec![5; 48]), keys::AK_ATTRIBUTES),
        sized(ecc(Curve::P256, Scheme::Ecdh(h), vec![5; 32]), keys::TLS_ATTRIBUTES),
        sized(rsa(2048, Scheme::Rsassa(h)), keys::AK_ATTRIBUTES),
        sized(rsa(3072, Scheme::Rsapss(h)), keys::TLS_ATTRIBUTES),
        sized(rsa(2048, Scheme::Oaep(h)), keys::TLS_ATTRIBUTES),
    ]
}

fn attests() -> Vec<Attest> {
    let clock = ClockInfo { clock: 1_650_456, reset_count: 2, restart_count: 1, safe: true };
    let with = |body, safe| Attest {
        qualified_signer: vec![0, 11, 9],
        extra_data: vec![3; 32],
        clock: ClockInfo { safe, ..clock },
        firmware_version: 0x2016_0511_0016_2800,
        body,
    };
    let selection = PcrSelection::of(HashAlg::Sha256, &[0, 2, 4, 7, 9, 12]);
    vec![
        with(Body::Quote { selection, pcr_digest: vec![8; 32] }, true),
        with(Body::Quote { selection: PcrSelection::default(), pcr_digest: vec![] }, false),
        with(Body::Certify { name: vec![4; 34], qualified_name: vec![5; 34] }, true),
    ]
}

fn signatures() -> Vec<Signature> {
    vec![
        Signature::Ecdsa { hash: HashAlg::Sha256, r: vec![1; 31], s: vec![2; 32] },
        Signature::Ecdsa { hash: HashAlg::Sha384, r: vec![1; 48], s: vec![2; 46] },
        Signature::Rsassa { hash: HashAlg::Sha256, signature: vec![9; 256] },
    ]
}

// I12
#[test]
fn structures_read_back_as_written_and_truncated_or_longer_ones_are_refused() {
    for p in publics() {
        let bytes = p.encode();
        assert_eq!(Public::parse(&bytes), Ok(p.clone()));
        assert_eq!(Public::parse_sized(&p.encode_sized()), Ok(p));
        truncations(&bytes, |b| Public::parse(b).is_ok());
    }
    for a in attests() {
        let bytes = a.encode();
        assert_eq!(Attest::parse(&bytes), Ok(a));
        truncations(&bytes, |b| Attest::parse(b).is_ok());
    }
    for s in signatures() {
        let bytes = s.encode();
        assert_eq!(Signature::parse(&bytes), Ok(s));
        truncations(&bytes, |b| Signature::parse(b).is_ok());
    }
}

#[test]
fn what_parses_after_a_bit_flip_encodes_to_exactly_those_bytes() {
    let check = |bytes: &[u8], reencode: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        for i in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[i / 8] ^= 1 << (i % 8);
            if let Some(again) = reencode(&flipped) {
                assert_eq!(again, flipped, "bit {i}");
            }
        }
    };
    for p in publics() {
        check(&p.encode(), &|b| Public::parse(b).ok().map(|p| p.encode()));
    }
    for a in attests() {
        check(&a.encode(), &|b| Attest::parse(b).ok().map(|a| a.encode()));
    }
    for s in signatures() {
        check(&s.encode(), &|b| Signature::parse(b).ok().map(|s| s.encode()));
    }
}

#[test]
fn lengths_above_the_limit_are_refused() {
    assert!(matches!(Public::parse(&[0; 1025]), Err(Malformed::TooLong { .. })));
    assert!(matches!(Attest::parse(&[0; 513]), Err(Malformed::TooLong { .. })));
    assert!(matches!(Signature::parse(&[0; 513]), Err(Malformed::TooLong { .. })));
    let banks = [0u8, 0, 0, 17];
    assert!(matches!(PcrSelection::parse(&banks), Err(Malformed::TooLong { field: "bank count", .. })));
    let select = [0u8, 0, 0, 1, 0, 11, 5, 0, 0, 0, 0, 0];
    assert!(matches!(PcrSelection::parse(&select), Err(Malformed::TooLong { field: "select size", .. })));
}

#[test]
fn weak_or_unknown_algorithms_are_refused() {
    let mut sha1_name = publics().remove(1).encode();
    sha1_name[3] = 0x04;
    assert!(matches!(Public::parse(&sha1_name), Err(Malformed::Unsupported { field: "name algorithm", .. })));
    let mut exponent_3 = publics().remove(5);
    if let Key::Rsa { exponent, .. } = &mut exponent_3.key {
        *exponent = 3;
    }
    assert!(matches!(
        Public::parse(&exponent_3.encode()),
        Err(Malformed::Unsupported { field: "exponent", .. })
    ));
    let sha1_signature = [0, 0x18, 0, 0x04, 0, 1, 1, 0, 1, 1];
    assert!(matches!(
        Signature::parse(&sha1_signature),
        Err(Malformed::Unsupported { field: "signature hash", .. })
    ));
}

#[test]
fn pcr_selection_lists_pcrs_ascending() {
    let selection = PcrSelection::of(HashAlg::Sha256, &[23, 0, 7, 8, 12]);
    assert_eq!(selection.banks[0].pcrs(), [0, 7, 8, 12, 23]);
    assert_eq!(selection.banks[0].select, [0x81, 0x11, 0x80]);
}

#[test]
fn short_signature_values_are_padded_and_oversized_ones_refused() {
    let short = Signature::Ecdsa { hash: HashAlg::Sha256, r: vec![1; 31], s: vec![2; 32] };
    let fixed = short.to_fixed(32).unwrap();
    assert_eq!((fixed.len(), fixed[0], fixed[1]), (64, 0, 1));
    let long = Signature::Ecdsa { hash: HashAlg::Sha256, r: vec![1; 33], s: vec![2; 32] };
    assert_eq!(long.to_fixed(32), None);
}

#[test]
fn recorded_keys_have_the_recorded_name_and_key() {
    let dir = "keylime/test-data/files";
    let (Some(ak), Some(name), Some(pem)) = (
        vector(&format!("{dir}/ak.pub")),
        vector(&format!("{dir}/ak.name")),
        vector(&format!("{dir}/akpub.pem")),
    ) else {
        return;
    };
    let ak = Public::parse_sized(&ak).unwrap();
    assert_eq!(ak.name(), name);
    assert_eq!(keys::check_ak(&ak), Ok(()));
    assert_eq!(spki_der(&ak), from_pem(&pem));
    let ek = Public::parse_sized(&vector(&format!("{dir}/ek.pub")).unwrap()).unwrap();
    assert_eq!(keys::check_ek(&ek), Ok(()));
    assert_eq!(spki_der(&ek), from_pem(&vector(&format!("{dir}/ekpub.pem")).unwrap()));
}

fn from_pem(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let body: String = text.lines().filter(|l| !l.starts_with("-----")).collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}
