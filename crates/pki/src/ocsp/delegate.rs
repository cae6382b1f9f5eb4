//! Who may answer for a CA (RFC 6960 4.2.2.2): a certificate that this CA itself signed for this purpose.
//!
//! One set of rules for both sides: a responder of ours is refused at its start by what would have its answers refused.

use crate::certificate::Certificate;
use crate::oid;

/// Why it may not, as a sentence that follows "it may not answer: ".
pub(super) fn may_answer_for(responder: &Certificate, issuer: &Certificate) -> Result<(), &'static str> {
    let facts = responder.facts();
    if responder.issuer_der() != issuer.subject_der() {
        return Err("it was issued by another CA");
    }
    let purposes = facts.extended_key_usage.as_deref().unwrap_or_default();
    // RFC 6960 4.2.2.2: the purpose itself; a wildcard would let every server of the CA answer.
    if !purposes.contains(&oid::OCSP_SIGNING) {
        return Err("extendedKeyUsage does not name OCSPSigning");
    }
    if facts.is_ca() {
        return Err("it is a CA");
    }
    if facts.key_usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err("keyUsage does not assert digitalSignature");
    }
    // RFC 6960 4.2.2.2.1 leaves it open how the responder's own revocation is found; here nocheck says that the CA
    // bounds it by a short life, and without it there is nobody left to ask.
    if facts.criticality(&oid::OCSP_NO_CHECK).is_none() {
        return Err("it lacks id-pkix-ocsp-nocheck, and its own revocation cannot be checked");
    }
    if !responder.is_signed_by(issuer) {
        return Err("the CA did not sign it");
    }
    Ok(())
}
