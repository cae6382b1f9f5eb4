//! PKIMessage (RFC 9810 5.1): header, body, protection, certificates; taken apart without copying, and put together.

use lanyard_pki::certificate::MAX_CERTIFICATE_BYTES;
use lanyard_pki::write;

use super::header::Header;
use super::tlv::{Malformed, Tlv, only};

/// The largest message that is read: a request for an ML-DSA-87 key (2.6 KiB, its proof 4.6 KiB) signed under a chain of
/// four such certificates of 8 KiB is 44 KiB; what is left is for names and extensions.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Leaf, two CAs, a root, and as many that a client adds because it does not know better.
pub(super) const MAX_EXTRA_CERTIFICATES: usize = 8;

/// What a message is: the tag of PKIBody's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Ir = 0,
    Ip = 1,
    Cr = 2,
    Cp = 3,
    P10cr = 4,
    Kur = 7,
    Kup = 8,
    Rr = 11,
    Rp = 12,
    PkiConf = 19,
    Genm = 21,
    Genp = 22,
    Error = 23,
    CertConf = 24,
    PollReq = 25,
    PollRep = 26,
}

impl Kind {
    const ALL: [Kind; 16] = [
        Kind::Ir,
        Kind::Ip,
        Kind::Cr,
        Kind::Cp,
        Kind::P10cr,
        Kind::Kur,
        Kind::Kup,
        Kind::Rr,
        Kind::Rp,
        Kind::PkiConf,
        Kind::Genm,
        Kind::Genp,
        Kind::Error,
        Kind::CertConf,
        Kind::PollReq,
        Kind::PollRep,
    ];

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    pub const fn tag(self) -> u8 {
        write::context_constructed(self as u8)
    }
}

/// The four ways to ask for a certificate (RFC 9483 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrollKind {
    /// ir: the first certificate here, asked for with a secret or with the maker's certificate.
    Initialization,
    /// cr: one more.
    Certification,
    /// kur: one in place of the certificate that signs the request.
    KeyUpdate,
    /// p10cr: as cr, with a PKCS#10 request.
    Pkcs10,
}

impl EnrollKind {
    pub(super) const fn request(self) -> Kind {
        match self {
            EnrollKind::Initialization => Kind::Ir,
            EnrollKind::Certification => Kind::Cr,
            EnrollKind::KeyUpdate => Kind::Kur,
            EnrollKind::Pkcs10 => Kind::P10cr,
        }
    }

    pub(super) const fn reply(self) -> Kind {
        match self {
            EnrollKind::Initialization => Kind::Ip,
            EnrollKind::Certification | EnrollKind::Pkcs10 => Kind::Cp,
            EnrollKind::KeyUpdate => Kind::Kup,
        }
    }

    /// The number that an answer gives: PKCS#10 has none (RFC 9810 5.3.4).
    pub(super) const fn request_id(self) -> i64 {
        match self {
            EnrollKind::Pkcs10 => -1,
            _ => super::crmf::REQUEST_ID,
        }
    }

    /// Whether a pollReq or certConf with this number means it. Peers disagree about PKCS#10: -1 as in the answer, or 0.
    pub(super) fn is_meant_by(self, request_id: i64) -> bool {
        request_id == self.request_id() || request_id == super::crmf::REQUEST_ID
    }
}

/// A message taken apart; its pieces are as they were sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    header: Tlv<'a>,
    /// The body with its tag.
    body: Tlv<'a>,
    /// The bits of the protection.
    pub protection: Option<&'a [u8]>,
    extra: Option<Tlv<'a>>,
}

impl<'a> Parts<'a> {
    pub fn of(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = only(message, write::SEQUENCE, "message")?.fields();
        let header = fields.take(write::SEQUENCE, "header")?;
        let body = fields.any().map_err(|_| Malformed("body"))?;
        let protection = match fields.optional(write::context_constructed(0), "protection")? {
            Some(bits) => Some(bits.inner()?.bits()?),
            None => None,
        };
        let extra = fields.optional(write::context_constructed(1), "extraCerts")?;
        fields.finish()?;
        Ok(Self { header, body, protection, extra })
    }

    pub fn header(&self) -> Result<Header, Malformed> {
        Header::read(self.header)
    }

    /// What the body is, None if it is a kind that we do not speak.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_tag(self.body.tag)
    }

    /// The element inside of the body's tag.
    pub fn body(&self) -> Result<Tlv<'a>, Malformed> {
        self.body.inner()
    }

    /// The DER of ProtectedPart (RFC 9810 5.1.3): what MAC and signature are over.
    pub fn protected(&self) -> Vec<u8> {
        protected_part(self.header.whole, self.body.whole)
    }

    /// The certificates that came with it, DER each.
    pub fn extra_certificates(&self) -> Result<Vec<&'a [u8]>, Malformed> {
        let Some(extra) = self.extra else { return Ok(Vec::new()) };
        let all = extra.inner_tagged(write::SEQUENCE)?.fields().all(MAX_EXTRA_CERTIFICATES)?;
        if all.iter().any(|c| c.tag != write::SEQUENCE || c.whole.len() > MAX_CERTIFICATE_BYTES) {
            return Err(Malformed("extraCerts"));
        }
        Ok(all.iter().map(|c| c.whole).collect())
    }
}

fn protected_part(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + body.len() + 8);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        o.extend_from_slice(header);
        o.extend_from_slice(body);
    });
    out
}

/// A message to be: header and body stand, the protection is still to be made over [`Unprotected::protected`].
#[derive(Debug, Clone)]
pub(super) struct Unprotected {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl Unprotected {
    /// `content` is the element inside of the body's tag.
    pub fn new(header: &Header, kind: Kind, content: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        header.write(&mut bytes);
        let mut body = Vec::with_capacity(content.len() + 8);
        write::bytes(&mut body, kind.tag(), content);
        Self { header: bytes, body }
    }

    pub fn protected(&self) -> Vec<u8> {
        protected_part(&self.header, &self.body)
    }

    pub fn with(self, protection: &[u8], extra: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        write::tlv(&mut out, write::SEQUENCE, |o| {
            o.extend_from_slice(&self.header);
            o.extend_from_slice(&self.body);
            write::tlv(o, write::context_constructed(0), |o| write::bit_string(o, protection));
            if !extra.is_empty() {
                write::tlv(o, write::context_constructed(1), |o| {
                    write::tlv(o, write::SEQUENCE, |o| extra.iter().for_each(|c| o.extend_from_slice(c)));
                });
            }
        });
        out
    }
}
