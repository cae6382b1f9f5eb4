//! Our client against our server, over a network that loses, delays and repeats.

use proptest::prelude::*;

use super::*;
use crate::acme::client::{
    self, AccountBinding, AccountKey, ClientError, Issued, Next, Ordering, Proof, RenewalQuery, Revoking,
    Told, Wish,
};

const DIRECTORY: &str = "https://ca.hospital.example/acme/directory";

/// What the network does to one exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    /// The request is lost.
    Unheard,
    /// The request arrives, the answer is lost.
    Unanswered,
    /// Something in between is overloaded.
    Overloaded,
    /// The server was restarted: no nonce that it gave out counts any more.
    Forgets,
}

/// A device with its client.
struct Pump {
    client: client::Client,
    key: P256,
    fates: VecDeque<Fate>,
    waits: u32,
    sent: u32,
    looked: Vec<ChallengeKind>,
}

fn wish(serial: &str) -> Wish {
    Wish {
        identifiers: vec![Identifier::parse("permanent-identifier", serial).unwrap()],
        profile: None,
        replaces: None,
        challenges: vec![ChallengeKind::DeviceAttest01],
    }
}

fn bound() -> client::Client {
    let binding = AccountBinding::new(secret().id().to_string(), secret().reveal().as_bytes());
    client::Client::new(DIRECTORY, AccountKey::generate().unwrap()).unwrap().bound_by(binding)
}

/// Carries one message over.
fn carry(site: &mut Site, outgoing: &client::Outgoing) -> Answer {
    let method = match outgoing.method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Post,
    };
    let content_type = outgoing.headers.iter().find(|(name, _)| *name == "content-type").map(|(_, v)| *v);
    site.request(&Request { method, path: &below(&outgoing.url), content_type, body: &outgoing.body })
}

fn as_heard(answer: &Answer) -> client::Answer<'_> {
    client::Answer {
        status: answer.status,
        content_type: answer.header("content-type"),
        location: answer.header("location"),
        replay_nonce: answer.header("replay-nonce"),
        retry_after: answer.header("retry-after"),
        body: &answer.body,
    }
}

impl Pump {
    fn new() -> Self {
        Self { client: bound(), key: P256::new(), fates: VecDeque::new(), waits: 0, sent: 0, looked: vec![] }
    }

    fn run(&mut self, site: &mut Site, order: &mut Ordering) -> Result<Issued, ClientError> {
        // One order has some ten requests; each fate of a list costs a few more.
        for _ in 0..600 {
            match order.next(&mut self.client, site.now)? {
                Next::Send(outgoing) => self.exchange(site, order, &outgoing)?,
                Next::Wait { until, .. } => {
                    assert!(until > site.now, "a wait is one");
                    self.waits += 1;
                    site.now = until;
                    // Meanwhile somebody looks, and finds it.
                    for look in std::mem::take(&mut site.looks) {
                        site.server.validated(&mut site.state, &look, Ok(()), site.now);
                        self.looked.push(look.kind);
                    }
                }
                Next::Prove(challenge) => {
                    let object = match challenge.kind {
                        ChallengeKind::DeviceAttest01 => {
                            let response = site.packed(&self.key, "SN-1", &challenge.key_authorization);
                            let value: Value = serde_json::from_str(&response).unwrap();
                            Proof::Attestation(decode("attObj", value["attObj"].as_str().unwrap()).unwrap())
                        }
                        _ => Proof::InPlace,
                    };
                    order.prove(&object)?;
                }
                Next::Finalize => {
                    let names: &[Vec<u8>] = match self.looked.as_slice() {
                        [] => &[],
                        _ => &[alt_names(&[dns_name("pacs.hospital.example")])],
                    };
                    order.finalize(&self.key.request(sequence(&[]), names))?;
                }
                Next::Done(issued) => return Ok(*issued),
            }
        }
        panic!("the order does not end: {order:?}")
    }

