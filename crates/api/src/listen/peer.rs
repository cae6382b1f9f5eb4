//! Who is at the other end of a connection, and the handle that closes it.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::ServerConnection;
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::exporter::{self, ChannelBinding, NoChannelBinding};

/// The other end; every request carries it as an extension. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub remote: SocketAddr,
    /// Its certificates, leaf first, accepted by the TLS configuration; empty when it showed none.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// Channel binding (RFC 9266).
    pub exporter: Result<ChannelBinding, NoChannelBinding>,
    /// The connection.
    pub connection: ConnectionHandle,
}

impl Peer {
    pub(super) fn of(
        remote: SocketAddr,
        tls: &ServerConnection,
        ems_required: bool,
        cut: CancellationToken,
    ) -> Self {
        let chain = tls.peer_certificates().unwrap_or_default();
        Self {
            remote,
            chain: chain.iter().map(|c| c.clone().into_owned()).collect(),
            exporter: exporter::of(tls, ems_required),
            connection: ConnectionHandle { cut, last_answer: CancellationToken::new(), slot: Arc::default() },
        }
    }

    /// Someone on a connection without TLS.
    pub(super) fn without_tls(remote: SocketAddr, cut: CancellationToken) -> Self {
        Self {
            remote,
            chain: Arc::default(),
            exporter: Err(NoChannelBinding),
            connection: ConnectionHandle { cut, last_answer: CancellationToken::new(), slot: Arc::default() },
        }
    }

    /// The leaf certificate, when it showed one.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

/// A connection that can be closed from anywhere, and a place for what was found out about its peer.
#[derive(Clone)]
pub struct ConnectionHandle {
    cut: CancellationToken,
    last_answer: CancellationToken,
    slot: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

impl ConnectionHandle {
    /// Closes at once: what is on its way is lost, in both directions.
    pub fn close(&self) {
        self.cut.cancel();
    }

    /// Closes after the answer that is being made, so that a refusal still reaches the peer.
    pub fn close_after_answer(&self) {
        self.last_answer.cancel();
    }

    /// Whether [`ConnectionHandle::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// What was kept for this connection, if it is a `T`.
    pub fn kept<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.slot.get().cloned().and_then(|kept| kept.downcast().ok())
    }

    /// Keeps a value for the life of the connection, made at the first call; `None` if it holds another type.
    pub fn keep<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        let kept = self.slot.get_or_init(|| Arc::new(make()));
        kept.clone().downcast().ok()
    }

    pub(super) fn cut(&self) -> impl Future<Output = ()> + '_ {
        self.cut.cancelled()
    }

    pub(super) fn last_answer(&self) -> impl Future<Output = ()> + '_ {
        self.last_answer.cancelled()
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandle").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
