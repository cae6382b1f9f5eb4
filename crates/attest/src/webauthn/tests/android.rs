//! Format `android-key`: what the key store says of the key.

use super::*;
use crate::freshness::sha256;

const DESCRIPTION: &str = "1.3.6.1.4.1.11129.2.1.17";

fn tagged(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = match number {
        0..=30 => vec![0xa0 | number as u8],
        _ => vec![0xbf, 0x80 | (number >> 7) as u8, (number & 0x7f) as u8],
    };
    out.extend(&tlv(0, value)[1..]);
    out
}

fn purposes(list: &[u8]) -> Vec<u8> {
    tagged(1, &tlv(0x31, &list.iter().flat_map(|p| [2, 1, *p]).collect::<Vec<u8>>()))
}

fn origin(number: u8) -> Vec<u8> {
    tagged(702, &[2, 1, number])
}

#[derive(Clone)]
struct Description {
    levels: (u8, u8),
    challenge: Vec<u8>,
    software: Vec<Vec<u8>>,
    hardware: Vec<Vec<u8>>,
}

impl Description {
    fn good() -> Self {
        let serial = tagged(713, &tlv(0x04, b"R5CT1234"));
        // 3: algorithm and 10: ecCurve are there and do not matter.
        let other = tagged(10, &[2, 1, 1]);
        Self {
            levels: (1, 1),
            challenge: sha256(AUTHORIZATION.as_bytes()).to_vec(),
            software: vec![tagged(701, &[2, 1, 9])],
            hardware: vec![purposes(&[2]), other, origin(0), serial],
        }
    }

    fn encode(&self) -> Vec<u8> {
        let version = vec![2, 2, 1, 0x2c];
        sequence(&[
            version.clone(),
            vec![10, 1, self.levels.0],
            version,
            vec![10, 1, self.levels.1],
            tlv(0x04, &self.challenge),
            tlv(0x04, b""),
            sequence(&self.software),
            sequence(&self.hardware),
        ])
    }
}

struct Store {
    key: Key,
    maker: Maker,
}

impl Store {
    fn new() -> Self {
        Self { key: Key::new(), maker: Maker::new("Droid CA") }
    }

    fn statement(&self, description: &[u8]) -> Statement {
        let extensions = vec![extension(DESCRIPTION, false, description)];
        let draft = Draft::new(self.key.spki(), name(&[("2.5.4.3", "Android Keystore Key")]), extensions);
        Statement {
            algorithm: Some(-7),
            signature: Some(self.key.sign(AUTHORIZATION.as_bytes())),
            certificates: Some(vec![self.maker.issue(&draft)]),
            ..Statement::default()
        }
    }

    fn trust(&self) -> Trust {
        trust(Format::AndroidKey, self.maker.root())
    }

    fn run(&self, description: &Description) -> Result<AttestedKey, StatementRefusal> {
        check("android-key", &self.statement(&description.encode()), &self.trust())
    }
}

#[test]
fn a_key_of_the_trusted_environment_is_attested() {
    let store = Store::new();
    let key = store.run(&Description::good()).unwrap();
    assert_eq!(key.spki_der(), store.key.spki());
    assert_eq!(key.security_level(), Some(SecurityLevel::TrustedEnvironment));
    assert!(key.claims().has_permanent("R5CT1234", None));
    let raw = Description { challenge: AUTHORIZATION.as_bytes().to_vec(), ..Description::good() };
    assert!(store.run(&raw).is_ok(), "the key authorization itself as challenge");
    let verifying = vec![purposes(&[2, 3]), origin(0)];
    assert!(store.run(&Description { hardware: verifying, ..Description::good() }).is_ok());
}

