//! pkilint over a sample of all that we sign: certificates of every profile, lists of every kind, OCSP answers.
//!
//! Each finding from NOTICE on fails, but those in `pkilint-waivers.txt`, which say why.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;

use lanyard_pki::authority::{self, Generation};
use lanyard_pki::crl::{Kind, Scope};
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend as _, KeyKind};
use lanyard_pki::ocsp::{Ask, HashKind, Nonce, Policy, Request, Responder, Standing};
use lanyard_pki::profile::{ALL, ProfileName, RevocationUris};
use lanyard_pki::revocation::{Reason, Revocation};
use lanyard_pki::serial::Serial;
use lanyard_pki::uri::HttpUri;

use super::{COMPLETE, one_of_each, revoked, run, signed};
use crate::installation::{Installation, NOW, random_serial};
use crate::peers;

/// Names and bytes.
type Samples = Vec<(String, Vec<u8>)>;

/// One of every profile; a new one fails here until it has its sample.
fn certificates(a: &Installation) -> Samples {
    let subject = |profile| {
        let known = Installation::subjects().into_iter().find(|(name, _)| *name == profile);
        known.map(|(_, subject)| a.issue(profile, &subject, &a.csr()))
    };
    let sample = |profile: &ProfileName| {
        let certificate = match profile {
            ProfileName::RootCa => a.authority.root.certificate().clone(),
            ProfileName::IssuingCa => a.authority.issuing.certificate().clone(),
            ProfileName::OcspResponder => a.ocsp_responder().1,
            ProfileName::ScepRa => a.scep_ra(),
            other => subject(*other).unwrap_or_else(|| panic!("no sample of profile `{other}`")),
        };
        (format!("cert-{profile}"), certificate.der().to_vec())
    };
    let mut samples: Samples = ALL.iter().map(sample).collect();
    samples.extend(authorities(a));
    samples
}

/// Issuing authorities that say where their root's list is, or the root alone.
fn authorities(a: &Installation) -> [(String, Vec<u8>); 2] {
    let uris = RevocationUris::below("http://pki.hospital.example", 32).unwrap();
    let (naming, root) = (Installation::naming(), &a.authority.root);
    let generation = Generation { number: 2, label: "issuing-g2".parse().unwrap(), serial: random_serial() };
    a.keys.generate(&generation.label, KeyKind::P256).unwrap();
    let listed = authority::prepare_issuing(&naming, &generation, root, Some(&uris), &a.keys, NOW).unwrap();
    let request = authority::request(ProfileName::IssuingCa, &naming, &generation, &a.keys).unwrap();
    let request = csr::verify(&request).unwrap();
    let only =
        authority::prepare_requested(&naming, &request, root, Some(&uris), random_serial(), NOW).unwrap();
    [("cert-authority-listed", listed), ("cert-authority-by-request", only)]
        .map(|(name, prepared)| (name.to_owned(), prepared.sign(&a.keys).unwrap().der().to_vec()))
}

fn lists(a: &Installation) -> Samples {
    let uri =
        |n: u32| -> HttpUri { format!("http://pki.hospital.example/crl/0011/32/{n}.crl").parse().unwrap() };
    let shard = Scope::Users(uri(5));
    let freshest = Kind::Complete { freshest: Some(uri(6)) };
    let mut released = one_of_each();
    released[0].revocation.reason = Reason::RemoveFromCrl;
    let ca = [revoked(a.authority.issuing.certificate(), Reason::CaCompromise)];
    let samples: [(&str, &Scope, &Kind, &[_]); 5] = [
        ("empty", &Scope::All, &COMPLETE, &[]),
        ("authorities", &Scope::All, &COMPLETE, &ca),
        ("shard", &shard, &freshest, &one_of_each()),
        ("shard-empty", &shard, &COMPLETE, &[]),
        ("delta", &shard, &Kind::Delta { base: 4 }, &released),
    ];
    samples
        .into_iter()
        .map(|(name, scope, kind, entries)| (format!("crl-{name}"), signed(a, 7, scope, kind, entries)))
        .collect()
}

