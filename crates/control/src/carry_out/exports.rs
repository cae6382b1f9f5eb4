//! Close a device's chain for an evidence export.

use lanyard_domain::device::Command;
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;

use super::accept;
use crate::evidence::Claim;
use crate::journal::Journal;
use crate::plane::{Control, ControlError};

impl<J: Journal> Control<J> {
    /// Records that an operator exports exactly this claim. Returns the position of the closing leaf.
    pub async fn close_for_export(
        &self,
        signed: &SignedStatement,
        claim: &Claim,
        digest: Digest,
        now: Timestamp,
    ) -> Result<u64, ControlError> {
        let accepted = accept(&self.world(), signed, now)?;
        let Action::ExportEvidence { device, claim_sha256 } = &accepted.statement.action else {
            return Err(ControlError::refused(
                "wrong_statement",
                "an export needs a statement `export_evidence`",
            ));
        };
        if *device != claim.device || *claim_sha256 != digest {
            return Err(ControlError::refused(
                "other_claim",
                "the statement is about another claim than the one sent",
            ));
        }
        let appended = self
            .by_operator(&accepted, claim.device, now, |by, statement| Command::ExportEvidence {
                by,
                statement,
                claim_sha256: digest,
            })
            .await?;
        // The export event is the first of its batch; a change of verdict by time may follow it.
        appended.map(|a| a.pos).ok_or_else(|| ControlError::Bug("an export that recorded nothing".to_owned()))
    }
}
