//! Places that are shared: each holder has at most so many at a time, so that one of them, whoever it is, does not keep all others
//! out. In scope: counting. Out of scope: how many places there are in all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places by holder.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash> {
    key: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

fn locked<K>(held: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone> Shares<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// A place for this holder, if it has one left.
    pub(crate) fn take(&self, key: K) -> Option<Share<K>> {
        let mut held = locked(&self.held);
        let count = held.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { key, held: Arc::clone(&self.held) })
    }

    /// Whether this holder has a place.
    pub(crate) fn has<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        locked(&self.held).contains_key(key)
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = locked(&self.held);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I12
    #[test]
    fn a_holder_has_so_many_places_and_gives_them_back() {
        let shares = Shares::new(3);
        let held: Vec<Share<&str>> = (0..5).filter_map(|_| shares.take("one")).collect();
        assert_eq!(held.len(), 3);
        assert!(shares.has("one") && !shares.has("another"));
        assert!(shares.take("another").is_some());
        drop(held);
        assert!(shares.take("one").is_some());
        assert!(locked(&shares.held).is_empty(), "nothing is left behind");
    }
}
