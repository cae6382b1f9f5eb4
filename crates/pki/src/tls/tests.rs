use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::{AlertDescription, ClientConnection, ServerConnection};

use super::*;
use crate::oid;
use crate::profile::{Addresses, SubjectFacts};
use crate::testing::{self, Installation, Issued, NOW};

fn identity(a: &Installation, issued: &Issued) -> Arc<IdentityStore> {
    let store = IdentityStore::empty();
    store.replace(&chain(a, issued), a.keys.clone(), issued.label.clone()).unwrap();
    store
}

fn chain(a: &Installation, issued: &Issued) -> Vec<Certificate> {
    vec![issued.certificate.clone(), a.authority.issuing.certificate().clone()]
}

fn peers(a: &Installation, gate: Gate) -> Peers {
    let anchors = Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap();
    Peers { anchors: AnchorStore::new(anchors), gate }
}

fn clock() -> Clock {
    Clock::new(|| NOW)
}

fn server(a: &Installation, gate: Gate, clients: ClientCertificates) -> Arc<ServerConfig> {
    Arc::new(server_config(identity(a, &a.gateway()), peers(a, gate), clients, clock()).unwrap())
}

fn client(a: &Installation, shown: Arc<IdentityStore>) -> Arc<ClientConfig> {
    Arc::new(client_config(shown, peers(a, Gate::any_valid()), clock()).unwrap())
}

/// A handshake in memory, and one byte each way after it.
fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut c = ClientConnection::new(client.clone(), name).unwrap();
    let mut s = ServerConnection::new(server.clone()).unwrap();
    c.writer().write_all(b"?").unwrap();
    s.writer().write_all(b"!").unwrap();
    for _ in 0..10 {
        let mut buffer = Vec::new();
        while c.wants_write() {
            c.write_tls(&mut buffer).unwrap();
        }
        let mut read = buffer.as_slice();
        while !read.is_empty() {
            s.read_tls(&mut read).unwrap();
        }
        s.process_new_packets()?;
        let mut buffer = Vec::new();
        while s.wants_write() {
            s.write_tls(&mut buffer).unwrap();
        }
        let mut read = buffer.as_slice();
        while !read.is_empty() {
            c.read_tls(&mut read).unwrap();
        }
        c.process_new_packets()?;
    }
    let mut byte = [0];
    s.reader().read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"?");
    c.reader().read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"!");
    Ok((s, c))
}