    fn exchange(
        &mut self,
        site: &mut Site,
        order: &mut Ordering,
        outgoing: &client::Outgoing,
    ) -> Result<(), ClientError> {
        self.sent += 1;
        let fate = self.fates.pop_front().unwrap_or(Fate::Arrives);
        match fate {
            Fate::Unheard => return Ok(()),
            Fate::Unanswered => {
                carry(site, outgoing);
                return Ok(());
            }
            Fate::Overloaded => {
                let answer = client::Answer { status: 503, retry_after: Some("2"), ..Default::default() };
                // What is not the call of the order itself is for the caller to repeat.
                return match order.hear(&mut self.client, &answer, site.now) {
                    Err(error) if error.is_temporary() => Ok(()),
                    other => other,
                };
            }
            Fate::Forgets => site.state.nonces = Nonces::new(&[self.sent as u8; 32], 3600, 1000),
            Fate::Arrives => {}
        }
        let answer = carry(site, outgoing);
        order.hear(&mut self.client, &as_heard(&answer), site.now)
    }
}

fn until(site: &Site) -> Timestamp {
    site.now.plus_seconds(6 * 24 * 3600)
}

// R34, R36
#[test]
fn a_device_orders_attests_and_gets_its_certificate() {
    let mut site = Site::open();
    let mut pump = Pump::new();
    let mut order =
        Ordering::new(Wish { profile: Some("infusion".into()), ..wish("SN-1") }, until(&site)).unwrap();
    let issued = pump.run(&mut site, &mut order).unwrap();
    assert_eq!(issued.certificate.spki_sha256(), sha256(&pump.key.spki()));
    assert_eq!((issued.issuers.len(), pump.waits), (1, 0));
    assert_eq!(site.requests[0].1.profile.as_deref(), Some("infusion"));
    let Authentication::Order(proven) = &site.requests[0].1.authentication else { panic!() };
    assert_eq!(proven.binding().unwrap().record, record());

    // The next order goes on with the account.
    let account = pump.client.account().unwrap().to_owned();
    let mut again = Ordering::new(wish("SN-1"), until(&site)).unwrap();
    pump.run(&mut site, &mut again).unwrap();
    assert_eq!((pump.client.account(), site.books.accounts.len()), (Some(account.as_str()), 1));

    // A kept key finds its account again, though its secret is spent.
    let kept = AccountKey::from_pkcs8(&pump.client.key().to_pkcs8().unwrap()).unwrap();
    pump.client = client::Client::new(DIRECTORY, kept).unwrap();
    let mut third = Ordering::new(wish("SN-1"), until(&site)).unwrap();
    pump.run(&mut site, &mut third).unwrap();
    assert_eq!(pump.client.account(), Some(account.as_str()));

    let der = issued.certificate.der();
    let mut revoking = Revoking::new(der, 4);
    loop {
        let outgoing = revoking.next(&mut pump.client).unwrap();
        let answer = carry(&mut site, &outgoing);
        if let Told::Answer(()) = revoking.hear(&mut pump.client, &as_heard(&answer)).unwrap() {
            break;
        }
    }
    assert_eq!(site.revocations[0].reason, 4);
    assert_eq!(site.revocations[0].certificate.der(), der);
}

// A server that says at once what its look came to is asked neither for the authorization nor again.
#[test]
fn a_name_that_is_found_at_once_spares_the_client_every_poll() {
    let name = Identifier::parse("dns", "pacs.hospital.example").unwrap();
    let mut asked = Vec::new();
    for at_once in [vec![], vec![Ok(())]] {
        let mut site = Site::open();
        site.at_once = at_once.into();
        let mut pump = Pump::new();
        pump.looked.push(ChallengeKind::Http01);
        let wish =
            Wish { identifiers: vec![name.clone()], challenges: vec![ChallengeKind::Http01], ..wish("SN-1") };
        let mut order = Ordering::new(wish, until(&site)).unwrap();
        pump.run(&mut site, &mut order).unwrap();
        asked.push((pump.sent, pump.waits));
    }
    let [(polling, waits), (told, none)] = asked[..] else { panic!() };
    assert_eq!((waits, none), (1, 0));
    // The authorization twice: after the answer, and after the wait.
    assert_eq!(polling, told + 2);
}

