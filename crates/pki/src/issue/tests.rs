use super::*;
use crate::key::MemoryKeys;
use crate::profile::{ProfileName, SHORT_LIVED};
use crate::testing::{self, Installation, NOW};

fn device() -> SubjectFacts {
    SubjectFacts::Device { id: testing::device_id() }
}

// R46, R47
#[test]
fn a_device_certificate_says_what_its_profile_says() {
    let a = Installation::new();
    let certificate = a.device().certificate;
    let facts = certificate.facts();
    let id = testing::device_id();
    let names = facts.alt_names.as_ref().unwrap();
    assert_eq!(names.uris, [id.urn()]);
    assert_eq!(names.dns, [format!("{id}.device.hospital.example")]);
    assert_eq!(facts.extended_key_usage.as_deref(), Some(&[crate::oid::CLIENT_AUTH][..]));
    assert!(facts.no_rev_avail.is_some() && !facts.names_a_crl && !facts.names_an_ocsp_responder);
    assert_eq!(certificate.not_before(), NOW.plus_seconds(-900));
    assert_eq!(certificate.not_after().seconds_since(certificate.not_before()), 86_400);
    assert_eq!(certificate.renew_at().seconds_since(certificate.not_before()), 57_600);
    assert!(!certificate.is_ca());
}

// R44: a device whose clock is as late as CMP forgives verifies what we signed with a certificate of this minute.
#[test]
fn the_control_planes_certificate_began_when_the_latest_clocks_are() {
    let certificate = Installation::new().control().certificate;
    assert_eq!(certificate.not_before(), NOW.plus_seconds(-900));
}

#[test]
fn x509_cert_encodes_what_it_read_back_to_the_same_bytes() {
    use der::{Decode, Encode};
    let a = Installation::new();
    for issued in [a.device(), a.gateway(), a.control()] {
        let parsed = x509_cert::Certificate::from_der(issued.certificate.der()).unwrap();
        assert_eq!(parsed.to_der().unwrap(), issued.certificate.der().as_ref());
    }
    for issuer in [&a.authority.root, &a.authority.issuing] {
        let parsed = x509_cert::Certificate::from_der(issuer.certificate().der()).unwrap();
        assert_eq!(parsed.to_der().unwrap(), issuer.certificate().der().as_ref());
    }
}

// I3: what is recorded before signing is what is signed.
#[test]
fn the_intent_names_the_bytes_that_are_signed() {
    use der::{Reader, SliceReader};
    let a = Installation::new();
    let (_, prepared) = a.prepare(ProfileName::DeviceLdevid, &device());
    let (digest, serial, spki) = (prepared.tbs_sha256(), prepared.serial(), prepared.spki_sha256());
    let (from, to) = (prepared.not_before(), prepared.not_after());
    let certificate = prepared.sign(&*a.keys).unwrap();
    let tbs = SliceReader::new(certificate.der())
        .unwrap()
        .sequence(|r| {
            let tbs = r.tlv_bytes()?;
            r.tlv_bytes()?;
            r.tlv_bytes()?;
            Ok::<_, der::Error>(tbs)
        })
        .unwrap();
    assert_eq!(sha256(tbs), digest);
    assert_eq!((certificate.serial(), certificate.spki_sha256()), (serial, spki));
    assert_eq!((certificate.not_before(), certificate.not_after()), (from, to));
}

// I10
#[test]
fn a_label_that_holds_another_key_does_not_sign() {
    let a = Installation::new();
    let other = MemoryKeys::default();
    let (_, prepared) = a.prepare(ProfileName::DeviceLdevid, &device());
    assert!(matches!(prepared.sign(&other), Err(KeyError::NotFound(_))));
    other.generate(a.authority.issuing.label(), KeyKind::P256).unwrap();
    let (_, prepared) = a.prepare(ProfileName::DeviceLdevid, &device());
    assert!(matches!(prepared.sign(&other), Err(KeyError::NotTheCertifiedKey(_))));
}

#[test]
fn a_profile_certifies_its_own_kind_of_subject_only() {
    let a = Installation::new();
    let (_, csr) = a.csr();
    let (_, rsa) = a.csr_of(KeyKind::Rsa2048);
    for name in crate::profile::ALL {
        // The RA's profile certifies RSA keys only.
        let csr = if name == ProfileName::ScepRa { &rsa } else { &csr };
        if name == ProfileName::DeviceLdevid {
            continue;
        }
        let profile = Profile::new(name, a.naming.clone());
        let refused = prepare(
            &profile,
            csr,
            &device(),
            &a.authority.issuing,
            Lifetime::Default,
            testing::serial(3),
            NOW,
        );
        assert_eq!(refused.unwrap_err(), PrepareError::Subject(SubjectError::WrongKind(name.to_string())));
    }
}