fn answers(a: &Installation) -> Samples {
    let (label, certificate) = a.ocsp_responder();
    let issuer = a.authority.issuing.certificate();
    let responder = Responder::new(certificate, issuer, label, &a.keys, Policy::DEFAULT).unwrap();
    let compromised = Revocation { at: NOW.plus_seconds(-60), reason: Reason::KeyCompromise };
    let unspecified = Revocation { reason: Reason::Unspecified, ..compromised };
    let cases = [
        ("good", Standing::Good),
        ("revoked", Standing::Revoked(compromised)),
        ("revoked-unspecified", Standing::Revoked(unspecified)),
        ("never-issued", Standing::NeverIssued),
    ];
    let mut samples = Samples::new();
    for (name, standing) in cases {
        for (hash, nonce) in [
            (HashKind::Sha1, None),
            (HashKind::Sha256, None),
            (HashKind::Sha256, Some(Nonce::from_random([7; 32]))),
        ] {
            let form = format!("{name}-{hash:?}{}", if nonce.is_some() { "-nonce" } else { "" });
            let ask = Ask::new(issuer, &random_serial(), hash, nonce).unwrap();
            let request = Request::parse(&ask.request()).unwrap();
            let answer = |_: &Serial| Ok::<_, Infallible>(standing);
            let response = responder.respond(&request, answer, &a.keys, NOW).unwrap();
            samples.push((format!("ocsp-{form}"), response.der().to_vec()));
        }
    }
    for status in [
        lanyard_pki::ocsp::ErrorStatus::MalformedRequest,
        lanyard_pki::ocsp::ErrorStatus::TryLater,
        lanyard_pki::ocsp::ErrorStatus::Unauthorized,
    ] {
        samples.push((format!("ocsp-error-{status:?}"), status.der().to_vec()));
    }
    samples
}

/// Code, beginning of the sample's name, what the message says.
fn waivers() -> Vec<[&'static str; 3]> {
    let lines = include_str!("pkilint-waivers.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [code, place, words, reason] = parts[..] else { panic!("not a waiver: {line}") };
            assert!(reason.len() > 20, "a waiver needs its reason: {line}");
            [code, place, words]
        })
        .collect()
}

#[test]
fn pkilint_finds_nothing_in_what_we_sign() {
    let Some(python) = peers::python() else { return };
    if !peers::program("faketime", "faketime") {
        return;
    }
    let a = Installation::new();
    let dir = tempfile::tempdir().unwrap();
    let samples = [certificates(&a), lists(&a), answers(&a)].concat();
    for (name, der) in &samples {
        fs::write(dir.path().join(format!("{name}.der")), der).unwrap();
    }
    let issuer = |profile: &ProfileName| match profile {
        ProfileName::RootCa | ProfileName::IssuingCa => ProfileName::RootCa,
        _ => ProfileName::IssuingCa,
    };
    let mut pairs: Vec<String> = ALL.iter().map(|p| format!("cert-{} cert-{p}", issuer(p))).collect();
    pairs.extend(["listed", "by-request"].map(|name| format!("cert-root_ca cert-authority-{name}")));
    fs::write(dir.path().join("pairs.txt"), pairs.join("\n")).unwrap();
    fs::write(dir.path().join("lint.py"), include_str!("pkilint.py")).unwrap();
    let (ok, text) = run(dir.path(), python, "lint.py .");
    assert!(ok, "{text}");
    let (mut open, mut used) = (Vec::new(), BTreeSet::new());
    let waivers = waivers();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, severity, code, message] = fields[..] else { panic!("unexpected line `{line}`") };
        if ["DONE", "DEBUG", "INFO"].contains(&severity) {
            continue;
        }
        let fits = |[waived, place, words]: &&[&str; 3]| {
            *waived == code && name.starts_with(place) && message.contains(words)
        };
        match waivers.iter().find(fits) {
            Some(waiver) => drop(used.insert(*waiver)),
            None => open.push(line),
        }
    }
    assert!(open.is_empty(), "{}", open.join("\n"));
    let done = text.lines().filter(|line| line.contains("\tDONE\t")).count();
    assert_eq!(done, samples.len() + pairs.len(), "{text}");
    let stale: Vec<_> = waivers.iter().filter(|waiver| !used.contains(*waiver)).collect();
    assert!(stale.is_empty(), "waivers that nothing needs: {stale:?}");
}
