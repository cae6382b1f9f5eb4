//! Certificates by template, prepared and signed, and the facts that a template refuses.

use super::*;
use crate::crl::shard::Place;
use crate::identity::PeerIdentity;
use crate::issue::{self, Lifetime as Asked, PrepareError};
use crate::profile::{Addresses, HardwareNames, KeyNotAllowed, Profile, SubjectError, SubjectFacts};
use crate::testing::{self, Installation, NOW};

fn profile(kind: &str, purposes: &str, more: &str) -> Profile {
    let text =
        format!("name = 'x'\ndescription = 'd'\nsubject = '{kind}'\nusage.purposes = [{purposes}]\n{more}\n");
    testing::template(&text, &testing::revocation_uris())
}

fn device(more: &str) -> Profile {
    profile("device", "'clientAuth'", more)
}

fn application(more: &str) -> Profile {
    profile("application", "'serverAuth'", &format!("convention.dns_suffixes = ['hospital.example']\n{more}"))
}

fn addresses(dns: &[&str], ips: &[&str]) -> Addresses {
    Addresses::new(
        dns.iter().map(|n| n.parse().unwrap()).collect(),
        ips.iter().map(|n| n.parse().unwrap()).collect(),
    )
    .unwrap()
}

fn server(dns: &[&str], ips: &[&str]) -> SubjectFacts {
    SubjectFacts::Application { id: Some(testing::application_id()), addresses: addresses(dns, ips) }
}

fn hardware(serial: Option<&str>, module: Option<&[u8]>) -> SubjectFacts {
    let names = HardwareNames::new(serial, module).unwrap();
    SubjectFacts::DeviceHardware { id: testing::device_id(), names }
}

const ALL_NAMES: &str = "names.alternative = ['uri-id', 'machine-dns', 'permanent-identifier', 'hardware-module-name']\n\
    names.permanent_identifier_assigner = '1.3.6.1.4.1.32473.1'\nnames.hardware_module_type = '2.23.133.1.2'";

// R46, R47
#[test]
fn a_device_has_the_hardware_names_that_its_template_asks_for_and_no_other() {
    let a = Installation::new();
    let facts = hardware(Some("SN 42"), Some(&[1, 2, 3]));
    let plain = a.issue_by(&device(""), &facts).certificate;
    let names = plain.facts().alt_names.clone().unwrap();
    assert!(names.permanent_identifiers.is_empty() && names.hardware_modules.is_empty());
    assert!(!plain.der().windows(5).any(|w| w == b"SN 42"));
    let named = a.issue_by(&device(ALL_NAMES), &facts).certificate;
    let names = named.facts().alt_names.clone().unwrap();
    let [serial] = names.permanent_identifiers.as_slice() else { panic!("{names:?}") };
    assert_eq!(serial.value.as_deref(), Some("SN 42"));
    assert_eq!(serial.assigner.unwrap().to_string(), "1.3.6.1.4.1.32473.1");
    let [module] = names.hardware_modules.as_slice() else { panic!("{names:?}") };
    assert_eq!(
        (module.hw_type.to_string().as_str(), module.serial.as_bytes()),
        ("2.23.133.1.2", &[1, 2, 3][..])
    );
    for certificate in [plain, named] {
        assert_eq!(certificate.identity(), Ok(PeerIdentity::Device(testing::device_id())));
    }
}

#[test]
fn an_application_has_the_addresses_of_its_record_and_is_recognised_by_its_id() {
    let a = Installation::new();
    let facts = server(&["pacs.hospital.example"], &["192.0.2.7", "2001:db8::7"]);
    let certificate = a.issue_by(&application(""), &facts).certificate;
    let id = testing::application_id();
    let own = format!("{id}.application.hospital.example");
    assert_eq!(certificate.dns_names(), [own, "pacs.hospital.example".into()]);
    assert_eq!(certificate.ip_addresses().len(), 2);
    assert_eq!(certificate.identity(), Ok(PeerIdentity::Application(id)));
    // Without an id: for its own clients, recognised by nobody of ours.
    let anonymous =
        SubjectFacts::Application { id: None, addresses: addresses(&["pacs.hospital.example"], &[]) };
    let names = "names.alternative = ['dns']\nnames.subject = 'common-name'";
    let certificate = a.issue_by(&application(names), &anonymous).certificate;
    assert_eq!(certificate.dns_names(), ["pacs.hospital.example"]);
    assert!(certificate.identity().is_err());
}

/// What `profile` says to these facts.
fn refusal(profile: &Profile, facts: &SubjectFacts) -> SubjectError {
    let a = Installation::new();
    let (_, csr) = a.csr();
    let issuer = &a.authority.issuing;
    let refused = issue::prepare(profile, &csr, facts, issuer, Asked::Default, testing::serial(3), NOW);
    match refused.unwrap_err() {
        PrepareError::Subject(why) => why,
        other => panic!("{other}"),
    }
}

