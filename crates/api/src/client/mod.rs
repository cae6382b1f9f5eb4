//! The HTTP client of agents, gateways and the command line: HTTP/1.1 over one TLS connection that the caller holds
//! and knows (its exporter, its end), because proofs are bound to it.
//!
//! In scope: connecting to the first server that answers, JSON calls, problems as errors, line streams, limits on
//! time and size. Out of scope: retries (the caller knows its pace), redirects, proxies, cookies.
//! A [`Client`] is cheap and shared; a [`Channel`] carries one call at a time.

mod error;
mod lines;
mod server;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use error::CallError;
pub use lines::{Lines, MAX_LINE};
pub use server::{BadServer, Server};

use crate::exporter::{self, ChannelBinding, NoChannelBinding};
use crate::problem::{self, Problem};

/// TCP and TLS together: three SYNs (1 s + 2 s + 4 s) and a slow TPM's signature.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One call; the slowest is an evidence export of some thousand leaves.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is held in memory: an evidence file of 24 MiB in base64.
const MAX_RESPONSE: usize = 32 << 20;
/// Characters of an unexpected body that an error shows.
const EXCERPT: usize = 200;

/// Where to call, and with which TLS configuration.
#[derive(Debug, Clone)]
pub struct Client {
    servers: Arc<[Server]>,
    tls: Arc<rustls::ClientConfig>,
    /// The server that answered last is asked first, so that a dead one does not cost its timeout at every call.
    preferred: Arc<AtomicUsize>,
    call_timeout: Duration,
    max_response: usize,
}

impl Client {
    /// A client of `servers`, asked in this order.
    pub fn new(servers: Vec<Server>, tls: Arc<rustls::ClientConfig>) -> Self {
        Self {
            servers: servers.into(),
            tls,
            preferred: Arc::new(AtomicUsize::new(0)),
            call_timeout: CALL_TIMEOUT,
            max_response: MAX_RESPONSE,
        }
    }

    /// Another limit on the time of one call.
    pub fn with_call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Another limit on the bytes of one answer.
    pub fn with_max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// A connection to the first server that completes a handshake.
    pub async fn connect(&self) -> Result<Channel, CallError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed: Vec<CallError> = Vec::new();
        for step in 0..self.servers.len() {
            let index = (first + step) % self.servers.len();
            let Some(server) = self.servers.get(index) else { continue };
            match self.connect_to(server).await {
                Ok(channel) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(channel);
                }
                Err(e) => failed.push(e),
            }
        }
        Err(summary(failed))
    }

    /// Asks another server first from now on: the preferred one connects but cannot serve.
    pub fn avoid_preferred(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection to one server.
    pub async fn connect_to(&self, server: &Server) -> Result<Channel, CallError> {
        let address = server.to_string();
        match tokio::time::timeout(CONNECT_TIMEOUT, self.handshake(server, &address)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::timed_out(
                format!("connecting to `{address}` failed"),
                CONNECT_TIMEOUT.as_secs(),
            )),
        }
    }

    async fn handshake(&self, server: &Server, address: &str) -> Result<Channel, CallError> {
        let failed = |e| CallError::from_transport(address, "connecting to", e);
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let stream =
            TlsConnector::from(self.tls.clone()).connect(server.name.clone(), tcp).await.map_err(failed)?;
        let (_, tls) = stream.get_ref();
        let binding = exporter::of(tls, self.tls.require_ems);
        let peer_certificates: Vec<_> =
            tls.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
        let host = HeaderValue::from_str(address).map_err(|e| CallError::Request(e.to_string()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| CallError::from_transport(address, "connecting to", e))?;

        let (closed, dropped) = (CancellationToken::new(), CancellationToken::new());
        let (ended, unused) = (closed.clone().drop_guard(), dropped.clone());
        let alert: Arc<OnceLock<rustls::Error>> = Arc::default();
        let heard = alert.clone();
        tokio::spawn(async move {
            let _ended = ended;
            // The outcome reaches the caller through its pending call. An alert may come before there is one.
            tokio::select! {
                outcome = connection => {
                    if let Some(tls) = outcome.err().and_then(|e| error::tls_error(&e)) {
                        heard.get_or_init(|| tls);
                    }
                }
                () = unused.cancelled() => {}
            }
        });
        Ok(Channel {
            sender,
            server: address.to_owned(),
            host,
            binding,
            peer_certificates,
            call_timeout: self.call_timeout,
            max_response: self.max_response,
            closed,
            alert,
            _dropped: Arc::new(dropped.drop_guard()),
        })
    }
}

/// One error of several: a refusal by TLS tells more than an unreachable spare.
fn summary(mut failed: Vec<CallError>) -> CallError {
    if failed.len() < 2 {
        return failed.pop().unwrap_or_else(|| {
            CallError::Request("no server is configured; name at least one as host:port".to_owned())
        });
    }
    if let Some(at) = failed.iter().position(|e| matches!(e, CallError::Tls { .. })) {
        return failed.swap_remove(at);
    }
    let each: Vec<String> = failed.iter().map(ToString::to_string).collect();
    CallError::Unavailable {
        what: format!("none of {} servers answered", failed.len()),
        source: std::io::Error::other(each.join(" | ")),
    }
}

/// One TLS connection; one call at a time. Closed when dropped.
#[derive(Debug)]
pub struct Channel {
    sender: SendRequest<Full<Bytes>>,
    server: String,
    host: HeaderValue,
    binding: Result<ChannelBinding, NoChannelBinding>,
    peer_certificates: Vec<CertificateDer<'static>>,
    call_timeout: Duration,
    max_response: usize,
    closed: CancellationToken,
    /// What TLS said when it ended the connection.
    alert: Arc<OnceLock<rustls::Error>>,
    _dropped: Arc<DropGuard>,
}

