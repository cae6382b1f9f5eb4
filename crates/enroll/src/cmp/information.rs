//! genm and genp (RFC 9810 5.3.19, 5.3.20; RFC 9483 4.3): what a client may ask before it asks for a certificate.
//!
//! To add a question: a variant of [`Question`], its line in [`read`] and in [`write_answers`].

use der::asn1::ObjectIdentifier;
use lanyard_domain::time::Timestamp;
use lanyard_pki::spki::PublicKeyKind;
use lanyard_pki::write;

use super::name::directory_name;
use super::oid;
use super::tlv::{Malformed, Tlv, write_integer, write_plain_algorithm};

/// Questions of one message; RFC 9483 4.3 has one, OpenSSL too.
const MAX_QUESTIONS: usize = 16;
/// CRLs that one question speaks of: the shards of a site.
const MAX_CRLS: usize = 64;

/// One thing that a client wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// RFC 9483 4.3.1: the certificates of the CAs.
    CaCertificates,
    /// RFC 9483 4.3.2: the root that comes after this one (DER), or after the one that is known.
    RootUpdate(Option<Vec<u8>>),
    /// RFC 9483 4.3.3: what a request should look like.
    RequestTemplate,
    /// RFC 9810 5.3.19.2: which keys are certified.
    KeyKinds,
    /// RFC 9483 4.3.4: CRLs that are newer than those that the client has.
    Crls(Vec<CrlStatus>),
    /// Something that we do not know.
    Unknown(ObjectIdentifier),
}

/// A CRL that a client has, or wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrlStatus {
    /// The address in the certificate's CRL distribution point.
    pub distribution_point: Option<String>,
    /// DER of the issuer's Name.
    pub issuer: Option<Vec<u8>>,
    /// thisUpdate of the one that it has.
    pub this_update: Option<Timestamp>,
}

/// What is answered; the caller fills in what the questions ask for.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Issuing CAs and their roots, DER each.
    pub ca_certificates: Vec<Vec<u8>>,
    /// The next root, if there is one.
    pub root_update: Option<RootUpdate>,
    /// Keys that the profile certifies.
    pub key_kinds: Vec<PublicKeyKind>,
    /// CRLs that are newer, DER each.
    pub crls: Vec<Vec<u8>>,
}

/// A root and the two certificates that lead from the old to it (RFC 9810 5.3.13).
#[derive(Debug, Clone)]
pub struct RootUpdate {
    /// The new root, self-signed.
    pub new_with_new: Vec<u8>,
    /// The new root's key, certified by the old.
    pub new_with_old: Option<Vec<u8>>,
    /// The old root's key, certified by the new.
    pub old_with_new: Option<Vec<u8>>,
}

/// Reads a genm. Asking for nothing asks for what everybody wants (RFC 9810 5.3.19): CA certificates and key kinds.
pub(super) fn read(body: Tlv<'_>) -> Result<Vec<Question>, Malformed> {
    let mut questions = Vec::new();
    for item in body.fields().all(MAX_QUESTIONS)? {
        let (kind, value) = item.algorithm()?;
        questions.push(match kind {
            oid::CA_CERTS => Question::CaCertificates,
            oid::ROOT_CA_CERT => Question::RootUpdate(value.map(|v| v.whole.to_vec())),
            oid::CERT_REQ_TEMPLATE => Question::RequestTemplate,
            oid::SIGN_KEY_PAIR_TYPES => Question::KeyKinds,
            oid::CRL_STATUS_LIST => Question::Crls(read_crl_list(value.ok_or(Malformed("crlStatusList"))?)?),
            other => Question::Unknown(other),
        });
    }
    if questions.is_empty() {
        questions = vec![Question::CaCertificates, Question::KeyKinds];
    }
    Ok(questions)
}

fn read_crl_list(list: Tlv<'_>) -> Result<Vec<CrlStatus>, Malformed> {
    list.fields().all(MAX_CRLS)?.into_iter().map(read_crl).collect()
}

/// CRLStatus (RFC 9810 5.3.19.17): the source, a distribution point's name or the issuer's, and thisUpdate.
fn read_crl(tlv: Tlv<'_>) -> Result<CrlStatus, Malformed> {
    const URI: u8 = write::context(6);
    let bad = Malformed("crlStatusList.source");
    let mut fields = tlv.fields();
    let mut status = CrlStatus::default();
    let source = fields.any()?;
    if source.tag == write::context_constructed(0) {
        // DistributionPointName is a CHOICE: [0] fullName under the explicit [0].
        let names = source.inner_tagged(write::context_constructed(0))?;
        let uri = names.fields().all(8)?.into_iter().find(|name| name.tag == URI).ok_or(bad)?;
        status.distribution_point =
            Some(std::str::from_utf8(uri.content).map_err(|_| bad)?.chars().take(500).collect());
    } else if source.tag == write::context_constructed(1) {
        let mut names = source.inner_tagged(write::SEQUENCE)?.fields();
        status.issuer = Some(directory_name(&mut names, "crlStatusList.source")?.ok_or(bad)?.to_vec());
    } else {
        return Err(bad);
    }
    if let Some(time) = fields.next_any()? {
        status.this_update = Some(read_time(time)?);
    }
    fields.finish()?;
    Ok(status)
}

