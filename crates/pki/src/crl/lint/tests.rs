use lanyard_domain::time::Timestamp;

use super::super::build::{Contents, Entry, prepare};
use super::super::facts::{EntryFact, Names, Point};
use super::super::number::Number;
use super::super::tests::{contents_of, entry, shard};
use super::*;
use crate::facts::TimeForm;
use crate::oid;
use crate::revocation::{Reason, Revocation};
use crate::testing::{Installation, NOW};

/// The facts of a good shard with two entries, as they are read from its bytes.
fn good(a: &Installation) -> ListFacts {
    let entries = [entry(1, Reason::KeyCompromise), entry(2, Reason::Unspecified)];
    let (scope, kind) = (Scope::Users(shard()), Kind::Complete { freshest: Some(shard()) });
    let contents = contents_of(&scope, &kind, &entries);
    let signed = prepare(&a.authority.issuing, &contents).unwrap().sign(&*a.keys).unwrap();
    ListFacts::read(crate::read::signed(&signed.der, "it").unwrap().tbs).unwrap()
}

fn view(a: &Installation) -> IssuerView<'_> {
    let side = a.authority.issuing.side();
    IssuerView {
        subject: side.view.subject,
        key_id: side.view.key_id,
        signature_algorithm: side.view.signature_algorithm,
        may_sign_lists: true,
    }
}

/// Each row breaks one fact of a good shard and names the lint that must say no.
#[test]
fn every_lint_says_no() {
    let a = Installation::new();
    let good = good(&a);
    let scope = Scope::Users(shard());
    let complete = Kind::Complete { freshest: Some(shard()) };
    let mut said_no = Vec::new();
    let mut check_as = |lint: &'static str, scope: &Scope, kind: &Kind, break_it: &dyn Fn(&mut ListFacts)| {
        let mut facts = good.clone();
        break_it(&mut facts);
        let found = run(&Linted { facts: &facts, issuer: view(&a), scope, kind });
        assert!(found.iter().any(|f| f.lint == lint), "{lint} is silent, found {found:?}");
        said_no.push(lint);
    };
    let delta = Kind::Delta { base: 6 };
    check_as("crl_delta_base", &scope, &delta, &|_| {});
    check_as("crl_delta_base", &scope, &delta, &|f| f.delta_base = f.number);
    check_as("crl_freshest_crl", &scope, &delta, &|_| {});
    check_as("crl_issuing_distribution_point", &Scope::All, &complete, &|_| {});
    let elsewhere = Scope::Users("http://elsewhere/x.crl".parse().unwrap());
    check_as("crl_issuing_distribution_point", &elsewhere, &complete, &|_| {});
    let mut check =
        |lint: &'static str, break_it: &dyn Fn(&mut ListFacts)| check_as(lint, &scope, &complete, break_it);
    check("crl_version_two", &|f| f.version = 1);
    check("crl_signature_algorithm", &|f| f.signature_algorithm = oid::SHA256_WITH_RSA);
    check("crl_issuer_name", &|f| f.issuer.push(0));
    check("crl_issuer_name", &|f| f.issuer_is_empty = true);
    check("crl_time_form", &|f| f.this_update.form = TimeForm::Generalized);
    check("crl_time_form", &|f| f.next_update.as_mut().unwrap().at = "2050-01-01T00:00:00Z".parse().unwrap());
    check("crl_time_form", &|f| f.entries[1].at.form = TimeForm::Generalized);
    check("crl_next_update", &|f| f.next_update = None);
    check("crl_next_update", &|f| f.next_update = Some(f.this_update));
    check("crl_entries_present", &|f| f.empty_sequence = true);
    check("crl_serials_once", &|f| f.entries.insert(1, f.entries[1].clone()));
    check("crl_reasons", &|f| f.entries[0].reason = Some(Reason::Unspecified));
    check("crl_reasons", &|f| f.entries[0].reason = Some(Reason::RemoveFromCrl));
    check("crl_reasons", &|f| f.entries[1].reason = Some(Reason::AaCompromise));
    check("crl_authority_key_id", &|f| f.authority_key_id = None);
    check("crl_authority_key_id", &|f| f.authority_key_id = Some(vec![1; 20]));
    check("crl_number", &|f| f.number = None);
    check("crl_delta_base", &|f| f.delta_base = Some(Number::from(1)));
    check("crl_issuing_distribution_point", &|f| f.point = None);
    check("crl_issuing_distribution_point", &|f| f.point = Some(Point::default()));
    check("crl_issuing_distribution_point", &|f| f.point.as_mut().unwrap().only_user_certificates = false);
    check("crl_issuing_distribution_point", &|f| f.point.as_mut().unwrap().only_some_reasons = true);
    check("crl_freshest_crl", &|f| f.freshest = Some(Names::default()));
    check("crl_extensions_once", &|f| f.extensions.push((oid::CRL_NUMBER, false)));
    check("crl_critical_extensions", &|f| f.extensions.iter_mut().for_each(|e| e.1 = true));
    check("crl_critical_extensions", &|f| f.extensions.iter_mut().for_each(|e| e.1 = false));
    check("crl_critical_extensions", &|f| f.unknown_critical = Some(oid::REASON_CODE));
    let mut may_not = view(&a);
    may_not.may_sign_lists = false;
    let found = run(&Linted { facts: &good, issuer: may_not, scope: &scope, kind: &complete });
    assert_eq!(found.iter().map(|f| f.lint).collect::<Vec<_>>(), ["crl_issuer_may_sign"]);
    said_no.push("crl_issuer_may_sign");
    assert!(run(&Linted { facts: &good, issuer: view(&a), scope: &scope, kind: &complete }).is_empty());
    let silent: Vec<_> = ALL.iter().map(|l| l.name).filter(|n| !said_no.contains(n)).collect();
    assert!(silent.is_empty(), "without a test: {silent:?}");
}