#[test]
fn a_lifetime_beyond_the_profile_or_the_issuer_is_refused() {
    let a = Installation::new();
    let (_, csr) = a.csr();
    let profile = Profile::new(ProfileName::DeviceLdevid, a.naming.clone());
    let ask = |lifetime, now| {
        prepare(&profile, &csr, &device(), &a.authority.issuing, lifetime, testing::serial(3), now)
    };
    assert!(matches!(ask(Lifetime::Seconds(SHORT_LIVED + 1), NOW), Err(PrepareError::Lifetime(_))));
    assert!(ask(Lifetime::Seconds(SHORT_LIVED), NOW).is_ok());
    let end = a.authority.issuing.certificate().not_after();
    for now in [end, end.plus_seconds(-3600), NOW.plus_seconds(-86_400 * 365)] {
        let Err(PrepareError::Lint(findings)) = ask(Lifetime::Default, now) else { panic!("{now}") };
        assert_eq!(findings[0].lint, "within_issuer");
    }
}

#[test]
fn the_key_of_the_issuing_ca_is_not_certified_as_a_device() {
    let a = Installation::new();
    let label = a.authority.issuing.label();
    let spki = a.keys.public_spki(label).unwrap();
    let der = crate::csr::build(&spki, "evil", |m| a.keys.sign(label, m)).unwrap();
    let csr = crate::csr::verify(&der).unwrap();
    let profile = Profile::new(ProfileName::DeviceLdevid, a.naming.clone());
    let refused =
        prepare(&profile, &csr, &device(), &a.authority.issuing, Lifetime::Default, testing::serial(3), NOW);
    assert_eq!(refused.unwrap_err(), PrepareError::IssuersOwnKey);
}

#[test]
fn authorities_that_reach_beyond_2049_are_written_in_the_other_time_form() {
    let a = Installation::at("2045-06-01T00:00:00Z".parse().unwrap());
    let root = a.authority.root.certificate().facts();
    assert_eq!(root.not_before.form, crate::facts::TimeForm::Utc);
    assert_eq!(root.not_after.form, crate::facts::TimeForm::Generalized);
}

/// Root and issuing CA of each kind, a subject of each kind, and webpki (by `path`) as the second reader.
// R42
#[test]
fn authorities_of_every_kind_issue_for_keys_of_every_kind() {
    use crate::certificate::PeerIdentity;
    use crate::path::{Anchors, Purpose, validate};
    let text = "name = 'any'\ndescription = 'd'\nsubject = 'device'\nusage.purposes = ['clientAuth']\n\
        key.types = ['p256', 'p384', 'ed25519', 'rsa2048+', 'ml-dsa-65']\nkey.post_quantum = true\n";
    let profile = testing::template(text, &testing::revocation_uris());
    for kind in KeyKind::ALL {
        let a = Installation::of_kinds(kind, kind);
        for subject in [KeyKind::P256, kind] {
            let (_, csr) = a.csr_of(subject);
            let issuer = &a.authority.issuing;
            let certificate =
                prepare(&profile, &csr, &device(), issuer, Lifetime::Default, testing::serial(3), NOW)
                    .unwrap()
                    .sign(&*a.keys)
                    .unwrap();
            assert_eq!(certificate.facts().signature_algorithm, kind.signature_oid(), "{kind}");
            assert_eq!(certificate.public_key().unwrap().kind(), subject.public());
            let anchors = Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap();
            let chain = [certificate.der().clone(), issuer.certificate().der().clone()];
            let verified = validate(&chain, &anchors, Purpose::Client, NOW).unwrap();
            assert_eq!(verified.identity(), PeerIdentity::Device(testing::device_id()), "{kind}");
        }
    }
}

// I10: who can have ciphertexts opened with a key cannot have certificates signed with it.
#[test]
fn a_key_that_decrypts_makes_no_authority() {
    let a = Installation::of_kinds(KeyKind::P384, KeyKind::Rsa2048);
    let label: KeyLabel = "scep-ra".parse().unwrap();
    a.keys.generate_to_decrypt(&label, KeyKind::Rsa2048).unwrap();
    let generation =
        crate::authority::Generation { number: 2, label: label.clone(), serial: testing::serial(7) };
    let certificate =
        crate::authority::prepare_issuing(&a.naming, &generation, &a.authority.root, None, &*a.keys, NOW)
            .unwrap()
            .sign(&*a.keys)
            .unwrap();
    let refused = Issuer::new(certificate, label, &*a.keys).unwrap_err().to_string();
    assert!(refused.contains("also decrypts"), "{refused}");
}
