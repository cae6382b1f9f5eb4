//! lego 4.9 (Go): http-01 and tls-alpn-01, external binding, renewal, revocation.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;

use lanyard_enroll::Outcome;
use lanyard_enroll::acme::{BindingPolicy, tls_alpn01};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::host::{Host, binding, openssl};
use super::{fails, succeeds};

const NAME: &str = "pacs.hospital.example";

fn lego(host: &Host, challenge: &[&str], command: &[&str]) -> Command {
    let (kid, key) = binding(1);
    let mut lego = Command::new("lego");
    lego.env("LEGO_CA_CERTIFICATES", host.root())
        .args(["--server", &host.directory, "--accept-tos", "--email", "pki@hospital.example"])
        .args(["--path", host.path("lego").to_str().unwrap(), "--domains", NAME])
        .args(["--eab", "--kid", &kid, "--hmac", &key])
        .args(challenge)
        .args(command);
    lego
}

#[test]
fn lego_enrolls_by_http_01_renews_and_revokes() {
    let host = Host::start(BindingPolicy::Required);
    let port = format!(":{}", host.places.http.port());
    let http = ["--http", "--http.port", &port];
    succeeds(&mut lego(&host, &http, &["run"]));
    let file = host.path("lego/certificates").join(format!("{NAME}.crt"));
    assert!(openssl(&host, &file).contains(NAME));
    assert_eq!(host.accounts()[0].contacts, ["mailto:pki@hospital.example"]);
    assert!(host.accounts()[0].binding.is_some());

    succeeds(&mut lego(&host, &http, &["renew", "--days", "3650", "--no-random-sleep"]));
    assert_eq!(host.issued(), 2);
    succeeds(&mut lego(&host, &http, &["revoke"]));
    assert_eq!(host.revoked(), 1);
    assert_eq!(host.accounts().len(), 1);
}

#[test]
fn lego_proves_a_name_by_tls_alpn_01() {
    let host = Host::start(BindingPolicy::Required);
    let port = format!(":{}", host.places.tls.port());
    succeeds(&mut lego(&host, &["--tls", "--tls.port", &port], &["run"]));
}

// I1: a person decides; lego waits for it.
#[test]
fn lego_waits_while_the_order_is_processing() {
    let host = Host::start(BindingPolicy::Required);
    host.answers(Outcome::Pending { retry_after_seconds: 2, why: "approval".into() });
    let port = format!(":{}", host.places.http.port());
    succeeds(&mut lego(&host, &["--http", "--http.port", &port], &["run"]));
}

#[test]
fn lego_is_refused_without_the_secret_and_by_control() {
    let host = Host::start(BindingPolicy::Required);
    let port = format!(":{}", host.places.http.port());
    let http = ["--http", "--http.port", &port];
    let mut unbound = Command::new("lego");
    unbound
        .env("LEGO_CA_CERTIFICATES", host.root())
        .args(["--server", &host.directory, "--accept-tos", "--email", "pki@hospital.example"])
        .args(["--path", host.path("unbound").to_str().unwrap(), "--domains", NAME])
        .args(http)
        .arg("run");
    assert!(fails(&mut unbound).contains("External Account Binding"));
    host.answers(Outcome::Refused { code: "retired".into(), why: "the gateway is retired".into() });
    assert!(fails(&mut lego(&host, &http, &["run"])).contains("the gateway is retired"));
    // Nobody listens where the look goes.
    let other = super::host::free().port();
    let elsewhere = ["--http", "--http.port", &format!(":{other}")];
    assert!(fails(&mut lego(&host, &elsewhere, &["run"])).contains("connection"));
}

/// The certificate that a server shows to whoever asks for tls-alpn-01.
pub fn shown(place: SocketAddr, server_name: &str) -> std::io::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![tls_alpn01::ALPN.to_vec()];
    let name = ServerName::try_from(server_name.to_owned()).map_err(std::io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect(place)?;
    connection.complete_io(&mut stream)?;
    if connection.alpn_protocol() != Some(tls_alpn01::ALPN) {
        return Err(std::io::Error::other("the server did not choose acme-tls/1"));
    }
    let shown = connection.peer_certificates().and_then(|chain| chain.first());
    Ok(shown.map(|c| c.to_vec()).unwrap_or_default())
}

/// Self-signed on purpose (RFC 8737 3): what it says is judged afterwards.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
