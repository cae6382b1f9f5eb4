//! The TLS listener that control plane and gateway share: accept, handshake, HTTP/1.1, and for each connection a
//! [`Peer`] that requests carry as an extension: who it is by certificate, its channel binding, and a handle that
//! closes it at once when trust is lost.
//!
//! In scope: sockets, limits, the life of a connection. Out of scope: who may do what, routing, certificates' rules
//! (those are in the `rustls::ServerConfig` that the caller gives, anew for each connection, so that a reloaded
//! certificate serves at the next handshake and no open connection is dropped for it: I7).
//!
//! The service gets `Request<Incoming>` and must bound what it reads: use [`read_body`].
//! An axum router fits through [`TowerToHyperService`].

mod activity;
mod peer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use hyper_util::service::TowerToHyperService;
pub use peer::{ConnectionHandle, Peer};

use activity::{Activity, Tracked, Watched};

/// Limits on what strangers can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// TLS handshake. 5 s: two round trips at 1 s each (satellite) and a slow TPM's signature of 1 to 2 s.
    pub handshake: Duration,
    /// From a request's first byte to the end of its head. 10 s for at most 64 KiB is 52 kbit/s.
    pub header_read: Duration,
    /// Between two requests. 75 s: longer than the minute at which monitors send, so that they keep their connection.
    pub idle: Duration,
    /// Within a request or answer without one byte in either direction. 120 s: twice the client's limit on a call.
    pub stall: Duration,
    /// Open connections. 20,000 at about 40 KiB (TLS state, read and write buffers) is 800 MB; a site has fewer
    /// devices than that, and the process needs a file descriptor for each (`LimitNOFILE` above it).
    pub max_connections: usize,
    /// Open connections of one address: half of all, so that no single host can take every place; a proxy or a NAT
    /// in front of a whole site still fits.
    pub max_per_address: usize,
    /// From the wish to stop to the end of all connections: longer than any answer but a stream takes.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(120),
            max_connections: 20_000,
            max_per_address: 10_000,
            drain: Duration::from_secs(10),
        }
    }
}

/// Head of a request: method, target, headers. 64 KiB holds a FHIR search URL and a certificate chain in a header.
const MAX_HEAD: usize = 64 << 10;

/// Serves until `shutdown`; then lets answers finish for [`Limits::drain`] and returns.
pub async fn serve<T, S, B>(
    listener: TcpListener,
    tls: T,
    limits: Limits,
    shutdown: CancellationToken,
    service: S,
) where
    T: Fn() -> Arc<rustls::ServerConfig> + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let begin = move |mut accepted: Accepted| {
        let (config, service) = (tls(), service.clone());
        async move {
            if let Some((stream, peer)) = shake_hands(&mut accepted, config).await {
                exchange(stream, peer, accepted, service).await;
            }
        }
    };
    accept_all(listener, limits, shutdown, begin).await;
}

/// The same without TLS, for what is signed in itself and fetched before there is any trust: OCSP, CRLs, CMP, SCEP. Peers
/// have neither certificate nor channel binding here.
pub async fn serve_plain<S, B>(listener: TcpListener, limits: Limits, shutdown: CancellationToken, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let begin = move |mut accepted: Accepted| {
        let service = service.clone();
        async move {
            let Some(stream) = accepted.stream.take() else { return };
            let peer = Peer::without_tls(accepted.remote, accepted.cut.clone());
            exchange(stream, peer, accepted, service).await;
        }
    };
    accept_all(listener, limits, shutdown, begin).await;
}

/// A connection that has a place, and what ends it.
struct Accepted {
    stream: Option<TcpStream>,
    remote: SocketAddr,
    limits: Limits,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

async fn accept_all<F>(
    listener: TcpListener,
    limits: Limits,
    shutdown: CancellationToken,
    begin: impl Fn(Accepted) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let addresses = Arc::new(Addresses::default());
    let cut = CancellationToken::new();
    let mut back_off = Duration::ZERO;
    loop {
        // A place first: without one, new connections wait in the kernel's queue and cost no memory here.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, remote, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                back_off = wait_after(&error, back_off, &shutdown).await;
                continue;
            }
        };
        back_off = Duration::ZERO;
        let Some(of_address) = Addresses::enter(&addresses, remote.ip(), limits.max_per_address) else {
            continue;
        };
        let running = begin(Accepted {
            stream: Some(stream),
            remote,
            limits: limits.clone(),
            shutdown: shutdown.clone(),
            cut: cut.child_token(),
        });
        connections.spawn(async move {
            let _places = (place, of_address);
            running.await;
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
}

/// Open connections by address.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A place among an address's connections; given back when dropped.
struct OfAddress {
    all: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// A place, unless the address has too many already; the connection is then dropped without an answer.
    fn enter(all: &Arc<Self>, address: IpAddr, most: usize) -> Option<OfAddress> {
        let mut open = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OfAddress { all: Arc::clone(all), address })
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, remote, place))
}

