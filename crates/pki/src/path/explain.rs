//! From webpki's errors to ours: what was wrong, in words that say what to do.

use lanyard_domain::time::Timestamp;
use rustls_pki_types::UnixTime;
use x509_cert::ext::pkix::name::GeneralName;

use super::PathError;
use super::anchors::Anchors;
use crate::certificate::Certificate;

pub(super) fn explain(
    error: webpki::Error,
    chain: &[Certificate],
    anchors: &Anchors,
    now: Timestamp,
) -> PathError {
    use webpki::Error as E;
    let at = |t: UnixTime| Timestamp::from_seconds(i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
    match error {
        E::CertExpired { not_after, .. } => PathError::Expired { not_after: at(not_after) },
        E::CertNotValidYet { not_before, .. } => PathError::NotYetValid { not_before: at(not_before) },
        E::NameConstraintViolation => PathError::OutsideConstraints { unread: unread(chain, anchors) },
        E::UnknownIssuer => {
            let left_out = anchors.certificates.iter().any(|anchor| {
                (now < anchor.not_before() || anchor.not_after() < now)
                    && chain.iter().any(|c| c.issuer_der() == anchor.subject_der())
            });
            if left_out { PathError::AnchorOutsideValidity } else { PathError::UnknownIssuer }
        }
        other => PathError::Invalid(format!("{other:?}")),
    }
}

/// The first form of name that a CA constrains and webpki does not evaluate: it counts such names as outside.
fn unread(chain: &[Certificate], anchors: &Anchors) -> Option<&'static str> {
    let constraints =
        chain.iter().chain(&anchors.certificates).filter_map(|c| c.facts().name_constraints.as_ref());
    constraints.flat_map(|c| c.permitted_subtrees.iter().chain(&c.excluded_subtrees).flatten()).find_map(
        |subtree| match subtree.base {
            GeneralName::DnsName(_) | GeneralName::IpAddress(_) => None,
            GeneralName::DirectoryName(_) => Some("directoryName"),
            GeneralName::Rfc822Name(_) => Some("rfc822Name"),
            GeneralName::UniformResourceIdentifier(_) => Some("URI"),
            _ => Some("other"),
        },
    )
}
