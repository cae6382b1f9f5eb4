//! What every handler and worker shares.

use std::sync::{Arc, Mutex};

use lanyard_api::clock::Clock;
use lanyard_control::plane::Control;
use lanyard_pki::tls::Peers;

use crate::bootstrap::BootstrapSecret;
use crate::feed::Feeds;
use crate::front::CmpDesk;
use crate::front::revocation::Desk;
use crate::http::nonces::Nonces;
use crate::journal::LedgerJournal;
use crate::snapshot::Cache;
use crate::token::TokenKey;

/// The running control plane.
pub type Plane = Control<LedgerJournal>;

/// Shared state; cheap to clone.
#[derive(Clone)]
pub struct State {
    /// Use cases.
    pub control: Arc<Plane>,
    /// Open gateway feeds.
    pub feeds: Arc<Feeds>,
    /// Whom TLS accepts.
    pub peers: Peers,
    /// Signs access tokens.
    pub tokens: Arc<TokenKey>,
    /// Verifier key of the log.
    pub log_vkey: Arc<str>,
    /// Nonces of operators' requests seen within their window.
    pub nonces: Arc<Nonces>,
    /// The first operator's secret, until used.
    pub bootstrap: Arc<Mutex<Option<BootstrapSecret>>>,
    /// Whether anybody can ask for it.
    pub(crate) serves_revocation: bool,
    /// What relying parties are told.
    pub(crate) revocation: Arc<Desk>,
    /// CMP's transactions and signer.
    pub(crate) cmp: Arc<CmpDesk>,
    /// What lasts between SCEP messages.
    pub(crate) scep: Arc<crate::front::scep::Desk>,
    /// Signs files for devices without network.
    pub(crate) files: Arc<crate::http::files::FileSigner>,
    /// What the last looks at others' servers came to.
    pub(crate) watch: Arc<crate::watch::Desk>,
    /// The folded world on disk.
    pub(crate) snapshot: Arc<Cache>,
    /// Clock.
    pub clock: Clock,
}
