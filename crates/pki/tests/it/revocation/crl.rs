//! Certificate revocation lists by other hands.

use std::fs;
use std::path::Path;

use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::{self as list, Contents, Entry, Kind, Scope};
use lanyard_pki::key::KeyBackend;
use lanyard_pki::revocation::{Reason, Revocation};
use lanyard_pki::uri::HttpUri;

use super::{COMPLETE, folder, have, one_of_each, pem, revoked, run, signed};
use crate::installation::{Installation, NOW};
use crate::peers;

fn shard(n: u32) -> HttpUri {
    format!("http://pki.hospital.example/crl/00112233/32/{n}.crl").parse().unwrap()
}

fn write_list(dir: &Path, name: &str, der: &[u8]) {
    fs::write(dir.join(name), pem("X509 CRL", der)).unwrap();
}

/// `openssl verify` of leaf.pem with these options.
fn verify(dir: &Path, options: &str) -> (bool, String) {
    run(
        dir,
        "openssl",
        &format!("verify -x509_strict -CAfile root.pem -untrusted issuing.pem {options} leaf.pem"),
    )
}

// R49
#[test]
fn openssl_verifies_our_lists_and_prints_what_they_say() {
    if !have("openssl", "openssl") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let entries = one_of_each();
    let scope = Scope::Users(shard(5));
    let kind = Kind::Complete { freshest: Some(shard(6)) };
    write_list(dir.path(), "list.pem", &signed(&a, 258, &scope, &kind, &entries));
    let (ok, text) = run(dir.path(), "openssl", "crl -in list.pem -CAfile issuing.pem -noout -text");
    assert!(ok && text.contains("verify OK"), "{text}");
    for line in [
        "Version 2 (0x1)".to_owned(),
        "Signature Algorithm: ecdsa-with-SHA256".into(),
        "Last Update: Nov 22 11:55:00 2026 GMT".into(),
        "Next Update: Nov 23 12:00:00 2026 GMT".into(),
        "X509v3 CRL Number: \n                258".into(),
        "X509v3 Issuing Distribution Point: critical".into(),
        "Only User Certificates".into(),
        format!("URI:{}", shard(5)),
        format!("URI:{}", shard(6)),
        "Key Compromise".into(),
        "Affiliation Changed".into(),
        "Superseded".into(),
        "Cessation Of Operation".into(),
        "Certificate Hold".into(),
        "Privilege Withdrawn".into(),
    ] {
        assert!(text.contains(&line), "`{line}` is not in\n{text}");
    }
    assert!(!text.contains("Unspecified"), "{text}");
    for entry in &entries {
        assert!(
            text.contains(&entry.serial.to_string().to_uppercase()),
            "{} is not in\n{text}",
            entry.serial
        );
    }
    // Of another CA, or with one bit changed.
    let other = Installation::new();
    fs::write(dir.path().join("other.pem"), other.authority.issuing.certificate().to_pem()).unwrap();
    let (_, text) = run(dir.path(), "openssl", "crl -in list.pem -CAfile other.pem -noout");
    assert!(!text.contains("verify OK"), "{text}");
    let mut flipped = signed(&a, 258, &scope, &kind, &entries);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    write_list(dir.path(), "flipped.pem", &flipped);
    let (_, text) = run(dir.path(), "openssl", "crl -in flipped.pem -CAfile issuing.pem -noout");
    assert!(!text.contains("verify OK"), "{text}");
}

// R49
#[test]
fn openssl_refuses_a_revoked_certificate_by_our_list_and_accepts_its_neighbour() {
    if !have("openssl", "openssl") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let d = dir.path();
    let (good, bad) = (a.device(), a.device());
    let check = |leaf: &Certificate, der: &[u8], options: &str| {
        fs::write(d.join("leaf.pem"), leaf.to_pem()).unwrap();
        write_list(d, "list.pem", der);
        verify(d, &format!("-crl_check -CRLfile list.pem {options}"))
    };
    let der = signed(&a, 1, &Scope::All, &COMPLETE, &[revoked(&bad, Reason::KeyCompromise)]);
    let (ok, text) = check(&good, &der, "");
    assert!(ok, "{text}");
    let (ok, text) = check(&bad, &der, "");
    assert!(!ok && text.contains("certificate revoked"), "{text}");
    // Nothing revoked, and past its time.
    let empty = signed(&a, 1, &Scope::All, &COMPLETE, &[]);
    let (ok, text) = check(&bad, &empty, "");
    assert!(ok, "{text}");
    for (seconds, why) in [(86_402, "CRL has expired"), (-301, "CRL is not yet valid")] {
        let (ok, text) = check(&good, &empty, &format!("-attime {}", NOW.plus_seconds(seconds).as_seconds()));
        assert!(!ok && text.contains(why), "{text}");
    }
}

