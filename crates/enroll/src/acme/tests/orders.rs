//! Orders of applications, waiting, replacing, revoking, limits.

use super::*;

fn http_order(site: &mut Site, client: &Client) -> (Answer, String) {
    let order = site.order(client, &[("dns", "pacs.hospital.example")]);
    assert_eq!(order.status, 201, "{order:?}");
    let (_, path) = site.challenge(client, &order, 0, "http-01");
    (order, path)
}

fn request(key: &P256) -> Vec<u8> {
    key.request(sequence(&[]), &[alt_names(&[dns_name("pacs.hospital.example")])])
}

#[test]
fn an_application_proves_its_name_by_a_look_from_outside() {
    let mut site = Site::open();
    let client = site.client();
    let (order, path) = http_order(&mut site, &client);
    let started = site.post(&client, &path, "{}");
    assert_eq!(started.text("status"), "processing");
    let look = site.looks[0].clone();
    assert_eq!(
        (look.kind, look.identifier.to_string()),
        (ChallengeKind::Http01, "pacs.hospital.example".into())
    );
    let url = format!("http://pacs.hospital.example/.well-known/acme-challenge/{}", look.token);
    assert_eq!(look.target(), Some(Target::Http { url }));
    assert_eq!(look.key_authorization, client.authorization(&look.token));
    // Saying it again begins no second look, and a poll says when to come again.
    assert_eq!(site.post(&client, &path, "{}").text("status"), "processing");
    assert_eq!(site.looks.len(), 1);
    let polled = site.post(&client, &order.location(), "");
    assert_eq!((polled.text("status"), polled.header("retry-after")), ("pending".into(), Some("3")));

    let found = http01::check(client.authorization(&look.token).as_bytes(), &look.key_authorization);
    site.server.validated(&mut site.state, &look, found, site.now);
    assert_eq!(site.post(&client, &path, "").text("status"), "valid");
    assert_eq!(site.post(&client, &order.location(), "").text("status"), "ready");
    let key = P256::new();
    let done = site.finalize(&client, &order, &request(&key));
    assert_eq!(done.text("status"), "valid");
    let Authentication::Order(proven) = &site.requests[0].1.authentication else { panic!() };
    assert!(proven.attested().is_none());
    assert_eq!(proven.identifiers()[0].by(), ChallengeKind::Http01);
}

// RFC 8555 7.5.1: who is told at once what came of a look does not ask again.
#[test]
fn a_look_that_is_over_at_once_stands_in_the_answer_to_the_challenge() {
    let mut site = Site::open();
    let client = site.client();
    site.at_once = [Ok(()), Err(Failure::incorrect("another answer"))].into();
    let (order, path) = http_order(&mut site, &client);
    let answered = site.post(&client, &path, "{}");
    assert_eq!((answered.status, answered.text("status")), (200, "valid".into()));
    assert!(answered.header("replay-nonce").is_some() && answered.header("link").is_some());
    assert_eq!(site.post(&client, &order.location(), "").text("status"), "ready");
    let (order, path) = http_order(&mut site, &client);
    let answered = site.post(&client, &path, "{}");
    assert_eq!((answered.status, answered.text("status")), (200, "invalid".into()));
    assert!(answered.json["error"]["detail"].as_str().unwrap().contains("another answer"), "{answered:?}");
    assert_eq!(site.post(&client, &order.location(), "").text("status"), "invalid");
    assert_eq!(site.looks.len(), 2);
}

#[test]
fn a_look_that_fails_ends_the_order_with_its_reason() {
    for (kind, problem) in [
        (FailureKind::Connection, "connection"),
        (FailureKind::Dns, "dns"),
        (FailureKind::Tls, "tls"),
        (FailureKind::Incorrect, "incorrectResponse"),
    ] {
        let mut site = Site::open();
        let client = site.client();
        let (order, path) = http_order(&mut site, &client);
        site.post(&client, &path, "{}");
        let look = site.looks[0].clone();
        let failure = Failure { kind, detail: "nobody there".into() };
        site.server.validated(&mut site.state, &look, Err(failure), site.now);
        let challenge = site.post(&client, &path, "");
        assert_eq!(challenge.text("status"), "invalid");
        assert!(challenge.json["error"]["type"].as_str().unwrap().ends_with(problem), "{problem}");
        let read = site.post(&client, &order.location(), "");
        assert_eq!(read.text("status"), "invalid");
        let authorization = site.post(&client, &below(order.json["authorizations"][0].as_str().unwrap()), "");
        assert_eq!(authorization.text("status"), "invalid");
        // Late success changes nothing.
        site.server.validated(&mut site.state, &look, Ok(()), site.now);
        assert_eq!(site.post(&client, &order.location(), "").text("status"), "invalid");
        assert_eq!(site.finalize(&client, &order, &request(&P256::new())).problem(), "orderNotReady");
    }
}

