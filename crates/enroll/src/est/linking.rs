//! Linking of identity and proof of possession (RFC 7030 3.5): a request that names the TLS connection it is sent on
//! cannot be taken from there and sent by somebody else.
//!
//! RFC 7030 means tls-unique, which TLS 1.3 does not have; its place takes tls-exporter (RFC 9266). The attribute is
//! challengePassword, which devices also use for one-time secrets, or estIdentityLinking (RFC 7894), which is nothing
//! else. A secret and base64 cannot be confused: a secret has a hyphen. We never demand linking: the secret and the
//! client certificate are already bound to one record.

use aws_lc_rs::constant_time;
use data_encoding::BASE64;

use super::attributes::Attributes;
use super::credentials::PresentedSecret;
use super::error::EstError;
use crate::secret;

/// Whether the request was made for the connection that it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linking {
    /// It does not say so.
    Absent,
    /// It says so, and it is true.
    Proven,
    /// It says so, and the connection has no channel binding to compare with.
    NotChecked,
}

/// What the challenges in a request come down to.
pub(super) struct Said {
    pub secret: Option<PresentedSecret>,
    pub linking: Linking,
}

/// Tells secrets from bindings, and compares the bindings.
pub(super) fn judge(attributes: &Attributes<'_>, binding: Option<&[u8]>) -> Result<Said, EstError> {
    let is_secret = |text: &&str| secret::id_of(text).is_ok();
    let secret = attributes.challenge.filter(is_secret);
    let challenge = attributes.challenge.filter(|text| !is_secret(text));
    let mut linking = Linking::Absent;
    for claimed in [challenge, attributes.linking].into_iter().flatten() {
        linking = match binding {
            None => Linking::NotChecked,
            Some(binding) => {
                let expected = BASE64.encode(binding);
                constant_time::verify_slices_are_equal(claimed.trim().as_bytes(), expected.as_bytes())
                    .map_err(|_| EstError::NotLinked)?;
                Linking::Proven
            }
        };
    }
    Ok(Said { secret: secret.map(PresentedSecret::new), linking })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdefgh-abcdefghabcdefghabcdefghabcdefgh";

    fn said(
        challenge: Option<&str>,
        linking: Option<&str>,
        binding: Option<&[u8]>,
    ) -> Result<Said, EstError> {
        judge(&Attributes { challenge, linking, ..Attributes::default() }, binding)
    }

    // R36
    #[test]
    fn a_request_made_for_another_connection_is_refused() {
        let here = [7; 32];
        let right = BASE64.encode(&here);
        let wrong = BASE64.encode(&[8; 32]);
        for (challenge, linking) in [(Some(right.as_str()), None), (None, Some(right.as_str()))] {
            assert_eq!(said(challenge, linking, Some(&here)).unwrap().linking, Linking::Proven);
            assert_eq!(said(challenge, linking, None).unwrap().linking, Linking::NotChecked);
        }
        for (challenge, linking) in [
            (Some(wrong.as_str()), None),
            (None, Some(wrong.as_str())),
            (Some(right.as_str()), Some(wrong.as_str())),
            (Some(wrong.as_str()), Some(right.as_str())),
            (right.get(..43), None),
            (Some("1234"), None),
            // estIdentityLinking is never a secret.
            (None, Some(SECRET)),
        ] {
            assert!(
                matches!(said(challenge, linking, Some(&here)), Err(EstError::NotLinked)),
                "{challenge:?}"
            );
        }
    }

    #[test]
    fn a_challenge_in_the_form_of_a_secret_is_one() {
        let found = said(Some(SECRET), None, Some(&[7; 32])).unwrap();
        assert_eq!(found.secret.unwrap().reveal(), SECRET);
        assert_eq!(found.linking, Linking::Absent);
        let both = said(Some(SECRET), Some(&BASE64.encode(&[7; 32])), Some(&[7; 32])).unwrap();
        assert!(both.secret.is_some() && both.linking == Linking::Proven);
    }
}
