//! The certificate that a name shows to who asks for `acme-tls/1` (RFC 8737). Like http-01: registered names only, the first
//! addresses of the name, one port.

use std::sync::{Arc, OnceLock};

use lanyard_enroll::acme::{Failure, FailureKind, tls_alpn01};
use lanyard_pki::tls::look_config;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::look::failure;

/// The certificate, DER. The caller bounds the time.
pub(super) async fn shown(stream: TcpStream, server_name: &str) -> Result<Vec<u8>, Failure> {
    let tls = |what: String| failure(FailureKind::Tls, what);
    let name = ServerName::try_from(server_name.to_owned())
        .map_err(|_| tls(format!("`{server_name}` cannot be asked for by TLS")))?;
    let connected = TlsConnector::from(config()?)
        .connect(name, stream)
        .await
        .map_err(|e| tls(format!("no TLS with `acme-tls/1`: {e}")))?;
    let (_, session) = connected.get_ref();
    // RFC 8737 3: a server that does not know it must not be taken for one that does.
    if session.alpn_protocol() != Some(tls_alpn01::ALPN) {
        return Err(tls("the server did not choose the protocol `acme-tls/1`".to_owned()));
    }
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    leaf.map(|c| c.to_vec()).ok_or_else(|| tls("the server showed no certificate".to_owned()))
}

fn config() -> Result<Arc<ClientConfig>, Failure> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| look_config(&[tls_alpn01::ALPN]).ok());
    made.clone().ok_or_else(|| failure(FailureKind::Tls, "no TLS client could be made"))
}
