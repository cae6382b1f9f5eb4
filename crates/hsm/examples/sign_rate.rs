//! Signatures per second: a token beside keys in this process's memory, for one thread and for as many as it has sessions.
//!
//! `cargo run --release -p lanyard-hsm --example sign_rate -- MODULE TOKEN PIN-FILE`; makes keys `rate-...` in the token.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench: a failure should stop it loudly")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use lanyard_hsm::{Config, Hsm};
use lanyard_pki::key::passphrase::Pin;
use lanyard_pki::key::{KeyBackend, KeyError, KeyLabel, MemoryKeys};

const MESSAGE: [u8; 512] = [7; 512];

/// Over two seconds.
fn rate(keys: &dyn KeyBackend, label: &KeyLabel, threads: usize) -> f64 {
    keys.sign(label, &MESSAGE).unwrap();
    let signed = AtomicU64::new(0);
    let start = Instant::now();
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(2) {
                    keys.sign(label, &MESSAGE).unwrap();
                    signed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    signed.into_inner() as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap();
    let (module, token, pin) = (next(), next(), next());
    let config = Config::new(module.into(), &token);
    let sessions = config.sessions;
    let hsm = Hsm::open(config, Pin::from_file(Path::new(&pin)).unwrap()).unwrap();
    let memory = MemoryKeys::default();
    println!("signatures per second    token x1   token x{sessions}   memory x1");
    for kind in hsm.kinds() {
        let label: KeyLabel = format!("rate-{kind}").parse().unwrap();
        match hsm.generate(&label, *kind) {
            Ok(_) | Err(KeyError::Exists(_)) => {}
            Err(other) => panic!("{other}"),
        }
        memory.generate(&label, *kind).unwrap();
        let (one, many) = (rate(&hsm, &label, 1), rate(&hsm, &label, sessions));
        println!("{:<20} {one:>12.0} {many:>10.0} {:>11.0}", kind.as_str(), rate(&memory, &label, 1));
    }
}
