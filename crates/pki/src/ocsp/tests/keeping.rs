//! Answers that are kept, and those that must not be.

use std::sync::Arc;

use super::*;

fn key_of(h: &Hospital, serial: &Serial) -> CacheKey {
    match h.responder.plan(&Request::parse(&h.ask(serial).request()).unwrap()) {
        Plan::Cacheable(key) => key,
        other => panic!("{other:?}"),
    }
}

/// An answer that says good of any serial number.
fn made(h: &Hospital, serial: &Serial, now: Timestamp) -> Arc<Response> {
    let request = Request::parse(&h.ask(serial).request()).unwrap();
    let good = |_: &Serial| Ok::<_, Infallible>(Standing::Good);
    Arc::new(h.responder.respond(&request, good, &*h.a.keys, now).unwrap())
}

#[test]
fn a_kept_answer_is_given_until_it_is_over() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let (key, response) = (key_of(&h, &h.good), made(&h, &h.good, NOW));
    assert!(cache.get(&key, NOW).is_none());
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    assert_eq!(cache.get(&key, NOW), Some(&response));
    assert!(cache.get(&key, NOW.plus_seconds(3599)).is_some());
    assert!(cache.get(&key, NOW.plus_seconds(3600)).is_none());
    // Another digest is another answer.
    let sha1 = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap().request();
    let Plan::Cacheable(other) = h.responder.plan(&Request::parse(&sha1).unwrap()) else { panic!() };
    assert!(cache.get(&other, NOW).is_none());
}

// R49, I6: a revocation does not wait for an answer's end.
#[test]
fn a_revocation_takes_the_kept_answers_and_those_in_the_making() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let (key, response) = (key_of(&h, &h.good), made(&h, &h.good, NOW));
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    let before = cache.ticket();
    cache.revoked(h.responder.issuer(), &h.good);
    assert!(cache.get(&key, NOW).is_none() && cache.is_empty() && cache.bytes() == 0);
    // Signed as good before, offered after.
    assert_eq!(cache.put(before, key, response.clone()), Kept::Outdated);
    assert!(cache.get(&key, NOW).is_none());
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    let before = cache.ticket();
    cache.clear();
    assert_eq!(cache.put(before, key, response), Kept::Outdated);
    assert!(cache.is_empty() && cache.bytes() == 0);
}

#[test]
fn an_answer_for_one_asker_is_not_kept_for_others() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let ask = Ask::new(h.issuer(), &h.good, HashKind::Sha256, nonce(32)).unwrap();
    let request = Request::parse(&ask.request()).unwrap();
    assert_eq!(h.responder.plan(&request), Plan::Fresh);
    let response = Arc::new(h.respond(&ask.request(), NOW));
    assert_eq!(cache.put(cache.ticket(), key_of(&h, &h.good), response.clone()), Kept::NotShareable);
    // Of what was never issued there is no end.
    let nobody = random_serial();
    let never_issued = Arc::new(h.respond(&h.ask(&nobody).request(), NOW));
    assert_eq!(cache.put(cache.ticket(), key_of(&h, &nobody), never_issued), Kept::NotShareable);
    assert_eq!(
        ResponseCache::new(100).put(cache.ticket(), key_of(&h, &h.good), response),
        Kept::NotShareable
    );
}

// I12: strangers choose what is asked.
#[test]
fn a_full_cache_lets_go_of_the_oldest() {
    let h = Hospital::new();
    let serials: Vec<Serial> = (0..10).map(|_| random_serial()).collect();
    let mut cache = ResponseCache::new(5 * (made(&h, &serials[0], NOW).der().len() + 600));
    for serial in &serials {
        assert_eq!(cache.put(cache.ticket(), key_of(&h, serial), made(&h, serial, NOW)), Kept::Yes);
        assert!(cache.bytes() <= 5 * (cache.bytes() / cache.len() + 600));
    }
    let kept: Vec<bool> = serials.iter().map(|s| cache.get(&key_of(&h, s), NOW).is_some()).collect();
    assert_eq!(cache.len(), 5);
    assert_eq!(kept, [[false; 5], [true; 5]].concat());
    // The same answer again takes no more room.
    let before = cache.bytes();
    for _ in 0..20 {
        let _ = cache.put(cache.ticket(), key_of(&h, &serials[9]), made(&h, &serials[9], NOW));
    }
    assert!(cache.len() == 5 && cache.bytes().abs_diff(before) < 40);
}

#[test]
fn what_has_lived_for_half_of_its_time_is_due() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let late = NOW.plus_seconds(1000);
    for (serial, at) in [(h.good, NOW), (h.bad, late)] {
        let _ = cache.put(cache.ticket(), key_of(&h, &serial), made(&h, &serial, at));
    }
    assert!(cache.due(NOW.plus_seconds(1649), 10).is_empty());
    assert_eq!(cache.due(NOW.plus_seconds(1650), 10), [key_of(&h, &h.good)]);
    let both = [key_of(&h, &h.good), key_of(&h, &h.bad)];
    assert_eq!(cache.due(NOW.plus_seconds(3000), 10), both);
    assert_eq!(cache.due(NOW.plus_seconds(3000), 1), both[..1]);
    // What is over goes; nobody was served from it meanwhile.
    assert_eq!(cache.due(NOW.plus_seconds(3600), 10), both[1..]);
    assert_eq!(cache.len(), 1);
    // Made again, it is young.
    let again = NOW.plus_seconds(3600);
    let response =
        h.responder.respond_ahead(&both[1], |s| h.standing(s), &*h.a.keys, again).unwrap().unwrap();
    assert_eq!(cache.put(cache.ticket(), both[1], Arc::new(response)), Kept::Yes);
    assert!(cache.due(again, 10).is_empty());
    let other = Hospital::new();
    assert!(other.responder.respond_ahead(&both[1], |s| h.standing(s), &*h.a.keys, again).is_none());
}
