//! What ACME clients send: messages, orders, certificate requests, names of certificates; what a validated machine
//! shows; and what other servers answer to our client.

use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::client::{
    AccountKey, Answer, Client, Directory, Next, Ordering, Proof, RenewalQuery, RenewalWindow, ServerProblem,
    Wish,
};
use lanyard_enroll::acme::{
    CertId, ChallengeKind, Identifier, MAX_BODY_BYTES, Message, NewOrder, Nonces, dns_wire, http01,
    requested_names, tls_alpn01,
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
    Target { name: "acme_answer", run: answer, seeds: answers },
    Target { name: "acme_dns", run: dns, seeds: dns_answers },
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

const ORIGIN: &str = "https://a.example";

/// Answers, one a line: every reader takes each, and a client hears them in a row.
fn answer(data: &[u8]) {
    for body in data.split(|byte| *byte == b'\n') {
        if let Ok(directory) = Directory::parse(ORIGIN, body) {
            assert!(directory.profiles.len() <= body.len());
        }
        assert!(ServerProblem::parse(400, body).detail.chars().count() <= 500);
        if let Ok(window) = RenewalWindow::parse(body, 60) {
            assert!((window.start..=window.end).contains(&window.pick(500_000)));
        }
    }
    hear(data);
}

fn hear(data: &[u8]) {
    let Some(mut client) = AccountKey::generate().ok().and_then(|key| Client::new(ORIGIN, key).ok()) else {
        return;
    };
    let identifiers: Vec<Identifier> = Identifier::parse("dns", "a.example").into_iter().collect();
    let wish = Wish { identifiers, profile: None, replaces: None, challenges: ChallengeKind::ALL.to_vec() };
    let Ok(mut order) = Ordering::new(wish, NOW.plus_seconds(60)) else { return };
    let mut now = NOW;
    for body in data.split(|byte| *byte == b'\n').take(64) {
        // At most a request, a pause or a proof stands between two answers.
        for _ in 0..4 {
            match order.next(&mut client, now) {
                Ok(Next::Send(_)) => break,
                Ok(Next::Wait { until, .. }) => {
                    assert!(until > now, "a wait is one");
                    now = until;
                }
                Ok(Next::Prove(challenge)) => {
                    let proof = match challenge.kind {
                        ChallengeKind::DeviceAttest01 => Proof::Attestation(vec![0]),
                        _ => Proof::InPlace,
                    };
                    assert!(order.prove(&proof).is_ok());
                }
                Ok(Next::Finalize) => {
                    if order.finalize(include_bytes!("../seeds/names.csr")).is_err() {
                        return;
                    }
                }
                Ok(Next::Done(_)) | Err(_) => return,
            }
        }
        let content_type =
            if body.starts_with(b"{") { "application/json" } else { "application/pem-certificate-chain" };
        let answer = Answer {
            status: 200,
            content_type: Some(content_type),
            location: Some("https://a.example/1"),
            replay_nonce: Some("AAAA"),
            retry_after: Some("1"),
            body,
        };
        let _outcome = order.hear(&mut client, &answer, now);
    }
    if let Ok(id) = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse::<CertId>() {
        let mut query = RenewalQuery::new(id);
        let answer =
            Answer { status: 200, content_type: Some("application/json"), body: data, ..Answer::default() };
        if query.next(&mut client).is_ok() {
            let _outcome = query.hear(&mut client, &answer);
        }
    }
}

/// A whole order, a window, and a problem.
fn answers() -> Vec<Vec<u8>> {
    let a = ORIGIN;
    let directory = format!(
        r#"{{"newNonce":"{a}/n","newAccount":"{a}/c","newOrder":"{a}/o","renewalInfo":"{a}/r","meta":{{"profiles":{{"p":"x"}}}}}}"#
    );
    let order = |status: &str| {
        format!(
            r#"{{"status":"{status}","identifiers":[{{"type":"dns","value":"a.example"}}],"authorizations":["{a}/z"],"finalize":"{a}/f","certificate":"{a}/k"}}"#
        )
    };
    let authorization = |status: &str| {
        format!(
            r#"{{"status":"{status}","identifier":{{"type":"dns","value":"a.example"}},"challenges":[{{"type":"http-01","url":"{a}/h","status":"pending","token":"abc"}}]}}"#
        )
    };
    let whole = [
        directory,
        "{}".to_owned(),
        "{}".to_owned(),
        order("pending"),
        authorization("pending"),
        "{}".to_owned(),
        authorization("valid"),
        order("ready"),
        order("processing"),
        order("valid"),
    ];
    let found_at_once = [
        whole.get(..5).unwrap_or_default().join("\n"),
        format!(r#"{{"type":"http-01","url":"{a}/h","status":"valid","token":"abc"}}"#),
        order("ready"),
        order("ready"),
        order("valid"),
    ];
    vec![
        whole.join("\n").into_bytes(),
        found_at_once.join("\n").into_bytes(),
        br#"{"suggestedWindow":{"start":"2026-12-01T00:00:00Z","end":"2026-12-02T00:00:00Z"},"explanationURL":"https://x"}"#.to_vec(),
        br#"{"type":"urn:ietf:params:acme:error:badCSR","detail":"no","status":400}"#.to_vec(),
    ]
}

const ASKED: &str = "_acme-challenge.a.example";

fn dns(data: &[u8]) {
    let id = data.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    if let Ok(found) = dns_wire::read(data, ASKED, id) {
        assert!(found.aliases.len() <= dns_wire::MAX_CNAMES);
        assert!(found.texts.iter().map(Vec::len).sum::<usize>() <= dns_wire::MAX_ANSWER);
    }
}

/// An answer with a text, and one with an alias by compressed names.
fn dns_answers() -> Vec<Vec<u8>> {
    let question = dns_wire::query(ASKED, 7).unwrap_or_default();
    let answer = |records: &[u8]| {
        let mut out = question.clone();
        for (at, to) in [(2, 0x81), (3, 0x80), (7, 1)] {
            if let Some(byte) = out.get_mut(at) {
                *byte = to;
            }
        }
        [out, records.to_vec()].concat()
    };
    vec![
        answer(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x03\x02ok"),
        answer(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01b\xc0\x1c"),
    ]
}
