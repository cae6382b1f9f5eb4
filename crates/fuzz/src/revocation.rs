//! Revocation lists and OCSP: what relying parties ask, and what others answer.

use std::convert::Infallible;

use lanyard_control::makers::list::Form;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::crl::{self, Contents, Crl, Entry, Kind, Scope};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::ocsp::{self, Ask, HashKind, Nonce, Policy, Request, Responder, Standing};
use lanyard_pki::revocation::{Freshness, Reason, Revocation};
use lanyard_pki::serial::Serial;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "pki_ocsp_get", run: get, seeds: paths },
    Target { name: "pki_ocsp_request", run: request, seeds: requests },
    Target { name: "pki_ocsp_response", run: response, seeds: responses },
    Target { name: "pki_crl", run: list, seeds: lists },
    Target { name: "control_maker_list", run: makers_list, seeds: makers_lists },
];

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

/// An authority with a responder.
struct Hospital {
    keys: MemoryKeys,
    authority: Authority,
    responder: Responder,
}

fn serial(n: u8) -> Serial {
    Serial::from_random([n; 16])
}

impl Hospital {
    fn new() -> Option<Self> {
        let naming = Naming::new("General Hospital", "hospital.example").ok()?;
        let keys = MemoryKeys::default();
        let generation = |label: &str, n| {
            label.parse().ok().map(|label| Generation { number: 1, label, serial: serial(n) })
        };
        let (root, issuing) = (generation("root-g1", 1)?, generation("issuing-g1", 2)?);
        let authority = Authority::create(&naming, &keys, &root, &issuing, NOW).ok()?;
        let label: KeyLabel = "ocsp".parse().ok()?;
        keys.generate(&label, KeyKind::P256).ok()?;
        let ca = &authority.issuing;
        let certificate =
            ocsp::prepare_responder(&naming, &label, ca, serial(3), &keys, NOW).ok()?.sign(&keys).ok()?;
        let responder = Responder::new(certificate, ca.certificate(), label, &keys, Policy::DEFAULT).ok()?;
        Some(Self { keys, authority, responder })
    }

    fn ask(&self, hash: HashKind, nonce: Option<Nonce>) -> Option<Ask> {
        Ask::new(self.authority.issuing.certificate(), &serial(9), hash, nonce).ok()
    }
}

/// A maker's list that a person hands in: nothing but the maker's own is taken, and a status list names serial numbers.
fn makers_list(data: &[u8]) {
    HOSPITAL.with(|maker| {
        let Some(maker) = maker else { return };
        let root = maker.authority.root.certificate().der();
        let issuing: &[u8] = maker.authority.issuing.certificate().der();
        for issuers in [&[][..], &[issuing]] {
            if let Ok(read) = lanyard_control::makers::list::verify(data, issuers, root) {
                assert!(read.entries.len() <= data.len() / 4, "an entry has some bytes");
                assert!(
                    issuers.is_empty() == (read.form == Form::Status),
                    "the root signed none of the seeds"
                );
            }
        }
    });
}

fn makers_lists() -> Vec<Vec<u8>> {
    let status =
        br#"{"entries":{"2c8c":{"status":"REVOKED","reason":"KEY_COMPROMISE"},"8":{"status":"SUSPENDED"}}}"#;
    lists().into_iter().chain([status.to_vec()]).collect()
}

fn list(data: &[u8]) {
    if let Ok(list) = Crl::parse(data) {
        assert!(!list.issuer_der().is_empty());
        let _key_id = list.authority_key_id();
    }
}

fn lists() -> Vec<Vec<u8>> {
    HOSPITAL.with(|hospital| hospital.as_ref().map(lists_of).unwrap_or_default())
}

fn lists_of(h: &Hospital) -> Vec<Vec<u8>> {
    let Ok(uri) = "http://pki.hospital.example/crl/00/32/5.crl".parse() else { return Vec::new() };
    let entries: Vec<Entry> = Reason::ALL
        .into_iter()
        .zip(20..)
        .filter(|(reason, _)| *reason != Reason::CaCompromise && *reason != Reason::AaCompromise)
        .map(|(reason, n)| Entry { serial: serial(n), revocation: Revocation { at: NOW, reason } })
        .collect();
    let users = Scope::Users(uri);
    let delta = Kind::Delta { base: 4 };
    let complete = Kind::Complete { freshest: None };
    [(&Scope::All, &complete, &[][..]), (&users, &delta, entries.as_slice())]
        .into_iter()
        .filter_map(|(scope, kind, entries)| {
            let contents = Contents {
                number: 7,
                scope,
                kind,
                this_update: NOW,
                next_update: NOW.plus_seconds(3600),
                entries,
            };
            Some(crl::prepare(&h.authority.issuing, &contents).ok()?.sign(&h.keys).ok()?.der)
        })
        .collect()
}

fn request(data: &[u8]) {
    let Ok(request) = Request::parse(data) else { return };
    assert!((1..=ocsp::MAX_ASKED).contains(&request.asked().len()));
    if let Some(nonce) = request.nonce() {
        assert!((1..=128).contains(&nonce.octets().len()));
    }
}

fn requests() -> Vec<Vec<u8>> {
    let Some(h) = Hospital::new() else { return Vec::new() };
    [(HashKind::Sha1, None), (HashKind::Sha256, Some(Nonce::from_random([7; 32])))]
        .into_iter()
        .filter_map(|(hash, nonce)| h.ask(hash, nonce))
        .map(|ask| ask.request())
        .collect()
}

fn get(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    if let Ok(der) = ocsp::http::from_get(path) {
        assert!(!der.is_empty() && der.len() < path.len());
    }
}

fn paths() -> Vec<Vec<u8>> {
    requests().iter().filter_map(|der| ocsp::http::get_path(der)).map(String::into_bytes).collect()
}

thread_local! {
    /// Made once: the target is about the answer, not about keys.
    static HOSPITAL: Option<Hospital> = Hospital::new();
}

fn response(data: &[u8]) {
    HOSPITAL.with(|hospital| {
        let Some(h) = hospital else { return };
        let Some(ask) = h.ask(HashKind::Sha256, None) else { return };
        let issuer = h.authority.issuing.certificate();
        // Only what this responder signed about this certificate is believed.
        if let Ok(answer) = ocsp::verify(data, &ask, issuer, &Freshness::at(NOW)) {
            assert!(!answer.repeats_nonce());
        }
    });
}

fn responses() -> Vec<Vec<u8>> {
    HOSPITAL.with(|hospital| {
        let Some(h) = hospital else { return Vec::new() };
        let standings = [
            Standing::Good,
            Standing::NeverIssued,
            Standing::Revoked(Revocation { at: NOW, reason: Reason::Superseded }),
        ];
        let answer = |standing: Standing| {
            let request = Request::parse(&h.ask(HashKind::Sha256, None)?.request()).ok()?;
            let says = |_: &Serial| Ok::<_, Infallible>(standing);
            Some(h.responder.respond(&request, says, &h.keys, NOW).ok()?.der().to_vec())
        };
        standings.into_iter().filter_map(answer).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A target that begins with what is refused at once would test little.
    #[test]
    fn the_seeds_are_good() {
        let (lists, requests) = (lists(), requests());
        assert!(lists.len() == 2 && lists.iter().all(|list| Crl::parse(list).is_ok()));
        assert!(requests.len() == 2 && requests.iter().all(|request| Request::parse(request).is_ok()));
        assert_eq!(responses().len(), 3);
    }
}
