//! The whole engine, driven by a small client of our own over a small control plane of our own.

use std::collections::{BTreeMap, VecDeque};

use lanyard_attest::webauthn::{
    Anchor, Format, OnUnknown, Revocation, Statement, Trust, encode as encode_statement,
};
use lanyard_domain::id::StreamId;
use lanyard_domain::time::Timestamp;
use serde_json::{Value, json};

use super::base64url::{decode, encode};
use super::digest::sha256;
use super::testkit::*;
use super::*;
use crate::secret::{Secret, SecretId, SecretKey};
use crate::{Authentication, EnrollmentRequest, Outcome, Protocol, Reply};

mod accounts;
mod client;
mod devices;
mod messages;
mod names;
mod orders;
mod state;

const BASE: &str = "https://ca.hospital.example/acme";
const NOW: Timestamp = Timestamp::from_seconds(1_795_753_000);
const JOSE: &str = "application/jose+json";

/// What a control plane keeps.
#[derive(Default)]
struct Books {
    accounts: BTreeMap<AccountId, Account>,
    used: Vec<SecretId>,
    predecessors: BTreeMap<CertId, Predecessor>,
}

fn secret() -> Secret {
    let id = SecretId::from_random([1; 5]);
    SecretKey::new([7; 32]).derive(id, record(), NOW.plus_seconds(3600))
}

fn record() -> StreamId {
    StreamId::from_bytes([2; 16])
}

impl Records for Books {
    fn account(&self, id: AccountId) -> Option<Account> {
        self.accounts.get(&id).cloned()
    }
    fn account_of_key(&self, thumbprint: &[u8; 32]) -> Option<Account> {
        self.accounts.values().find(|a| a.key.thumbprint() == *thumbprint).cloned()
    }
    fn secret(&self, id: SecretId) -> Option<Secret> {
        (id == secret().id() && !self.used.contains(&id)).then(secret)
    }
    fn predecessor(&self, _: &Account, certificate: &CertId, _: &[Identifier]) -> Predecessor {
        self.predecessors.get(certificate).copied().unwrap_or(Predecessor::Unknown)
    }
}

/// A server with its surroundings.
struct Site {
    server: Server,
    state: State,
    books: Books,
    now: Timestamp,
    seeds: u32,
    /// What control answers next; a certificate where nothing is said.
    outcomes: VecDeque<Outcome>,
    /// What was asked of control.
    requests: Vec<(OrderId, EnrollmentRequest)>,
    /// What looks come to that are over before the challenge is answered.
    at_once: VecDeque<Result<(), Failure>>,
    looks: Vec<Validation>,
    revocations: Vec<RevocationRequest>,
    revocation: RevocationOutcome,
    maker: P256,
    issuer: P256,
}

/// A reply, taken apart.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    json: Value,
    body: Vec<u8>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        let json = serde_json::from_slice(&reply.body).unwrap_or_default();
        Self { status: reply.status, headers: reply.headers, json, body: reply.body }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
    fn links(&self, relation: &str) -> Vec<&str> {
        let end = format!(">;rel=\"{relation}\"");
        let links = self.headers.iter().filter(|(key, _)| *key == "link");
        links.filter_map(|(_, value)| value.strip_prefix('<')?.strip_suffix(&end)).collect()
    }
    /// The last part of the problem's type.
    fn problem(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap()
    }
    fn text(&self, field: &str) -> String {
        self.json[field].as_str().unwrap_or_else(|| panic!("no {field}: {self:?}")).to_owned()
    }
    fn path(&self, field: &str) -> String {
        below(&self.text(field))
    }
    fn location(&self) -> String {
        below(self.header("location").unwrap())
    }
}

fn below(url: &str) -> String {
    url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url}")).to_owned()
}

impl Site {
    fn new() -> Self {
        Self::with(Policy::default())
    }

    fn with(policy: Policy) -> Self {
        let (maker, issuer) = (P256::new(), P256::new());
        let root = Draft::new(maker.spki(), name("Maker"), vec![constraints(true)]);
        let certificate = root.sign(&maker, name("Maker"));
        let anchors = [Format::Packed, Format::Apple].map(|format| Anchor {
            name: "maker".into(),
            format,
            certificate: certificate.clone(),
        });
        let trust = Trust::new(anchors.to_vec(), Revocation::new(OnUnknown::Accept));
        Self {
            server: Server::new(BASE.parse().unwrap(), policy, trust),
            state: State {
                nonces: Nonces::new(&[9; 32], 3600, 1000),
                orders: Orders::new(Limits::default()),
            },
            books: Books::default(),
            now: NOW,
            seeds: 0,
            outcomes: VecDeque::new(),
            requests: Vec::new(),
            at_once: VecDeque::new(),
            looks: Vec::new(),
            revocations: Vec::new(),
            revocation: RevocationOutcome::Revoked,
            maker,
            issuer,
        }
    }

