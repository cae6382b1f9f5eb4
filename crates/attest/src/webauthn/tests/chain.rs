//! The chain to a registered root, and revocation; with `packed`, whose certificate is the simplest.

use super::*;

struct Device {
    key: Key,
    root: Maker,
    issuing: Maker,
}

fn plain(spki: Vec<u8>) -> Draft {
    let subject = name(&[
        ("2.5.4.6", "SE"),
        ("2.5.4.10", "Acme"),
        ("2.5.4.11", "Authenticator Attestation"),
        ("2.5.4.3", "Pump 1"),
    ]);
    Draft::new(spki, subject, vec![constraints(false)])
}

impl Device {
    fn new() -> Self {
        Self { key: Key::new(), root: Maker::new("Acme Root"), issuing: Maker::new("Acme Issuing") }
    }

    fn intermediate(&self) -> Draft {
        let issuing = &self.issuing;
        let draft = Draft::new(issuing.key.spki(), issuing.name.clone(), issuing.ca_extensions());
        Draft { serial: 9, ..draft }
    }

    fn statement(&self) -> Statement {
        self.with(&plain(self.key.spki()), &self.intermediate())
    }

    fn with(&self, leaf: &Draft, intermediate: &Draft) -> Statement {
        Statement {
            algorithm: Some(-7),
            signature: Some(self.key.sign(AUTHORIZATION.as_bytes())),
            certificates: Some(vec![self.issuing.issue(leaf), self.root.issue(intermediate)]),
            ..Statement::default()
        }
    }

    fn trust(&self) -> Trust {
        trust(Format::Packed, self.root.root())
    }

    fn knows(&self, on_unknown: OnUnknown, fill: impl FnOnce(&mut Revocation)) -> Trust {
        let mut revocation = Revocation::new(on_unknown);
        fill(&mut revocation);
        Trust { revocation, ..self.trust() }
    }
}

const CURRENT: (&str, &str) = ("20260101000000Z", "20270101000000Z");
const OLD: (&str, &str) = ("20250101000000Z", "20260101000000Z");

#[test]
fn a_chain_ends_at_a_root_of_its_format() {
    let device = Device::new();
    let statement = device.statement();
    let root = device.root.root();
    let key = check("packed", &statement, &trust(Format::Packed, root.clone())).unwrap();
    let sent = statement.certificates.as_ref().unwrap();
    assert_eq!(key.chain(), [sent[0].clone(), sent[1].clone(), root]);
    let code = |trust: &Trust| code("packed", &statement, trust);
    assert_eq!(code(&trust(Format::Tpm, device.root.root())), "attestation_no_root");
    assert_eq!(code(&trust(Format::Packed, Maker::new("Other").root())), "attestation_unknown_authority");
    // The same name, another key.
    assert_eq!(code(&trust(Format::Packed, Maker::new("Acme Root").root())), "attestation_path");
    assert_eq!(code(&trust(Format::Packed, vec![1, 2, 3])), "attestation_root_unusable");
    let ended = Draft {
        valid: OLD,
        ..Draft::new(device.root.key.spki(), device.root.name.clone(), device.root.ca_extensions())
    };
    assert_eq!(code(&trust(Format::Packed, device.root.issue(&ended))), "attestation_path");
}

#[test]
fn each_rule_of_a_chain_says_no() {
    let device = Device::new();
    let trust = device.trust();
    let leaf = plain(device.key.spki());
    let run = |leaf: &Draft, intermediate: &Draft| code("packed", &device.with(leaf, intermediate), &trust);
    assert_eq!(
        run(&Draft { valid: OLD, ..leaf.clone() }, &device.intermediate()),
        "attestation_certificate_expired"
    );
    let future = ("20900101000000Z", "99991231235959Z");
    assert_eq!(
        run(&Draft { valid: future, ..leaf.clone() }, &device.intermediate()),
        "attestation_certificate_not_yet_valid"
    );
    let old = Draft { valid: OLD, ..device.intermediate() };
    assert_eq!(run(&leaf, &old), "attestation_certificate_expired");
    let no_ca = Draft { extensions: vec![constraints(false)], ..device.intermediate() };
    assert_eq!(run(&leaf, &no_ca), "attestation_path");
    let mut alone = device.statement();
    alone.certificates.as_mut().unwrap().pop();
    assert_eq!(code("packed", &alone, &trust), "attestation_unknown_authority");
    let mut broken = device.statement();
    broken.certificates.as_mut().unwrap()[0].pop();
    assert_eq!(code("packed", &broken, &trust), "attestation_certificate_malformed");
    assert_eq!(code("fido-u2f", &device.statement(), &trust), "attestation_format");
}

