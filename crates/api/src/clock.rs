//! The one place that reads the system clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lanyard_domain::time::Timestamp;

/// A clock: the system's, or one that tests and simulations move by hand.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds added to the system clock; shared by all clones.
    shift: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system clock plus a shift that [`Clock::advance`] grows; for drills of what time alone does.
    pub fn shifted() -> Self {
        Self { shift: Some(Arc::new(AtomicI64::new(0))) }
    }

    /// Moves a shifted clock on by `seconds`; the system clock is not moved.
    pub fn advance(&self, seconds: i64) {
        if let Some(shift) = &self.shift {
            shift.fetch_add(seconds.saturating_mul(1_000_000), Ordering::SeqCst);
        }
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the one file that reads the system clock")]
    pub fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let shift = self.shift.as_ref().map_or(0, |s| s.load(Ordering::SeqCst));
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(shift))
    }
}