    /// Every challenge, for bound and unbound accounts, with a profile.
    fn open() -> Self {
        Self::with(Policy {
            challenges: ChallengeKind::ALL.into(),
            binding: BindingPolicy::Optional,
            profiles: [("infusion".to_owned(), "infusion pumps".to_owned())].into(),
            ..Policy::default()
        })
    }

    fn issued(&self, spki: Vec<u8>) -> Vec<u8> {
        let key_id = extension("2.5.29.35", false, &sequence(&[tlv(0x80, &[0x5a; 20])]));
        Draft::new(spki, name("device"), vec![key_id]).sign(&self.issuer, name("Issuing"))
    }

    /// One request, with all that the engine asks for on the way.
    fn request(&mut self, request: &Request<'_>) -> Answer {
        self.seeds += 1;
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&self.seeds.to_be_bytes());
        let seed = Seed::new(bytes);
        let opened = self.server.open(&self.books, request);
        let step = self.server.receive(&mut self.state, &self.books, opened, &seed, self.now);
        let reply = match step {
            Step::Reply(reply) => reply,
            Step::Register(wish) => {
                let account = Account {
                    id: wish.id,
                    key: wish.key,
                    contacts: wish.contacts,
                    status: AccountStatus::Valid,
                    binding: wish.secret.as_ref().map(|_| Binding { record: record() }),
                };
                self.books.used.extend(wish.secret.map(|proof| proof.id()));
                self.books.accounts.insert(account.id, account.clone());
                self.server.registered(&self.state, &account, &seed, self.now)
            }
            Step::Change { account, change } => {
                let mut account = *account;
                match change {
                    AccountChange::Contacts(contacts) => account.contacts = contacts,
                    AccountChange::Deactivate => account.status = AccountStatus::Deactivated,
                    AccountChange::Key(key) => account.key = *key,
                }
                self.books.accounts.insert(account.id, account.clone());
                self.server.changed(&mut self.state, &account, &seed, self.now)
            }
            Step::Validate(look) => {
                if let Some(outcome) = self.at_once.pop_front() {
                    self.server.validated(&mut self.state, &look, outcome, self.now);
                }
                let reply = self.server.looking(&self.state, &look, &seed, self.now);
                self.looks.push(*look);
                reply
            }
            Step::Enroll { order, request } => {
                let certificate = self.issued(request.csr.spki_der().to_vec());
                let intermediate = self.issued(self.issuer.spki());
                let chain = vec![certificate, intermediate];
                let outcome = self.outcomes.pop_front().unwrap_or(Outcome::Issued { chain: chain.clone() });
                self.requests.push((order, *request));
                let alternates = [chain[..1].to_vec()];
                self.server.enrolled(&mut self.state, order, &outcome, &alternates, &seed, self.now)
            }
            Step::Revoke(request) => {
                self.revocations.push(*request);
                self.server.revoked(&self.state, self.revocation, &seed, self.now)
            }
            Step::Renewal(id) => {
                let known = self.books.predecessors.contains_key(&id);
                let info = RenewalInfo {
                    start: self.now.plus_seconds(3600),
                    end: self.now.plus_seconds(7200),
                    explanation_url: None,
                    retry_after_seconds: 900,
                };
                self.server.renewal(known.then_some(&info))
            }
        };
        Answer::from(reply)
    }

    fn get(&mut self, path: &str) -> Answer {
        self.request(&Request { method: Method::Get, path, content_type: None, body: &[] })
    }

    fn nonce(&mut self) -> String {
        let answer = self.request(&Request {
            method: Method::Head,
            path: "/new-nonce",
            content_type: None,
            body: &[],
        });
        assert_eq!(answer.status, 200);
        answer.header("replay-nonce").unwrap().to_owned()
    }

    fn post_body(&mut self, path: &str, body: &[u8]) -> Answer {
        self.request(&Request { method: Method::Post, path, content_type: Some(JOSE), body })
    }

    /// A request signed by the key itself.
    fn post_as_key(&mut self, key: &ClientKey, path: &str, payload: &str) -> Answer {
        let nonce = self.nonce();
        let header = format!(r#""nonce":"{nonce}","url":"{BASE}{path}","jwk":{}"#, key.jwk());
        self.post_body(path, &jws(key, &header, payload))
    }

    /// A request of an account.
    fn post(&mut self, client: &Client, path: &str, payload: &str) -> Answer {
        let nonce = self.nonce();
        let header = format!(r#""nonce":"{nonce}","url":"{BASE}{path}","kid":"{}""#, client.kid);
        self.post_body(path, &jws(&client.key, &header, payload))
    }

    /// An account, bound by the secret while it is good.
    fn client(&mut self) -> Client {
        let key = ClientKey::p256();
        let url = format!("{BASE}/new-account");
        let binding = match self.books.used.is_empty() {
            true => {
                let eab = eab(&secret().id().to_string(), secret().reveal(), &url, &key.jwk());
                format!(r#","externalAccountBinding":{eab}"#)
            }
            false => String::new(),
        };
        let payload = format!(r#"{{"termsOfServiceAgreed":true{binding}}}"#);
        let answer = self.post_as_key(&key, "/new-account", &payload);
        assert_eq!(answer.status, 201, "{answer:?}");
        Client { key, kid: answer.header("location").unwrap().to_owned() }
    }

    /// An order, and the path of it.
    fn order(&mut self, client: &Client, identifiers: &[(&str, &str)]) -> Answer {
        let list: Vec<Value> =
            identifiers.iter().map(|(kind, value)| json!({ "type": kind, "value": value })).collect();
        self.post(client, "/new-order", &json!({ "identifiers": list }).to_string())
    }

    /// Token and path of a challenge of an order's authorization.
    fn challenge(&mut self, client: &Client, order: &Answer, at: usize, kind: &str) -> (String, String) {
        let url = below(order.json["authorizations"][at].as_str().unwrap());
        let authorization = self.post(client, &url, "");
        assert_eq!(authorization.status, 200, "{authorization:?}");
        let challenges = authorization.json["challenges"].as_array().unwrap();
        let found = challenges.iter().find(|c| c["type"] == kind).unwrap();
        (found["token"].as_str().unwrap().to_owned(), below(found["url"].as_str().unwrap()))
    }

    fn finalize(&mut self, client: &Client, order: &Answer, csr: &[u8]) -> Answer {
        let payload = json!({ "csr": encode(csr) }).to_string();
        self.post(client, &order.path("finalize"), &payload)
    }

    /// A device's key under its maker's certificate, attested for a challenge.
    fn packed(&self, key: &P256, serial: &str, authorization: &str) -> String {
        let subject = names(&[
            ("2.5.4.6", "SE"),
            ("2.5.4.10", "Acme"),
            ("2.5.4.11", "Authenticator Attestation"),
            ("2.5.4.3", "Pump"),
        ]);
        let serial = extension("1.3.6.1.4.1.45724.1.1.2", false, &tlv(0x04, serial.as_bytes()));
        let draft = Draft::new(key.spki(), subject, vec![constraints(false), serial]);
        let statement = Statement {
            algorithm: Some(-7),
            signature: Some(key.sign(authorization.as_bytes())),
            certificates: Some(vec![draft.sign(&self.maker, name("Maker"))]),
            ..Statement::default()
        };
        json!({ "attObj": encode(&encode_statement("packed", &statement, None)) }).to_string()
    }

    /// An order of a device, attested and ready.
    fn ready(&mut self, client: &Client, key: &P256) -> Answer {
        let order = self.order(client, &[("permanent-identifier", "SN-1")]);
        assert_eq!(order.status, 201, "{order:?}");
        let (token, path) = self.challenge(client, &order, 0, "device-attest-01");
        let response = self.packed(key, "SN-1", &client.authorization(&token));
        let answer = self.post(client, &path, &response);
        assert_eq!(answer.text("status"), "valid", "{answer:?}");
        order
    }
}

struct Client {
    key: ClientKey,
    kid: String,
}

impl Client {
    fn authorization(&self, token: &str) -> String {
        key_authorization(token, &Jwk::parse(&self.key.jwk()).unwrap())
    }
    fn path(&self) -> String {
        below(&self.kid)
    }
}
