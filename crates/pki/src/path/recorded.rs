//! A certificate whose issuer is known to have signed it, because whoever asks recorded its digest when it was made
//! (docs/adr/0016): the rules of [`super::validate`] without the signature.
//!
//! A server that asks its own records for each certificate anyhow knows more than the signature says, and spares with each
//! request what costs most of a validation. In scope: one end entity directly below its issuer, whose names no constraint
//! bounds. Out of scope: the record; why it is not believed ([`super::validate`] says that).

use lanyard_domain::time::Timestamp;

use super::generic::Usage;
use super::{Purpose, named, ours, rule};
use crate::certificate::{Certificate, PeerIdentity};

/// Whom `leaf` names, if `on_record` says that its SHA-256 is on record as a certificate that `issuer` made for whom it names, and
/// all but the signature holds. `None` is no refusal: then [`super::validate`] is to be asked.
pub fn validate_recorded(
    leaf: &Certificate,
    issuer: &Certificate,
    purpose: Purpose,
    now: Timestamp,
    on_record: impl FnOnce(PeerIdentity, &[u8; 32]) -> bool,
) -> Option<PeerIdentity> {
    let identity = named(std::slice::from_ref(leaf), &ours(purpose, now)).ok()?;
    rule::authority(issuer.facts()).ok()?;
    rule::anchor(issuer, &[], Usage::Tls(purpose)).ok()?;
    let in_validity = |c: &Certificate| c.not_before() <= now && now <= c.not_after();
    let holds = leaf.issuer_der() == issuer.subject_der()
        // Comparing names with constraints is a path's work.
        && !issuer.is_constrained()
        && in_validity(leaf)
        && in_validity(issuer)
        && on_record(identity, &leaf.thumbprint());
    holds.then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{Anchors, validate};
    use crate::testing::{Installation, Issued, NOW};

    const DAY: i64 = 86_400;

    fn recorded(a: &Installation, issued: &Issued, purpose: Purpose, now: Timestamp) -> Option<PeerIdentity> {
        let issuing = a.authority.issuing.certificate();
        validate_recorded(&issued.certificate, issuing, purpose, now, |_, _| true)
    }

    // R53: what a whole path below the issuer as its anchor comes to, for whatever the certificate says and whenever.
    #[test]
    fn it_believes_what_a_whole_validation_believes() {
        let a = Installation::new();
        let issuing = a.authority.issuing.certificate();
        let anchors = Anchors::new(vec![issuing.clone()]).unwrap();
        let early = a.forge(|d| d.not_before = NOW.plus_seconds(DAY));
        let late = a.forge(|d| d.not_after = NOW.plus_seconds(-1));
        let mut judged = vec![a.device(), a.gateway(), a.control(), early, late];
        for missing in ["names", "purposes", "no_rev_avail", "key_usage", "authority_key_id"] {
            judged.push(a.forge(|d| d.remove(missing)));
        }
        let ended = issuing.not_after().plus_seconds(1);
        let (mut good, mut refused) = (0, 0);
        for issued in &judged {
            for purpose in [Purpose::Client, Purpose::Server] {
                let (from, to) = (issued.certificate.not_before(), issued.certificate.not_after());
                for now in [NOW, from, from.plus_seconds(-1), to, to.plus_seconds(1), ended] {
                    let chain = [issued.certificate.der().clone()];
                    let whole = validate(&chain, &anchors, purpose, now).map(|path| path.identity()).ok();
                    assert_eq!(
                        recorded(&a, issued, purpose, now),
                        whole,
                        "{:?} {purpose:?} {now}",
                        issued.certificate
                    );
                    *if whole.is_some() { &mut good } else { &mut refused } += 1;
                }
            }
        }
        assert!(good > 5 && refused > 40, "{good} {refused}");
    }

    // R53
    #[test]
    fn without_a_record_or_by_another_issuer_it_proves_nothing() {
        let (a, b) = (Installation::new(), Installation::new());
        let device = a.device();
        let issuing = a.authority.issuing.certificate();
        let by = |issuer: &Certificate, on_record: bool| {
            validate_recorded(&device.certificate, issuer, Purpose::Client, NOW, |identity, digest| {
                assert_eq!(identity, device.certificate.identity().unwrap());
                assert_eq!(*digest, device.certificate.thumbprint());
                on_record
            })
        };
        assert!(by(issuing, true).is_some());
        for (issuer, on_record) in
            [(issuing, false), (a.authority.root.certificate(), true), (&b.device().certificate, true)]
        {
            assert_eq!(by(issuer, on_record), None);
        }
        let old = Installation::at(NOW.plus_seconds(-DAY * 365 * 11));
        let issued = old.forge(|d| d.not_after = NOW.plus_seconds(DAY));
        assert_eq!(recorded(&old, &issued, Purpose::Client, NOW), None);
    }
}
