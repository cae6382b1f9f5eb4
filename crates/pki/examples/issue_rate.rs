//! CSR to certificate per second on one thread, beside what the signature operations alone cost here.
//!
//! `cargo run --release -p lanyard-pki --example issue_rate`

#![expect(clippy::unwrap_used, reason = "a bench that prints a table; a failure should stop it loudly")]

use std::hint::black_box;
use std::time::Instant;

use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::path::{Anchors, Purpose, validate};
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);

fn serial() -> Serial {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Serial::from_random(bytes)
}

/// Best of three runs of a second each.
fn rate(mut work: impl FnMut()) -> f64 {
    let one = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        let mut done = 0u32;
        while start.elapsed().as_millis() < 1000 {
            for _ in 0..50 {
                work();
            }
            done += 50;
        }
        f64::from(done) / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| one(&mut work)).fold(0.0, f64::max)
}

fn main() {
    let naming = Naming::new("General Hospital", "hospital.example").unwrap();
    let keys = MemoryKeys::default();
    let generation = |label: &str| Generation { number: 1, label: label.parse().unwrap(), serial: serial() };
    let authority =
        Authority::create(&naming, &keys, &generation("root-g1"), &generation("issuing-g1"), NOW).unwrap();
    let label: KeyLabel = "device".parse().unwrap();
    let spki = keys.generate(&label, KeyKind::P256).unwrap();
    let request = csr::build(&spki, "pump", |m| keys.sign(&label, m)).unwrap();
    let profile = Profile::new(ProfileName::DeviceLdevid, naming);
    let subject = SubjectFacts::Device { id: DeviceId::from_random([0xd1; 16]) };

    let message = [7u8; 512];
    let signature = keys.sign(&label, &message).unwrap();
    let raw = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        // A P-256 SubjectPublicKeyInfo ends with its 65-byte point.
        spki.get(spki.len() - 65..).unwrap(),
    );
    let sign = rate(|| drop(black_box(keys.sign(&label, &message).unwrap())));
    let verify = rate(|| raw.verify(black_box(&message), &signature).unwrap());
    let limit = 1.0 / (1.0 / sign + 1.0 / verify);

    let prepare = |csr: &csr::VerifiedCsr| {
        issue::prepare(&profile, csr, &subject, &authority.issuing, Lifetime::Default, serial(), NOW).unwrap()
    };
    let csr = csr::verify(&request).unwrap();
    let prepared = rate(|| drop(black_box(prepare(&csr))));
    let issued = rate(|| {
        let csr = csr::verify(black_box(&request)).unwrap();
        drop(black_box(prepare(&csr).sign(&keys).unwrap()));
    });
    let leaf = prepare(&csr).sign(&keys).unwrap();
    let chain = [leaf.der().clone(), authority.issuing.certificate().der().clone()];
    let anchors = Anchors::new(vec![authority.root.certificate().clone()]).unwrap();
    let paths = rate(|| drop(black_box(validate(&chain, &anchors, Purpose::Client, NOW).unwrap())));

    println!("per second, one thread           ours      limit   ratio");
    println!("P-256 sign                 {sign:>10.0}");
    println!("P-256 verify               {verify:>10.0}");
    println!("prepare (template + lints) {prepared:>10.0}");
    println!("CSR to certificate         {issued:>10.0} {limit:>10.0}   {:.2}", issued / limit);
    println!("path of two, P-256 + P-384 {paths:>10.0}");
    println!("certificate: {} bytes", leaf.der().len());
}
