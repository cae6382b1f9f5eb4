//! A certificate's succession over EST, as the control plane and relying parties see it: the old one ends an hour after the new one
//! was used, not before; an answer that was lost costs nothing; and a device that slept past the end comes back.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use lanyard_api::client::{Client, Server};
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use lanyard_enroll::est::client::{self, Answer, Answered, Outgoing, SecretLogin};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::crl::Crl;
use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::ocsp::Standing;
use lanyard_pki::path::Anchors;
use lanyard_pki::revocation::Reason;
use lanyard_pki::spki::PublicKey;
use lanyard_pki::tls::{AnchorStore, Gate, IdentityStore, Peers, client_config};
use zeroize::Zeroizing;

use crate::hospital::{Hospital, record};
use crate::restart::until;

/// An hour, and a margin for the seconds that the test itself takes.
const OVERLAP: i64 = 3_601;

/// A device that speaks EST and keeps its keys in memory.
pub struct EstDevice<'a> {
    hospital: &'a Hospital,
    pub id: DeviceId,
    pub keys: Arc<MemoryKeys>,
}

impl<'a> EstDevice<'a> {
    pub async fn new(hospital: &'a Hospital, serial: &str, tier: Tier) -> Self {
        let id = hospital.register(DeviceRecord { tier, ..record(serial) }).await.unwrap();
        hospital.approve(id).await;
        Self { hospital, id, keys: Arc::new(MemoryKeys::default()) }
    }

    /// The same device after a stop of the control plane.
    pub fn again(hospital: &'a Hospital, id: DeviceId, keys: Arc<MemoryKeys>) -> Self {
        Self { hospital, id, keys }
    }

    pub fn key(&self, name: &str) -> KeyLabel {
        let label: KeyLabel = name.parse().unwrap();
        self.keys.generate(&label, KeyKind::P256).unwrap();
        label
    }

    /// Sends over TLS, showing this certificate.
    async fn send(
        &self,
        address: SocketAddr,
        shown: Option<(&Certificate, &KeyLabel)>,
        outgoing: Outgoing,
    ) -> http::Response<Bytes> {
        let running = &self.hospital.running;
        let identity = IdentityStore::empty();
        if let Some((certificate, label)) = shown {
            let chain = running.state.control.authority.chain(certificate);
            identity.replace(&chain, self.keys.clone(), label.clone()).unwrap();
        }
        let anchors = Anchors::new(chain_from_pem(running.anchors_pem.as_bytes()).unwrap()).unwrap();
        let peers = Peers { anchors: AnchorStore::new(anchors), gate: Gate::any_valid() };
        let ask = self.hospital.clock.clone();
        let tls = client_config(identity, peers, lanyard_pki::tls::Clock::new(move || ask.now())).unwrap();
        let server: Server = address.to_string().parse().unwrap();
        let mut channel = Client::new(vec![server], Arc::new(tls)).connect().await.unwrap();
        let mut request = Request::builder().method(outgoing.method).uri(outgoing.path);
        for (name, value) in outgoing.headers {
            request = request.header(name, value);
        }
        channel.call_raw(request.body(outgoing.body.into()).unwrap()).await.unwrap()
    }

    /// Asks for a certificate for `key`: by `shown`, or by a secret.
    pub async fn ask(
        &self,
        shown: Option<(&Certificate, &KeyLabel)>,
        key: &KeyLabel,
        login: Option<&SecretLogin>,
    ) -> Answered<client::Issued> {
        let spki = self.keys.public_spki(key).unwrap();
        let request = csr::build(&spki, "device", |tbs| self.keys.sign(key, tbs)).unwrap();
        let outgoing = match shown {
            Some(_) => client::reenroll(None, &request),
            None => client::enroll(None, &request, login),
        };
        let est = self.hospital.running.enroll_address.unwrap();
        let response = self.send(est, shown, outgoing).await;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let answer = Answer {
            status: response.status().as_u16(),
            content_type: header("content-type"),
            retry_after: header("retry-after"),
            reason: header(client::REASON),
            body: response.body(),
        };
        client::read_issued(&answer, &PublicKey::parse(&spki).unwrap()).unwrap()
    }

    pub async fn enroll(&self, key: &KeyLabel) -> Certificate {
        let secret = SecretId::from_random(lanyard_control::digest::random().unwrap());
        let expires = self.hospital.clock.now().plus_seconds(3_600);
        let action = Action::IssueSecret { device: self.id, secret, expires };
        let recorded = self.hospital.decide(&self.hospital.registrar, action).await.unwrap();
        let secret = Zeroizing::new(recorded.secret.unwrap());
        granted(self.ask(None, key, Some(&SecretLogin { user: self.id.to_string(), secret })).await)
    }

    pub async fn renew(&self, shown: (&Certificate, &KeyLabel), key: &KeyLabel) -> Certificate {
        granted(self.ask(Some(shown), key, None).await)
    }

    /// Shows a certificate to the token endpoint: a use, whatever the answer.
    pub async fn uses(&self, certificate: &Certificate, key: &KeyLabel) {
        let body = b"grant_type=client_credentials".to_vec();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let outgoing = Outgoing { method: "POST", path: "/v1/token".to_owned(), headers, body };
        self.send(self.hospital.running.address, Some((certificate, key)), outgoing).await;
        let serial = certificate.serial().to_string();
        until(async || {
            let world = self.hospital.running.state.control.world();
            let held = &world.devices.get(&self.id).unwrap().certificates;
            held.iter().any(|c| c.serial == serial && c.seen_at.is_some())
        })
        .await;
    }