// R53
#[test]
fn a_device_and_a_gateway_know_each_other_after_the_handshake() {
    let a = Installation::new();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    for name in ["gw1.hospital.example", "127.0.0.1", "::1"] {
        let (s, c) = handshake(&config, &client(&a, identity(&a, &a.device())), name).unwrap();
        let peers = peers(&a, Gate::any_valid());
        let device = peer(s.peer_certificates(), &peers, Purpose::Client, NOW).unwrap().unwrap();
        assert_eq!(device.identity(), PeerIdentity::Device(testing::device_id()));
        let gateway = peer(c.peer_certificates(), &peers, Purpose::Server, NOW).unwrap().unwrap();
        assert_eq!(gateway.identity(), PeerIdentity::Gateway(testing::gateway_id()));
        assert_eq!(s.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[test]
fn bad_client_certificates_end_the_handshake() {
    let (a, b) = (Installation::new(), Installation::new());
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    let day = 86_400;
    let expired = a.forge(|d| {
        d.not_before = NOW.plus_seconds(-2 * day);
        d.not_after = NOW.plus_seconds(-1);
    });
    let early = a.forge(|d| d.not_before = NOW.plus_seconds(1));
    let purpose = a.forge(|d| d.set("purposes", testing::purposes(&[oid::SERVER_AUTH])));
    let foreign = b.device();
    let unknown = IdentityStore::empty();
    unknown.replace(&chain(&b, &foreign), b.keys.clone(), foreign.label.clone()).unwrap();
    let refused = |shown| handshake(&config, &client(&a, shown), "127.0.0.1").map(drop).unwrap_err();
    let is = |error: rustls::Error, expected: TlsCertificateError| {
        assert_eq!(error, rustls::Error::InvalidCertificate(expected));
    };
    is(refused(identity(&a, &expired)), TlsCertificateError::Expired);
    is(refused(identity(&a, &early)), TlsCertificateError::NotValidYet);
    is(refused(unknown), TlsCertificateError::UnknownIssuer);
    let wrong_purpose = refused(identity(&a, &purpose)).to_string();
    assert!(wrong_purpose.contains("PurposeNotNamed"), "{wrong_purpose}");
    assert_eq!(refused(IdentityStore::empty()), rustls::Error::NoCertificatesPresented);
}

#[test]
fn bad_server_certificates_end_the_handshake() {
    let (a, b) = (Installation::new(), Installation::new());
    let device = identity(&a, &a.device());
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    let other_name = handshake(&config, &client(&a, device.clone()), "gw2.hospital.example").map(drop);
    assert!(matches!(
        other_name,
        Err(rustls::Error::InvalidCertificate(TlsCertificateError::NotValidForNameContext { .. }))
    ));
    // An impostor with a gateway certificate of another hospital.
    let impostor = server(&b, Gate::any_valid(), ClientCertificates::Optional);
    assert_eq!(
        handshake(&impostor, &client(&a, device.clone()), "127.0.0.1").map(drop).unwrap_err(),
        rustls::Error::InvalidCertificate(TlsCertificateError::UnknownIssuer)
    );
    // An impostor with a device certificate of this one.
    let pump = a.device();
    let posing = server_config(
        identity(&a, &pump),
        peers(&a, Gate::any_valid()),
        ClientCertificates::Optional,
        clock(),
    );
    let name = format!("{}.device.hospital.example", testing::device_id());
    let refused = handshake(&Arc::new(posing.unwrap()), &client(&a, device), &name).map(drop).unwrap_err();
    assert!(refused.to_string().contains("PurposeNotNamed"), "{refused}");
}

// I6: distrust acts within the handshake, and at once.
#[test]
fn a_distrusted_device_is_refused_in_its_next_handshake() {
    let a = Installation::new();
    let trusted = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate::new({
        let (trusted, asked) = (trusted.clone(), asked.clone());
        move |chain| {
            asked.lock().unwrap().push(chain.identity());
            if trusted.load(Ordering::SeqCst) { Ok(()) } else { Err(Refusal("quarantined".into())) }
        }
    });
    let config = server(&a, gate, ClientCertificates::Required);
    // One client configuration for all: were resumption on, the second handshake would skip the gate.
    let client = client(&a, identity(&a, &a.device()));
    handshake(&config, &client, "127.0.0.1").unwrap();
    handshake(&config, &client, "127.0.0.1").unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2, "every handshake asks the gate");
    trusted.store(false, Ordering::SeqCst);
    assert_eq!(
        handshake(&config, &client, "127.0.0.1").map(drop).unwrap_err(),
        rustls::Error::InvalidCertificate(TlsCertificateError::ApplicationVerificationFailure)
    );
    assert_eq!(asked.lock().unwrap().last(), Some(&PeerIdentity::Device(testing::device_id())));
}

#[test]
fn the_refused_side_gets_an_alert_that_says_what_to_do() {
    let a = Installation::new();
    let config = server(&a, Gate::new(|_| Err(Refusal("retired".into()))), ClientCertificates::Required);
    let client = client(&a, identity(&a, &a.device()));
    let mut c = ClientConnection::new(client, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let mut s = ServerConnection::new(config).unwrap();
    let mut last = Ok(());
    for _ in 0..6 {
        let mut buffer = Vec::new();
        while c.wants_write() {
            c.write_tls(&mut buffer).unwrap();
        }
        let mut read = buffer.as_slice();
        while !read.is_empty() {
            s.read_tls(&mut read).unwrap();
            // The server's own error is in the other tests; here its alert matters.
            drop(s.process_new_packets());
        }
        let mut buffer = Vec::new();
        while s.wants_write() {
            s.write_tls(&mut buffer).unwrap();
        }
        let mut read = buffer.as_slice();
        while !read.is_empty() {
            c.read_tls(&mut read).unwrap();
            if let Err(e) = c.process_new_packets() {
                last = Err(e);
            }
        }
    }
    assert_eq!(last, Err(rustls::Error::AlertReceived(AlertDescription::AccessDenied)));
}

// I7: a new CA generation is trusted before its first use, the old one drains, no restart.
#[test]
fn anchors_are_swapped_while_the_server_runs() {
    let (old, new) = (Installation::new(), Installation::new());
    let peers = peers(&old, Gate::any_valid());
    let store = peers.anchors.clone();
    let config = Arc::new(
        server_config(identity(&old, &old.gateway()), peers, ClientCertificates::Required, clock()).unwrap(),
    );
    let device = new.device();
    let shown = IdentityStore::empty();
    shown.replace(&chain(&new, &device), new.keys.clone(), device.label.clone()).unwrap();
    let of_new = client(&old, shown);
    let of_old = client(&old, identity(&old, &old.device()));
    let root = |i: &Installation| i.authority.root.certificate().clone();
    assert!(handshake(&config, &of_new, "127.0.0.1").is_err());
    store.replace(Anchors::new(vec![root(&old), root(&new)]).unwrap());
    assert!(handshake(&config, &of_new, "127.0.0.1").is_ok());
    assert!(handshake(&config, &of_old, "127.0.0.1").is_ok());
    store.replace(Anchors::new(vec![root(&new)]).unwrap());
    assert!(handshake(&config, &of_new, "127.0.0.1").is_ok());
    assert!(handshake(&config, &of_old, "127.0.0.1").is_err());
}

// R44
#[test]
fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let a = Installation::new();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    let (first, second) = (a.device(), a.device());
    let shown = identity(&a, &first);
    let client = client(&a, shown.clone());
    let leaf = |s: &ServerConnection| s.peer_certificates().unwrap()[0].clone();
    let (open, _c) = handshake(&config, &client, "127.0.0.1").unwrap();
    shown.replace(&chain(&a, &second), a.keys.clone(), second.label.clone()).unwrap();
    let (next, _c) = handshake(&config, &client, "127.0.0.1").unwrap();
    assert_eq!(&leaf(&open), first.certificate.der());
    assert_eq!(&leaf(&next), second.certificate.der());
}

#[test]
fn a_client_without_certificate_is_let_in_where_they_are_optional_only() {
    let a = Installation::new();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Optional);
    let (s, _c) = handshake(&config, &client(&a, IdentityStore::empty()), "127.0.0.1").unwrap();
    let none = peer(s.peer_certificates(), &peers(&a, Gate::any_valid()), Purpose::Client, NOW);
    assert!(none.unwrap().is_none());
    // A bad one is refused all the same.
    let expired = a.forge(|d| d.not_after = NOW.plus_seconds(-1));
    assert!(handshake(&config, &client(&a, identity(&a, &expired)), "127.0.0.1").is_err());
}

// R38: a copied certificate without its key is worth nothing.
#[test]
fn a_certificate_with_another_key_is_refused() {
    let a = Installation::new();
    let (device, thief) = (a.device(), a.device());
    let store = IdentityStore::empty();
    assert!(matches!(
        store.replace(&chain(&a, &device), a.keys.clone(), thief.label.clone()),
        Err(TlsError::OtherKey(_))
    ));
    let (keys, label) = (a.keys.clone(), thief.label.clone());
    store.replace_with_signer(&chain(&a, &device), Arc::new(move |m| keys.sign(&label, m))).unwrap();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    assert_eq!(
        handshake(&config, &client(&a, store), "127.0.0.1").map(drop).unwrap_err(),
        rustls::Error::InvalidCertificate(TlsCertificateError::BadSignature)
    );
    assert!(matches!(store_of_nothing(), Err(TlsError::NoCertificate)));
}

fn store_of_nothing() -> Result<(), TlsError> {
    IdentityStore::empty().replace_with_signer(&[], Arc::new(|_| Ok(Vec::new())))
}

// Medical devices of some age speak TLS 1.2 only; they are checked by the same rules.
#[test]
fn a_tls_1_2_client_is_checked_the_same() {
    let a = Installation::new();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Required);
    let old = |shown| {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier {
            peers: peers(&a, Gate::any_valid()),
            clients: ClientCertificates::Required,
            provider: provider.clone(),
        };
        let config = ClientConfig::builder_with_details(provider, Arc::new(clock()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(shown);
        Arc::new(config)
    };
    let client = old(identity(&a, &a.device()));
    for _ in 0..2 {
        let (s, _c) = handshake(&config, &client, "127.0.0.1").unwrap();
        assert_eq!(s.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        // This client would resume; the server does not.
        assert_eq!(s.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    let expired = a.forge(|d| d.not_after = NOW.plus_seconds(-1));
    assert_eq!(
        handshake(&config, &old(identity(&a, &expired)), "127.0.0.1").map(drop).unwrap_err(),
        rustls::Error::InvalidCertificate(TlsCertificateError::Expired)
    );
    assert_eq!(
        handshake(&config, &old(IdentityStore::empty()), "127.0.0.1").map(drop).unwrap_err(),
        rustls::Error::NoCertificatesPresented
    );
}

/// A front end of enrollment, and what it makes of a client that shows this.
fn at_the_front(
    a: &Installation,
    gate: Gate,
    shows: Arc<IdentityStore>,
) -> Result<(Shown, Result<Option<VerifiedChain>, PeerError>), rustls::Error> {
    let config = server(a, gate.clone(), ClientCertificates::OptionalAnyChain);
    let (s, _c) = handshake(&config, &client(a, shows), "127.0.0.1")?;
    let peers = peers(a, gate);
    let chain = s.peer_certificates();
    Ok((shown(chain, &peers, Purpose::Client, NOW), peer(chain, &peers, Purpose::Client, NOW)))
}

// A device that comes with its maker's certificate gets as far as the application, and no further by it.
#[test]
fn a_makers_certificate_passes_the_handshake_of_a_front_end_and_is_nobody_of_ours() {
    let (a, maker) = (Installation::new(), Installation::new());
    let idevid = maker.forge(|d| {
        d.not_after = "9999-12-31T23:59:59Z".parse().unwrap();
        d.remove("purposes");
        d.remove("no_rev_avail");
    });
    let shows = identity(&maker, &idevid);
    let (found, admitted) = at_the_front(&a, Gate::any_valid(), shows.clone()).unwrap();
    assert!(matches!(found, Shown::Other(PeerError::Path(_))), "{found:?}");
    assert!(admitted.is_err());
    let config = server(&a, Gate::any_valid(), ClientCertificates::OptionalAnyChain);
    let (s, _c) = handshake(&config, &client(&a, shows.clone()), "127.0.0.1").unwrap();
    let makers = Anchors::new(vec![maker.authority.root.certificate().clone()]).unwrap();
    let revocation = crate::path::revocation::Revocation::NotAsked;
    let verified = crate::idevid::verify(s.peer_certificates().unwrap(), &makers, revocation, NOW).unwrap();
    assert_eq!(verified.spki_sha256(), idevid.certificate.spki_sha256());
    // Everywhere else it ends in the handshake, as before.
    for elsewhere in [ClientCertificates::Required, ClientCertificates::Optional] {
        let config = server(&a, Gate::any_valid(), elsewhere);
        assert!(handshake(&config, &client(&a, shows.clone()), "127.0.0.1").is_err());
    }
}

// R44: it gets an answer instead of an alert; what it may do with it is decided elsewhere.
#[test]
fn an_expired_certificate_of_ours_passes_the_handshake_of_a_front_end_only() {
    let a = Installation::new();
    let expired = a.forge(|d| d.not_after = NOW.plus_seconds(-1));
    let (found, admitted) = at_the_front(&a, Gate::any_valid(), identity(&a, &expired)).unwrap();
    let Shown::Expired(found) = found else { panic!("{found:?}") };
    assert_eq!(found.identity(), PeerIdentity::Device(testing::device_id()));
    assert_eq!(found.expired_seconds(), 1);
    assert!(matches!(admitted, Err(PeerError::Path(PathError::Expired { .. }))));
    for elsewhere in [ClientCertificates::Required, ClientCertificates::Optional] {
        let config = server(&a, Gate::any_valid(), elsewhere);
        assert_eq!(
            handshake(&config, &client(&a, identity(&a, &expired)), "127.0.0.1").map(drop).unwrap_err(),
            rustls::Error::InvalidCertificate(TlsCertificateError::Expired)
        );
    }
    // An expired certificate of another hospital's is not of ours.
    let b = Installation::new();
    let foreign = b.forge(|d| d.not_after = NOW.plus_seconds(-1));
    let (found, _) = at_the_front(&a, Gate::any_valid(), identity(&b, &foreign)).unwrap();
    assert!(matches!(found, Shown::Other(PeerError::Path(PathError::Expired { .. }))), "{found:?}");
}

#[test]
fn a_front_end_knows_its_own_and_asks_its_gate() {
    let a = Installation::new();
    let (found, admitted) = at_the_front(&a, Gate::any_valid(), identity(&a, &a.device())).unwrap();
    assert!(
        matches!(found, Shown::Ours(chain) if chain.identity() == PeerIdentity::Device(testing::device_id()))
    );
    assert!(admitted.unwrap().is_some());
    let (found, admitted) = at_the_front(&a, Gate::any_valid(), IdentityStore::empty()).unwrap();
    assert!(matches!(found, Shown::Nothing));
    assert!(admitted.unwrap().is_none());
    let closed = Gate::new(|_| Err(Refusal("retired".into())));
    let (found, admitted) = at_the_front(&a, closed, identity(&a, &a.device())).unwrap();
    assert!(matches!(found, Shown::Other(PeerError::Refused(_))), "{found:?}");
    let error = admitted.unwrap_err();
    assert_eq!(error, PeerError::Refused(Refusal("retired".into())));
    assert!(!error.to_string().contains("retired"), "why is not the peer's to know: {error}");
}

// What is let through is still the holder's: a copied IDevID opens nothing.
#[test]
fn a_front_end_refuses_a_certificate_whose_key_the_client_does_not_hold() {
    let (a, maker) = (Installation::new(), Installation::new());
    let (device, thief) = (maker.device(), maker.device());
    let store = IdentityStore::empty();
    let (keys, label) = (maker.keys.clone(), thief.label.clone());
    store.replace_with_signer(&chain(&maker, &device), Arc::new(move |m| keys.sign(&label, m))).unwrap();
    assert_eq!(
        at_the_front(&a, Gate::any_valid(), store).map(drop).unwrap_err(),
        rustls::Error::InvalidCertificate(TlsCertificateError::BadSignature)
    );
}

// I12
#[test]
fn a_front_end_refuses_chains_that_are_too_long_or_too_large() {
    let a = Installation::new();
    let device = a.device();
    let with = |chain: &[Certificate]| {
        let store = IdentityStore::empty();
        store.replace(chain, a.keys.clone(), device.label.clone()).unwrap();
        at_the_front(&a, Gate::any_valid(), store).map(drop)
    };
    let issuing = a.authority.issuing.certificate();
    let long = |n| -> Vec<Certificate> {
        std::iter::once(&device.certificate).chain(std::iter::repeat_n(issuing, n)).cloned().collect()
    };
    assert_eq!(with(&long(LONGEST_CHAIN - 1)), Ok(()));
    let refused = Err(rustls::Error::InvalidCertificate(TlsCertificateError::BadEncoding));
    assert_eq!(with(&long(LONGEST_CHAIN)), refused);
    let leaf = device.certificate.der();
    let large = CertificateDer::from(vec![0x30; MAX_CERTIFICATE_BYTES + 1]);
    assert!(bounded(leaf, &[issuing.der().clone()]).is_ok());
    assert!(bounded(leaf, std::slice::from_ref(&large)).is_err());
    assert!(bounded(&large, &[]).is_err());
}

// R53: with templates, devices and applications have server certificates of the same authority.
#[test]
fn only_the_control_plane_passes_the_gate_of_the_control_plane() {
    let a = Installation::new();
    let anchors = Anchors::new(vec![a.authority.root.certificate().clone()]).unwrap();
    let text = "name = 'server'\ndescription = 'd'\nsubject = 'application'\nusage.purposes = ['serverAuth']\n\
        convention.dns_suffixes = ['hospital.example']\n";
    let profile = testing::template(text, &testing::revocation_uris());
    let addresses = Addresses::new(vec!["lanyard.hospital.example".parse().unwrap()], vec![]).unwrap();
    let id = Some(testing::application_id());
    let application = a.issue_by(&profile, &SubjectFacts::Application { id, addresses });
    let gate = Gate::control_plane();
    for (issued, passes) in [(a.control(), true), (a.gateway(), false), (application, false)] {
        let chain = [issued.certificate.der().clone(), a.authority.issuing.certificate().der().clone()];
        let verified = crate::path::validate(&chain, &anchors, Purpose::Server, NOW).unwrap();
        assert_eq!((gate.0)(&verified).is_ok(), passes, "{}", verified.identity());
    }
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server of this version that shows the gateway's certificate and signs with a key of its own.
fn impostor(a: &Installation, version: &'static rustls::SupportedProtocolVersion) -> Arc<ServerConfig> {
    let random = ::aws_lc_rs::rand::SystemRandom::new();
    let kind = &::aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = ::aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()).into();
    let key = aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
    let shown = CertifiedKey::new(vec![a.gateway().certificate.der().clone()], key);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed(Arc::new(shown))));
    Arc::new(config)
}

// R36: whoever looks takes any certificate, of whoever holds its key.
#[test]
fn a_look_takes_any_certificate_but_not_without_its_key() {
    let a = Installation::new();
    let config = server(&a, Gate::any_valid(), ClientCertificates::Optional);
    let (_, c) = handshake(&config, &look_config(&[]).unwrap(), "any.name.example").unwrap();
    assert_eq!(c.peer_certificates().unwrap().len(), 2);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let refused = handshake(&impostor(&a, version), &look_config(&[]).unwrap(), "gw1.hospital.example");
        let refused = refused.map(drop).unwrap_err();
        assert_eq!(
            refused,
            rustls::Error::InvalidCertificate(TlsCertificateError::BadSignature),
            "{version:?}"
        );
    }
}
