use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::*;
use crate::facts::{AltNames, NoRevAvail, Parameters, TimeForm};
use crate::oid;
use crate::spki::KeyRefused;
use crate::testing::Installation;

fn lint_names(facts: &Facts, role: Role, issuer: IssuerView<'_>) -> Vec<&'static str> {
    run(&Linted { facts, role, issuer }).into_iter().map(|f| f.lint).collect()
}

#[test]
fn what_we_issue_has_no_finding() {
    let a = Installation::new();
    let (issuing, root) = (a.authority.issuing.side().view, a.authority.root.side().view);
    for issued in [a.device(), a.gateway(), a.control()] {
        assert!(lint_names(issued.certificate.facts(), Role::EndEntity, issuing).is_empty());
    }
    let role = Role::Authority { path_len: Some(0) };
    assert!(lint_names(a.authority.issuing.certificate().facts(), role, root).is_empty());
}

/// Each row breaks one fact of a good device certificate and names the lint that must say no.
#[test]
fn every_lint_says_no() {
    let a = Installation::new();
    let good = a.device().certificate.facts().clone();
    let issuer = a.authority.issuing.side().view;
    let mut said_no = Vec::new();
    let mut check = |lint: &'static str, break_it: &dyn Fn(&mut Facts)| {
        let mut facts = good.clone();
        break_it(&mut facts);
        let found = lint_names(&facts, Role::EndEntity, issuer);
        assert!(found.contains(&lint), "{lint} is silent, found {found:?}");
        said_no.push(lint);
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
    let silent: Vec<_> = ALL.iter().map(|l| l.name).filter(|n| !said_no.contains(n)).collect();
    assert!(silent.is_empty(), "without a test: {silent:?}");
}

#[test]
fn lints_for_authorities_say_no() {
    let a = Installation::new();
    let good = a.authority.issuing.certificate().facts().clone();
    let root = a.authority.root.side().view;
    let check = |lint: &'static str, break_it: &dyn Fn(&mut Facts)| {
        let mut facts = good.clone();
        break_it(&mut facts);
        let found = lint_names(&facts, Role::Authority { path_len: Some(0) }, root);
        assert!(found.contains(&lint), "{lint} is silent, found {found:?}");
    };
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
}

#[test]
fn the_list_of_lints_is_in_order_and_each_names_a_clause() {
    assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    assert!(ALL.iter().all(|l| !l.clause.is_empty()));
}
