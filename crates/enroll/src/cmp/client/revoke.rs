//! rr: give a certificate up.

use lanyard_domain::time::Timestamp;

use crate::cmp::Fresh;
use crate::cmp::crmf::CertificateId;
use crate::cmp::header::{CMP2000, NONCE_BYTES};
use crate::cmp::message::Kind;
use crate::cmp::revocation;
use crate::cmp::status::Status;
use lanyard_pki::revocation::Reason;

use super::reply::{Declined, ReplyError};
use super::{BuildError, Client, Credential, Options, Session, Sign};

/// A certificate that is to be revoked.
#[derive(Debug, Clone)]
pub struct Revoking {
    session: Session,
}

impl Client {
    /// Asks to revoke a certificate: the message to POST, signed with the credential's certificate.
    pub fn revoke<E: std::error::Error>(
        &self,
        (certificate, reason): (&CertificateId, Reason),
        sign_message: Sign<'_, E>,
        transaction: [u8; NONCE_BYTES],
        (fresh, now): (Fresh, Timestamp),
    ) -> Result<(Revoking, Vec<u8>), BuildError<E>> {
        if matches!(self.credential, Credential::Secret { .. }) {
            return Err(BuildError::MustBeSigned);
        }
        let mut session = Session::new(transaction);
        let content = revocation::write(certificate, reason);
        let options = Options { version: CMP2000, ..Options::default() };
        let message = session.message(self, (Kind::Rr, &content), options, sign_message, (fresh, now))?;
        Ok((Revoking { session }, message))
    }
}

impl Revoking {
    /// Whether it is revoked.
    pub fn read(
        &mut self,
        client: &Client,
        reply: &[u8],
        now: Timestamp,
    ) -> Result<Result<(), Declined>, ReplyError> {
        let believed = self.session.believe(client, reply, now)?;
        match believed.kind {
            Kind::Rp => {
                let status = revocation::read_reply(believed.body)?;
                match status.status {
                    Status::Accepted | Status::GrantedWithMods => Ok(Ok(())),
                    _ => Ok(Err(Declined::new(status))),
                }
            }
            Kind::Error => Ok(Err(Declined::new(believed.error()?))),
            _ => Err(ReplyError::Kind),
        }
    }
}