/// A peer that went away while it waited costs nothing; anything else (EMFILE, ENFILE, ENOMEM) is out of something
/// and trying again at once would only burn the processor: 50 ms, doubled up to 1 s.
async fn wait_after(error: &io::Error, before: Duration, shutdown: &CancellationToken) -> Duration {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected) {
        return before;
    }
    let wait = (before * 2).clamp(Duration::from_millis(50), Duration::from_secs(1));
    tracing::error!(error = %error, "cannot accept connections; raise the limit of open files if it is reached");
    tokio::select! { () = tokio::time::sleep(wait) => {}, () = shutdown.cancelled() => {} }
    wait
}

async fn shake_hands(
    accepted: &mut Accepted,
    config: Arc<rustls::ServerConfig>,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let (remote, ems_required) = (accepted.remote, config.require_ems);
    let stream = accepted.stream.take()?;
    let handshake = tokio::time::timeout(accepted.limits.handshake, TlsAcceptor::from(config).accept(stream));
    let handshake = tokio::select! {
        outcome = handshake => outcome,
        () = accepted.shutdown.cancelled() => return None,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let peer = Peer::of(remote, stream.get_ref().1, ems_required, accepted.cut.clone());
            Some((stream, peer))
        }
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%remote, "TLS handshake took too long");
            None
        }
    }
}

async fn exchange<T, S, B>(stream: T, peer: Peer, accepted: Accepted, service: S)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Accepted { remote, limits, shutdown, .. } = accepted;
    let limits = &limits;
    let handle = peer.connection.clone();
    let activity = Arc::new(Activity::new());
    let watched = TokioIo::new(Watched::new(stream, activity.clone()));
    let seen = activity.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (answering, handle) = (seen.begin(), peer.connection.clone());
        let answer = service.call(request);
        async move {
            let answer = answer.await;
            if handle.is_closed() {
                // INVARIANT: once `close` has returned, no answer leaves (I6), not even one made in this same poll.
                std::future::pending::<()>().await;
            }
            answer.map(|r| r.map(|body| Tracked::new(body, answering)))
        }
    });
    let mut http = http1::Builder::new();
    // Both times are kept by `Activity`: hyper's own timer cannot tell an idle connection from a slow head.
    http.header_read_timeout(None).max_buf_size(MAX_HEAD);
    let mut served = pin!(http.serve_connection(watched, service));
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            () = handle.cut() => return,
            outcome = served.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%remote, %error, "connection ended");
                }
                return;
            }
            () = async { tokio::select! { () = handle.last_answer() => {}, () = shutdown.cancelled() => {} } }, if !draining => {
                draining = true;
                served.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(activity.next_look(limits)) => {
                if let Some(what) = activity.overdue(limits) {
                    tracing::debug!(%remote, what, "connection closed");
                    return;
                }
            }
        }
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Longer than allowed.
    #[error("body is longer than {0} bytes")]
    TooLarge(usize),
    /// Trickles.
    #[error("body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// Broke off.
    #[error("body broke off: {0}")]
    Broken(String),
}

/// What is too large is taken off the line up to here: who is still sending when the connection closes sees it break off, and not the
/// answer that says why.
const DRAIN_BYTES: u64 = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Reads a whole body of at most `limit` bytes within `time`.
pub async fn read_body<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    // A length that is announced too large is refused before it is read.
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        if announced <= DRAIN_BYTES {
            drain(body.as_mut()).await;
        }
        return Err(BodyError::TooLarge(limit));
    }
    match tokio::time::timeout(time, Limited::new(body.as_mut(), limit).collect()).await {
        Err(_) => Err(BodyError::TooSlow(time)),
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            drain(body.as_mut()).await;
            Err(BodyError::TooLarge(limit))
        }
        Ok(Err(e)) => Err(BodyError::Broken(e.to_string())),
    }
}

async fn drain<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let taken = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever takes longer is not waited for.
    let _in_time = tokio::time::timeout(DRAIN_TIME, taken).await;
}
