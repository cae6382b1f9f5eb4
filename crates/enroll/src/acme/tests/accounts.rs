//! Accounts: binding, update, end, change of key.

use super::*;

// R36
#[test]
fn an_account_needs_a_secret_and_each_secret_makes_one() {
    let mut site = Site::new();
    let key = ClientKey::p256();
    let bare = site.post_as_key(&key, "/new-account", "{}");
    assert_eq!((bare.status, bare.problem()), (403, "externalAccountRequired"));
    let client = site.client();
    let account = site.books.accounts.values().next().unwrap();
    assert_eq!(account.binding, Some(Binding { record: record() }));

    let url = format!("{BASE}/new-account");
    let again = eab(&secret().id().to_string(), secret().reveal(), &url, &key.jwk());
    let again = site.post_as_key(&key, "/new-account", &format!(r#"{{"externalAccountBinding":{again}}}"#));
    assert_eq!((again.status, again.problem()), (403, "unauthorized"), "the secret is used up");
    // Its owner finds the account again without a secret.
    let found = site.post_as_key(&client.key, "/new-account", r#"{"onlyReturnExisting":true}"#);
    assert_eq!((found.status, found.header("location")), (200, Some(client.kid.as_str())));
    let missing = site.post_as_key(&key, "/new-account", r#"{"onlyReturnExisting":true}"#);
    assert_eq!((missing.status, missing.problem()), (400, "accountDoesNotExist"));
    assert_eq!(site.books.accounts.len(), 1);
}

#[test]
fn an_account_is_read_changed_and_ended_by_its_owner() {
    let mut site = Site::open();
    let (client, other) = (site.client(), site.client());
    let read = site.post(&client, &client.path(), "");
    assert_eq!((read.status, read.text("status")), (200, "valid".into()));
    let contact = r#"{"contact":["mailto:pki@hospital.example"]}"#;
    let changed = site.post(&client, &client.path(), contact);
    assert_eq!(changed.json["contact"][0], "mailto:pki@hospital.example");
    assert_eq!(
        site.post(&client, &client.path(), r#"{"contact":["tel:1"]}"#).problem(),
        "unsupportedContact"
    );
    assert_eq!(site.post(&client, &client.path(), "{}").status, 200);
    assert_eq!(site.post(&client, &client.path(), r#"{"status":"revoked"}"#).problem(), "malformed");
    let foreign = site.post(&other, &client.path(), "");
    assert_eq!((foreign.status, foreign.problem()), (403, "unauthorized"));

    let order = site.order(&client, &[("dns", "pacs.hospital.example")]);
    let listed = site.post(&client, &below(&read.text("orders")), "");
    assert_eq!(listed.json["orders"], json!([format!("{BASE}{}", order.location())]));
    assert_eq!(site.post(&other, &below(&read.text("orders")), "").problem(), "unauthorized");

    let ended = site.post(&client, &client.path(), r#"{"status":"deactivated"}"#);
    assert_eq!((ended.status, ended.text("status")), (200, "deactivated".into()));
    for path in [client.path(), order.location()] {
        let answer = site.post(&client, &path, "");
        assert_eq!((answer.status, answer.problem()), (403, "unauthorized"));
    }
    let id: OrderId = order.location().rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(site.state.orders.get(id).unwrap().status(site.now), OrderStatus::Invalid);
    assert_eq!(site.post_as_key(&client.key, "/new-account", "{}").problem(), "unauthorized");
}

fn key_change(client: &Client, new: &ClientKey, edit: impl Fn(&str) -> String) -> String {
    let header = format!(r#""url":"{BASE}/key-change","jwk":{}"#, new.jwk());
    let payload = format!(r#"{{"account":"{}","oldKey":{}}}"#, client.kid, client.key.jwk());
    String::from_utf8(jws(new, &edit(&header), &edit(&payload))).unwrap()
}

#[test]
fn a_key_is_changed_when_both_keys_sign() {
    let mut site = Site::open();
    let mut client = site.client();
    let order = site.order(&client, &[("dns", "pacs.hospital.example")]);
    let new = ClientKey::p256();
    let body = key_change(&client, &new, str::to_owned);
    assert_eq!(site.post(&client, "/key-change", &body).status, 200);
    assert_eq!(site.post(&client, &client.path(), "").problem(), "malformed", "the old key is over");
    client.key = new;
    assert_eq!(site.post(&client, &order.location(), "").text("status"), "pending");
    // The key authorization is that of the new key (device attestation draft 5: "current").
    let (_, path) = site.challenge(&client, &order, 0, "http-01");
    site.post(&client, &path, "{}");
    let print = Jwk::parse(&client.key.jwk()).unwrap().thumbprint_text();
    assert!(site.looks[0].key_authorization.ends_with(&print));
}

#[test]
fn each_rule_of_a_key_change_says_no() {
    let mut site = Site::open();
    let (client, other) = (site.client(), site.client());
    let new = ClientKey::p256();
    let own = client.kid.clone();
    for (what, body) in [
        ("another address", key_change(&client, &new, |t| t.replace("/key-change", "/new-order"))),
        ("another account", key_change(&client, &new, |t| t.replace(&own, &other.kid))),
        ("a nonce inside", key_change(&client, &new, |t| t.replace(r#""url""#, r#""nonce":"n","url""#))),
        ("another old key", key_change(&client, &new, |t| t.replace(&client.key.jwk(), &other.key.jwk()))),
        ("a kid inside", {
            let header = format!(r#""url":"{BASE}/key-change","kid":"{own}""#);
            String::from_utf8(jws(&new, &header, "{}")).unwrap()
        }),
        ("nothing", "{}".to_owned()),
    ] {
        assert_eq!(site.post(&client, "/key-change", &body).problem(), "malformed", "{what}");
    }
    // Signed inside by another key than it says.
    let forged = key_change(&client, &new, |t| t.replace(&new.jwk(), &other.key.jwk()));
    assert_eq!(site.post(&client, "/key-change", &forged).problem(), "malformed");
    let taken = key_change(&client, &other.key, str::to_owned);
    let answer = site.post(&client, "/key-change", &taken);
    assert_eq!((answer.status, answer.header("location")), (409, Some(other.kid.as_str())));
    assert_eq!(site.post(&client, &client.path(), "").status, 200, "nothing changed");
}

// Signatures are checked before the state is held: an account that ended in between, or has another key, orders nothing.
#[test]
fn an_account_that_ends_between_signature_and_state_orders_nothing() {
    for by_end in [true, false] {
        let mut site = Site::open();
        let client = site.client();
        let (path, nonce) = ("/new-order", site.nonce());
        let header = format!(r#""nonce":"{nonce}","url":"{BASE}{path}","kid":"{}""#, client.kid);
        let body = jws(&client.key, &header, r#"{"identifiers":[{"type":"dns","value":"a.example"}]}"#);
        let request = Request { method: Method::Post, path, content_type: Some(JOSE), body: &body };
        let opened = site.server.open(&site.books, &request);
        let account = site.books.accounts.values_mut().next().unwrap();
        match by_end {
            true => account.status = AccountStatus::Deactivated,
            false => account.key = Jwk::parse(&ClientKey::p256().jwk()).unwrap(),
        }
        let step = site.server.receive(&mut site.state, &site.books, opened, &Seed::new([3; 32]), site.now);
        let Step::Reply(reply) = step else { panic!("{step:?}") };
        assert_eq!(Answer::from(reply).problem(), "unauthorized");
        assert_eq!(site.state.orders.len(), 0);
    }
}
