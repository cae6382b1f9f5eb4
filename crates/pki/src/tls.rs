//! rustls configurations with our verifiers: pure values, no sockets.
//!
//! In scope: mutual TLS against a set of anchors that can be swapped while connections run (CA generations), an
//! own certificate that can be swapped (renewal), a [`Gate`] that refuses distrusted peers within the handshake, front
//! ends that let any chain through and sort it afterwards ([`ClientCertificates::OptionalAnyChain`], [`shown`]),
//! keys that live in a [`KeyBackend`] or behind a closure (TPM). Out of scope: listening, connecting, logging.
//!
//! Session resumption is off on both sides: a resumed session skips the verifier, and a peer that was distrusted
//! a second ago would come back in with its ticket (I6).

mod look;
mod peer;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use lanyard_domain::time::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName,
    OtherError, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{Certificate, MAX_CERTIFICATE_BYTES, PeerIdentity};
use crate::key::{KeyBackend, KeyError, KeyLabel};
use crate::path::generic::LONGEST_CHAIN;
use crate::path::{Anchors, PathError, Purpose, VerifiedChain};
use crate::spki::PublicKeyKind;
pub use look::{Described, describe, look_config};
pub use peer::{PeerError, Shown, peer, shown};

/// The anchors of a running role; replaced when a CA generation comes or goes.
#[derive(Debug)]
pub struct AnchorStore(RwLock<Arc<Anchors>>);

impl AnchorStore {
    /// Starts with these.
    pub fn new(anchors: Anchors) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(anchors))))
    }
    /// The set that the next handshake uses.
    pub fn current(&self) -> Arc<Anchors> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// From the next handshake on.
    pub fn replace(&self, anchors: Anchors) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(anchors);
    }
}

/// Why a peer with a good certificate is refused (distrusted, retired, unknown).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("peer refused: {0}")]
pub struct Refusal(pub String);

/// Asked in every handshake, after the certificate was found good. Called on the connection's thread: it must
/// look up memory only.
#[derive(Clone)]
pub struct Gate(Arc<Decision>);

type Decision = dyn Fn(&VerifiedChain) -> Result<(), Refusal> + Send + Sync;