// R38
#[test]
fn each_rule_of_the_description_says_no() {
    let store = Store::new();
    let good = Description::good();
    let code = |description: Description| store.run(&description).unwrap_err().code();
    let other = sha256(b"another").to_vec();
    assert_eq!(code(Description { challenge: other, ..good.clone() }), "attestation_challenge");
    let token = sha256(TOKEN.as_bytes()).to_vec();
    assert_eq!(code(Description { challenge: token, ..good.clone() }), "attestation_challenge");

    let rule = "attestation_key_rule";
    for levels in [(0, 0), (0, 1), (1, 0)] {
        assert_eq!(code(Description { levels, ..good.clone() }), rule, "{levels:?}");
    }
    for hardware in [
        vec![purposes(&[2])],
        vec![purposes(&[2]), origin(2)],
        vec![origin(0)],
        vec![purposes(&[3]), origin(0)],
        vec![purposes(&[1, 2]), origin(0)],
        vec![purposes(&[2, 7]), origin(0)],
        vec![purposes(&[2]), origin(0), tagged(600, &[5, 0])],
    ] {
        assert_eq!(code(Description { hardware, ..good.clone() }), rule);
    }
    // What the operating system says of origin and purpose does not count; its `allApplications` does.
    let moved = Description { software: good.hardware.clone(), hardware: vec![], ..good.clone() };
    assert_eq!(code(moved), rule);
    assert_eq!(code(Description { software: vec![tagged(600, &[5, 0])], ..good.clone() }), rule);

    let malformed = "attestation_malformed";
    assert_eq!(code(Description { levels: (3, 1), ..good.clone() }), malformed);
    assert_eq!(code(Description { hardware: vec![vec![2, 1, 0]], ..good }), malformed);
}

// R38: an imported key with purpose ATTEST_KEY is known outside of the hardware, and signs what its owner likes.
#[test]
fn a_described_key_cannot_attest_another() {
    let store = Store::new();
    let attesting = Maker::new("App's attest key");
    let run = |mut extensions: Vec<Vec<u8>>| {
        extensions.extend(attesting.ca_extensions());
        let issuer = Draft::new(attesting.key.spki(), attesting.name.clone(), extensions);
        let leaf = vec![extension(DESCRIPTION, false, &Description::good().encode())];
        let leaf = Draft::new(store.key.spki(), name(&[("2.5.4.3", "Android Keystore Key")]), leaf);
        let certificates = Some(vec![attesting.issue(&leaf), store.maker.issue(&issuer)]);
        let statement = Statement { certificates, ..store.statement(&Description::good().encode()) };
        check("android-key", &statement, &store.trust())
    };
    assert!(run(vec![]).is_ok(), "an intermediate CA of the maker");
    let imported = Description { hardware: vec![purposes(&[7]), origin(2)], ..Description::good() };
    let described = extension(DESCRIPTION, false, &imported.encode());
    assert_eq!(run(vec![described]).unwrap_err().code(), "attestation_certificate_profile");
}

#[test]
fn strong_box_can_be_asked_for() {
    let store = Store::new();
    let trust = Trust { android_level: SecurityLevel::StrongBox, ..store.trust() };
    let run = |levels| {
        let description = Description { levels, ..Description::good() }.encode();
        check("android-key", &store.statement(&description), &trust)
    };
    assert!(run((2, 2)).is_ok());
    for levels in [(1, 1), (2, 1), (1, 2)] {
        assert_eq!(run(levels).unwrap_err().code(), "attestation_key_rule");
    }
}

#[test]
fn the_statement_around_the_description_is_checked() {
    let store = Store::new();
    let good = Description::good().encode();
    let refused = |edit: &dyn Fn(&mut Statement)| {
        let mut statement = store.statement(&good);
        edit(&mut statement);
        code("android-key", &statement, &store.trust())
    };
    assert_eq!(refused(&|s| s.algorithm = None), "attestation_field_missing");
    assert_eq!(refused(&|s| s.signature = None), "attestation_field_missing");
    assert_eq!(refused(&|s| s.algorithm = Some(-257)), "attestation_algorithm");
    let other = Key::new().sign(AUTHORIZATION.as_bytes());
    assert_eq!(refused(&|s| s.signature = Some(other.clone())), "attestation_signature");
    let bare = Draft::new(store.key.spki(), name(&[("2.5.4.3", "x")]), vec![constraints(false)]);
    let bare = store.maker.issue(&bare);
    assert_eq!(refused(&|s| s.certificates = Some(vec![bare.clone()])), "attestation_certificate_profile");
    // I12: a cut description.
    for n in 0..good.len() {
        assert!(check("android-key", &store.statement(&good[..n]), &store.trust()).is_err(), "{n}");
    }
}
