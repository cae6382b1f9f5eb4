use std::cell::RefCell;

use der::asn1::{ObjectIdentifier, OctetString};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::*;
use crate::authority::{self, Generation};
use crate::certificate::Certificate;
use crate::csr;
use crate::facts::{AltNames, HardwareModuleName, NoRevAvail, Parameters, TimeForm};
use crate::key::{KeyBackend, KeyKind, MemoryKeys};
use crate::oid;
use crate::profile::revocation::Revocation;
use crate::profile::{Profile, ProfileName, RevocationUris, SubjectFacts};
use crate::spki::{KeyRefused, PublicKey};
use crate::testing::{self, Installation};

/// A good certificate and what it must fit.
struct Case<'a> {
    facts: Facts,
    profile: Profile,
    identity: Option<PeerIdentity>,
    pointers: Option<Pointers>,
    issuer: IssuerView<'a>,
}

impl<'a> Case<'a> {
    fn built_in(
        a: &'a Installation,
        name: ProfileName,
        certificate: &Certificate,
        identity: Option<PeerIdentity>,
    ) -> Self {
        let signer = if certificate.is_ca() { &a.authority.root } else { &a.authority.issuing };
        let profile = Profile::new(name, a.naming.clone());
        let facts = certificate.facts().clone();
        Self { facts, profile, identity, pointers: None, issuer: signer.side().view }
    }

    fn device(a: &'a Installation) -> Self {
        let identity = PeerIdentity::Device(testing::device_id());
        Self::built_in(a, ProfileName::DeviceLdevid, &a.device().certificate, Some(identity))
    }

    /// A device by a template whose certificates are listed and whose RSA keys encipher.
    fn listed(a: &'a Installation) -> Self {
        let text = "name = 'listed'\ndescription = 'd'\nsubject = 'device'\nusage.purposes = ['clientAuth', 'serverAuth']\n\
            key.types = ['p256', 'rsa2048+']\nkey.key_encipherment = true\nrevocation.mode = 'crl-ocsp'\n";
        let uris = testing::revocation_uris();
        let profile = testing::template(text, &uris);
        let facts = SubjectFacts::Device { id: testing::device_id() };
        let certificate = a.issue_by(&profile, &facts).certificate;
        let key_id = a.authority.issuing.side().view.key_id;
        let pointers = uris.pointers(key_id, &certificate.serial()).unwrap();
        Self {
            facts: certificate.facts().clone(),
            profile,
            identity: facts.identity(),
            pointers: Some(pointers),
            issuer: a.authority.issuing.side().view,
        }
    }

    /// An authority whose certificate says where its root's list is, or only where its root is.
    fn authority(a: &'a Installation, of_root: fn(RevocationUris) -> Revocation) -> Self {
        let uris = testing::revocation_uris();
        let generation = Generation {
            number: 2,
            label: (format!("issuing-{}", a.keys.list().unwrap().len())).parse().unwrap(),
            serial: testing::serial(9),
        };
        a.keys.generate(&generation.label, KeyKind::P256).unwrap();
        let (naming, root, keys) = (&a.naming, &a.authority.root, &*a.keys);
        let prepared = match of_root(uris.clone()) {
            Revocation::RootsList(uris) => {
                authority::prepare_issuing(naming, &generation, root, Some(&uris), keys, testing::NOW)
            }
            _ => {
                let der = authority::request(ProfileName::IssuingCa, naming, &generation, keys).unwrap();
                let request = csr::verify(&der).unwrap();
                authority::prepare_requested(
                    naming,
                    &request,
                    root,
                    Some(&uris),
                    generation.serial,
                    testing::NOW,
                )
            }
        };
        let issuing = prepared.unwrap().sign(keys).unwrap();
        let root = a.authority.root.side().view;
        let serial = issuing.serial();
        let pointers = match of_root(uris.clone()) {
            Revocation::RootsList(_) => uris.root_pointers(root.key_id, &serial).unwrap(),
            _ => uris.root_only(root.key_id).unwrap(),
        };
        let profile = Profile::issuing(a.naming.clone(), of_root(uris));
        let facts = issuing.facts().clone();
        Self { facts, profile, identity: None, pointers: Some(pointers), issuer: root }
    }

