//! What a connection is doing and since when, seen from its bytes and its answers: the base of the time limits.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A request has begun and its head is not complete.
    Head,
    /// A request is being answered; the time is that of the last byte in either direction.
    Answering,
}

#[derive(Debug)]
pub(super) struct Activity(Mutex<(Phase, Instant)>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Phase::Idle, Instant::now())))
    }

    fn with<R>(&self, change: impl FnOnce(&mut (Phase, Instant)) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A head is complete; the answer's end is when the returned value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.with(|state| *state = (Phase::Answering, Instant::now()));
        Answering(self.clone())
    }

    fn read(&self) {
        self.with(|state| match state.0 {
            Phase::Idle => *state = (Phase::Head, Instant::now()),
            // A head that trickles must not win time with each byte.
            Phase::Head => {}
            Phase::Answering => state.1 = Instant::now(),
        });
    }

    fn written(&self) {
        self.with(|state| {
            if state.0 == Phase::Answering {
                state.1 = Instant::now();
            }
        });
    }

    fn deadline(&self, limits: &Limits) -> (Phase, Instant) {
        self.with(|(phase, since)| {
            let limit = match phase {
                Phase::Idle => limits.idle,
                Phase::Head => limits.header_read,
                Phase::Answering => limits.stall,
            };
            (*phase, *since + limit)
        })
    }

    /// When to look again: at the deadline, but never later than the shortest limit, because a phase may begin
    /// right after this look; and not more often than each 10 ms.
    pub(super) fn next_look(&self, limits: &Limits) -> Duration {
        let until = self.deadline(limits).1.saturating_duration_since(Instant::now());
        until.min(limits.header_read).max(Duration::from_millis(10))
    }

    /// The limit that is passed, if one is.
    pub(super) fn overdue(&self, limits: &Limits) -> Option<&'static str> {
        let (phase, deadline) = self.deadline(limits);
        if Instant::now() < deadline {
            return None;
        }
        Some(match phase {
            Phase::Idle => "idle for too long",
            Phase::Head => "request head took too long",
            Phase::Answering => "no byte moved for too long",
        })
    }
}

/// An answer under way.
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.with(|state| *state = (Phase::Idle, Instant::now()));
    }
}

/// A body that knows when it has been sent or given up.
pub(super) struct Tracked<B> {
    body: Pin<Box<B>>,
    _answering: Answering,
}

impl<B> Tracked<B> {
    pub(super) fn new(body: B, answering: Answering) -> Self {
        Self { body: Box::pin(body), _answering: answering }
    }
}

impl<B: Body<Data = Bytes>> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that reports its bytes.
pub(super) struct Watched<T> {
    inner: T,
    activity: Arc<Activity>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, activity: Arc<Activity>) -> Self {
        Self { inner, activity }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.activity.read();
        }
        Poll::Ready(outcome)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.activity.written();
        Poll::Ready(outcome)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, parts));
        self.activity.written();
        Poll::Ready(outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