/// An order for a name that is found at once, at a server that gives these answers to finalize and to what comes behind it; none means
/// that the answer is lost. What was asked and waited for, and how it ended.
fn behind_the_proof(answers: &[Option<(u16, &str)>]) -> (Vec<String>, Result<(), ClientError>) {
    const A: &str = "https://a.example";
    let name = r#"{"type":"dns","value":"pacs.hospital.example"}"#;
    let directory = format!(r#"{{"newNonce":"{A}/n","newAccount":"{A}/c","newOrder":"{A}/o"}}"#);
    let order = |status: &str| {
        format!(
            r#"{{"status":"{status}","identifiers":[{name}],"authorizations":["{A}/z"],"finalize":"{A}/f","certificate":"{A}/k"}}"#
        )
    };
    let challenge =
        |status: &str| format!(r#"{{"type":"http-01","url":"{A}/h","status":"{status}","token":"abc"}}"#);
    let proof =
        format!(r#"{{"status":"pending","identifier":{name},"challenges":[{}]}}"#, challenge("pending"));
    let mut client = client::Client::new(&format!("{A}/d"), AccountKey::generate().unwrap()).unwrap();
    let wish = Wish {
        identifiers: vec![Identifier::parse("dns", "pacs.hospital.example").unwrap()],
        challenges: vec![ChallengeKind::Http01],
        ..wish("SN-1")
    };
    let mut now = NOW;
    let mut ordering = Ordering::new(wish, now.plus_seconds(60)).unwrap();
    let (mut told, mut behind) = (Vec::new(), answers.iter());
    let names = [alt_names(&[dns_name("pacs.hospital.example")])];
    loop {
        let outgoing = match ordering.next(&mut client, now) {
            Ok(Next::Send(outgoing)) => outgoing,
            Ok(Next::Wait { until, .. }) => {
                told.push("wait".to_owned());
                now = until;
                continue;
            }
            Ok(Next::Prove(_)) => {
                ordering.prove(&Proof::InPlace).unwrap();
                continue;
            }
            Ok(Next::Finalize) => {
                ordering.finalize(&P256::new().request(sequence(&[]), &names)).unwrap();
                continue;
            }
            Ok(Next::Done(_)) => return (told, Ok(())),
            Err(error) => return (told, Err(error)),
        };
        let path = outgoing.url.strip_prefix(A).unwrap().to_owned();
        let (status, body) = match path.as_str() {
            "/d" => (200, directory.clone()),
            "/n" => (200, String::new()),
            "/c" => (201, "{}".to_owned()),
            "/o" => (201, order("pending")),
            "/z" => (200, proof.clone()),
            "/h" => (200, challenge("valid")),
            _ => {
                told.push(path);
                // The certificate is there.
                if told.last().is_some_and(|path| path == "/k") {
                    return (told, Ok(()));
                }
                match behind.next() {
                    Some(Some((200, status))) => (200, order(status)),
                    Some(Some((status, code))) => {
                        (*status, format!(r#"{{"type":"urn:ietf:params:acme:error:{code}"}}"#))
                    }
                    Some(None) => continue,
                    None => {
                        now = now.plus_seconds(3_600);
                        continue;
                    }
                }
            }
        };
        let answer = client::Answer {
            status,
            content_type: Some(if status < 300 { "application/json" } else { "application/problem+json" }),
            location: Some("https://a.example/1"),
            replay_nonce: Some("AAAA"),
            retry_after: Some("1"),
            body: body.as_bytes(),
        };
        if let Err(error) = ordering.hear(&mut client, &answer, now) {
            return (told, Err(error));
        }
    }
}

// RFC 8555 7.4: finalize comes behind the last proof, once; what a server says or does not say to it leads to the order.
#[test]
fn behind_the_last_proof_comes_finalize_and_only_once() {
    let asked = |answers: &[Option<(u16, &str)>]| behind_the_proof(answers).0.join(" ");
    assert_eq!(asked(&[Some((200, "valid"))]), "/f /k");
    assert_eq!(asked(&[Some((200, "processing")), Some((200, "valid"))]), "/f wait /1 /k");
    // Taken, and not said to be; then taken once more.
    assert_eq!(asked(&[Some((200, "ready")), Some((200, "valid"))]), "/f wait /f /k");
    // Not every proof was noted yet.
    let early = [Some((403, "orderNotReady")), Some((200, "ready")), Some((200, "valid"))];
    assert_eq!(asked(&early), "/f wait /1 wait /f /k");
    // Lost on the way: the order says whether it was heard.
    assert_eq!(asked(&[None, Some((200, "valid"))]), "/f /1 /k");
    let (_, ended) = behind_the_proof(&[None]);
    let Err(ClientError::Deadline(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains("still processing"), "{why}");
}

// R44
#[test]
fn the_server_says_when_to_renew_and_what_is_replaced() {
    let mut site = Site::open();
    let mut client = bound();
    let id: CertId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap();
    let mut ask = |site: &mut Site| {
        let mut query = RenewalQuery::new(id.clone());
        loop {
            let outgoing = query.next(&mut client)?;
            let answer = carry(site, &outgoing);
            if let Told::Answer(window) = query.hear(&mut client, &as_heard(&answer))? {
                return Ok::<_, ClientError>(window);
            }
        }
    };
    let unknown = ask(&mut site).unwrap_err();
    assert!(matches!(&unknown, ClientError::Refused { problem, .. } if problem.status == 404), "{unknown}");
    site.books.predecessors.insert(id.clone(), Predecessor::Current);
    let window = ask(&mut site).unwrap();
    assert_eq!(window.retry_after_seconds, 900);
    assert_eq!((window.pick(0), window.pick(1_000_000)), (NOW.plus_seconds(3600), NOW.plus_seconds(7200)));
    assert_eq!(window.pick(500_000), NOW.plus_seconds(5400));

    let mut pump = Pump::new();
    for (state, allowed) in [(Predecessor::Current, true), (Predecessor::Replaced, false)] {
        site.books.predecessors.insert(id.clone(), state);
        let mut order =
            Ordering::new(Wish { replaces: Some(id.clone()), ..wish("SN-1") }, until(&site)).unwrap();
        let outcome = pump.run(&mut site, &mut order);
        match outcome {
            Ok(_) => assert!(allowed),
            Err(error) => {
                assert!(!allowed);
                assert_eq!(error.problem().unwrap().code, "alreadyReplaced");
            }
        }
    }
}

#[test]
fn an_application_proves_its_name_and_waits_for_the_look() {
    for kind in [ChallengeKind::Http01, ChallengeKind::Dns01, ChallengeKind::TlsAlpn01] {
        let mut site = Site::open();
        let mut pump = Pump::new();
        let identifiers = vec![Identifier::parse("dns", "pacs.hospital.example").unwrap()];
        let wish = Wish { identifiers, profile: None, replaces: None, challenges: vec![kind] };
        let mut order = Ordering::new(wish, until(&site)).unwrap();
        pump.run(&mut site, &mut order).unwrap();
        assert_eq!(pump.looked, [kind]);
        assert!(pump.waits > 0);
    }
}

#[test]
fn what_a_challenge_wants_is_what_the_server_checks() {
    let client = bound();
    let identifier = Identifier::parse("dns", "pacs.hospital.example").unwrap();
    let key_authorization = key_authorization("tok", client.key().jwk());
    let proof = client::ToProve {
        identifier: identifier.clone(),
        kind: ChallengeKind::Dns01,
        token: "tok".into(),
        key_authorization: key_authorization.clone(),
    };
    let (name, record) = proof.dns_record();
    assert_eq!(name, dns01::name(&identifier));
    assert_eq!(dns01::check(&[record], &key_authorization), Ok(()));
    assert_eq!(proof.http_url(), http01::url(&identifier, "tok"));
    assert_eq!(proof.digest(), sha256(key_authorization.as_bytes()));
}

// R38
#[test]
fn a_no_of_the_server_is_told_in_its_words() {
    let mut site = Site::new();
    let mut pump = Pump::new();
    let mut order = Ordering::new(wish("SN-2"), until(&site)).unwrap();
    let error = pump.run(&mut site, &mut order).unwrap_err();
    assert!(error.is_refusal());
    let problem = error.problem().unwrap();
    assert_eq!(problem.code, "badAttestationStatement");
    assert!(problem.detail.contains("another device"), "{problem}");
    assert_eq!(order.next(&mut pump.client, site.now), Err(error), "an ended order stays ended");

    site.outcomes.push_back(Outcome::Refused { code: "retired".into(), why: "the device is retired".into() });
    let mut order = Ordering::new(wish("SN-1"), until(&site)).unwrap();
    let error = pump.run(&mut site, &mut order).unwrap_err();
    assert!(matches!(&error, ClientError::OrderEnded(p) if p.detail.contains("retired")), "{error}");

    let mut site = Site::new();
    pump.client = client::Client::new(DIRECTORY, AccountKey::generate().unwrap()).unwrap();
    let mut order = Ordering::new(wish("SN-1"), until(&site)).unwrap();
    let error = pump.run(&mut site, &mut order).unwrap_err();
    assert_eq!(error.problem().unwrap().code, "externalAccountRequired");
}

// R35: a person decides; the wait has an end, and the order can be taken up again after it.
#[test]
fn an_order_that_waits_for_a_person_is_resumed_by_its_address() {
    let mut site = Site::new();
    let pending = || Outcome::Pending { retry_after_seconds: 3600, why: "approval is missing".into() };
    site.outcomes.extend((0..30).map(|_| pending()));
    let mut pump = Pump::new();
    let mut order = Ordering::new(wish("SN-1"), site.now.plus_seconds(2 * 3600 + 10)).unwrap();
    let error = pump.run(&mut site, &mut order).unwrap_err();
    assert!(matches!(error, ClientError::Deadline(_)) && error.is_temporary(), "{error}");
    let asked = site.requests.len();
    assert!((2..=4).contains(&asked), "asked {asked} times in two hours");

    let url = order.url().unwrap().to_owned();
    let request = pump.key.request(sequence(&[]), &[]);
    site.outcomes.clear();
    site.now = site.now.plus_seconds(3600);
    let other = P256::new().request(sequence(&[]), &[]);
    let mut wrong = Ordering::resume(&pump.client, wish("SN-1"), &url, Some(&other), until(&site)).unwrap();
    assert_eq!(pump.run(&mut site, &mut wrong), Err(ClientError::OtherKey));
    let mut resumed =
        Ordering::resume(&pump.client, wish("SN-1"), &url, Some(&request), until(&site)).unwrap();
    let issued = pump.run(&mut site, &mut resumed).unwrap();
    assert_eq!(issued.certificate.spki_sha256(), sha256(&pump.key.spki()));
    let foreign = "https://elsewhere.example/acme/order/x";
    assert!(Ordering::resume(&pump.client, wish("SN-1"), foreign, None, until(&site)).is_err());
}

#[test]
fn nonces_that_are_never_good_end_it() {
    let mut site = Site::new();
    let mut pump = Pump::new();
    pump.fates = VecDeque::from([Fate::Arrives; 2]);
    pump.fates.extend([Fate::Forgets; 40]);
    let mut order = Ordering::new(wish("SN-1"), until(&site)).unwrap();
    assert_eq!(pump.run(&mut site, &mut order), Err(ClientError::Nonces(4)));
    assert!(pump.sent < 12);
}

#[test]
fn a_wish_that_nothing_can_prove_is_refused_before_anything_is_sent() {
    let now = NOW;
    let none = Wish { identifiers: vec![], ..wish("SN-1") };
    let unfit = Wish { challenges: vec![ChallengeKind::Http01], ..wish("SN-1") };
    for bad in [none, unfit] {
        assert!(matches!(Ordering::new(bad, now), Err(ClientError::Wish { .. })));
    }
    for url in ["http://ca.example/directory", "ca.example"] {
        assert!(client::Client::new(url, AccountKey::generate().unwrap()).is_err());
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        1 => Just(Fate::Unheard),
        1 => Just(Fate::Unanswered),
        1 => Just(Fate::Overloaded),
        1 => Just(Fate::Forgets),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (1u32..100_000).prop_map(|s| Outcome::Pending { retry_after_seconds: s, why: "wait".into() }),
        Just(Outcome::Unavailable { why: "the log is away".into() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // R35, I12: whatever is lost, repeated, refused for its nonce or put off, the order ends, and with one certificate.
    #[test]
    fn any_order_of_waits_and_losses_ends(
        fates in proptest::collection::vec(fate(), 0..40),
        outcomes in proptest::collection::vec(outcome(), 0..6),
    ) {
        let mut site = Site::new();
        site.outcomes.extend(outcomes);
        let mut pump = Pump::new();
        pump.fates = fates.into();
        let mut order = Ordering::new(wish("SN-1"), until(&site)).unwrap();
        match pump.run(&mut site, &mut order) {
            Ok(issued) => {
                prop_assert_eq!(issued.certificate.spki_sha256(), sha256(&pump.key.spki()));
                prop_assert_eq!(site.outcomes.len(), 0);
            }
            // Four restarts one after the other, or a person who takes his time.
            Err(error) => prop_assert!(
                matches!(error, ClientError::Nonces(_) | ClientError::Deadline(_)), "{error}"
            ),
        }
    }
}