// R50: an issuing CA is revoked by the root's list.
#[test]
fn openssl_refuses_what_a_revoked_authority_issued() {
    if !have("openssl", "openssl") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let d = dir.path();
    fs::write(d.join("leaf.pem"), a.device().to_pem()).unwrap();
    write_list(d, "issuing-list.pem", &signed(&a, 1, &Scope::All, &COMPLETE, &[]));
    let issuing = a.authority.issuing.certificate();
    for (entries, accepted) in [(vec![], true), (vec![revoked(issuing, Reason::CaCompromise)], false)] {
        let contents = Contents {
            number: 1,
            scope: &Scope::All,
            kind: &COMPLETE,
            this_update: NOW,
            next_update: NOW.plus_seconds(86_400),
            entries: &entries,
        };
        let signed = list::prepare(&a.authority.root, &contents).unwrap().sign(&a.keys).unwrap();
        write_list(d, "root-list.pem", &signed.der);
        let (ok, text) = verify(d, "-crl_check_all -CRLfile issuing-list.pem -CRLfile root-list.pem");
        assert_eq!(ok, accepted, "{text}");
        assert_eq!(text.contains("certificate revoked"), !accepted, "{text}");
    }
}

/// A DER element.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}

/// Tag, content and rest.
fn split(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, head) = match der[1] {
        0x81 => (usize::from(der[2]), 3),
        0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        short => (usize::from(short), 2),
    };
    (der[0], &der[head..head + length], &der[head + length..])
}

/// A device certificate with a CRL distribution point in the place of noRevAvail, signed anew by the issuing CA.
fn listed(a: &Installation, uri: &HttpUri) -> Certificate {
    let device = a.device();
    let no_rev_avail = tlv(0x30, &[6, 3, 0x55, 0x1d, 0x38, 4, 2, 5, 0]);
    let name = tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_str().as_bytes())));
    let value = tlv(0x30, &tlv(0x30, &name));
    let point = tlv(0x30, &[&[6, 3, 0x55, 0x1d, 0x1f][..], &tlv(4, &value)].concat());
    let (_, whole, _) = split(device.der());
    let (_, mut tbs, rest) = split(whole);
    let mut fields = Vec::new();
    while !tbs.is_empty() {
        let (tag, content, rest) = split(tbs);
        if tag == 0xa3 {
            let (_, extensions, _) = split(content);
            let at = extensions.windows(no_rev_avail.len()).position(|w| w == no_rev_avail).unwrap();
            let changed = [&extensions[..at], &point, &extensions[at + no_rev_avail.len()..]].concat();
            fields.extend(tlv(0xa3, &tlv(0x30, &changed)));
        } else {
            fields.extend(tlv(tag, content));
        }
        tbs = rest;
    }
    let tbs = tlv(0x30, &fields);
    let (tag, algorithm, _) = split(rest);
    let signature = a.keys.sign(a.authority.issuing.label(), &tbs).unwrap();
    let signature = tlv(3, &[&[0], signature.as_slice()].concat());
    Certificate::parse(&tlv(0x30, &[tbs, tlv(tag, algorithm), signature].concat())).unwrap()
}

#[test]
fn openssl_takes_a_shard_for_the_certificates_that_name_it_only() {
    if !have("openssl", "openssl") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let d = dir.path();
    let leaf = listed(&a, &shard(5));
    fs::write(d.join("leaf.pem"), leaf.to_pem()).unwrap();
    let check = |n: u32, entries: &[Entry]| {
        write_list(d, "list.pem", &signed(&a, 1, &Scope::Users(shard(n)), &COMPLETE, entries));
        verify(d, "-crl_check -CRLfile list.pem")
    };
    let (ok, text) = check(5, &[]);
    assert!(ok, "{text}");
    let (ok, text) = check(5, &[revoked(&leaf, Reason::CessationOfOperation)]);
    assert!(!ok && text.contains("certificate revoked"), "{text}");
    let (ok, text) = check(6, &[]);
    assert!(!ok && text.contains("CRL scope"), "{text}");
}

#[test]
fn openssl_adds_our_delta_to_the_complete_list() {
    if !have("openssl", "openssl") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let d = dir.path();
    let leaf = listed(&a, &shard(5));
    fs::write(d.join("leaf.pem"), leaf.to_pem()).unwrap();
    let scope = Scope::Users(shard(5));
    let hold = revoked(&leaf, Reason::CertificateHold);
    let released =
        Entry { revocation: Revocation { reason: Reason::RemoveFromCrl, ..hold.revocation }, ..hold };
    let check = |complete: &[Entry], delta: &[Entry]| {
        let kind = Kind::Complete { freshest: Some(shard(6)) };
        write_list(d, "list.pem", &signed(&a, 4, &scope, &kind, complete));
        write_list(d, "delta.pem", &signed(&a, 6, &scope, &Kind::Delta { base: 4 }, delta));
        verify(d, "-use_deltas -crl_check -CRLfile list.pem -CRLfile delta.pem")
    };
    let (ok, text) = check(&[], &[]);
    assert!(ok, "{text}");
    let (ok, text) = check(&[], &[revoked(&leaf, Reason::KeyCompromise)]);
    assert!(!ok && text.contains("certificate revoked"), "{text}");
    let (ok, text) = check(&[hold], &[]);
    assert!(!ok && text.contains("certificate revoked"), "{text}");
    let (ok, text) = check(&[hold], &[released]);
    assert!(ok, "{text}");
}

