//! How the device stands, for people: what `lanyard agent status` shows. A snapshot that the run loop publishes, and a
//! file that it replaces. Nothing is decided from it.

use std::path::Path;

use lanyard_api::device::Standing;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::state;

const FILE: &str = "status.json";

/// The agent's view of its device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The device, once enrolled.
    pub device: Option<DeviceId>,
    /// Where it stands, as the control plane said last.
    pub standing: Option<Standing>,
    /// When it said so.
    pub heard_at: Option<Timestamp>,
    /// End of the certificate.
    pub not_after: Option<Timestamp>,
    /// When it will be renewed.
    pub renew_at: Option<Timestamp>,
    /// When the next step is due.
    pub next_at: Option<Timestamp>,
    /// What the next step is.
    pub next: Option<Step>,
    /// What went wrong last, if the last step did.
    pub fault: Option<Fault>,
}

/// A step of the run loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Earn an identity.
    Enroll,
    /// Prove the state.
    Attest,
    /// Renew the certificate.
    Renew,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which step.
    pub step: Step,
    /// When.
    pub at: Timestamp,
    /// What happened and what to do.
    pub text: String,
    /// The control plane said no, as opposed to not being reached.
    pub refused: bool,
    /// How many times in a row.
    pub times: u32,
}

impl Status {
    /// What the agent wrote last; `None` where none has run.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, AgentError> {
        state::read(&state_dir.join(FILE))
    }

    /// Replaces what was written before; for a step that was made by hand, outside of the run loop.
    pub fn write(&self, state_dir: &Path) -> Result<(), AgentError> {
        state::write(&state_dir.join(FILE), self)
    }
}