// The gap in other servers: a revoked attestation certificate.
#[test]
fn a_revoked_certificate_is_refused_by_either_kind_of_list() {
    let device = Device::new();
    let statement = device.statement();
    let code = |trust: &Trust| code("packed", &statement, trust);
    let crl = |maker: &Maker, serials: &[u8], valid| {
        let list = maker.crl(serials, valid);
        device.knows(OnUnknown::Accept, |r| r.add_crl(&list).unwrap())
    };
    // Serial 7 is the leaf, 9 the issuing CA; an out-of-date list still revokes.
    for (maker, serial) in [(&device.issuing, 7), (&device.root, 9)] {
        for valid in [CURRENT, OLD] {
            assert_eq!(code(&crl(maker, &[serial], valid)), "attestation_certificate_revoked", "{serial}");
        }
    }
    let issuer = Some(device.issuing.name.clone());
    for (issuer, serials) in [(None, vec![0, 7]), (None, vec![9]), (issuer, vec![7])] {
        let list = SerialList::new(issuer, [serials], Coverage::Partial, NOW);
        let trust = device.knows(OnUnknown::Accept, |r| r.add_serials(list));
        assert_eq!(code(&trust), "attestation_certificate_revoked");
    }
}

#[test]
fn good_and_unknown_are_told_apart() {
    let device = Device::new();
    let statement = device.statement();
    let outcome = |fill: &dyn Fn(&mut Revocation)| {
        let lax = device.knows(OnUnknown::Accept, fill);
        let strict = device.knows(OnUnknown::Refuse, fill);
        let status = check("packed", &statement, &lax).unwrap().revocation();
        let refused = check("packed", &statement, &strict);
        match status {
            RevocationStatus::Good => assert!(refused.is_ok()),
            RevocationStatus::Unknown(_) => {
                assert_eq!(refused.unwrap_err().code(), "attestation_revocation_unknown");
            }
        }
        status == RevocationStatus::Good
    };
    let (issuing, root) = (&device.issuing, &device.root);
    assert!(!outcome(&|_| {}), "no list");
    assert!(outcome(&|r| r.add_crl(&issuing.crl(&[], CURRENT)).unwrap()));
    assert!(outcome(&|r| r.add_crl(&issuing.crl(&[8], CURRENT)).unwrap()), "another serial is revoked");
    assert!(!outcome(&|r| r.add_crl(&issuing.crl(&[], OLD)).unwrap()), "out of date");
    assert!(!outcome(&|r| r.add_crl(&root.crl(&[], CURRENT)).unwrap()), "of the root, not of the issuer");
    // A list under the issuer's name that another key signed.
    let forged = Maker { key: Key::new(), name: issuing.name.clone() };
    assert!(!outcome(&|r| r.add_crl(&forged.crl(&[], CURRENT)).unwrap()));

    let list = |coverage, until| SerialList::new(None, [vec![8]], coverage, until);
    assert!(outcome(&|r| r.add_serials(list(Coverage::Complete, NOW))));
    assert!(!outcome(&|r| r.add_serials(list(Coverage::Complete, NOW.plus_seconds(-1)))));
    assert!(!outcome(&|r| r.add_serials(list(Coverage::Partial, NOW))));
    let elsewhere = || SerialList::new(Some(root.name.clone()), [], Coverage::Complete, NOW);
    assert!(!outcome(&|r| r.add_serials(elsewhere())));
}

#[test]
fn what_is_no_list_is_refused_when_it_is_registered() {
    let mut revocation = Revocation::new(OnUnknown::Accept);
    let device = Device::new();
    let list = device.issuing.crl(&[1], CURRENT);
    for n in 0..list.len() {
        assert!(revocation.add_crl(&list[..n]).is_err(), "{n}");
    }
    assert!(revocation.add_crl(&list).is_ok());
    assert!(revocation.add_crl(&vec![0x30; 8 * 1024 * 1024 + 1]).is_err());
}
