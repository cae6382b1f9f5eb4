//! The way to the EHR: HTTP/1.1 over kept connections, plain or TLS, with our own credential.
//!
//! In scope: connecting, reuse, time and size limits. Out of scope: what the answer means (`fhir::answer`), retries of
//! requests that may have been carried out: only one that never left is sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fhir::Upstream;
use crate::fhir::outcome::{FHIR_JSON, Issue, Refusal};

/// Connections kept: at 5 ms an answer, 128 carry 25,000 requests a second.
const MAX_IDLE: usize = 128;
/// Largest answer: a search page of a thousand observations.
const MAX_ANSWER: usize = 8 << 20;
/// Two SYNs (1 s + 2 s) on a hospital's own network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the EHR answered.
#[derive(Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// The EHR.
pub struct Ehr {
    host: String,
    port: u16,
    host_header: HeaderValue,
    path: String,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    bearer: Option<HeaderValue>,
    timeout: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Ehr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ehr({}:{}{})", self.host, self.port, self.path)
    }
}

/// Why the configured EHR cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadEhr {
    /// Not a URL.
    #[error(
        "`ehr_base_url` `{0}` is not a base: write http://host:port/path or https://host/path without query"
    )]
    Url(String),
    /// HTTPS needs to know whom to trust.
    #[error("`ehr_ca_pem` must name the EHR's certificate authority when `ehr_base_url` is https: {0}")]
    Ca(String),
    /// The credential is not a header value.
    #[error("`ehr_bearer` has characters that no HTTP header can carry")]
    Bearer,
}

impl Ehr {
    /// The EHR at `base`, with `bearer` as our own credential.
    pub fn new(
        base: &str,
        bearer: Option<&str>,
        ca: &[CertificateDer<'static>],
        timeout: Duration,
    ) -> Result<Ehr, BadEhr> {
        let bad = || BadEhr::Url(base.chars().take(200).collect());
        let uri: Uri = base.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(bad());
        }
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let bearer = bearer.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| BadEhr::Bearer)?;
            value.set_sensitive(true);
            Ok::<_, BadEhr>(value)
        });
        Ok(Ehr {
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            path: uri.path().trim_end_matches('/').to_owned(),
            tls: if secure {
                Some((tls(ca)?, ServerName::try_from(host.clone()).map_err(|_| bad())?))
            } else {
                None
            },
            host,
            bearer: bearer.transpose()?,
            timeout,
            idle: Mutex::default(),
        })
    }

    /// Sends what the guard let through, and reads the whole answer.
    pub async fn send(&self, upstream: Upstream) -> Result<Answered, Refusal> {
        let request = self.request(upstream)?;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refusal::new(
                504,
                Issue::Timeout,
                "ehr_timeout",
                "The EHR did not answer in time; it is not known whether it stored the data. Search before sending again.",
            )),
        }
    }

    fn request(&self, upstream: Upstream) -> Result<Request<Full<Bytes>>, Refusal> {
        let builder = match &upstream {
            Upstream::Get(path) => {
                Request::get(format!("{}{path}", self.path)).header("prefer", "handling=strict")
            }
            Upstream::Transaction(_) => {
                let base = if self.path.is_empty() { "/" } else { &self.path };
                Request::post(base).header(CONTENT_TYPE, FHIR_JSON).header("prefer", "return=minimal")
            }
        };
        let mut builder =
            builder.header(HOST, self.host_header.clone()).header(ACCEPT, "application/fhir+json");
        if let Some(bearer) = &self.bearer {
            builder = builder.header(AUTHORIZATION, bearer.clone());
        }
        let body = match upstream {
            Upstream::Get(_) => Bytes::new(),
            Upstream::Transaction(body) => Bytes::from(body),
        };
        builder.body(Full::new(body)).map_err(|_| {
            Refusal::new(400, Issue::Value, "request_malformed", "The request cannot be sent on.")
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answered, Refusal> {
        let (mut connection, response) = self.first_answer(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|_| broken())?;
        if connection.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
        Ok(Answered { status, body: body.to_bytes() })
    }

    async fn first_answer(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, hyper::Response<Incoming>), Refusal> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(kept) if kept.is_closed() => continue,
                Some(kept) => kept,
                None => self.connect().await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                // A kept connection that the EHR had closed: the request comes back unsent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(broken()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Refusal> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.dial()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::error!(%error, ehr = ?self, "cannot connect to the EHR");
                Err(unreachable())
            }
            Err(_) => Err(unreachable()),
        }
    }

    async fn dial(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => handshake(TokioIo::new(tcp)).await,
            Some((config, name)) => {
                let stream = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await?;
                handshake(TokioIo::new(stream)).await
            }
        }
    }
}

async fn handshake<T>(io: T) -> std::io::Result<SendRequest<Full<Bytes>>>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(std::io::Error::other)?;
    tokio::spawn(async move {
        // How it ended is seen by the request that was on it.
        let _ = connection.await;
    });
    Ok(sender)
}

fn tls(ca: &[CertificateDer<'static>]) -> Result<Arc<rustls::ClientConfig>, BadEhr> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone()).map_err(|e| BadEhr::Ca(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(BadEhr::Ca("there is no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|e| BadEhr::Ca(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn unreachable() -> Refusal {
    Refusal::new(
        503,
        Issue::Transient,
        "ehr_unreachable",
        "The EHR cannot be reached; nothing was sent. Try again later.",
    )
}

fn broken() -> Refusal {
    Refusal::new(
        502,
        Issue::Transient,
        "ehr_broke_off",
        "The EHR broke off; it is not known whether it stored the data. Search before sending again.",
    )
}
