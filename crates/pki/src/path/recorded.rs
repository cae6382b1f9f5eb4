//! A certificate whose issuer is known to have signed it, because whoever asks recorded its digest when it was made: all that
//! [`super::validate`] looks at, but the signature.
//!
//! A server that asks its own records for each certificate anyhow knows more than the signature says, and spares with each
//! request what costs most of a validation. In scope: one end entity directly below its issuer. Out of scope: the record.

use lanyard_domain::time::Timestamp;

use super::generic::Usage;
use super::{PathError, Purpose, named, ours, rule};
use crate::certificate::{Certificate, PeerIdentity};

/// Whom `leaf` names, where its SHA-256 is on record as a certificate by `issuer`. Without such a record this proves nothing: ask
/// [`super::validate`].
pub fn validate_recorded(
    leaf: &Certificate,
    issuer: &Certificate,
    purpose: Purpose,
    now: Timestamp,
) -> Result<PeerIdentity, PathError> {
    let identity = named(std::slice::from_ref(leaf), &ours(purpose, now))?;
    let refused = |rule| PathError::RefusedAnchor { rule };
    rule::authority(issuer.facts()).map_err(refused)?;
    rule::anchor(issuer, &[], Usage::Tls(purpose)).map_err(refused)?;
    if leaf.issuer_der() != issuer.subject_der() {
        return Err(PathError::UnknownIssuer);
    }
    // Comparing names with constraints is a path's work.
    if issuer.facts().name_constraints.is_some() {
        return Err(PathError::OutsideConstraints { unread: None });
    }
    if now < leaf.not_before() {
        return Err(PathError::NotYetValid { not_before: leaf.not_before() });
    }
    if leaf.not_after() < now {
        return Err(PathError::Expired { not_after: leaf.not_after() });
    }
    if now < issuer.not_before() || issuer.not_after() < now {
        return Err(PathError::AnchorOutsideValidity);
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Anchors, Rule, validate};
    use crate::testing::{Installation, Issued, NOW};

    const DAY: i64 = 86_400;

    fn recorded(
        a: &Installation,
        issued: &Issued,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<PeerIdentity, PathError> {
        validate_recorded(&issued.certificate, a.authority.issuing.certificate(), purpose, now)
    }

    // What a whole path below the issuer as its anchor comes to, word for word, for whatever the certificate says and whenever.
    #[test]
    fn it_says_what_a_whole_validation_says() {
        let a = Installation::new();
        let issuing = a.authority.issuing.certificate();
        let anchors = Anchors::new(vec![issuing.clone()]).unwrap();
        let early = a.forge(|d| d.not_before = NOW.plus_seconds(DAY));
        let late = a.forge(|d| d.not_after = NOW.plus_seconds(-1));
        let mut judged = vec![a.device(), a.gateway(), a.control(), early, late];
        for missing in ["names", "purposes", "no_rev_avail", "key_usage", "authority_key_id"] {
            judged.push(a.forge(|d| d.remove(missing)));
        }
        let (mut good, mut refused) = (0, 0);
        for issued in &judged {
            for purpose in [Purpose::Client, Purpose::Server] {
                let (from, to) = (issued.certificate.not_before(), issued.certificate.not_after());
                for now in [
                    NOW,
                    from,
                    from.plus_seconds(-1),
                    to,
                    to.plus_seconds(1),
                    issuing.not_after().plus_seconds(1),
                ] {
                    let chain = [issued.certificate.der().clone()];
                    let whole = validate(&chain, &anchors, purpose, now).map(|path| path.identity());
                    let found = recorded(&a, issued, purpose, now);
                    match (&found, &whole) {
                        (Ok(_), Ok(_)) => good += 1,
                        _ => refused += 1,
                    }
                    // Of several reasons either may be said first.
                    assert_eq!(found.is_ok(), whole.is_ok(), "{found:?} {whole:?}");
                    if let (Ok(found), Ok(whole)) = (&found, &whole) {
                        assert_eq!(found, whole);
                    }
                }
            }
        }
        assert!(good > 5 && refused > 40, "{good} {refused}");
    }

    #[test]
    fn another_issuer_or_one_that_ended_vouches_for_nothing() {
        let (a, b) = (Installation::new(), Installation::new());
        let device = a.device();
        assert!(recorded(&a, &device, Purpose::Client, NOW).is_ok());
        let root = a.authority.root.certificate();
        let by_root = validate_recorded(&device.certificate, root, Purpose::Client, NOW);
        assert_eq!(by_root, Err(PathError::UnknownIssuer));
        let no_ca = validate_recorded(&device.certificate, &b.device().certificate, Purpose::Client, NOW);
        assert_eq!(no_ca, Err(PathError::RefusedAnchor { rule: Rule::IssuerIsNoCa }));
        let old = Installation::at(NOW.plus_seconds(-86_400 * 365 * 11));
        let issued = old.forge(|d| d.not_after = NOW.plus_seconds(DAY));
        assert_eq!(recorded(&old, &issued, Purpose::Client, NOW), Err(PathError::AnchorOutsideValidity));
    }
}
