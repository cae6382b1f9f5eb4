//! Devices without a chip for the enrollment protocols: registered, approved, each with a one-time secret, a key in memory
//! and its certificate request made beforehand.
//!
//! In scope: getting there, not measured. Out of scope: the protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use lanyard_pki::csr;
use lanyard_pki::spki::PublicKey;
use lanyard_sim::catalogue::SITE;
use lanyard_sim::fleet::concurrently;
use lanyard_sim::operators::VirtualOperator;
use lanyard_sim::rng::fresh;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::hospital::{AT_ONCE, Hospital};

/// A week.
const SECRET_SECONDS: i64 = 7 * 86_400;

/// A device that may enroll.
pub struct Bed {
    /// The one-time secret's text.
    pub secret: String,
    /// PKCS#8.
    pub key: Vec<u8>,
    /// Its public half.
    pub public: PublicKey,
    /// PKCS#10, DER.
    pub csr: Vec<u8>,
}

/// So many devices of tier low, named after `series`.
pub fn admit(hospital: &Hospital, series: &'static str, count: usize) -> Result<Vec<Arc<Bed>>> {
    let staff = hospital.staff.clone();
    let (control, clock) = (Arc::clone(&hospital.control.state.control), hospital.clock.clone());
    let one = move |number: usize| {
        let (staff, control, clock) = (staff.clone(), Arc::clone(&control), clock.clone());
        async move {
            let device = DeviceId::from_random(fresh()?);
            let secret = SecretId::from_random(fresh()?);
            let expires = clock.now().plus_seconds(SECRET_SECONDS);
            let approve = |role| Action::ApproveDevice { device, role };
            let steps: [(&VirtualOperator, Action); 4] = [
                (&staff.registrar, Action::RegisterDevice { device, record: record(series, number) }),
                (&staff.security, approve(Role::Security)),
                (&staff.biomedical, approve(Role::Biomedical)),
                (&staff.registrar, Action::IssueSecret { device, secret, expires }),
            ];
            let mut made = None;
            for (who, action) in steps {
                let statement = staff.desk.sign(who, action, "measurement")?;
                made = control.carry_out(&statement, clock.now()).await?.secret;
            }
            let secret = made.context("no secret was made")?.reveal().to_owned();
            let (key, csr) = key_and_request(&device.to_string())?;
            let public = PublicKey::parse(csr::verify(&csr)?.spki_der())?;
            Ok(Arc::new(Bed { secret, key, public, csr }))
        }
    };
    hospital.runtime.block_on(concurrently((0..count).collect(), AT_ONCE, one)).into_iter().collect()
}

/// A key (PKCS#8) and a request for it.
pub fn key_and_request(name: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("cannot make a key")?;
    let spki = AsDer::as_der(pair.public_key()).context("a key has no encoding")?;
    let sign = |message: &[u8]| {
        let signed = pair.sign(&SystemRandom::new(), message);
        signed.map(|s| s.as_ref().to_vec()).map_err(|_| std::io::Error::other("cannot sign"))
    };
    let request = csr::build(spki.as_ref(), name, sign)?;
    Ok((pair.to_pkcs8v1().context("a key has no encoding")?.as_ref().to_vec(), request))
}

fn record(series: &str, number: usize) -> DeviceRecord {
    DeviceRecord {
        vendor: "Bench Medical".to_owned(),
        model: "Thermometer 2".to_owned(),
        serial: format!("{series}-{number:06}"),
        site: SITE.to_owned(),
        owner: "biomed@hospital.example".to_owned(),
        department: "Measurements".to_owned(),
        purpose: "Load for measurements".to_owned(),
        class: "thermometer".to_owned(),
        tier: Tier::Low,
        ai: false,
        scopes: Vec::new(),
        ae_title: None,
        zone: "monitoring".to_owned(),
        ek_sha256: None,
    }
}

/// A client that trusts our roots, and shows a certificate if it has one.
pub fn tls(
    anchors_pem: &str,
    identity: Option<(Vec<CertificateDer<'static>>, &[u8])>,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for anchor in CertificateDer::pem_slice_iter(anchors_pem.as_bytes()) {
        roots.add(anchor.map_err(|e| anyhow::anyhow!("an anchor cannot be read: {e}"))?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let client = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
            builder.with_client_auth_cert(chain, key)?
        }
    };
    Ok(Arc::new(client))
}

/// A connection that is kept.
pub type Kept = SendRequest<Full<Bytes>>;

/// Opens one.
pub async fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> Result<Kept> {
    let socket = TcpStream::connect(address).await.context("cannot reach the control plane")?;
    socket.set_nodelay(true)?;
    let tls = TlsConnector::from(Arc::clone(client)).connect(ServerName::from(address.ip()), socket).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(async move {
        // Its end is seen by the sender.
        let _ = connection.await;
    });
    Ok(sender)
}