#[test]
fn the_list_of_lints_is_in_order_and_each_names_a_clause() {
    assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    assert!(ALL.iter().all(|l| l.name.starts_with("crl_") && !l.clause.is_empty()));
}

// The caller's own mistakes are refused before a signature exists.
#[test]
fn a_list_that_breaks_a_rule_is_not_prepared() {
    let a = Installation::new();
    let complete = Kind::Complete { freshest: None };
    let (all, one) = (Scope::All, entry(1, Reason::Superseded));
    let refused = |change: &dyn Fn(&mut Contents<'_>), entries: &[Entry]| {
        let mut contents = contents_of(&all, &complete, entries);
        change(&mut contents);
        prepare(&a.authority.issuing, &contents).unwrap_err().to_string()
    };
    let text = refused(&|_| {}, &[one, one]);
    assert!(text.contains("crl_serials_once") && text.contains("RFC 5280 5.1.2.6"), "{text}");
    assert!(refused(&|c| c.next_update = c.this_update, &[one]).contains("crl_next_update"));
    assert!(refused(&|_| {}, &[entry(1, Reason::RemoveFromCrl)]).contains("crl_reasons"));
    let delta = Kind::Delta { base: 7 };
    let contents = Contents { number: 7, ..contents_of(&all, &delta, &[]) };
    assert!(prepare(&a.authority.issuing, &contents).unwrap_err().to_string().contains("crl_delta_base"));
}

// A fact that no table above covers: the reader keeps what the writer wrote.
#[test]
fn facts_of_a_list_are_what_was_ordered() {
    let a = Installation::new();
    let facts = good(&a);
    let read: Vec<(_, Timestamp, _)> =
        facts.entries.iter().map(|e: &EntryFact| (e.serial, e.at.at, e.reason)).collect();
    let (one, two) = (entry(1, Reason::KeyCompromise), entry(2, Reason::Unspecified));
    let at = |e: Entry| e.revocation.at;
    assert_eq!(read, [(one.serial, at(one), Some(Reason::KeyCompromise)), (two.serial, at(two), None)]);
    let Revocation { at: revoked_at, .. } = one.revocation;
    assert!(revoked_at < NOW && facts.number == Some(Number::from(7)) && facts.version == 2);
    assert_eq!(facts.freshest.unwrap().uris, [shard().as_str()]);
}