// I1: a person decides, and meanwhile the order is `processing`.
#[test]
fn a_waiting_order_is_tried_again_when_its_owner_polls() {
    let mut site = Site::new();
    let client = site.client();
    let key = P256::new();
    let order = site.ready(&client, &key);
    let wait = |seconds| Outcome::Pending { retry_after_seconds: seconds, why: "approval".into() };
    site.outcomes.extend([wait(600), Outcome::Unavailable { why: "log away".into() }]);
    let first = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!((first.text("status"), first.header("retry-after")), ("processing".into(), Some("600")));
    assert!(first.json.get("certificate").is_none());
    let early = site.post(&client, &order.location(), "");
    assert_eq!((early.text("status"), site.requests.len()), ("processing".into(), 1));
    site.now = site.now.plus_seconds(600);
    let second = site.post(&client, &order.location(), "");
    assert_eq!((second.text("status"), second.header("retry-after")), ("processing".into(), Some("5")));
    site.now = site.now.plus_seconds(5);
    let third = site.post(&client, &order.location(), "");
    assert_eq!(third.text("status"), "valid");
    assert_eq!(site.requests.len(), 3);
    assert!(site.requests.iter().all(|(id, r)| *id == site.requests[0].0 && r.csr == site.requests[0].1.csr));
    let twice = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!(twice.problem(), "orderNotReady");
}

#[test]
fn a_refused_order_says_why_and_is_over() {
    let mut site = Site::new();
    let client = site.client();
    let key = P256::new();
    let order = site.ready(&client, &key);
    site.outcomes.push_back(Outcome::Refused { code: "retired".into(), why: "the device is retired".into() });
    let refused = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!((refused.status, refused.text("status")), (200, "invalid".into()));
    assert_eq!(refused.json["error"]["detail"], "the device is retired (retired)");
    assert_eq!(site.post(&client, "/certificate/AAAAAAAAAAAAAAAAAAAAAA", "").status, 404);
}

