//! Places where tests make the storage fail, in both ways it can: "failed and did not happen", "failed but happened".
//!
//! Not part of the public interface. [`Hook`] is asked at each [`Step`]; without one nothing ever fails here.

use std::fmt;
use std::sync::Arc;

/// A step of the append or seal path that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Writing the rows of a batch, before its COMMIT.
    Insert,
    /// COMMIT of a batch.
    Commit,
    /// Reopening after a failed COMMIT.
    Recover,
    /// Writing the anchor.
    Anchor,
    /// Recording a checkpoint that is anchored.
    RecordCheckpoint,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As if there were no hook.
    Normal,
    /// Reports an error and does nothing.
    FailsWithoutEffect,
    /// Does its work and reports an error.
    FailsWithEffect,
}

/// Asked at each step.
#[derive(Clone, Default)]
pub struct Hook(pub Option<Arc<dyn Fn(Step) -> Outcome + Send + Sync>>);

impl Hook {
    pub(crate) fn at(&self, step: Step) -> Outcome {
        self.0.as_ref().map_or(Outcome::Normal, |hook| hook(step))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook(none)" })
    }
}
