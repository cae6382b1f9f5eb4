//! A response that never ends, read line by line (NDJSON): the gateway's feed.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{CallError, Channel};

/// Longest line: the snapshot of a site with 20,000 devices at some 2 KiB a view is 40 MiB.
pub const MAX_LINE: usize = 64 << 20;

/// Lines of one response; ends with the connection that it owns.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
    /// Bytes at the front of `buffer` that are known to hold no line end.
    searched: usize,
    idle: Duration,
    max_line: usize,
    channel: Channel,
}

impl Lines {
    pub(super) fn new(channel: Channel, body: Incoming, idle: Duration) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, idle, max_line: MAX_LINE, channel }
    }

    /// The connection, for its exporter and its end.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The next line without its end; `None` when the server closed the stream at a line's end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.buffer.len() > self.max_line {
                return Err(self.malformed(format!("a line is longer than {} bytes", self.max_line)));
            }
            let frame = tokio::time::timeout(self.idle, self.body.frame()).await.map_err(|_| {
                CallError::timed_out(
                    format!("the stream of `{}` fell silent", self.channel.server()),
                    self.idle.as_secs(),
                )
            })?;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(e)) => {
                    return Err(CallError::from_transport(self.channel.server(), "reading the stream of", e));
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.malformed("the stream ended inside a line".to_owned())),
            }
        }
    }

    /// The next line as JSON.
    pub async fn next_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        let Some(line) = self.next().await? else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|e| self.malformed(e.to_string()))
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let fresh = self.buffer.get(self.searched..)?;
        let Some(found) = fresh.iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + found).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }

    fn malformed(&self, why: String) -> CallError {
        CallError::Malformed { server: self.channel.server().to_owned(), why }
    }

    #[cfg(test)]
    pub(crate) fn with_max_line(mut self, max_line: usize) -> Self {
        self.max_line = max_line;
        self
    }
}
