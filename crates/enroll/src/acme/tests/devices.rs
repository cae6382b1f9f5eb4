//! Devices: from the directory to a certificate, by attestation.

use super::*;

// R34, R36
#[test]
fn a_device_attests_and_gets_its_certificate() {
    let mut site = Site::new();
    let directory = site.get("/directory");
    assert_eq!(directory.json["meta"]["externalAccountRequired"], true);
    assert_eq!(directory.json["newOrder"], format!("{BASE}/new-order"));
    assert_eq!(directory.json["renewalInfo"], format!("{BASE}/renewal-info"));

    let client = site.client();
    let key = P256::new();
    let order = site.order(&client, &[("permanent-identifier", "SN-1")]);
    assert_eq!((order.status, order.text("status")), (201, "pending".into()));
    assert_eq!(order.json["identifiers"][0], json!({ "type": "permanent-identifier", "value": "SN-1" }));
    let early = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!((early.status, early.problem()), (403, "orderNotReady"));

    let (token, challenge) = site.challenge(&client, &order, 0, "device-attest-01");
    assert_eq!(decode("token", &token).unwrap().len(), 32);
    let response = site.packed(&key, "SN-1", &client.authorization(&token));
    let answer = site.post(&client, &challenge, &response);
    assert_eq!(answer.text("status"), "valid", "{answer:?}");
    assert_eq!(answer.links("up"), [order.json["authorizations"][0].as_str().unwrap()]);
    let polled = site.post(&client, &order.location(), "");
    assert_eq!(polled.text("status"), "ready");

    let done = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!((done.status, done.text("status")), (200, "valid".into()));
    let certificate = site.post(&client, &done.path("certificate"), "");
    assert_eq!(certificate.header("content-type"), Some("application/pem-certificate-chain"));
    let text = String::from_utf8(certificate.body.clone()).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    let alternates = certificate.links("alternate");
    assert_eq!(alternates.len(), 1);
    let alternate = site.post(&client, &below(alternates[0]), "");
    assert_eq!(String::from_utf8(alternate.body.clone()).unwrap().matches("BEGIN CERTIFICATE").count(), 1);
    assert_eq!(alternate.links("alternate"), [done.text("certificate")]);

    let (id, request) = &site.requests[0];
    assert_eq!(request.protocol, Protocol::Acme);
    let Authentication::Order(proven) = &request.authentication else { panic!() };
    assert_eq!(proven.order(), *id);
    assert_eq!(proven.binding().unwrap().record, record());
    assert_eq!(proven.attested().unwrap().spki_der(), request.csr.spki_der());
    assert_eq!(proven.attested().unwrap().format(), Format::Packed);
    let [identifier] = proven.identifiers() else { panic!() };
    assert_eq!(identifier.identifier().to_string(), "SN-1");
    assert_eq!((identifier.by(), identifier.at()), (ChallengeKind::DeviceAttest01, NOW));

    // The account may ask for its end, and so may whoever holds its key.
    let revoke = json!({ "certificate": encode(&site.issued(key.spki())), "reason": 4 }).to_string();
    assert_eq!(site.post(&client, "/revoke-cert", &revoke).status, 200);
    assert!(matches!(&site.revocations[0].by, RevokedBy::Account(a) if a.id == proven_account(&site)));
    assert_eq!(site.revocations[0].reason, 4);
}

fn proven_account(site: &Site) -> AccountId {
    let Authentication::Order(proven) = &site.requests[0].1.authentication else { panic!() };
    proven.account()
}

// R38: the draft's three steps, and its answer to a failure of each.
#[test]
fn a_statement_that_proves_nothing_ends_the_order() {
    let key = P256::new();
    for (what, make) in [
        (
            "another account's key",
            &(|site: &Site, token: &str, _: &Client| {
                let stranger = Client { key: ClientKey::p256(), kid: String::new() };
                site.packed(&P256::new(), "SN-1", &stranger.authorization(token))
            }) as &dyn Fn(&Site, &str, &Client) -> String,
        ),
        ("the token alone", &|site, token, _| site.packed(&P256::new(), "SN-1", token)),
        ("another device", &|site, token, client| {
            site.packed(&P256::new(), "SN-2", &client.authorization(token))
        }),
        ("another maker", &|_, token, client| {
            Site::new().packed(&P256::new(), "SN-1", &client.authorization(token))
        }),
        ("not CBOR", &|_, _, _| json!({ "attObj": encode(b"{}") }).to_string()),
        ("not base64url", &|_, _, _| json!({ "attObj": "=" }).to_string()),
        ("an error of the client", &|_, _, _| json!({ "error": "no TPM" }).to_string()),
    ] {
        let mut site = Site::new();
        let client = site.client();
        let order = site.order(&client, &[("permanent-identifier", "SN-1")]);
        let (token, path) = site.challenge(&client, &order, 0, "device-attest-01");
        let response = make(&site, &token, &client);
        let answer = site.post(&client, &path, &response);
        assert_eq!((answer.status, answer.problem()), (400, "badAttestationStatement"), "{what}");
        let challenge = site.post(&client, &path, "");
        assert_eq!(challenge.text("status"), "invalid", "{what}");
        assert!(challenge.json["error"]["detail"].as_str().unwrap().len() > 10);
        let order = site.post(&client, &order.location(), "");
        assert_eq!(order.text("status"), "invalid");
        assert!(order.json["error"]["type"].as_str().unwrap().ends_with("badAttestationStatement"));
        // A good statement comes too late.
        let good = site.packed(&key, "SN-1", &client.authorization(&token));
        assert_eq!(site.post(&client, &path, &good).text("status"), "invalid");
        let finalized = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
        assert_eq!(finalized.problem(), "orderNotReady");
    }
}