    fn findings(&self, facts: &Facts) -> Vec<&'static str> {
        let linted = Linted {
            facts,
            role: self.profile.terms().role,
            terms: self.profile.terms(),
            identity: self.identity,
            pointers: self.pointers.as_ref(),
            issuer: self.issuer,
        };
        run(&linted).into_iter().map(|f| f.lint).collect()
    }

    /// `lint` says no when `break_it` was done to the good certificate.
    fn says_no(&self, lint: &'static str, break_it: impl Fn(&mut Facts)) {
        let mut facts = self.facts.clone();
        break_it(&mut facts);
        let found = self.findings(&facts);
        assert!(found.contains(&lint), "{lint} is silent, found {found:?}");
    }
}

#[test]
fn what_we_issue_has_no_finding() {
    let a = Installation::new();
    let gateway = PeerIdentity::Gateway(testing::gateway_id());
    for case in [
        Case::device(&a),
        Case::listed(&a),
        Case::built_in(&a, ProfileName::GatewayServer, &a.gateway().certificate, Some(gateway)),
        Case::built_in(&a, ProfileName::ControlServer, &a.control().certificate, Some(PeerIdentity::Control)),
        Case::built_in(&a, ProfileName::OcspResponder, &a.ocsp_responder().certificate, None),
        Case::built_in(&a, ProfileName::ScepRa, &a.scep_ra().certificate, None),
        Case::built_in(&a, ProfileName::IssuingCa, a.authority.issuing.certificate(), None),
        Case::authority(&a, Revocation::RootsList),
        Case::authority(&a, Revocation::RootOnly),
    ] {
        assert_eq!(case.findings(&case.facts), Vec::<&str>::new(), "{}", case.profile.name());
    }
}

