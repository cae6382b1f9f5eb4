//! ir, cr, kur and p10cr: ask, ask again while a person decides, confirm.

use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::spki::PublicKey;

use crate::cmp::cert_reply::CertReply;
use crate::cmp::confirm::{self, Confirmation};
use crate::cmp::crmf::{self, CertificateId};
use crate::cmp::hash::Hash;
use crate::cmp::header::{CMP2000, CMP2021, NONCE_BYTES};
use crate::cmp::message::{EnrollKind, Kind};
use crate::cmp::poll::{self, NotYet};
use crate::cmp::status::{FailInfo, Status, StatusInfo};
use crate::cmp::{Fresh, name};

use super::reply::{Believed, Declined, ReplyError};
use super::{BuildError, Client, Credential, Options, Session, Sign};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// How.
    pub kind: EnrollKind,
    /// The new key's SubjectPublicKeyInfo; for p10cr the request as [`csr::build`] makes it.
    pub key_or_request: &'a [u8],
    /// A common name for the request; the server takes names from the record.
    pub common_name: &'a str,
    /// The certificate profile, the record's without.
    pub profile: Option<&'a str>,
    /// Whether to do without a certConf if the server agrees.
    pub implicit_confirm: bool,
}

/// A certificate that is asked for.
#[derive(Debug, Clone)]
pub struct Enrolling {
    session: Session,
    kind: EnrollKind,
    spki_sha256: [u8; 32],
    asked_implicit: bool,
}

/// How far it is.
#[derive(Debug)]
pub enum Progress {
    /// Ask again by [`Enrolling::poll`] after these seconds.
    Wait {
        /// 0: at once.
        seconds: u32,
        /// The server's words.
        why: String,
    },
    /// Here it is.
    Issued(Box<Issued>),
    /// No.
    Declined(Declined),
}

/// A new certificate, for the key that was asked for.
#[derive(Debug)]
pub struct Issued {
    /// It.
    pub certificate: Certificate,
    /// What else came along, for its path.
    pub issuers: Vec<Certificate>,
    /// Roots that the server says are to be trusted; only if our secret protects the answer.
    pub roots: Vec<Certificate>,
    /// Whether it differs from the wish.
    pub modified: bool,
    /// Present if the server waits for a confirmation.
    pub unconfirmed: Option<Unconfirmed>,
}

/// A certificate that the server wants to hear of.
#[derive(Debug)]
pub struct Unconfirmed {
    session: Session,
    certificate: Certificate,
    /// As the answer had it: servers disagree about the number of a PKCS#10 request.
    request_id: i64,
}

/// What the client thinks of its new certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It is stored and will be used.
    Accept,
    /// It cannot be used, for this reason.
    Reject(&'a str),
}

impl Client {
    /// Asks for a certificate: the message to POST. `sign_request` signs with the new key (not called for p10cr),
    /// `sign_message` with the key of the credential's certificate (not called for a secret).
    pub fn enroll<E: std::error::Error>(
        &self,
        wish: &Wish<'_>,
        sign_request: Sign<'_, E>,
        sign_message: Sign<'_, E>,
        transaction: [u8; NONCE_BYTES],
        (fresh, now): (Fresh, Timestamp),
    ) -> Result<(Enrolling, Vec<u8>), BuildError<E>> {
        let old = match (wish.kind, &self.credential) {
            (EnrollKind::KeyUpdate, Credential::Secret { .. }) => return Err(BuildError::MustBeSigned),
            (EnrollKind::KeyUpdate, Credential::Certificate(chain)) => {
                Some(CertificateId::of(chain.first().ok_or(BuildError::NoCertificate)?))
            }
            _ => None,
        };
        let (spki_sha256, content) = match wish.kind {
            EnrollKind::Pkcs10 => {
                (csr::verify(wish.key_or_request)?.spki_sha256(), wish.key_or_request.to_vec())
            }
            _ => {
                let key = PublicKey::parse(wish.key_or_request)?;
                let subject = name::common_name(wish.common_name);
                let request = crmf::write_request(&key, &subject, old.as_ref());
                let signature = sign_request(&request).map_err(BuildError::Signer)?;
                let content = crmf::write(&key, &request, &signature);
                check(&content).map_err(BuildError::WrongSigner)?;
                (key.sha256(), content)
            }
        };
        let mut session = Session::new(transaction);
        let options = Options {
            version: CMP2000,
            implicit_confirm: wish.implicit_confirm,
            profile: wish.profile.map(str::to_owned),
        };
        let body = (wish.kind.request(), content.as_slice());
        let message = session.message(self, body, options, sign_message, (fresh, now))?;
        let (kind, asked_implicit) = (wish.kind, wish.implicit_confirm);
        Ok((Enrolling { session, kind, spki_sha256, asked_implicit }, message))
    }
}

/// Reads our own request back: a wrong signer is seen here and not at the server.
fn check(content: &[u8]) -> Result<(), csr::CsrError> {
    let read = crate::cmp::tlv::only(content, lanyard_pki::write::SEQUENCE, "certReqMessages")
        .map_err(crmf::RequestRefused::from)
        .and_then(crmf::read);
    match read {
        Ok(_) => Ok(()),
        Err(crmf::RequestRefused::Possession(why)) => Err(why),
        Err(other) => Err(csr::CsrError::Malformed(other.to_string())),
    }
}

