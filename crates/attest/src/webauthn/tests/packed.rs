//! Format `packed`: a maker's certificate for the key that signs.

use super::*;

const AAGUID: &str = "1.3.6.1.4.1.45724.1.1.4";
const SERIAL: &str = "1.3.6.1.4.1.45724.1.1.2";

struct Device {
    key: Key,
    maker: Maker,
}

fn subject(unit: &str) -> Vec<u8> {
    name(&[("2.5.4.6", "SE"), ("2.5.4.10", "Acme"), ("2.5.4.11", unit), ("2.5.4.3", "Pump 1")])
}

impl Device {
    fn new() -> Self {
        Self { key: Key::new(), maker: Maker::new("Acme Device CA") }
    }

    fn draft(&self) -> Draft {
        let extensions = vec![
            constraints(false),
            extension(AAGUID, false, &tlv(0x04, &[0xaa; 16])),
            extension(SERIAL, false, &tlv(0x04, b"SN-1")),
        ];
        Draft::new(self.key.spki(), subject("Authenticator Attestation"), extensions)
    }

    fn statement(&self) -> Statement {
        Statement {
            algorithm: Some(-7),
            signature: Some(self.key.sign(AUTHORIZATION.as_bytes())),
            certificates: Some(vec![self.maker.issue(&self.draft())]),
            ..Statement::default()
        }
    }

    fn trust(&self) -> Trust {
        trust(Format::Packed, self.maker.root())
    }

    fn code(&self, edit: impl FnOnce(&mut Draft)) -> &'static str {
        let mut draft = self.draft();
        edit(&mut draft);
        let certificates = Some(vec![self.maker.issue(&draft)]);
        code("packed", &Statement { certificates, ..self.statement() }, &self.trust())
    }
}

// R34, R35
#[test]
fn a_key_that_its_maker_certified_is_attested() {
    let device = Device::new();
    let key = check("packed", &device.statement(), &device.trust()).unwrap();
    assert_eq!(key.spki_der(), device.key.spki());
    assert_eq!(key.aaguid(), Some([0xaa; 16]));
    assert_eq!(key.attestation_key_sha256(), None);
    assert!(key.claims().has_permanent("SN-1", None));
    // A serial number of bytes is compared in hexadecimal.
    let mut draft = device.draft();
    draft.extensions[2] = extension(SERIAL, false, &tlv(0x04, &[1, 0xff]));
    let certificates = Some(vec![device.maker.issue(&draft)]);
    let key = check("packed", &Statement { certificates, ..device.statement() }, &device.trust()).unwrap();
    assert_eq!(key.claims().serials, ["01ff"]);
}

// R38
#[test]
fn each_rule_of_a_packed_statement_says_no() {
    let device = Device::new();
    let refused = |edit: &dyn Fn(&mut Statement)| {
        let mut statement = device.statement();
        edit(&mut statement);
        code("packed", &statement, &device.trust())
    };
    assert_eq!(refused(&|s| s.certificates = None), "attestation_self");
    assert_eq!(refused(&|s| s.algorithm = None), "attestation_field_missing");
    assert_eq!(refused(&|s| s.signature = None), "attestation_field_missing");
    assert_eq!(refused(&|s| s.algorithm = Some(-8)), "attestation_algorithm");
    // The token alone is for external authorities; here the account is bound too.
    assert_eq!(refused(&|s| s.signature = Some(device.key.sign(TOKEN.as_bytes()))), "attestation_signature");
    let other = Key::new().sign(AUTHORIZATION.as_bytes());
    assert_eq!(refused(&|s| s.signature = Some(other.clone())), "attestation_signature");
}

// R38: WebAuthn 8.2.1, rule by rule.
#[test]
fn each_rule_for_the_certificate_says_no() {
    let device = Device::new();
    let profile = "attestation_certificate_profile";
    assert_eq!(device.code(|d| d.version_three = false), "attestation_path");
    assert_eq!(device.code(|d| d.subject = subject("Pumps")), profile);
    let parts = [
        ("2.5.4.6", "SE"),
        ("2.5.4.10", "Acme"),
        ("2.5.4.11", "Authenticator Attestation"),
        ("2.5.4.3", "x"),
    ];
    for left_out in [0, 1, 3] {
        let rest: Vec<_> =
            parts.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, p)| *p).collect();
        assert_eq!(device.code(|d| d.subject = name(&rest)), profile, "{left_out}");
    }
    let long = [("2.5.4.6", "SWE"), parts[1], parts[2], parts[3]];
    assert_eq!(device.code(|d| d.subject = name(&long)), profile);
    assert_eq!(device.code(|d| d.extensions[0] = constraints(true)), profile);
    assert_eq!(device.code(|d| drop(d.extensions.remove(0))), profile);
    let short = extension(AAGUID, false, &tlv(0x04, &[0xaa; 15]));
    assert_eq!(device.code(|d| d.extensions[1] = short), "attestation_malformed");
    // A critical extension that the path validation does not know ends there already.
    for (at, id) in [(1, AAGUID), (2, SERIAL)] {
        let critical = extension(id, true, &tlv(0x04, &[0xaa; 16]));
        assert_eq!(device.code(|d| d.extensions[at] = critical), profile);
    }
}

#[test]
fn models_can_be_limited_and_must_agree_with_the_authenticator() {
    let device = Device::new();
    let with = |models: Vec<[u8; 16]>| Trust { models, ..device.trust() };
    assert!(check("packed", &device.statement(), &with(vec![[0xaa; 16]])).is_ok());
    assert_eq!(code("packed", &device.statement(), &with(vec![[0xbb; 16]])), "attestation_model");
    let mut draft = device.draft();
    draft.extensions.remove(1);
    let certificates = Some(vec![device.maker.issue(&draft)]);
    let unnamed = Statement { certificates, ..device.statement() };
    assert_eq!(code("packed", &unnamed, &with(vec![[0xaa; 16]])), "attestation_model");

    let data = |model: u8, flags: u8| [&[0; 32][..], &[flags], &[0; 4], &[model; 16]].concat();
    let run = |data: &[u8]| {
        let object = AttestationObject::parse(&encode("packed", &device.statement(), Some(data))).unwrap();
        verify(&object, &expected(), &device.trust(), NOW)
    };
    assert!(run(&data(0xaa, 0x41)).is_ok());
    for bad in [data(0xbb, 0x41), data(0xaa, 0x01), vec![0; 40], vec![]] {
        assert_eq!(run(&bad).unwrap_err().code(), "attestation_model");
    }
}