/// Each row breaks one fact of a good device certificate and names the lint that must say no.
#[test]
fn every_lint_says_no() {
    let a = Installation::new();
    let (device, listed) = (Case::device(&a), Case::listed(&a));
    let said_no = RefCell::new(Vec::new());
    let check = |lint: &'static str, break_it: &dyn Fn(&mut Facts)| {
        device.says_no(lint, break_it);
        said_no.borrow_mut().push(lint);
    };
    let check_listed = |lint: &'static str, break_it: &dyn Fn(&mut Facts)| {
        listed.says_no(lint, break_it);
        said_no.borrow_mut().push(lint);
    };
    check("serial", &|f| f.serial = vec![0]);
    check("serial", &|f| f.serial = vec![0x80, 1]);
    check("serial", &|f| f.serial = vec![1; 21]);
    check("version_three", &|f| f.version = 0);
    check("validity_order", &|f| f.not_after.at = f.not_before.at);
    check("time_form", &|f| f.not_before.form = TimeForm::Generalized);
    check("time_form", &|f| f.not_after.at = "2050-01-01T00:00:00Z".parse().unwrap());
    check("within_issuer", &|f| f.not_before.at = Timestamp::from_seconds(0));
    check("within_issuer", &|f| f.not_after.at = "2049-01-01T00:00:00Z".parse().unwrap());
    check("issuer_name", &|f| f.issuer.push(0));
    check("subject_present", &|f| f.subject_is_empty = true);
    check("alt_name_present", &|f| f.alt_names = None);
    check("alt_name_present", &|f| f.alt_names = Some(AltNames::default()));
    check("alt_name_present", &|f| f.alt_names.as_mut().unwrap().critical = true);
    let constraints = |ca, path_len_constraint| Some(BasicConstraints { ca, path_len_constraint });
    check("basic_constraints", &|f| f.basic_constraints = constraints(true, None));
    check("basic_constraints", &|f| f.basic_constraints = constraints(false, Some(1)));
    check("issuer_may_sign", &|f| f.basic_constraints = constraints(true, None));
    check("key_usage", &|f| f.key_usage = None);
    check("key_usage", &|f| {
        f.key_usage = Some(KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign));
    });
    check("key_usage", &|f| f.key_usage = Some(KeyUsage(KeyUsages::KeyEncipherment.into())));
    check("key_usage", &|f| f.extensions.iter_mut().for_each(|e| e.1 = false));
    check("extended_key_usage", &|f| f.extended_key_usage = None);
    check("extended_key_usage", &|f| f.extended_key_usage = Some(vec![]));
    check("extended_key_usage", &|f| {
        f.extended_key_usage.as_mut().unwrap().push(oid::ANY_EXTENDED_KEY_USAGE);
    });
    check("ocsp_signing", &|f| f.extended_key_usage = Some(vec![oid::OCSP_SIGNING]));
    check("ocsp_signing", &|f| f.extensions.push((oid::OCSP_NO_CHECK, false)));
    check("ocsp_signing", &|f| {
        f.extended_key_usage.as_mut().unwrap().push(oid::OCSP_SIGNING);
        f.extensions.push((oid::OCSP_NO_CHECK, false));
    });
    check("ocsp_signing", &|f| {
        f.extended_key_usage = Some(vec![oid::OCSP_SIGNING]);
        f.extensions.push((oid::OCSP_NO_CHECK, true));
    });
    check("authority_key_id", &|f| f.authority_key_id = None);
    check("authority_key_id", &|f| f.authority_key_id = Some(vec![1; 20]));
    check("subject_key_id", &|f| f.subject_key_id = None);
    check("subject_key_id", &|f| f.subject_key_id = Some(vec![1; 20]));
    check("no_rev_avail", &|f| f.no_rev_avail = None);
    check("no_rev_avail", &|f| f.names_a_crl = true);
    check("no_rev_avail", &|f| f.names_an_ocsp_responder = true);
    check("no_rev_avail", &|f| f.no_rev_avail = Some(NoRevAvail { critical: true, is_null: true }));
    check("no_rev_avail", &|f| f.no_rev_avail = Some(NoRevAvail { critical: false, is_null: false }));
    check("no_rev_avail", &|f| f.not_after.at = f.not_before.at.plus_seconds(8 * 86_400));
    check("key_strength", &|f| f.key = Err(KeyRefused::Weak("RSA modulus of 1024 bits".into())));
    check("signature_algorithm", &|f| f.signature_algorithm = oid::SHA256_WITH_RSA);
    check("signature_algorithm", &|f| f.signature_parameters = Parameters::Null);
    check("signature_algorithm", &|f| f.signature_parameters = Parameters::Other);
    check("extensions_once", &|f| f.extensions.push((oid::KEY_USAGE, true)));
    check("extensions_once", &|f| f.extensions.push((ObjectIdentifier::new_unwrap("1.2.3.4"), true)));
    check("serial_entropy", &|f| f.serial = vec![0x41; 8]);
    check("serial_entropy", &|f| f.serial = [&[1][..], &[0; 13], &[7, 9]].concat());
    check("subject_attributes", &|f| f.subject_attributes.push(email()));
    check("subject_attributes", &|f| f.subject_attributes.push(oid::ORGANIZATION));
    check("alt_name_forms", &|f| f.alt_names.as_mut().unwrap().others = 1);
    check("alt_name_forms", &|f| f.alt_names.as_mut().unwrap().uris.push("urn:x".into()));
    check("alt_name_forms", &|f| {
        let module = HardwareModuleName { hw_type: oid::P256, serial: OctetString::new(*b"1").unwrap() };
        f.alt_names.as_mut().unwrap().hardware_modules = vec![module.clone(), module];
    });
    check("names_recognised", &|f| {
        let other = DeviceId::from_random([9; 16]);
        let names = f.alt_names.as_mut().unwrap();
        names.dns = vec![format!("{other}.device.hospital.example")];
        names.uris = vec![other.urn()];
    });
    check("names_recognised", &|f| f.alt_names.as_mut().unwrap().dns.clear());
    check("any_purpose", &|f| f.extended_key_usage.as_mut().unwrap().push(oid::ANY_EXTENDED_KEY_USAGE));
    check("any_purpose", &|f| f.extended_key_usage.as_mut().unwrap().push(oid::OCSP_SIGNING));
    check("extended_key_usage", &|f| f.extended_key_usage.as_mut().unwrap().push(oid::SERVER_AUTH));
    check("lifetime_of_profile", &|f| f.not_after.at = f.not_before.at.plus_seconds(7 * 86_400 + 1));
    check("encipherment", &|f| f.key_usage = Some(KeyUsage(KeyUsages::KeyEncipherment.into())));
    check("encipherment", &|f| f.key_usage = Some(KeyUsage(KeyUsages::DataEncipherment.into())));
    check("crl_point", &|f| f.names_a_crl = true);
    check("access_pointers", &|f| f.access.push((oid::CA_ISSUERS, None)));

    // What only an OCSP responder can get wrong.
    let responder = Case::built_in(&a, ProfileName::OcspResponder, &a.ocsp_responder().certificate, None);
    let says = Some(NoRevAvail { critical: false, is_null: true });
    responder.says_no("no_rev_avail", |f| f.no_rev_avail = says);
    responder.says_no("no_rev_avail", |f| f.names_a_crl = true);
    responder.says_no("no_rev_avail", |f| f.names_an_ocsp_responder = true);
    responder.says_no("ocsp_signing", |f| f.extensions.retain(|(id, _)| *id != oid::OCSP_NO_CHECK));
    responder
        .says_no("lifetime_of_profile", |f| f.not_after.at = f.not_before.at.plus_seconds(7 * 86_400 + 1));

    // What only a listed certificate can get wrong.
    check_listed("no_rev_avail", &|f| f.no_rev_avail = Some(NoRevAvail { critical: false, is_null: true }));
    check_listed("key_of_profile", &|f| f.key = PublicKey::parse(&p384_spki()));
    check_listed("key_usage", &|f| f.key = PublicKey::parse(&testing::rsa_spki(256)));
    check_listed("encipherment", &|f| {
        f.key_usage = Some(KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment));
    });
    check_listed("crl_point", &|f| f.crl_points.clear());
    check_listed("crl_point", &|f| f.crl_points.push(f.crl_points[0].clone()));
    check_listed("crl_point", &|f| f.crl_points[0].plain = false);
    check_listed("crl_point", &|f| f.crl_points[0].uris.push("http://other".into()));
    check_listed("crl_point", &|f| f.crl_points[0].uris = vec!["http://other".into()]);
    check_listed("crl_point", &|f| f.extensions.push((oid::FRESHEST_CRL, false)));
    check_listed("crl_point", &|f| critical(f, oid::CRL_DISTRIBUTION_POINTS));
    check_listed("access_pointers", &|f| f.access.clear());
    check_listed("access_pointers", &|f| f.access.swap(0, 1));
    check_listed("access_pointers", &|f| f.access[0].1 = Some("http://other".into()));
    check_listed("access_pointers", &|f| f.access.push((oid::OCSP, None)));
    check_listed("access_pointers", &|f| critical(f, oid::AUTHORITY_INFO_ACCESS));
    let said_no = said_no.into_inner();
    let silent: Vec<_> = ALL.iter().map(|l| l.name).filter(|n| !said_no.contains(n)).collect();
    assert!(silent.is_empty(), "without a test: {silent:?}");
}