/// Time (RFC 5280 4.1.2.5): UTCTime counts 50 to 99 as 1950 to 1999.
fn read_time(tlv: Tlv<'_>) -> Result<Timestamp, Malformed> {
    if tlv.tag != write::UTC_TIME {
        return tlv.generalized_time();
    }
    let century: &[u8] = if tlv.content.first().is_some_and(|b| *b >= b'5') { b"19" } else { b"20" };
    let mut long = Vec::new();
    write::bytes(&mut long, write::GENERALIZED_TIME, &[century, tlv.content].concat());
    super::tlv::only(&long, write::GENERALIZED_TIME, "thisUpdate")?.generalized_time()
}

/// Writes a genp. Questions without an answer come back without a value (RFC 9483 4.3); what we do not know is named.
pub(super) fn write_answers(questions: &[Question], answers: &Answers) -> Vec<u8> {
    let mut unknown = Vec::new();
    let mut out = Vec::with_capacity(2048);
    write::tlv(&mut out, write::SEQUENCE, |o| {
        for question in questions {
            match question {
                Question::CaCertificates => list(o, &oid::CA_CERTS, &answers.ca_certificates),
                Question::RootUpdate(_) => root_update(o, answers.root_update.as_ref()),
                Question::RequestTemplate => {
                    item(o, &oid::CERT_REQ_TEMPLATE, |o| template(o, &answers.key_kinds))
                }
                Question::KeyKinds => item(o, &oid::SIGN_KEY_PAIR_TYPES, |o| {
                    write::tlv(o, write::SEQUENCE, |o| {
                        answers.key_kinds.iter().for_each(|kind| key_algorithm(o, *kind));
                    });
                }),
                Question::Crls(_) => list(o, &oid::CRLS, &answers.crls),
                Question::Unknown(id) => unknown.push(*id),
            }
        }
        if !unknown.is_empty() {
            // RFC 9810 5.3.19.7
            item(o, &oid::UNSUPPORTED_OIDS, |o| {
                write::tlv(o, write::SEQUENCE, |o| unknown.iter().for_each(|id| write::oid(o, id)));
            });
        }
    });
    out
}

fn item(out: &mut Vec<u8>, id: &ObjectIdentifier, value: impl FnOnce(&mut Vec<u8>)) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, id);
        value(o);
    });
}

fn list(out: &mut Vec<u8>, id: &ObjectIdentifier, elements: &[Vec<u8>]) {
    item(out, id, |o| {
        if !elements.is_empty() {
            write::tlv(o, write::SEQUENCE, |o| elements.iter().for_each(|e| o.extend_from_slice(e)));
        }
    });
}

fn root_update(out: &mut Vec<u8>, update: Option<&RootUpdate>) {
    item(out, &oid::ROOT_CA_KEY_UPDATE, |o| {
        let Some(update) = update else { return };
        write::tlv(o, write::SEQUENCE, |o| {
            o.extend_from_slice(&update.new_with_new);
            for (number, certificate) in [(0, &update.new_with_old), (1, &update.old_with_new)] {
                if let Some(certificate) = certificate {
                    write::bytes(o, write::context_constructed(number), certificate);
                }
            }
        });
    });
}

/// CertReqTemplateContent (RFC 9810 5.3.19.16): an empty template, because names and extensions come from record and
/// profile, and the keys that are certified.
fn template(out: &mut Vec<u8>, kinds: &[PublicKeyKind]) {
    write::tlv(out, write::SEQUENCE, |o| {
        write::bytes(o, write::SEQUENCE, &[]);
        if !kinds.is_empty() {
            write::tlv(o, write::SEQUENCE, |o| {
                for kind in kinds {
                    match kind {
                        PublicKeyKind::Rsa(bits) => item(o, &oid::RSA_LENGTH_CONTROL, |o| {
                            write_integer(o, i64::try_from(*bits).unwrap_or_default());
                        }),
                        other => item(o, &oid::ALGORITHM_CONTROL, |o| key_algorithm(o, *other)),
                    }
                }
            });
        }
    });
}

fn key_algorithm(out: &mut Vec<u8>, kind: PublicKeyKind) {
    let curve = match kind {
        PublicKeyKind::P256 => oid::P256,
        PublicKeyKind::P384 => oid::P384,
        PublicKeyKind::Ed25519 => return write_plain_algorithm(out, &oid::ED25519),
        PublicKeyKind::MlDsa65 => return write_plain_algorithm(out, &lanyard_pki::oid::ML_DSA_65),
        PublicKeyKind::Rsa(_) => {
            return write::tlv(out, write::SEQUENCE, |o| {
                write::oid(o, &oid::RSA_ENCRYPTION);
                o.extend([5, 0]);
            });
        }
    };
    write::tlv(out, write::SEQUENCE, |o| {
        write::oid(o, &oid::EC_PUBLIC_KEY);
        write::oid(o, &curve);
    });
}
