//! What every message must be, whatever it asks.

use super::*;

fn header(nonce: &str, path: &str, key: &str) -> String {
    format!(r#""nonce":"{nonce}","url":"{BASE}{path}",{key}"#)
}

#[test]
fn every_answer_to_a_message_has_a_nonce_and_the_way_to_the_directory() {
    let mut site = Site::new();
    let fresh = site.get("/new-nonce");
    assert_eq!((fresh.status, fresh.header("cache-control")), (204, Some("no-store")));
    let first = site.post_body("/new-account", b"{}");
    assert_eq!((first.status, first.problem()), (400, "malformed"));
    let second = site.post_body("/new-account", b"{}");
    assert_ne!(first.header("replay-nonce").unwrap(), second.header("replay-nonce").unwrap());
    assert_eq!(first.links("index"), [format!("{BASE}/directory")]);
}

// RFC 8555 6.5
#[test]
fn a_replayed_message_is_refused() {
    let mut site = Site::new();
    let client = site.client();
    let nonce = site.nonce();
    let kid = format!(r#""kid":"{}""#, client.kid);
    let body = jws(&client.key, &header(&nonce, &client.path(), &kid), "");
    assert_eq!(site.post_body(&client.path(), &body).status, 200);
    let replayed = site.post_body(&client.path(), &body);
    assert_eq!((replayed.status, replayed.problem()), (400, "badNonce"));
    // The nonce of the refusal is good.
    let nonce = replayed.header("replay-nonce").unwrap().to_owned();
    let body = jws(&client.key, &header(&nonce, &client.path(), &kid), "");
    assert_eq!(site.post_body(&client.path(), &body).status, 200);

    let missing = format!(r#""url":"{BASE}{}",{kid}"#, client.path());
    assert_eq!(site.post_body(&client.path(), &jws(&client.key, &missing, "")).problem(), "badNonce");
    let nonce = site.nonce();
    site.now = site.now.plus_seconds(3601);
    let old = jws(&client.key, &header(&nonce, &client.path(), &kid), "");
    assert_eq!(site.post_body(&client.path(), &old).problem(), "badNonce");
}

// A nonce is used up by whoever could sign, and by nobody else.
#[test]
fn a_bad_signature_does_not_use_up_a_nonce() {
    let mut site = Site::new();
    let client = site.client();
    let nonce = site.nonce();
    let kid = format!(r#""kid":"{}""#, client.kid);
    let forged = jws(&ClientKey::p256(), &header(&nonce, &client.path(), &kid), "");
    assert_eq!(site.post_body(&client.path(), &forged).problem(), "malformed");
    let good = jws(&client.key, &header(&nonce, &client.path(), &kid), "");
    assert_eq!(site.post_body(&client.path(), &good).status, 200);
}

// RFC 8555 6.4
#[test]
fn a_message_for_another_address_is_refused() {
    let mut site = Site::open();
    let client = site.client();
    for url in [
        format!("{BASE}/new-order"),
        format!("{BASE}{}/", client.path()),
        format!("{}{}", BASE.replace("https", "http"), client.path()),
        client.path(),
    ] {
        let nonce = site.nonce();
        let header = format!(r#""nonce":"{nonce}","url":"{url}","kid":"{}""#, client.kid);
        let answer = site.post_body(&client.path(), &jws(&client.key, &header, ""));
        assert_eq!((answer.status, answer.problem()), (403, "unauthorized"), "{url}");
    }
}

// RFC 8555 6.2
#[test]
fn the_key_is_named_as_the_resource_asks() {
    let mut site = Site::open();
    let (client, other) = (site.client(), site.client());
    let path = client.path();
    let answer = site.post_as_key(&client.key, &path, "");
    assert_eq!(answer.problem(), "malformed", "jwk where kid belongs");
    let nonce = site.nonce();
    let kid = format!(r#""kid":"{}""#, client.kid);
    let body = jws(&client.key, &header(&nonce, "/new-account", &kid), "{}");
    assert_eq!(site.post_body("/new-account", &body).problem(), "malformed", "kid where jwk belongs");

    let unknown = AccountId::from_random([9; 16]);
    for kid in [format!("{BASE}/account/{unknown}"), format!("{BASE}/order/{unknown}"), "x".into()] {
        let nonce = site.nonce();
        let body = jws(&client.key, &header(&nonce, &path, &format!(r#""kid":"{kid}""#)), "");
        assert_eq!(site.post_body(&path, &body).problem(), "accountDoesNotExist", "{kid}");
    }
    // Another's account with the own key.
    let nonce = site.nonce();
    let body = jws(&client.key, &header(&nonce, &path, &format!(r#""kid":"{}""#, other.kid)), "");
    assert_eq!(site.post_body(&path, &body).problem(), "malformed");
}

#[test]
fn the_envelope_is_checked() {
    let mut site = Site::new();
    let client = site.client();
    let request = |method, path, content_type, body| Request { method, path, content_type, body };
    for content_type in [None, Some("application/json"), Some("text/plain"), Some("application/jose")] {
        let answer = site.request(&request(Method::Post, "/new-order", content_type, b"{}"));
        assert_eq!((answer.status, answer.problem()), (415, "malformed"), "{content_type:?}");
    }
    let charset = Some("application/jose+json; charset=utf-8");
    let answer = site.request(&request(Method::Post, "/new-order", charset, b"{}"));
    assert_eq!(answer.status, 400, "parameters are fine, the body is not");
    let long = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(site.post_body("/new-order", &long).status, 413);
    for (method, path) in [
        (Method::Get, "/new-order"),
        (Method::Get, "/new-account"),
        (Method::Post, "/directory"),
        (Method::Post, "/new-nonce"),
        (Method::Other, "/new-order"),
        (Method::Other, "/directory"),
    ] {
        let answer = site.request(&request(method, path, Some(JOSE), b"{}"));
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").is_some());
    }
    assert_eq!(site.get("/nothing").status, 404);
    let body = site.post(&client, &client.path().replace("account", "order"), "");
    assert_eq!(body.status, 404, "an account's id is no order's");
}

#[test]
fn what_the_caller_cannot_do_is_said_with_when_to_come_again() {
    let site = Site::new();
    let reply = site.server.unavailable(&site.state, "the log is away", &Seed::new([1; 32]), NOW);
    let answer = Answer::from(reply);
    assert_eq!((answer.status, answer.problem()), (503, "serverInternal"));
    assert!(answer.header("retry-after").is_some() && answer.header("replay-nonce").is_some());
}
