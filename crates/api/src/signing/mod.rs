//! What an operator signs with a personal Ed25519 key: each read request (RFC 9421 HTTP message signature) and each
//! statement; and the file that holds the key.
//!
//! In scope: making and checking signatures, one exact form of each. Out of scope: which operators exist, how old a
//! request may be, whether its nonce was seen before (the server decides).

mod key;
mod request;

pub use key::{KeyFileError, OperatorKey};
pub use request::{OPERATOR_HEADER, RequestFault, SignedRequest, WINDOW_SECONDS, read_signed, sign_request};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use lanyard_domain::statement::{MAX_STATEMENT, SignedStatement, Statement, StatementError};
use lanyard_domain::text::{Blob, Digest};

/// The signature was not made by this key over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not match: not made by this operator's key, or the content was changed")]
pub struct BadSignature;

/// Signs a statement; its text is fixed from here on.
pub fn sign_statement(statement: &Statement, key: &OperatorKey) -> Result<SignedStatement, StatementError> {
    let text = serde_json::to_string(statement)?;
    if text.len() > MAX_STATEMENT {
        return Err(StatementError::TooLong(text.len()));
    }
    let mut signed = SignedStatement { text, signature: Blob::default() };
    signed.signature = Blob(key.sign(&signed.signed_bytes()).to_vec());
    Ok(signed)
}

/// Checks a statement's signature against an operator's public key.
pub fn verify_statement(signed: &SignedStatement, public_key: &Digest) -> Result<(), BadSignature> {
    verify(public_key, &signed.signed_bytes(), &signed.signature.0)
}

/// Ed25519 (RFC 8032 5.1.7).
fn verify(public_key: &Digest, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, public_key.0).verify(message, signature).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use lanyard_domain::id::{DeviceId, OperatorId};
    use lanyard_domain::statement::Action;
    use lanyard_domain::time::Timestamp;

    use super::*;

    fn statement() -> Statement {
        Statement {
            log: "hospital.example/lanyard".into(),
            operator: OperatorId::from_random([1; 16]),
            at: Timestamp::from_seconds(1_800_000_000),
            nonce: Digest([3; 32]),
            reason: "firmware was changed".into(),
            action: Action::QuarantineDevice { device: DeviceId::from_random([2; 16]) },
        }
    }

    // I4: the server cannot make up or change a person's decision.
    #[test]
    fn only_the_signer_and_only_the_signed_text_verify() {
        let (key, other) = (OperatorKey::generate().unwrap(), OperatorKey::generate().unwrap());
        let signed = sign_statement(&statement(), &key).unwrap();
        assert_eq!(signed.parse().unwrap(), statement());
        assert_eq!(verify_statement(&signed, &key.public_key()), Ok(()));
        assert_eq!(verify_statement(&signed, &other.public_key()), Err(BadSignature));
        for bit in 0..signed.text.len() * 8 {
            let mut text = signed.text.clone().into_bytes();
            text[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(text) {
                let changed = SignedStatement { text, signature: signed.signature.clone() };
                assert_eq!(verify_statement(&changed, &key.public_key()), Err(BadSignature), "bit {bit}");
            }
        }
        for end in 0..64 {
            let cut = SignedStatement {
                signature: Blob(signed.signature.0[..end].to_vec()),
                text: signed.text.clone(),
            };
            assert_eq!(verify_statement(&cut, &key.public_key()), Err(BadSignature), "cut at {end}");
        }
    }

    #[test]
    fn statement_above_the_limit_is_not_signed() {
        let mut long = statement();
        long.reason = "x".repeat(MAX_STATEMENT);
        let key = OperatorKey::generate().unwrap();
        assert!(matches!(sign_statement(&long, &key), Err(StatementError::TooLong(_))));
    }
}