#[test]
fn lints_for_authorities_say_no() {
    let a = Installation::new();
    let issuing = Case::built_in(&a, ProfileName::IssuingCa, a.authority.issuing.certificate(), None);
    let check = |lint: &'static str, break_it: &dyn Fn(&mut Facts)| issuing.says_no(lint, break_it);
    check("basic_constraints", &|f| f.basic_constraints = None);
    check("basic_constraints", &|f| {
        f.basic_constraints = Some(BasicConstraints { ca: true, path_len_constraint: None });
    });
    check("basic_constraints", &|f| f.extensions.iter_mut().for_each(|e| e.1 = false));
    check("key_usage", &|f| f.key_usage = Some(KeyUsage(KeyUsages::DigitalSignature.into())));
    check("extended_key_usage", &|f| f.extended_key_usage = Some(vec![oid::CLIENT_AUTH]));
    check("no_rev_avail", &|f| f.no_rev_avail = Some(NoRevAvail { critical: false, is_null: true }));
    let device_key = a.device().certificate.facts().key.clone();
    check("subject_key_id", &|f| f.key = device_key.clone());
    // One without addresses names none.
    check("crl_point", &|f| f.names_a_crl = true);
    check("access_pointers", &|f| f.access.push((oid::CA_ISSUERS, Some("http://other".into()))));
}

