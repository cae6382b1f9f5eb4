//! What the gateway knows: its site's devices, in memory, kept current by the feed and saved for a restart without the
//! control plane.
//!
//! In scope: lookups (one read lock of one shard), ordered changes, age. Out of scope: judging (`domain::access`), the
//! connection to the control plane (`feed`).
//! Time alone lowers a verdict (`DeviceView::verdict_at`): a gateway that hears nothing falls, tier by tier, to untrusted;
//! no other partition rule is needed (I5, I6).
//!
//! State and its loss: see `journal`, which keeps it on disk.

pub mod journal;
mod saver;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lanyard_api::gateway::{FeedItem, Snapshot};
use lanyard_domain::access::DeviceView;
use lanyard_domain::id::{DeviceId, GatewayId};
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use tokio::sync::watch;

use crate::token::TokenKeys;

pub use saver::Saver;

/// Device ids are random, so their first byte spreads them evenly; 64 locks keep 16 cores apart.
const SHARDS: usize = 64;

/// What a site's control plane says beside its devices.
#[derive(Debug)]
pub struct SiteFacts {
    /// Main log's verifier key.
    pub log_vkey: String,
    /// Trust anchors, PEM.
    pub anchors_pem: String,
    /// Keys of the token endpoint, as received.
    pub jwks: String,
    /// The same, ready to verify.
    pub token_keys: TokenKeys,
    /// Issuer of tokens.
    pub token_issuer: String,
    /// Names (DER) of authorities that are compromised.
    pub compromised_issuers: Vec<Blob>,
    /// Names (DER) of authorities of which nothing counts any more.
    pub distrusted_issuers: Vec<Blob>,
}

impl SiteFacts {
    /// Whether a certificate by the authority with this name (DER) proves nothing.
    pub fn distrusts(&self, issuer: &[u8]) -> bool {
        self.distrusted_issuers.iter().any(|name| name.0 == issuer)
    }

    /// Whether it has to be replaced.
    pub fn replaces(&self, issuer: &[u8]) -> bool {
        self.distrusts(issuer) || self.compromised_issuers.iter().any(|name| name.0 == issuer)
    }
}

/// Why an item of the feed was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedFault {
    /// For another gateway or site.
    #[error("the snapshot is for gateway {gateway} of site `{site}`; check the registration of this gateway")]
    NotOurs {
        /// Gateway named.
        gateway: GatewayId,
        /// Site named.
        site: String,
    },
    /// Another main log than configured.
    #[error("the snapshot is from log `{0}`, not the configured one; check `log_origin`")]
    OtherLog(String),
    /// The control plane knows less than it once told us: an old copy of it was restored.
    #[error(
        "the feed went back from position {heard} to {told}: keeping what is known; if the control plane was \
         restored on purpose, delete the gateway's state journal"
    )]
    WentBack {
        /// Heard before.
        heard: u64,
        /// Told now.
        told: u64,
    },
    /// A change before any snapshot.
    #[error("the feed began without a snapshot")]
    NoSnapshot,
    /// Keys of the token endpoint that cannot be read.
    #[error("the snapshot's token keys cannot be read: {0}")]
    Keys(String),
}

/// What an item changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Devices whose connections must be looked at: their trust may have fallen.
    pub touched: Vec<DeviceId>,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Here(Arc<DeviceView>),
    Removed { pos: u64 },
}

/// The state of one gateway. Shared; every method takes `&self`.
#[derive(Debug)]
pub struct State {
    gateway: GatewayId,
    site: String,
    log_origin: String,
    shards: Vec<RwLock<HashMap<DeviceId, Known>>>,
    facts: RwLock<Option<Arc<SiteFacts>>>,
    heard_pos: AtomicU64,
    heard_at: AtomicI64,
    version: watch::Sender<u64>,
}