#[test]
fn an_order_is_its_accounts_alone() {
    let mut site = Site::open();
    let (client, other) = (site.client(), site.client());
    let (order, challenge) = http_order(&mut site, &client);
    let authorization = below(order.json["authorizations"][0].as_str().unwrap());
    for (path, payload) in [
        (order.location(), ""),
        (order.path("finalize"), r#"{"csr":"AA"}"#),
        (authorization, ""),
        (challenge, "{}"),
        (order.location().replace("/order/", "/certificate/"), ""),
    ] {
        let answer = site.post(&other, &path, payload);
        assert_eq!((answer.status, answer.problem()), (404, "malformed"), "{path}");
    }
    assert!(site.looks.is_empty());
}

#[test]
fn what_is_not_offered_is_refused_at_the_order() {
    let mut site = Site::new();
    let client = site.client();
    let answer = site.order(&client, &[("dns", "a.example"), ("permanent-identifier", "SN-1")]);
    assert_eq!((answer.status, answer.problem()), (400, "rejectedIdentifier"));
    assert_eq!(answer.json["subproblems"].as_array().unwrap().len(), 1);
    let order = r#"{"identifiers":[{"type":"permanent-identifier","value":"SN-1"}],"profile":"x"}"#;
    assert_eq!(site.post(&client, "/new-order", order).problem(), "invalidProfile");
    assert!(site.state.orders.is_empty());
    let mut site = Site::open();
    assert_eq!(site.get("/directory").json["meta"]["profiles"]["infusion"], "infusion pumps");
    let client = site.client();
    let order = order.replace(r#""x""#, r#""infusion""#);
    let answer = site.post(&client, "/new-order", &order);
    assert_eq!((answer.status, answer.text("profile")), (201, "infusion".into()));
}

// RFC 9773 5
#[test]
fn a_certificate_is_replaced_once() {
    let mut site = Site::open();
    let client = site.client();
    let id = CertId::of(&site.issued(P256::new().spki())).unwrap();
    let order = json!({
        "identifiers": [{ "type": "dns", "value": "pacs.hospital.example" }], "replaces": id.to_string(),
    })
    .to_string();
    assert_eq!(site.post(&client, "/new-order", &order).problem(), "malformed", "unknown");
    for (known, problem) in [
        (Predecessor::Foreign, "unauthorized"),
        (Predecessor::Replaced, "alreadyReplaced"),
        (Predecessor::Unknown, "malformed"),
    ] {
        site.books.predecessors.insert(id.clone(), known);
        assert_eq!(site.post(&client, "/new-order", &order).problem(), problem);
    }
    site.books.predecessors.insert(id.clone(), Predecessor::Current);
    let first = site.post(&client, "/new-order", &order);
    assert_eq!((first.status, first.text("replaces")), (201, id.to_string()));
    let second = site.post(&client, "/new-order", &order);
    assert_eq!((second.status, second.problem()), (409, "alreadyReplaced"));
    // An order that ended does not stand in the way.
    let authorization = below(first.json["authorizations"][0].as_str().unwrap());
    let given_up = site.post(&client, &authorization, r#"{"status":"deactivated"}"#);
    assert_eq!(given_up.text("status"), "deactivated");
    assert_eq!(site.post(&client, &first.location(), "").text("status"), "invalid");
    assert_eq!(site.post(&client, &authorization, r#"{"status":"deactivated"}"#).problem(), "malformed");
    assert_eq!(site.post(&client, "/new-order", &order).status, 201);
}

// R44
#[test]
fn anybody_may_ask_when_to_renew() {
    let mut site = Site::new();
    let id = CertId::of(&site.issued(P256::new().spki())).unwrap();
    let path = format!("/renewal-info/{id}");
    assert_eq!(site.get(&path).status, 404);
    site.books.predecessors.insert(id, Predecessor::Current);
    let answer = site.get(&path);
    assert_eq!((answer.status, answer.header("retry-after")), (200, Some("900")));
    assert!(answer.json["suggestedWindow"]["start"].is_string());
    assert_eq!(site.get("/renewal-info/x.y").status, 404);
    assert_eq!(site.get("/renewal-info").status, 405);
}

// R49
#[test]
fn a_certificate_is_revoked_by_an_account_or_by_its_own_key() {
    let mut site = Site::open();
    let client = site.client();
    let ClientKey::P256(_) = &client.key else { panic!() };
    let holder = ClientKey::p256();
    let spki = Jwk::parse(&holder.jwk()).unwrap().public_key().der().to_vec();
    let certificate = encode(&site.issued(spki));
    let body = |reason: i64| json!({ "certificate": certificate, "reason": reason }).to_string();
    assert_eq!(site.post_as_key(&holder, "/revoke-cert", &body(1)).status, 200);
    assert_eq!(site.revocations[0].by, RevokedBy::CertificateKey);
    assert_eq!(site.revocations[0].reason, 1);
    let stranger = site.post_as_key(&ClientKey::p256(), "/revoke-cert", &body(1));
    assert_eq!((stranger.status, stranger.problem()), (403, "unauthorized"));
    for reason in [-1, 2, 6, 7, 8, 10, 11, 257] {
        assert_eq!(site.post(&client, "/revoke-cert", &body(reason)).problem(), "badRevocationReason");
    }
    for (outcome, status, problem) in [
        (RevocationOutcome::AlreadyRevoked, 400, "alreadyRevoked"),
        (RevocationOutcome::NotAllowed, 403, "unauthorized"),
        (RevocationOutcome::Unknown, 404, "malformed"),
    ] {
        site.revocation = outcome;
        let answer = site.post(&client, "/revoke-cert", &body(0));
        assert_eq!((answer.status, answer.problem()), (status, problem));
    }
    for broken in ["{}", r#"{"certificate":"AA"}"#, r#"{"certificate":"="}"#] {
        assert_eq!(site.post(&client, "/revoke-cert", broken).problem(), "malformed");
    }
}

// RFC 8555 11.1
#[test]
fn the_accounts_key_gets_no_certificate() {
    let mut site = Site::open();
    let client = site.client();
    let (order, path) = http_order(&mut site, &client);
    site.post(&client, &path, "{}");
    let look = site.looks[0].clone();
    site.server.validated(&mut site.state, &look, Ok(()), site.now);
    let spki = Jwk::parse(&client.key.jwk()).unwrap().public_key().der().to_vec();
    let ClientKey::P256(key) = &client.key else { panic!() };
    // The same key signs a certificate request: fixed r and s, put into DER.
    let names = alt_names(&[dns_name("pacs.hospital.example")]);
    let attribute = sequence(&[oid("1.2.840.113549.1.9.14"), tlv(0x31, &sequence(&[names]))]);
    let info = sequence(&[vec![2, 1, 0], sequence(&[]), spki, tlv(0xa0, &attribute)]);
    let fixed = key.sign(&aws_lc_rs::rand::SystemRandom::new(), &info).unwrap();
    let integer = |half: &[u8]| {
        let value: Vec<u8> = half.iter().copied().skip_while(|b| *b == 0).collect();
        tlv(2, &if value[0] >= 0x80 { [&[0], value.as_slice()].concat() } else { value })
    };
    let (r, s) = fixed.as_ref().split_at(32);
    let signature = sequence(&[integer(r), integer(s)]);
    let algorithm = sequence(&[oid("1.2.840.10045.4.3.2")]);
    let csr = sequence(&[info, algorithm, tlv(3, &[&[0], signature.as_slice()].concat())]);
    let answer = site.finalize(&client, &order, &csr);
    assert_eq!(answer.problem(), "badCSR");
    assert!(answer.text("detail").contains("account's key"), "{answer:?}");
}

#[test]
fn orders_expire_and_are_forgotten() {
    let mut site = Site::open();
    let client = site.client();
    let (order, path) = http_order(&mut site, &client);
    site.now = site.now.plus_seconds(24 * 3600 + 1);
    let read = site.post(&client, &order.location(), "");
    assert_eq!(read.text("status"), "invalid");
    let authorization = site.post(&client, &below(order.json["authorizations"][0].as_str().unwrap()), "");
    assert_eq!(authorization.text("status"), "expired");
    assert_eq!(site.post(&client, &path, "{}").problem(), "malformed");
    http_order(&mut site, &client);
    assert_eq!(site.state.orders.len(), 1);
    assert_eq!(site.post(&client, &order.location(), "").status, 404);
}

// I12
#[test]
fn the_number_of_orders_is_bounded() {
    let mut site = Site::open();
    site.state.orders = Orders::new(Limits { per_account: 2, total: 2 });
    // The first alone is bound to a record.
    let (one, two, three) = (site.client(), site.client(), site.client());
    let (first, path) = http_order(&mut site, &one);
    http_order(&mut site, &one);
    let limited = site.order(&one, &[("dns", "a.example")]);
    assert_eq!((limited.status, limited.problem()), (429, "rateLimited"));
    assert!(limited.header("retry-after").unwrap().parse::<u32>().unwrap() > 3600);
    assert_eq!(site.order(&two, &[("dns", "a.example")]).problem(), "rateLimited");
    // A done order makes room; an open one of a known account does not.
    site.post(&one, &path, "{}");
    let look = site.looks[0].clone();
    site.server.validated(&mut site.state, &look, Err(Failure::incorrect("no")), site.now);
    let (strange, _) = http_order(&mut site, &two);
    assert_eq!(site.post(&one, &first.location(), "").status, 404);
    // Strangers push out each other.
    assert_eq!(site.order(&three, &[("dns", "a.example")]).status, 201);
    assert_eq!(site.state.orders.len(), 2);
    assert_eq!(site.post(&two, &strange.location(), "").status, 404);
}