    /// What the rotation worker does once a minute.
    async fn round(&self) {
        let (control, now) = (&self.hospital.running.state.control, self.hospital.clock.now());
        for device in control.superseded(&control.device_ids(), now) {
            control.supersede(device, now).await.unwrap();
        }
    }

    pub fn standing(&self, certificate: &Certificate) -> Standing {
        let control = &self.hospital.running.state.control;
        control.standing_of(certificate.issuer_der(), &certificate.serial())
    }

    /// Whether its authority's list has it.
    fn listed(&self, certificate: &Certificate) -> bool {
        let control = &self.hospital.running.state.control;
        let issuers = control.authority.issuers();
        let issuer = issuers.of(certificate).unwrap().certificate().clone();
        let shards = Shards::new(32).unwrap();
        let place = Place::of(issuer.subject_key_id().unwrap(), shards, &certificate.serial());
        let list = control.revocation_list(&place, self.hospital.clock.now()).unwrap().unwrap();
        Crl::parse(&list.der).unwrap().verify(&issuer).unwrap();
        let serial = data_encoding::HEXLOWER.decode(certificate.serial().to_string().as_bytes()).unwrap();
        // The entry ends with its reason: superseded, 4.
        let found = list.der.windows(serial.len()).position(|bytes| bytes == serial);
        found.is_some_and(|at| list.der[at..].windows(3).take(60).any(|bytes| bytes == [0x0a, 1, 4]))
    }
}

pub fn granted(answered: Answered<client::Issued>) -> Certificate {
    match answered {
        Answered::Granted(issued) => issued.certificate,
        other => panic!("{other:?}"),
    }
}

fn is_superseded(standing: Standing) -> bool {
    matches!(standing, Standing::Revoked(r) if r.reason == Reason::Superseded)
}

// R44, I7
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_after_its_successor_was_used_a_certificate_is_superseded() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device = EstDevice::new(&hospital, "E-1", Tier::Standard).await;
    let (first, second) = (device.key("first"), device.key("second"));
    let old = device.enroll(&first).await;
    hospital.clock.advance(60);
    let new = device.renew((&old, &first), &second).await;

    // Issued is not used: however long it takes, the old one stands.
    hospital.clock.advance(6 * 3_600);
    device.round().await;
    assert_eq!((device.standing(&old), device.standing(&new)), (Standing::Good, Standing::Good));
    device.uses(&new, &second).await;
    hospital.clock.advance(1_800);
    device.round().await;
    assert_eq!(device.standing(&old), Standing::Good, "connections that it opened may go on for an hour");
    assert!(!device.listed(&old));
    device.uses(&old, &first).await;

    hospital.clock.advance(OVERLAP - 1_800);
    device.round().await;
    assert!(is_superseded(device.standing(&old)), "{:?}", device.standing(&old));
    assert!(device.listed(&old) && !device.listed(&new));
    assert_eq!(device.standing(&new), Standing::Good);
    // It gives nothing any more; the new one goes on.
    let third = device.key("third");
    let Answered::Refused { why, .. } = device.ask(Some((&old, &first)), &third, None).await else {
        panic!()
    };
    assert!(why.contains("another has taken its place"), "{why}");
    device.renew((&new, &second), &third).await;
    hospital.running.shutdown().await;
}

// R44, I7, I3: the answer to a renewal is lost, and the device does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_whose_answer_was_lost_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device = EstDevice::new(&hospital, "E-1", Tier::Standard).await;
    let (first, second, third) = (device.key("first"), device.key("second"), device.key("third"));
    let old = device.enroll(&first).await;
    device.uses(&old, &first).await;
    hospital.clock.advance(60);
    let lost = device.renew((&old, &first), &second).await;
    hospital.clock.advance(2 * 3_600);
    device.round().await;
    assert_eq!(device.standing(&old), Standing::Good, "the device has nothing else");

    // It asks again, with the key that it made, or after a start that forgot that key with another.
    let again = device.renew((&old, &first), &second).await;
    hospital.clock.advance(60);
    let other = device.renew((&old, &first), &third).await;
    assert!(lost.serial() != again.serial() && again.serial() != other.serial());
    device.uses(&other, &third).await;
    hospital.clock.advance(OVERLAP);
    device.round().await;
    for gone in [&old, &lost, &again] {
        assert!(is_superseded(device.standing(gone)), "{}", gone.serial());
    }
    assert_eq!(device.standing(&other), Standing::Good);
    let held = hospital.device(device.id).await.certificates.len();
    assert_eq!(held, 1, "what nobody took is not left lying about");
    hospital.running.shutdown().await;
}

// R43, R51, R66: switched off past the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_slept_past_the_end_comes_back_by_itself_where_its_tier_lets_it() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let device = EstDevice::new(&hospital, "E-1", Tier::Standard).await;
    let (first, second) = (device.key("first"), device.key("second"));
    let old = device.enroll(&first).await;
    hospital.clock.advance(3 * 86_400);
    // The control plane's own certificate has ended too; its worker renews that within a minute, here it is asked to.
    until(async || hospital.client.connect().await.is_ok()).await;
    let renewed = device.renew((&old, &first), &second).await;
    assert!(renewed.not_after() > hospital.clock.now());
    hospital.clock.advance(100 * 86_400);
    let third = device.key("third");
    until(async || hospital.client.connect().await.is_ok()).await;
    let asleep = device.ask(Some((&renewed, &second)), &third, None).await;
    let Answered::Refused { why, .. } = asleep else { panic!("{asleep:?}") };
    assert!(why.contains("it must enroll anew"), "{why}");
    hospital.running.shutdown().await;
}