impl State {
    /// Knows nothing yet: every device is unknown, so everything is refused.
    pub fn new(gateway: GatewayId, site: &str, log_origin: &str) -> State {
        State {
            gateway,
            site: site.to_owned(),
            log_origin: log_origin.to_owned(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            facts: RwLock::default(),
            heard_pos: AtomicU64::new(0),
            heard_at: AtomicI64::new(i64::MIN),
            version: watch::channel(0).0,
        }
    }

    /// The device's view, when it is one of this site's.
    pub fn view(&self, device: DeviceId) -> Option<Arc<DeviceView>> {
        let shard = self.shard(device)?;
        match shard.read().unwrap_or_else(PoisonError::into_inner).get(&device) {
            Some(Known::Here(view)) => Some(view.clone()),
            Some(Known::Removed { .. }) | None => None,
        }
    }

    /// Site facts; none before the first snapshot.
    pub fn facts(&self) -> Option<Arc<SiteFacts>> {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Position in the main log up to which we have heard.
    pub fn heard_pos(&self) -> u64 {
        self.heard_pos.load(Ordering::Acquire)
    }

    /// When we last heard from the control plane, by our clock; `None`: never.
    pub fn heard_at(&self) -> Option<Timestamp> {
        let micros = self.heard_at.load(Ordering::Acquire);
        (micros != i64::MIN).then(|| Timestamp::from_micros(micros))
    }

    /// Number of devices known.
    pub fn devices(&self) -> usize {
        let here = |known: &&Known| matches!(known, Known::Here(_));
        let count = |s: &RwLock<HashMap<DeviceId, Known>>| {
            s.read().unwrap_or_else(PoisonError::into_inner).values().filter(here).count()
        };
        self.shards.iter().map(count).sum()
    }

    /// Changes whenever an item was applied.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Applies one item, heard at `at`. A snapshot must not be older than what was heard. A change counts when it knows
    /// at least as much of its device (`as_of`) as we do: the feed may repeat what its snapshot already had, and a
    /// heartbeat may overtake a change.
    pub fn apply(&self, item: &FeedItem, at: Timestamp) -> Result<Effect, FeedFault> {
        let effect = match item {
            FeedItem::Snapshot(snapshot) => self.replace(snapshot)?,
            FeedItem::Changed { pos, view } => {
                self.advance(*pos)?;
                self.put(view);
                Effect { touched: vec![view.device] }
            }
            FeedItem::Removed { pos, device } => {
                self.advance(*pos)?;
                self.remove(*device, *pos);
                Effect { touched: vec![*device] }
            }
            FeedItem::Heartbeat { pos, .. } => {
                self.advance(*pos)?;
                Effect::default()
            }
            FeedItem::Ask { .. } => Effect::default(),
        };
        self.heard_at.fetch_max(at.as_micros(), Ordering::AcqRel);
        self.version.send_modify(|v| *v += 1);
        Ok(effect)
    }

    /// The whole state, as the control plane would send it.
    pub fn to_snapshot(&self, time: Timestamp) -> Option<Snapshot> {
        let facts = self.facts()?;
        let mut devices = Vec::with_capacity(self.devices());
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            devices.extend(shard.values().filter_map(|known| match known {
                Known::Here(view) => Some((**view).clone()),
                Known::Removed { .. } => None,
            }));
        }
        Some(Snapshot {
            gateway: self.gateway,
            site: self.site.clone(),
            pos: self.heard_pos(),
            time,
            log_vkey: facts.log_vkey.clone(),
            anchors_pem: facts.anchors_pem.clone(),
            jwks: facts.jwks.clone(),
            token_issuer: facts.token_issuer.clone(),
            compromised_issuers: facts.compromised_issuers.clone(),
            distrusted_issuers: facts.distrusted_issuers.clone(),
            devices,
        })
    }

    fn shard(&self, device: DeviceId) -> Option<&RwLock<HashMap<DeviceId, Known>>> {
        let [first, ..] = *device.as_bytes();
        self.shards.get(usize::from(first) % SHARDS)
    }

    fn advance(&self, told: u64) -> Result<(), FeedFault> {
        if self.facts().is_none() {
            return Err(FeedFault::NoSnapshot);
        }
        self.heard_pos.fetch_max(told, Ordering::AcqRel);
        Ok(())
    }

    /// A device of another site is none of ours: it is forgotten, not kept.
    fn put(&self, view: &DeviceView) {
        let Some(shard) = self.shard(view.device) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let known = match shard.get(&view.device) {
            Some(Known::Here(known)) => known.as_of,
            Some(Known::Removed { pos }) => pos.saturating_add(1),
            None => 0,
        };
        if view.as_of < known {
            return;
        }
        if view.site == self.site {
            shard.insert(view.device, Known::Here(Arc::new(view.clone())));
        } else {
            tracing::warn!(device.id = %view.device, site = %view.site, "the feed names a device of another site");
            shard.remove(&view.device);
        }
    }

    /// Leaves a mark until the next snapshot, so that an older change cannot bring the device back.
    fn remove(&self, device: DeviceId, pos: u64) {
        let Some(shard) = self.shard(device) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(shard.get(&device), Some(Known::Here(view)) if view.as_of > pos) {
            shard.insert(device, Known::Removed { pos });
        }
    }

    fn replace(&self, snapshot: &Snapshot) -> Result<Effect, FeedFault> {
        if snapshot.gateway != self.gateway || snapshot.site != self.site {
            return Err(FeedFault::NotOurs { gateway: snapshot.gateway, site: snapshot.site.clone() });
        }
        let origin = snapshot.log_vkey.split('+').next().unwrap_or_default();
        if origin != self.log_origin {
            return Err(FeedFault::OtherLog(origin.chars().take(100).collect()));
        }
        let heard = self.heard_pos();
        if snapshot.pos < heard {
            return Err(FeedFault::WentBack { heard, told: snapshot.pos });
        }
        let token_keys = TokenKeys::from_jwks(&snapshot.jwks).map_err(|e| FeedFault::Keys(e.to_string()))?;
        let mut fresh: Vec<HashMap<DeviceId, Known>> = vec![HashMap::new(); SHARDS];
        for view in snapshot.devices.iter().filter(|v| v.site == self.site) {
            let [first, ..] = *view.device.as_bytes();
            if let Some(shard) = fresh.get_mut(usize::from(first) % SHARDS) {
                shard.insert(view.device, Known::Here(Arc::new(view.clone())));
            }
        }
        let facts = SiteFacts {
            log_vkey: snapshot.log_vkey.clone(),
            anchors_pem: snapshot.anchors_pem.clone(),
            jwks: snapshot.jwks.clone(),
            token_keys,
            token_issuer: snapshot.token_issuer.clone(),
            compromised_issuers: snapshot.compromised_issuers.clone(),
            distrusted_issuers: snapshot.distrusted_issuers.clone(),
        };
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(facts));
        let mut touched = Vec::new();
        for (shard, fresh) in self.shards.iter().zip(fresh) {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let gone = |(id, known): &(&DeviceId, &Known)| {
                matches!(known, Known::Here(_)) && fresh.get(*id) != Some(*known)
            };
            touched.extend(shard.iter().filter(gone).map(|(id, _)| *id));
            *shard = fresh;
        }
        self.heard_pos.store(snapshot.pos, Ordering::Release);
        Ok(Effect { touched })
    }
}