// R10, R46
#[test]
fn facts_that_do_not_fit_the_template_are_refused() {
    let long = format!("{}.hospital.example", "a".repeat(50));
    let nobody =
        SubjectFacts::Application { id: None, addresses: addresses(&["pacs.hospital.example"], &[]) };
    let only_dns = "names.alternative = ['dns']";
    let common = "names.subject = 'common-name'";
    for (profile, facts, why) in [
        (device(ALL_NAMES), hardware(None, Some(&[1])), "maker's serial number"),
        (device(ALL_NAMES), hardware(Some("1"), None), "security module"),
        (device(ALL_NAMES), SubjectFacts::Device { id: testing::device_id() }, "maker's serial number"),
        (device(""), server(&[], &[]), "this kind of subject"),
        (application(""), SubjectFacts::Device { id: testing::device_id() }, "this kind of subject"),
        (application(""), SubjectFacts::Authority { generation: 1 }, "this kind of subject"),
        (application(""), server(&["pacs.elsewhere.example"], &[]), "no DNS suffix"),
        (application(""), nobody.clone(), "the id"),
        (
            application(&format!("{only_dns}\n{common}")),
            server(&["a.hospital.example"], &["192.0.2.7"]),
            "IP addresses",
        ),
        (
            application(&format!("{only_dns}\n{common}")),
            SubjectFacts::Application { id: None, addresses: addresses(&[], &[]) },
            "a DNS name or address",
        ),
        (
            application("names.alternative = ['uri-id', 'machine-dns', 'ip']"),
            server(&["a.hospital.example"], &[]),
            "DNS names",
        ),
        (application(only_dns), nobody, "the id"),
        (application(common), server(&[&long], &[]), "more than 64"),
    ] {
        let refused = refusal(&profile, &facts).to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    }
}

#[test]
fn the_subject_is_written_in_the_style_of_the_template() {
    let a = Installation::new();
    let id = testing::device_id().to_string();
    let common_names = |certificate: &crate::certificate::Certificate| {
        let der = certificate.subject_der();
        der.windows(id.len()).filter(|w| *w == id.as_bytes()).count()
    };
    for (style, times) in [("serial-number", 1), ("common-name", 1), ("serial-number-and-common-name", 2)] {
        let facts = SubjectFacts::Device { id: testing::device_id() };
        let certificate = a.issue_by(&device(&format!("names.subject = '{style}'")), &facts).certificate;
        assert_eq!(common_names(&certificate), times, "{style}");
    }
    let facts = server(&["pacs.hospital.example"], &[]);
    let certificate = a.issue_by(&application("names.subject = 'common-name'"), &facts).certificate;
    assert!(certificate.subject_der().ends_with(b"pacs.hospital.example"));
}

// R54
#[test]
fn a_key_of_a_type_that_the_template_does_not_list_is_refused() {
    let a = Installation::new();
    let (_, csr) = a.csr();
    let profile = device("key.types = ['p384', 'rsa2048+']");
    let facts = SubjectFacts::Device { id: testing::device_id() };
    let refused =
        issue::prepare(&profile, &csr, &facts, &a.authority.issuing, Asked::Default, testing::serial(3), NOW)
            .unwrap_err();
    assert!(matches!(refused, PrepareError::Key(KeyNotAllowed { .. })));
    assert_eq!(
        refused.to_string(),
        "profile `x` certifies no p256 key: make the request with p384 or rsa2048+"
    );
    let expected = profile.csr_expectation();
    assert_eq!(expected.key_types, [KeyType::P384, KeyType::Rsa2048]);
    assert_eq!(expected.purposes, [crate::oid::CLIENT_AUTH]);
    assert!(!expected.server_generated && !expected.key_encipherment);
}

// R49
#[test]
fn a_listed_certificate_names_its_shard_and_responder_and_nothing_else() {
    let a = Installation::new();
    let profile = device("revocation.mode = 'crl-ocsp'\nvalidity.default = '90d'\nvalidity.longest = '90d'");
    let certificate = a.issue_by(&profile, &SubjectFacts::Device { id: testing::device_id() }).certificate;
    let uris = testing::revocation_uris();
    let key_id = a.authority.issuing.certificate().facts().subject_key_id.clone().unwrap();
    let place = Place::of(&key_id, uris.shards(), &certificate.serial());
    let (_, csr) = a.csr();
    let prepare = |profile: &Profile| {
        let facts = SubjectFacts::Device { id: testing::device_id() };
        issue::prepare(profile, &csr, &facts, &a.authority.issuing, Asked::Default, certificate.serial(), NOW)
            .unwrap()
            .shard()
            .cloned()
    };
    assert_eq!((prepare(&profile), prepare(&device(""))), (Some(place.clone()), None));
    let facts = certificate.facts();
    assert!(facts.no_rev_avail.is_none());
    assert_eq!(facts.crl_points[0].uris, [uris.crl(&place).unwrap().as_str()]);
    assert_eq!(facts.access[0].1.as_deref(), Some(uris.ocsp().as_str()));
    assert_eq!(certificate.not_after().seconds_since(certificate.not_before()), 90 * 86_400);
    // Two thirds of ninety days.
    let renewal = profile.renewal().renew_at(certificate.not_before(), certificate.not_after());
    assert_eq!(renewal.seconds_since(certificate.not_before()), 60 * 86_400);
}