// R49
#[test]
fn gnutls_verifies_our_lists() {
    if !have("certtool", "gnutls-bin") {
        return;
    }
    let (a, other) = (Installation::new(), Installation::new());
    let dir = folder(&a);
    let d = dir.path();
    fs::write(d.join("other.pem"), other.authority.issuing.certificate().to_pem()).unwrap();
    let entries = one_of_each();
    for (scope, kind) in
        [(Scope::All, COMPLETE), (Scope::Users(shard(5)), Kind::Complete { freshest: Some(shard(6)) })]
    {
        write_list(d, "list.pem", &signed(&a, 7, &scope, &kind, &entries));
        let (ok, text) =
            run(d, "certtool", "--verify-crl --load-ca-certificate issuing.pem --infile list.pem");
        assert!(ok && text.contains("Verified."), "{text}");
        let (_, text) = run(d, "certtool", "--verify-crl --load-ca-certificate other.pem --infile list.pem");
        assert!(text.contains("Not verified"), "{text}");
        let (ok, text) = run(d, "certtool", "--crl-info --infile list.pem");
        assert!(ok && text.contains("CRL Number (not critical): 07"), "{text}");
        assert!(text.contains(&format!("Revoked certificates ({})", entries.len())), "{text}");
        for entry in &entries {
            assert!(text.contains(&entry.serial.to_string()), "{} is not in\n{text}", entry.serial);
        }
    }
}

// R49
#[test]
fn gnutls_refuses_a_revoked_certificate_by_our_list_and_does_not_ask_which_shard_it_is() {
    if !have("certtool", "gnutls-bin") {
        return;
    }
    let a = Installation::new();
    let dir = folder(&a);
    let d = dir.path();
    let leaf = listed(&a, &shard(5));
    let chain = leaf.to_pem() + &a.authority.issuing.certificate().to_pem();
    fs::write(d.join("chain.pem"), chain).unwrap();
    let check = |n: u32, entries: &[Entry]| {
        write_list(d, "list.pem", &signed(&a, 1, &Scope::Users(shard(n)), &COMPLETE, entries));
        run(d, "certtool", "--verify --load-ca-certificate root.pem --load-crl list.pem --infile chain.pem")
    };
    let (ok, text) = check(5, &[]);
    assert!(ok && text.contains("Checked against CRL"), "{text}");
    let (ok, text) = check(5, &[revoked(&leaf, Reason::CessationOfOperation)]);
    assert!(!ok && text.contains("chain is revoked"), "{text}");
    // Its weakness, and the reason why docs/pki-revocation.md says to load all shards: any list of the CA will do.
    let (ok, text) = check(6, &[]);
    assert!(ok, "{text}");
}

const PYCA: &str = "\
import sys
from cryptography import x509
issuer = x509.load_pem_x509_certificate(open('issuing.pem', 'rb').read())
other = x509.load_pem_x509_certificate(open('root.pem', 'rb').read())
crl = x509.load_der_x509_crl(open('list.der', 'rb').read())
print('signature', crl.is_signature_valid(issuer.public_key()), crl.is_signature_valid(other.public_key()))
print('number', crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
print('point', point.critical, point.value.only_contains_user_certs, point.value.full_name[0].value)
print('freshest', crl.extensions.get_extension_for_class(x509.FreshestCRL).value[0].full_name[0].value)
print('times', crl.last_update_utc.isoformat(), crl.next_update_utc.isoformat())
for entry in crl:
    reasons = [e.value.reason.value for e in entry.extensions]
    print('entry', '%x' % entry.serial_number, entry.revocation_date_utc.isoformat(), *reasons)
print('found', crl.get_revoked_certificate_by_serial_number(int(sys.argv[1], 16)) is not None)
";

#[test]
fn pyca_reads_in_our_lists_what_we_meant() {
    let Some(python) = peers::python() else { return };
    let a = Installation::new();
    let dir = folder(&a);
    let entries = one_of_each();
    let kind = Kind::Complete { freshest: Some(shard(6)) };
    fs::write(dir.path().join("list.der"), signed(&a, 7, &Scope::Users(shard(5)), &kind, &entries)).unwrap();
    fs::write(dir.path().join("read.py"), PYCA).unwrap();
    let (ok, text) = run(dir.path(), python, &format!("read.py {}", entries[2].serial));
    assert!(ok, "{text}");
    let mut expected = vec![
        "signature True False".to_owned(),
        "number 7".into(),
        format!("point True True {}", shard(5)),
        format!("freshest {}", shard(6)),
        "times 2026-11-22T11:55:00+00:00 2026-11-23T12:00:00+00:00".into(),
        "found True".into(),
    ];
    for Entry { serial, revocation } in &entries {
        let reason = match revocation.reason {
            Reason::Unspecified => String::new(),
            other => format!(" {other}"),
        };
        expected.push(format!("entry {serial} 2026-11-22T11:00:00+00:00{reason}"));
    }
    for line in expected {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }
}