// What is no response at all leaves the challenge as it is.
#[test]
fn a_malformed_response_changes_nothing() {
    let mut site = Site::new();
    let client = site.client();
    let order = site.order(&client, &[("permanent-identifier", "SN-1")]);
    let (token, path) = site.challenge(&client, &order, 0, "device-attest-01");
    for payload in ["{}", "[]", "x"] {
        assert_eq!(site.post(&client, &path, payload).problem(), "malformed", "{payload}");
    }
    let key = P256::new();
    let mut response: Value =
        serde_json::from_str(&site.packed(&key, "SN-1", &client.authorization(&token))).unwrap();
    response["more"] = json!({ "fields": "are ignored" });
    assert_eq!(site.post(&client, &path, &response.to_string()).text("status"), "valid");
}

// Draft 5: formats of an external authority answer with the token alone.
#[test]
fn apple_answers_with_the_token() {
    let mut site = Site::new();
    let client = site.client();
    let order = site.order(&client, &[("permanent-identifier", "C02XK1ZZJHD5")]);
    let (token, path) = site.challenge(&client, &order, 0, "device-attest-01");
    let key = P256::new();
    let make = |site: &Site, answer: &str| {
        let nonce = extension("1.2.840.113635.100.8.11.1", false, &sha256(answer.as_bytes()));
        let serial = extension("1.2.840.113635.100.8.9.1", false, b"C02XK1ZZJHD5");
        let draft = Draft::new(key.spki(), name("phone"), vec![constraints(false), nonce, serial]);
        let certificates = Some(vec![draft.sign(&site.maker, name("Maker"))]);
        let statement = Statement { certificates, ..Statement::default() };
        json!({ "attObj": encode(&encode_statement("apple", &statement, None)) }).to_string()
    };
    let response = make(&site, &token);
    assert_eq!(site.post(&client, &path, &response).text("status"), "valid");
    let second = site.order(&client, &[("permanent-identifier", "C02XK1ZZJHD5")]);
    let (token, path) = site.challenge(&client, &second, 0, "device-attest-01");
    let response = make(&site, &client.authorization(&token));
    assert_eq!(site.post(&client, &path, &response).problem(), "badAttestationStatement");
}

// Draft 8: attested key, requested key and device are bound together.
#[test]
fn a_certificate_is_for_the_attested_key_only() {
    let mut site = Site::new();
    let client = site.client();
    let key = P256::new();
    let order = site.ready(&client, &key);
    let other = site.finalize(&client, &order, &P256::new().request(sequence(&[]), &[]));
    assert_eq!((other.status, other.problem()), (400, "badCSR"));
    assert!(site.requests.is_empty());
    let good = site.finalize(&client, &order, &key.request(sequence(&[]), &[]));
    assert_eq!(good.text("status"), "valid", "a wrong request does not end the order");
}

// Two identifiers of one device must be attested with one key.
#[test]
fn two_statements_of_an_order_are_of_one_key() {
    let mut site = Site::new();
    let client = site.client();
    let order = site.order(&client, &[("permanent-identifier", "SN-1"), ("permanent-identifier", "SN-2")]);
    let (first, second) = (P256::new(), P256::new());
    for (at, (key, serial)) in [(&first, "SN-1"), (&second, "SN-2")].into_iter().enumerate() {
        let (token, path) = site.challenge(&client, &order, at, "device-attest-01");
        let response = site.packed(key, serial, &client.authorization(&token));
        assert_eq!(site.post(&client, &path, &response).text("status"), "valid");
    }
    for key in [&first, &second] {
        assert_eq!(site.finalize(&client, &order, &key.request(sequence(&[]), &[])).problem(), "badCSR");
    }
}
