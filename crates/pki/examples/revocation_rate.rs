//! How long a revocation list takes, and how many OCSP answers a thread makes, beside what the signature alone costs.
//!
//! `cargo run --release -p lanyard-pki --example revocation_rate`

#![expect(clippy::unwrap_used, reason = "a bench that prints a table; a failure should stop it loudly")]

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::crl::{self, Contents, Crl, Entry, Kind, Scope};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::ocsp::http::{self, Has};
use lanyard_pki::ocsp::{
    self, Ask, HashKind, Nonce, Plan, Policy, Request, Responder, ResponseCache, Standing,
};
use lanyard_pki::revocation::{Reason, Revocation};
use lanyard_pki::serial::Serial;

const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);

fn serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

/// Best of five.
fn time(mut work: impl FnMut()) -> Duration {
    let one = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..5).map(|_| one(&mut work)).min().unwrap()
}

/// Best of three runs of half a second each.
fn rate(mut work: impl FnMut()) -> f64 {
    let one = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        let mut done = 0u32;
        while start.elapsed().as_millis() < 500 {
            for _ in 0..50 {
                work();
            }
            done += 50;
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| one(&mut work)).fold(0.0, f64::max)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn lists(authority: &Authority, keys: &MemoryKeys) {
    println!("entries      bytes   prepare  + sign     parse  ms, best of 5");
    let scope = Scope::Users("http://pki.hospital.example/crl/00/32/5.crl".parse().unwrap());
    let kind = Kind::Complete { freshest: None };
    for count in [0, 1_000, 10_000, 100_000] {
        let revocation = Revocation { at: NOW.plus_seconds(-3600), reason: Reason::CessationOfOperation };
        let entries: Vec<Entry> = (0..count).map(|_| Entry { serial: serial(), revocation }).collect();
        let contents = Contents {
            number: 1,
            scope: &scope,
            kind: &kind,
            this_update: NOW,
            next_update: NOW.plus_seconds(86_400),
            entries: &entries,
        };
        let prepare = || crl::prepare(&authority.issuing, &contents).unwrap();
        let prepared = time(|| drop(black_box(prepare())));
        let signed = time(|| drop(black_box(prepare().sign(keys).unwrap())));
        let der = prepare().sign(keys).unwrap().der;
        let issuer = authority.issuing.certificate();
        let parsed = time(|| drop(black_box(Crl::parse(&der).unwrap().verify(issuer).unwrap())));
        println!(
            "{count:>7} {:>10} {:>9.2} {:>7.2} {:>9.2}",
            der.len(),
            milliseconds(prepared),
            milliseconds(signed),
            milliseconds(parsed)
        );
    }
}

fn answers(naming: &Naming, authority: &Authority, keys: &MemoryKeys) {
    let label: KeyLabel = "ocsp".parse().unwrap();
    keys.generate(&label, KeyKind::P256).unwrap();
    let ca = &authority.issuing;
    let certificate =
        ocsp::prepare_responder(naming, &label, ca, serial(), keys, NOW).unwrap().sign(keys).unwrap();
    let responder =
        Responder::new(certificate, ca.certificate(), label.clone(), keys, Policy::DEFAULT).unwrap();
    let ask = |nonce| Ask::new(ca.certificate(), &serial(), HashKind::Sha1, nonce).unwrap().request();
    let (plain, with_nonce) = (ask(None), ask(Some(Nonce::from_random([7; 32]))));
    let standing = |_: &Serial| Ok::<_, Infallible>(Standing::Good);
    let respond = |der: &[u8]| responder.respond(&Request::parse(der).unwrap(), standing, keys, NOW).unwrap();

    let message = [7u8; 256];
    let floor = rate(|| drop(black_box(keys.sign(&label, &message).unwrap())));
    let parse = rate(|| drop(black_box(Request::parse(black_box(&plain)).unwrap())));
    let signed = rate(|| drop(black_box(respond(&with_nonce))));
    let mut cache = ResponseCache::new(1 << 20);
    let Plan::Cacheable(key) = responder.plan(&Request::parse(&plain).unwrap()) else { return };
    let _kept = cache.put(cache.ticket(), key, Arc::new(respond(&plain)));
    let path = http::get_path(&plain).unwrap();
    let served = rate(|| {
        let request = Request::parse(&http::from_get(black_box(&path)).unwrap()).unwrap();
        let Plan::Cacheable(key) = responder.plan(&request) else { return };
        let response = cache.get(&key, NOW).unwrap();
        drop(black_box(http::get(response, responder.policy(), Has(None), NOW)));
    });
    println!("\nper second, one thread             ours      floor   ratio");
    println!("P-256 sign                   {floor:>10.0}");
    println!("request parsed               {parse:>10.0}");
    println!("answer signed, with nonce    {signed:>10.0} {floor:>10.0}   {:.2}", signed / floor);
    println!("GET answered from the cache  {served:>10.0}");
    println!("answer: {} bytes", respond(&plain).der().len());
}

fn main() {
    let naming = Naming::new("General Hospital", "hospital.example").unwrap();
    let keys = MemoryKeys::default();
    let generation = |label: &str| Generation { number: 1, label: label.parse().unwrap(), serial: serial() };
    let authority =
        Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), NOW).unwrap();
    lists(&authority, &keys);
    answers(&naming, &authority, &keys);
}