impl Enrolling {
    /// Reads what came back. On an error the same message may be read again, of another connection say.
    pub fn read(&mut self, client: &Client, reply: &[u8], now: Timestamp) -> Result<Progress, ReplyError> {
        let believed = self.session.believe(client, reply, now)?;
        match believed.kind {
            Kind::Error => Ok(Progress::Declined(Declined::new(believed.error()?))),
            Kind::PollRep => {
                let not_yet = NotYet::read(believed.body)?;
                self.is_ours(not_yet.request_id)?;
                let seconds = u32::try_from(not_yet.after_seconds.max(0)).unwrap_or(u32::MAX);
                Ok(Progress::Wait { seconds, why: not_yet.why })
            }
            kind if kind == self.kind.reply() => self.read_certificate(&believed),
            _ => Err(ReplyError::Kind),
        }
    }

    fn is_ours(&self, request_id: i64) -> Result<(), ReplyError> {
        if self.kind.is_meant_by(request_id) { Ok(()) } else { Err(ReplyError::RequestId) }
    }

    fn read_certificate(&self, believed: &Believed<'_>) -> Result<Progress, ReplyError> {
        let reply = CertReply::read(believed.body)?;
        self.is_ours(reply.request_id)?;
        match reply.status.status {
            Status::Waiting => return Ok(Progress::Wait { seconds: 0, why: reply.status.text }),
            Status::Accepted | Status::GrantedWithMods => {}
            Status::Rejection | Status::Other(_) => {
                return Ok(Progress::Declined(Declined::new(reply.status)));
            }
        }
        let certificate = Certificate::parse(reply.certificate.ok_or(ReplyError::NoCertificate)?)?;
        if certificate.spki_sha256() != self.spki_sha256 {
            return Err(ReplyError::OtherKey);
        }
        let mut roots = Vec::new();
        if believed.by_secret {
            for root in &reply.ca_pubs {
                roots.push(Certificate::parse(root)?);
            }
        }
        // The server must grant what we asked for; granting what we did not ask for is no grant (RFC 9810 5.1.1.1).
        let implicit = self.asked_implicit && believed.header.implicit_confirm;
        let unconfirmed = (!implicit).then(|| Unconfirmed {
            session: self.session.clone(),
            certificate: certificate.clone(),
            request_id: reply.request_id,
        });
        let issuers = believed.extra.iter().filter(|c| **c != certificate && c.is_ca()).cloned().collect();
        let modified = reply.status.status == Status::GrantedWithMods;
        Ok(Progress::Issued(Box::new(Issued { certificate, issuers, roots, modified, unconfirmed })))
    }

    /// Asks again: the message to POST; what comes back is for [`Self::read`].
    pub fn poll<E: std::error::Error>(
        &mut self,
        client: &Client,
        sign_message: Sign<'_, E>,
        (fresh, now): (Fresh, Timestamp),
    ) -> Result<Vec<u8>, BuildError<E>> {
        let content = poll::write_request(self.kind.request_id());
        let options = Options { version: CMP2000, ..Options::default() };
        self.session.message(client, (Kind::PollReq, &content), options, sign_message, (fresh, now))
    }
}

impl Unconfirmed {
    /// Says what we think of it: the message to POST; what comes back is for [`Self::read`].
    pub fn confirm<E: std::error::Error>(
        &mut self,
        client: &Client,
        verdict: Verdict<'_>,
        sign_message: Sign<'_, E>,
        (fresh, now): (Fresh, Timestamp),
    ) -> Result<Vec<u8>, BuildError<E>> {
        let status = match verdict {
            Verdict::Accept => None,
            Verdict::Reject(why) => Some(StatusInfo::rejection(FailInfo::BadCertTemplate, why)),
        };
        // Where the signature says no hash, ours is said, which cmp2021 has (RFC 9810 5.3.18).
        let (version, hash, said) = match confirm::hash_of(&self.certificate) {
            Some(hash) => (CMP2000, hash, None),
            None => (CMP2021, Hash::Sha256, Some(Hash::Sha256.id())),
        };
        let statement = Confirmation {
            hash: hash.digest(self.certificate.der()).as_ref().to_vec(),
            request_id: self.request_id,
            status,
            hash_algorithm: said,
        };
        let options = Options { version, ..Options::default() };
        let content = statement.write();
        self.session.message(client, (Kind::CertConf, &content), options, sign_message, (fresh, now))
    }

    /// Whether the server has heard it.
    pub fn read(
        &mut self,
        client: &Client,
        reply: &[u8],
        now: Timestamp,
    ) -> Result<Result<(), Declined>, ReplyError> {
        let believed = self.session.believe(client, reply, now)?;
        match believed.kind {
            Kind::PkiConf => Ok(Ok(())),
            Kind::Error => Ok(Err(Declined::new(believed.error()?))),
            _ => Err(ReplyError::Kind),
        }
    }
}
