//! All orders of a process, in memory, bounded by account and in all; a pure value that the server holds in a mutex.
//!
//! Lost at a restart: clients make a new order (RFC 8555 7.4 expects orders to expire). Not written anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanyard_domain::time::Timestamp;

use super::id::AccountId;
use super::id::OrderId;
use super::order::{Order, OrderStatus};
use super::problem::{ErrorType, Problem};
use super::renewal::CertId;

/// How many orders are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At once for one account, done ones included.
    pub per_account: usize,
    /// In all. An order with its statement, request and chain has some 10 KB, so 10 000 are 100 MB.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A device has one order at a time; a gateway that tries again all night has some dozens.
        Self { per_account: 50, total: 10_000 }
    }
}

/// The orders.
#[derive(Debug)]
pub struct Orders {
    limits: Limits,
    by_id: HashMap<OrderId, Order>,
    by_account: BTreeMap<AccountId, BTreeSet<OrderId>>,
    by_expiry: BTreeSet<(Timestamp, OrderId)>,
    /// Which order replaces a certificate (RFC 9773 5).
    replacing: BTreeMap<CertId, OrderId>,
}

impl Orders {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_id: HashMap::new(),
            by_account: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            replacing: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// An order of this account.
    pub fn of(&self, account: AccountId, id: OrderId) -> Option<&Order> {
        self.by_id.get(&id).filter(|order| order.account == account)
    }

    pub(super) fn get(&self, id: OrderId) -> Option<&Order> {
        self.by_id.get(&id)
    }

    /// The orders of an account that are not invalid (RFC 8555 7.1.2.1).
    pub(super) fn list(&self, account: AccountId, now: Timestamp) -> Vec<OrderId> {
        let ids = self.by_account.get(&account).into_iter().flatten();
        let orders = ids.filter_map(|id| self.by_id.get(id));
        orders.filter(|o| o.status(now) != OrderStatus::Invalid).map(|o| o.id).collect()
    }

    /// The order that replaces this certificate, if one does that is not invalid.
    pub(super) fn replacing(&self, certificate: &CertId, now: Timestamp) -> Option<OrderId> {
        let order = self.by_id.get(self.replacing.get(certificate)?)?;
        (order.status(now) != OrderStatus::Invalid).then_some(order.id)
    }

    /// Adds an order. Expired ones go first; full means that somebody must wait.
    pub(super) fn insert(&mut self, order: Order, now: Timestamp) -> Result<(), Problem> {
        self.sweep(now);
        let limited = |seconds: i64, text: &str| {
            Problem::new(ErrorType::RateLimited, text).header("retry-after", seconds.max(1).to_string())
        };
        let own = self.by_account.get(&order.account);
        if own.is_some_and(|ids| ids.len() >= self.limits.per_account) {
            let expiries = own.into_iter().flatten().filter_map(|id| self.by_id.get(id)).map(|o| o.expires);
            let wait = expiries.min().map_or(60, |at| at.seconds_since(now));
            return Err(limited(wait, "this account has as many orders as it may have: use or finish them"));
        }
        if self.by_id.len() >= self.limits.total && !self.give_up_one(now) {
            return Err(limited(60, "the server has as many open orders as it can keep: try again later"));
        }
        self.by_account.entry(order.account).or_default().insert(order.id);
        self.by_expiry.insert((order.expires, order.id));
        if let Some(certificate) = &order.request.replaces {
            self.replacing.insert(certificate.clone(), order.id);
        }
        self.by_id.insert(order.id, order);
        Ok(())
    }

    /// Puts a changed order back in the place of the old one.
    pub(super) fn replace(&mut self, order: Order) {
        if let Some(old) = self.by_id.get(&order.id) {
            self.by_expiry.remove(&(old.expires, old.id));
            self.by_expiry.insert((order.expires, order.id));
            self.by_id.insert(order.id, order);
        }
    }

    /// All orders of an account, whatever their state.
    pub(super) fn ids_of(&self, account: AccountId) -> Vec<OrderId> {
        self.by_account.get(&account).into_iter().flatten().copied().collect()
    }

    /// Forgets what expired. Called with each new order; the server may call it from time to time.
    pub fn sweep(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.by_expiry.first().copied() {
            if at >= now {
                break;
            }
            self.remove(at, id);
        }
    }

    /// Room for another: of those that are done and those that strangers opened and proved nothing for, the one that would
    /// expire first. So whoever makes accounts in a loop pushes out their own orders, and a device that answers within
    /// seconds gets through.
    fn give_up_one(&mut self, now: Timestamp) -> bool {
        let spare = |id: &OrderId| {
            self.by_id.get(id).is_some_and(|o| match o.status(now) {
                OrderStatus::Valid | OrderStatus::Invalid => true,
                OrderStatus::Pending => !o.is_bound(),
                OrderStatus::Ready | OrderStatus::Processing => false,
            })
        };
        let found = self.by_expiry.iter().find(|(_, id)| spare(id)).copied();
        match found {
            Some((at, id)) => {
                self.remove(at, id);
                true
            }
            None => false,
        }
    }

    fn remove(&mut self, at: Timestamp, id: OrderId) {
        self.by_expiry.remove(&(at, id));
        let Some(order) = self.by_id.remove(&id) else { return };
        if let Some(ids) = self.by_account.get_mut(&order.account) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_account.remove(&order.account);
            }
        }
        // Another order may have taken its place.
        if let Some(certificate) = &order.request.replaces
            && self.replacing.get(certificate) == Some(&id)
        {
            self.replacing.remove(certificate);
        }
    }
}
