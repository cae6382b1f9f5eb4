//! What ACME clients send: messages, orders, certificate requests, names of certificates; and what a validated
//! machine shows.

use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::{
    CertId, Identifier, MAX_BODY_BYTES, Message, NewOrder, Nonces, http01, requested_names, tls_alpn01,
};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "acme_message", run: message, seeds: messages },
    Target { name: "acme_order", run: order, seeds: orders },
    Target { name: "acme_names", run: names, seeds: requests },
    Target { name: "acme_certificate_id", run: certificate_id, seeds: certificate_ids },
    Target { name: "acme_nonce", run: nonce, seeds: nonces },
    Target { name: "acme_look", run: look, seeds: looks },
];

fn message(data: &[u8]) {
    if Message::parse(data).is_ok() {
        assert!(data.len() <= MAX_BODY_BYTES);
    }
}

/// The example of RFC 8555 7.4 in form, and keys of RFC 7638 and RFC 8037; the signatures are not good.
fn messages() -> Vec<Vec<u8>> {
    let protected = [
        // {"alg":"ES256","kid":"https://a/account/AAAA","nonce":"n","url":"https://a/new-order"}
        "eyJhbGciOiJFUzI1NiIsImtpZCI6Imh0dHBzOi8vYS9hY2NvdW50L0FBQUEiLCJub25jZSI6Im4iLCJ1cmwiOiJodHRwczovL2EvbmV3LW9yZGVyIn0",
        // {"alg":"EdDSA","url":"u","jwk":{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}
        "eyJhbGciOiJFZERTQSIsInVybCI6InUiLCJqd2siOnsiY3J2IjoiRWQyNTUxOSIsImt0eSI6Ik9LUCIsIngiOiIxMXFZQVlLeENyZlZTXzdUeVdRSE9nN2hjdlBhcGlNbHJ3SWFhUGNIVVJvIn19",
    ];
    let one = |protected: &&str| {
        format!(r#"{{"protected":"{protected}","payload":"e30","signature":"AAAA"}}"#).into_bytes()
    };
    protected.iter().map(one).collect()
}

fn order(data: &[u8]) {
    let Ok(order) = NewOrder::parse(data) else { return };
    assert!((1..=16).contains(&order.identifiers.len()));
    for identifier in &order.identifiers {
        let again = Identifier::parse(identifier.kind(), &identifier.to_string());
        assert_eq!(again.as_ref(), Ok(identifier), "one identifier, one text");
    }
}

fn orders() -> Vec<Vec<u8>> {
    vec![
        br#"{"identifiers":[{"type":"dns","value":"pacs.hospital.example"},{"type":"ip","value":"2001:db8::1"}]}"#
            .to_vec(),
        br#"{"identifiers":[{"type":"permanent-identifier","value":"SN/1.2.3"},{"type":"hardware-module",
            "value":"M/1.2.4"}],"profile":"infusion","replaces":"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"}"#
            .to_vec(),
    ]
}

fn names(data: &[u8]) {
    for ordered in [vec![], Identifier::parse("dns", "a.example").into_iter().collect()] {
        // Names or a refusal; neither panics.
        let _names = requested_names(data, &ordered);
    }
}

/// Requests whose alternative names have every form; their signatures are not good, and are not looked at here.
fn requests() -> Vec<Vec<u8>> {
    vec![include_bytes!("../seeds/names.csr").to_vec()]
}

fn certificate_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<CertId>() {
        assert_eq!(id.to_string(), text, "one certificate, one id");
    }
    let _id = CertId::of(data);
}

fn certificate_ids() -> Vec<Vec<u8>> {
    vec![b"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".to_vec()]
}

const NOW: Timestamp = Timestamp::from_seconds(1_795_753_000);

fn nonce(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut nonces = Nonces::new(&[7; 32], 600, 10);
    if nonces.take(text, NOW).is_ok() {
        assert!(nonces.take(text, NOW).is_err(), "a nonce is taken once");
    }
}

fn nonces() -> Vec<Vec<u8>> {
    let nonces = Nonces::new(&[7; 32], 600, 10);
    vec![nonces.issue([1; 8], NOW).into_bytes(), nonces.issue([2; 8], NOW.plus_seconds(-601)).into_bytes()]
}

fn look(data: &[u8]) {
    for (kind, value) in [("dns", "a.example"), ("ip", "10.0.0.1")] {
        let Ok(identifier) = Identifier::parse(kind, value) else { continue };
        let _outcome = tls_alpn01::check(data, &identifier, "token.thumbprint");
    }
    if http01::check(data, "token.thumbprint").is_ok() {
        assert!(data.starts_with(b"token.thumbprint"));
    }
}

/// A certificate with acmeIdentifier, and a file.
fn looks() -> Vec<Vec<u8>> {
    vec![include_bytes!("../seeds/alpn.der").to_vec(), b"token.thumbprint\n".to_vec()]
}