impl Gate {
    /// A gate that asks `decide`.
    pub fn new(decide: impl Fn(&VerifiedChain) -> Result<(), Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
    /// The control plane and nobody else: a device or an application that is a server has a good chain too.
    pub fn control_plane() -> Self {
        Self::new(|chain| match chain.identity() {
            PeerIdentity::Control => Ok(()),
            other => Err(Refusal(format!("{other} is not the control plane"))),
        })
    }
    /// Every peer whose chain is good; for roles that decide at each request.
    pub fn any_valid() -> Self {
        Self::new(|_| Ok(()))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Whom we accept: the anchors and the gate.
#[derive(Debug, Clone)]
pub struct Peers {
    /// The trusted authorities.
    pub anchors: Arc<AnchorStore>,
    /// Who is refused nevertheless.
    pub gate: Gate,
}

/// Whether a server's clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No handshake without one.
    Required,
    /// Checked when shown; for enrolment and operators, who have none.
    Optional,
    /// Let through when shown, whoever made it: the handshake proves that the client holds the key, and nothing else.
    /// Neither anchors nor gate are asked. Whoever serves such a connection asks [`peer`] or [`shown`] before it does
    /// anything for a certificate's holder. For front ends of enrollment: a device comes with its maker's certificate,
    /// or with one of ours that ended while it was switched off, and shall be told in words what to do.
    OptionalAnyChain,
}

/// The clock that rustls asks.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from((self.0)().as_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// Why a configuration or an identity could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An empty chain.
    #[error("a TLS identity needs at least one certificate")]
    NoCertificate,
    /// The key is of a kind that we do not sign TLS with.
    #[error("a TLS key is P-256 or P-384, not {0}")]
    KeyKind(String),
    /// The key is not that of the first certificate.
    #[error("the key is not that of the certificate `{0}`")]
    OtherKey(crate::serial::Serial),
    /// The key backend failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// rustls refused.
    #[error("TLS configuration: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Signs a TLS handshake; the private key may be anywhere.
pub type SignFn = dyn Fn(&[u8]) -> Result<Vec<u8>, KeyError> + Send + Sync;

/// The certificate and key that a role shows; replaced at each renewal without touching open connections.
#[derive(Debug)]
pub struct IdentityStore(RwLock<Option<Arc<CertifiedKey>>>);

impl IdentityStore {
    /// An identity that is not there yet (before enrolment); a server without one ends every handshake.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self(RwLock::new(None)))
    }

    /// From the next handshake on: `chain` (leaf first) with a key in `backend`.
    pub fn replace(
        &self,
        chain: &[Certificate],
        backend: Arc<dyn KeyBackend>,
        label: KeyLabel,
    ) -> Result<(), TlsError> {
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let spki = backend.public_spki(&label)?;
        if crate::spki::sha256(&spki) != leaf.spki_sha256() {
            return Err(TlsError::OtherKey(leaf.serial()));
        }
        self.replace_with_signer(chain, Arc::new(move |message| backend.sign(&label, message)))
    }

    /// From the next handshake on: `chain` (leaf first) with a key that only `sign` reaches. It gets the message
    /// and returns a DER ECDSA signature over its SHA-256 (P-256) or SHA-384 (P-384).
    pub fn replace_with_signer(&self, chain: &[Certificate], sign: Arc<SignFn>) -> Result<(), TlsError> {
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let scheme = match leaf.public_key().map(|k| k.kind()) {
            Ok(PublicKeyKind::P256) => SignatureScheme::ECDSA_NISTP256_SHA256,
            Ok(PublicKeyKind::P384) => SignatureScheme::ECDSA_NISTP384_SHA384,
            Ok(other) => return Err(TlsError::KeyKind(format!("{other:?}"))),
            Err(refused) => return Err(TlsError::KeyKind(refused.to_string())),
        };
        let der = chain.iter().map(|c| c.der().clone()).collect();
        let key = CertifiedKey::new(der, Arc::new(RemoteKey { scheme, sign }));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for IdentityStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for IdentityStore {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
    fn has_certs(&self) -> bool {
        self.current().is_some()
    }
}

#[derive(Clone)]
struct RemoteKey {
    // One scheme: an EC key signs with the hash of its curve (RFC 8446 4.2.3).
    scheme: SignatureScheme,
    sign: Arc<SignFn>,
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteKey({:?}, [redacted])", self.scheme)
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for RemoteKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        (self.sign)(message).map_err(|e| rustls::Error::General(format!("signing the handshake: {e}")))
    }
    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// A server that shows `identity` and checks its clients against `peers`.
pub fn server_config(
    identity: Arc<IdentityStore>,
    peers: Peers,
    clients: ClientCertificates,
    clock: Clock,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier { peers, clients, provider: provider.clone() });
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A client that shows `identity` when asked and checks the server against `peers` and the name it dials.
pub fn client_config(
    identity: Arc<IdentityStore>,
    peers: Peers,
    clock: Clock,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = ClientCertificates::Required;
    let verifier = Arc::new(Verifier { peers, clients, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(clock))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Verifier {
    peers: Peers,
    clients: ClientCertificates,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|c| CertificateDer::from(c.as_ref()))
            .collect();
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        match peer::admitted(&chain, &self.peers, purpose, now) {
            Ok(_) => Ok(()),
            Err(PeerError::Path(error)) => Err(tls_error(error)),
            // access_denied on the wire; the reason stays with whoever made the gate.
            Err(PeerError::Refused(_)) => Err(TlsCertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn signature_1_2(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn signature_1_3(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// All that is asked of a chain that is let through: that reading it later costs no more than reading a good one.
fn bounded(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), rustls::Error> {
    let too_large = std::iter::once(end_entity).chain(intermediates).any(|c| c.len() > MAX_CERTIFICATE_BYTES);
    if too_large || intermediates.len() >= LONGEST_CHAIN {
        return Err(TlsCertificateError::BadEncoding.into());
    }
    Ok(())
}

/// The alert that a peer gets follows from the kind of error (RFC 8446 6.2).
fn tls_error(error: PathError) -> rustls::Error {
    match error {
        PathError::Expired { .. } => TlsCertificateError::Expired.into(),
        PathError::NotYetValid { .. } => TlsCertificateError::NotValidYet.into(),
        PathError::UnknownIssuer | PathError::AnchorOutsideValidity => {
            TlsCertificateError::UnknownIssuer.into()
        }
        PathError::Certificate { .. } => TlsCertificateError::BadEncoding.into(),
        other => TlsCertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.clients == ClientCertificates::Required
    }

    // No hints: the anchors may change after the list was made, and a device has one certificate to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.clients {
            ClientCertificates::Required | ClientCertificates::Optional => {
                self.check(end_entity, intermediates, Purpose::Client, now)?;
            }
            ClientCertificates::OptionalAnyChain => bounded(end_entity, intermediates)?,
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature_1_2(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature_1_3(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, Purpose::Server, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature_1_2(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature_1_3(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

#[cfg(test)]
mod tests;
