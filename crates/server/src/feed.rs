//! The feed: every change of a device goes, in log order, to the gateways of its site; questions go out the same way
//! and answers come back by their own call.
//!
//! A gateway that reads too slowly is cut off and begins again with a snapshot: nobody waits for it, and it never
//! misses a change that it does not know it missed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanyard_api::gateway::{Answer, FeedItem, Question};
use lanyard_domain::access::DeviceView;
use lanyard_domain::id::GatewayId;
use tokio::sync::{mpsc, oneshot};

/// Items waiting for one gateway: at 1 kB a view, 64 MiB at the most.
const QUEUE: usize = 65_536;

/// How long an answer may take: a gateway seals its log first, which is a few disk writes.
pub const ANSWER_SECONDS: u64 = 10;

/// All open feeds.
#[derive(Default)]
pub struct Feeds {
    open: Mutex<HashMap<u64, Feed>>,
    questions: Mutex<HashMap<u64, (GatewayId, oneshot::Sender<Answer>)>>,
    counter: AtomicU64,
}

struct Feed {
    gateway: GatewayId,
    site: String,
    items: mpsc::Sender<Arc<FeedItem>>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It is not connected.
    #[error("gateway {0} is not connected")]
    NotConnected(GatewayId),
    /// It did not answer.
    #[error("gateway {0} did not answer within {ANSWER_SECONDS} s")]
    TimedOut(GatewayId),
}

impl Feeds {
    /// Opens a feed. Items arrive from this moment on; the caller takes its snapshot after it. A gateway has one feed: an
    /// older one of the same gateway is a dead line or a second copy of it, and ends.
    pub fn open(&self, gateway: GatewayId, site: &str) -> (u64, mpsc::Receiver<Arc<FeedItem>>) {
        let (items, receiver) = mpsc::channel(QUEUE);
        let id = self.counter.fetch_add(1, Ordering::Relaxed);
        let feed = Feed { gateway, site: site.to_owned(), items };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, other| other.gateway != gateway);
        open.insert(id, feed);
        (id, receiver)
    }

    /// Forgets a feed that ended.
    pub fn close(&self, id: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Ends the feed of a gateway that was removed.
    pub fn end(&self, gateway: GatewayId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, feed| feed.gateway != gateway);
    }

    /// Ends all feeds: each gateway connects again and begins with a snapshot.
    pub fn end_all(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells the gateways of the device's site.
    pub fn changed(&self, pos: u64, view: DeviceView) {
        let site = view.site.clone();
        let item = Arc::new(FeedItem::Changed { pos, view: Box::new(view) });
        self.send(&item, |feed| feed.site == site);
    }

    /// Tells everyone that nothing else has changed.
    pub fn heartbeat(&self, item: FeedItem) {
        self.send(&Arc::new(item), |_| true);
    }

    /// Whether a gateway of that site is connected.
    pub fn connected(&self, gateway: GatewayId) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().any(|f| f.gateway == gateway)
    }

    fn send(&self, item: &Arc<FeedItem>, wants: impl Fn(&Feed) -> bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A full queue ends the feed: the gateway reconnects and gets the whole state.
        open.retain(|_, feed| !wants(feed) || feed.items.try_send(Arc::clone(item)).is_ok());
    }

    /// Asks one gateway.
    pub async fn ask(&self, gateway: GatewayId, what: Question) -> Result<Answer, Unanswered> {
        let question = self.counter.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).insert(question, (gateway, sender));
        if !self.connected(gateway) {
            self.forget(question);
            return Err(Unanswered::NotConnected(gateway));
        }
        self.send(&Arc::new(FeedItem::Ask { question, what }), |feed| feed.gateway == gateway);
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS), receiver).await;
        self.forget(question);
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Unanswered::TimedOut(gateway)),
        }
    }

    fn forget(&self, question: u64) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).remove(&question);
    }

    /// Takes an answer; false when nobody waits for it or another gateway was asked.
    pub fn answer(&self, from: GatewayId, question: u64, answer: Answer) -> bool {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if questions.get(&question).is_none_or(|(asked, _)| *asked != from) {
            return false;
        }
        questions.remove(&question).is_some_and(|(_, sender)| sender.send(answer).is_ok())
    }
}