impl Channel {
    /// `host:port` of the server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Channel binding of this connection (RFC 9266).
    pub fn exporter(&self) -> Result<ChannelBinding, NoChannelBinding> {
        self.binding
    }

    /// The server's certificates, leaf first, as verified by the TLS configuration.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.closed.is_cancelled()
    }

    /// Completes when the connection has ended, by either side.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.closed.clone().cancelled_owned()
    }

    /// A JSON call: `body` when there is one, the answer's JSON back (an empty answer reads as `null`).
    pub async fn call<Req: Serialize + ?Sized, Rep: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Req>,
    ) -> Result<Rep, CallError> {
        self.call_with(method, path, &HeaderMap::new(), body).await
    }

    /// A JSON call with more headers.
    pub async fn call_with<Req: Serialize + ?Sized, Rep: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: Option<&Req>,
    ) -> Result<Rep, CallError> {
        self.call_json(method, path, headers, json(body)?).await
    }

    /// The same with a body that is JSON already, and signed as it is; empty for none.
    pub async fn call_json<Rep: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        bytes: Vec<u8>,
    ) -> Result<Rep, CallError> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
            if !bytes.is_empty() {
                all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        let request = request.body(Bytes::from(bytes)).map_err(|e| CallError::Request(e.to_string()))?;
        let response = self.call_raw(request).await?;
        read_answer(&self.server, response)
    }

    /// A call as it is; any status is an answer.
    pub async fn call_raw(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, CallError> {
        let limit = self.call_timeout;
        let server = self.server.clone();
        let outcome = tokio::time::timeout(limit, async {
            let (parts, body) = self.send(request).await?.into_parts();
            let body = self.collect(body).await?;
            Ok(Response::from_parts(parts, body))
        });
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::timed_out(format!("a call to `{server}` failed"), limit.as_secs())),
        }
    }

    /// A `GET` whose answer is lines for as long as the server likes; `idle` is the longest silence between two.
    pub async fn stream(mut self, path: &str, idle: Duration) -> Result<Lines, CallError> {
        let request = Request::get(path).body(Bytes::new()).map_err(|e| CallError::Request(e.to_string()))?;
        let what = format!("a call to `{}` failed", self.server);
        let response = tokio::time::timeout(self.call_timeout, self.send(request))
            .await
            .map_err(|_| CallError::timed_out(what, self.call_timeout.as_secs()))??;
        if response.status().is_success() {
            return Ok(Lines::new(self, response.into_body(), idle));
        }
        let (parts, body) = response.into_parts();
        let body = self.collect(body).await?;
        Err(refusal(&self.server, &Response::from_parts(parts, body)))
    }

    async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Incoming>, CallError> {
        let mut request = request.map(Full::new);
        request.headers_mut().entry(HOST).or_insert_with(|| self.host.clone());
        let outcome = match self.sender.ready().await {
            Ok(()) => self.sender.send_request(request).await,
            Err(e) => Err(e),
        };
        match outcome {
            Ok(response) => Ok(response),
            Err(e) => Err(self.failed(e).await),
        }
    }

    /// Why a call failed. A refusal of our certificate may have ended the connection before the call began, which then
    /// only finds it closed; the alert tells more.
    async fn failed(&self, error: hyper::Error) -> CallError {
        let failed = CallError::from_transport(&self.server, "a call to", error);
        if !self.sender.is_closed() || matches!(failed, CallError::Tls { .. }) {
            return failed;
        }
        // The task ends with the connection; the caller's own limit on time is around this.
        self.closed.cancelled().await;
        match self.alert.get() {
            Some(alert) => CallError::Tls { server: self.server.clone(), source: alert.clone() },
            None => failed,
        }
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, CallError> {
        match Limited::new(body, self.max_response).collect().await {
            Ok(all) => Ok(all.to_bytes()),
            Err(e) => match e.downcast::<hyper::Error>() {
                Ok(e) => Err(CallError::from_transport(&self.server, "reading the answer of", *e)),
                Err(_) => Err(CallError::Malformed {
                    server: self.server.clone(),
                    why: format!("more than {} bytes", self.max_response),
                }),
            },
        }
    }
}

/// The JSON of a success, or the refusal.
fn read_answer<Rep: DeserializeOwned>(server: &str, response: Response<Bytes>) -> Result<Rep, CallError> {
    if !response.status().is_success() {
        return Err(refusal(server, &response));
    }
    let body = if response.body().is_empty() { b"null" } else { response.body().as_ref() };
    serde_json::from_slice(body)
        .map_err(|e| CallError::Malformed { server: server.to_owned(), why: e.to_string() })
}

fn refusal(server: &str, response: &Response<Bytes>) -> CallError {
    let media_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if media_type.starts_with(problem::MEDIA_TYPE.as_bytes())
        && let Ok(problem) = serde_json::from_slice::<Problem>(response.body())
    {
        return CallError::Refused(problem);
    }
    let text = String::from_utf8_lossy(response.body());
    let excerpt = text.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    CallError::Status { server: server.to_owned(), status: response.status(), excerpt }
}

/// The bytes of a JSON body; none for none.
pub fn json<T: Serialize + ?Sized>(body: Option<&T>) -> Result<Vec<u8>, CallError> {
    match body {
        Some(body) => serde_json::to_vec(body).map_err(|e| CallError::Request(e.to_string())),
        None => Ok(Vec::new()),
    }
}
