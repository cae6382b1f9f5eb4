//! The module gone, stuck, and back: in the middle of a batch, and with a PIN that changed meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use lanyard_hsm::{Config, Hsm};
use lanyard_pki::key::{KeyBackend, KeyError, KeyKind, KeyLabel};
use lanyard_pki::spki::PublicKey;

use crate::place::{PIN, TOKEN, alone, p11_kit_client, pin, softhsm, until};

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap()
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, KeyError>) {
    assert!(matches!(&answer, Err(KeyError::Unavailable(_))), "{answer:?}");
}

/// Four threads sign, one message after the other. `disturb` is called when 40 are signed; what it does must not cost one
/// of them, and each thread signs ten more when it is over. Returns how often a signature had to be asked for again.
fn batch(hsm: &Hsm, name: &KeyLabel, disturb: impl FnOnce()) -> usize {
    let key = PublicKey::parse(&hsm.public_spki(name).unwrap()).unwrap();
    let (signed, refused, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let sign = |thread: u8, n: u32| {
        let message = [&[thread], &n.to_be_bytes()[..]].concat();
        let (signature, tries) = until(|| {
            let answer = hsm.sign(name, &message);
            // Nothing but "try again" while it is gone: no "no such key", no wrong signature.
            if let Err(error) = &answer {
                assert!(matches!(error, KeyError::Unavailable(_)), "{error:?}");
            }
            answer
        });
        assert_eq!(key.verify(&KeyKind::P256.signature_oid(), &message, &signature), Ok(()));
        refused.fetch_add(tries, Ordering::SeqCst);
        signed.fetch_add(1, Ordering::SeqCst);
    };
    scope(|scope| {
        for thread in 0..4u8 {
            let (sign, is_over) = (&sign, &is_over);
            scope.spawn(move || {
                let mut n = 0;
                while !is_over.load(Ordering::SeqCst) {
                    sign(thread, n);
                    n += 1;
                }
                (n..n + 10).for_each(|n| sign(thread, n));
            });
        }
        while signed.load(Ordering::SeqCst) < 40 {
            sleep(Duration::from_millis(1));
        }
        disturb();
        is_over.store(true, Ordering::SeqCst);
    });
    refused.into_inner()
}

// The drill "HSM gone mid-batch"
#[test]
fn a_token_that_is_pulled_out_in_a_batch_and_put_back_costs_nothing_but_time() {
    alone(
        module_path!(),
        "a_token_that_is_pulled_out_in_a_batch_and_put_back_costs_nothing_but_time",
        |place| {
            let hsm = place.open();
            let name = label("issuing-g1");
            let spki = hsm.generate(&name, KeyKind::P256).unwrap();
            let refused = batch(&hsm, &name, || {
                place.pull_out();
                unavailable(until_refused(&hsm, &name));
                // "No such key" would have somebody make a new CA.
                unavailable(hsm.public_spki(&label("root-g1")));
                unavailable(hsm.sign(&label("root-g1"), b"x"));
                unavailable(hsm.list());
                unavailable(hsm.generate(&label("issuing-g2"), KeyKind::P256));
                sleep(Duration::from_millis(1500));
                unavailable(hsm.list());
                place.put_in();
            });
            assert!(refused > 0, "nobody noticed that it was gone");
            assert_eq!(hsm.list().unwrap().len(), 1);
            assert_eq!(hsm.public_spki(&name).unwrap(), spki);
            assert!(matches!(hsm.sign(&label("root-g1"), b"x"), Err(KeyError::NotFound(_))));
            hsm.generate(&label("issuing-g2"), KeyKind::P256).unwrap();
        },
    );
}

fn until_refused(hsm: &Hsm, name: &KeyLabel) -> Result<Vec<u8>, KeyError> {
    let start = Instant::now();
    loop {
        let answer = hsm.sign(name, b"x");
        if answer.is_err() || start.elapsed() > Duration::from_secs(20) {
            return answer;
        }
    }
}

#[test]
fn a_module_whose_server_dies_in_a_batch_and_starts_again_costs_nothing_but_time() {
    alone(
        module_path!(),
        "a_module_whose_server_dies_in_a_batch_and_starts_again_costs_nothing_but_time",
        |place| {
            let server = place.serve();
            // One channel to one process, so one session: with several threads inside, this library (0.24) may leave one
            // of them waiting for ever when its server dies, see `a_module_that_hangs_hangs_nobody`.
            let mut config = Config::new(p11_kit_client(), TOKEN);
            config.sessions = 1;
            let hsm = Hsm::open(config, pin(PIN)).unwrap();
            let name = label("issuing-g1");
            hsm.generate(&name, KeyKind::P256).unwrap();
            let mut again = None;
            let refused = batch(&hsm, &name, || {
                server.kill();
                unavailable(until_refused(&hsm, &name));
                unavailable(hsm.public_spki(&label("root-g1")));
                sleep(Duration::from_millis(1500));
                unavailable(hsm.list());
                again = Some(place.serve());
            });
            assert!(refused > 0, "nobody noticed that it was gone");
            assert_eq!(hsm.list().unwrap().len(), 1);
            // A second death, while nobody asks anything.
            again.take().unwrap().kill();
            let _third = place.serve();
            until(|| hsm.sign(&name, b"x"));
        },
    );
}

// The library's call does not come back: there is nothing to break it off with.
#[test]
fn a_module_that_hangs_hangs_nobody() {
    alone(module_path!(), "a_module_that_hangs_hangs_nobody", |place| {
        let server = place.serve();
        let mut config = Config::new(p11_kit_client(), TOKEN);
        config.sessions = 2;
        config.timeout = Duration::from_millis(400);
        config.generate_timeout = Duration::from_secs(20);
        let hsm = Hsm::open(config, pin(PIN)).unwrap();
        let name = label("issuing-g1");
        hsm.generate(&name, KeyKind::P256).unwrap();
        hsm.sign(&name, b"x").unwrap();
        server.stop();
        let timed = |limit: Duration| {
            let start = Instant::now();
            unavailable(hsm.sign(&name, b"x"));
            // Generous: the machine may be busy. Without the timeout it would be for ever.
            assert!(start.elapsed() < limit, "{:?}", start.elapsed());
            start.elapsed()
        };
        for _ in 0..2 {
            assert!(timed(Duration::from_secs(10)) >= Duration::from_millis(390));
        }
        // Both sessions are stuck: nobody is lined up behind them any more.
        sleep(Duration::from_millis(450));
        let refused = hsm.sign(&name, b"x").unwrap_err().to_string();
        assert!(refused.contains("does not answer"), "{refused}");
        assert_eq!(hsm.stuck_sessions(), 2);
        server.go_on();
        until(|| hsm.sign(&name, b"x"));
        until(|| if hsm.stuck_sessions() == 0 { Ok(()) } else { Err("a session is still stuck") });
        assert_eq!(hsm.list().unwrap().len(), 1);
    });
}

// Three wrong tries lock a card; a server that starts again by itself makes three in a second.
#[test]
fn a_refused_pin_is_not_tried_again() {
    alone(module_path!(), "a_refused_pin_is_not_tried_again", |place| {
        let hsm = place.open();
        let name = label("issuing-g1");
        hsm.generate(&name, KeyKind::P256).unwrap();
        let module = softhsm().to_string_lossy().into_owned();
        let change = |from: &str, to: &str| {
            let base = ["--module", &module, "--token-label", TOKEN, "--login", "--pin", from];
            place.run("pkcs11-tool", &[&base[..], &["--change-pin", "--new-pin", to]].concat());
        };
        place.pull_out();
        unavailable(until_refused(&hsm, &name));
        sleep(Duration::from_millis(1200));
        place.put_in();
        change(PIN, "000000");
        let refused = until_refused_for_good(&hsm, &name);
        assert!(refused.contains("refuses the PIN"), "{refused}");
        // Once more out and in, with the right PIN again: the library reads it anew, so that it would work now. That it
        // does not shows that nothing is tried.
        place.pull_out();
        let _ = hsm.sign(&name, b"x");
        sleep(Duration::from_millis(1200));
        place.put_in();
        change("000000", PIN);
        for _ in 0..8 {
            let still = hsm.sign(&name, b"x").unwrap_err();
            assert!(matches!(still, KeyError::Refused(_)), "{still}");
        }
        place.open().sign(&name, b"x").unwrap();
    });
}

fn until_refused_for_good(hsm: &Hsm, name: &KeyLabel) -> String {
    let start = Instant::now();
    loop {
        match hsm.sign(name, b"x") {
            Err(KeyError::Refused(why)) => return why,
            other => assert!(start.elapsed() < Duration::from_secs(30), "{other:?}"),
        }
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_module_that_is_not_there_at_the_start_is_an_error_of_the_start() {
    alone(module_path!(), "a_module_that_is_not_there_at_the_start_is_an_error_of_the_start", |place| {
        let open = || Hsm::open(Config::new(p11_kit_client(), TOKEN), pin(PIN));
        let refused = KeyError::from(open().unwrap_err());
        assert!(matches!(&refused, KeyError::Unavailable(_)), "{refused}");
        let _server = place.serve();
        let (hsm, _) = until(open);
        assert!(hsm.list().unwrap().is_empty());
    });
}