// R49
#[test]
fn an_authority_names_its_roots_list_and_nothing_else() {
    let a = Installation::new();
    let listed = Case::authority(&a, Revocation::RootsList);
    let [point] = listed.facts.crl_points.as_slice() else { panic!("{:?}", listed.facts.crl_points) };
    let root = data_encoding::HEXLOWER.encode(a.authority.root.side().view.key_id);
    assert_eq!(point.uris, [format!("http://pki.hospital.example/crl/{root}/1/0.crl")]);
    listed.says_no("crl_point", |f| f.crl_points.clear());
    listed.says_no("crl_point", |f| f.crl_points[0].uris = vec!["http://other".into()]);
    listed.says_no("crl_point", |f| critical(f, oid::CRL_DISTRIBUTION_POINTS));
    listed.says_no("access_pointers", |f| f.access.clear());
    // A root has no responder.
    listed.says_no("access_pointers", |f| f.access.insert(0, (oid::OCSP, Some("http://o".into()))));
    listed.says_no("no_rev_avail", |f| f.no_rev_avail = Some(NoRevAvail { critical: false, is_null: true }));
    let only = Case::authority(&a, Revocation::RootOnly);
    assert!(only.facts.crl_points.is_empty() && only.facts.access.len() == 1);
    only.says_no("crl_point", |f| f.names_a_crl = true);
    only.says_no("access_pointers", |f| f.access.clear());
    only.says_no("no_rev_avail", |f| f.no_rev_avail = Some(NoRevAvail { critical: false, is_null: true }));
}

/// id-emailAddress (RFC 5280 appendix A.1).
fn email() -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1")
}

fn p384_spki() -> Vec<u8> {
    let keys = MemoryKeys::default();
    keys.generate(&"k".parse().unwrap(), KeyKind::P384).unwrap()
}

fn critical(facts: &mut Facts, id: ObjectIdentifier) {
    facts.extensions.iter_mut().filter(|e| e.0 == id).for_each(|e| e.1 = true);
}

// R46: an application without an id is recognised as no machine.
#[test]
fn names_of_a_machine_in_a_certificate_for_none_are_refused() {
    let a = Installation::new();
    let nobody = Case { identity: None, ..Case::device(&a) };
    assert_eq!(nobody.findings(&nobody.facts), ["names_recognised"]);
}

// The profile's own word does not make a purpose harmless.
#[test]
fn a_reserved_purpose_is_refused_even_where_the_template_would_name_it() {
    let a = Installation::new();
    let mut listed = Case::listed(&a);
    listed.facts.extended_key_usage.as_mut().unwrap().push(oid::OCSP_SIGNING);
    assert!(listed.findings(&listed.facts).contains(&"any_purpose"));
}

#[test]
fn the_list_of_lints_is_in_order_and_each_names_a_clause() {
    assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    assert!(ALL.iter().all(|l| !l.clause.is_empty()));
}
