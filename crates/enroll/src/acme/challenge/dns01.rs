//! dns-01 (RFC 8555 8.4): a TXT record below the name.

use super::Failure;
use crate::acme::base64url;
use crate::acme::digest::sha256;
use crate::acme::identifier::Identifier;

/// Whose TXT records to ask for.
pub fn name(identifier: &Identifier) -> String {
    format!("_acme-challenge.{identifier}")
}

/// Judges the TXT records found: one of them must be right, others may be left from elsewhere.
pub fn check<S: AsRef<[u8]>>(records: &[S], key_authorization: &str) -> Result<(), Failure> {
    let expected = base64url::encode(&sha256(key_authorization.as_bytes()));
    if records.iter().any(|r| r.as_ref() == expected.as_bytes()) {
        return Ok(());
    }
    let many = records.len();
    Err(Failure::incorrect(format!("none of {many} TXT records is the digest of the key authorization")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The digest of RFC 8555's own example form, made with another tool.
    #[test]
    fn one_of_the_records_is_the_digest() {
        let digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert!(check(&["x", digest], "").is_ok());
        assert!(check(&[digest], "a").is_err());
        assert!(check(&[format!("{digest} ")], "").is_err());
        assert!(check::<&str>(&[], "").is_err());
        assert_eq!(name(&Identifier::parse("dns", "a.example").unwrap()), "_acme-challenge.a.example");
    }
}
