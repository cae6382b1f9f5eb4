//! Base64url without padding (RFC 7515 2), canonical: one text for one value.

use data_encoding::BASE64URL_NOPAD;

use super::problem::Problem;

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// Decodes; the field is named in the refusal. Padding and stray bits at the end are refused (RFC 8555 6.1).
pub(super) fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, Problem> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| Problem::malformed(format!("`{field}` is not base64url without padding")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(decode("x", "AQ").unwrap(), [1]);
        for bad in ["AQ==", "AR", "A", "A+/=", "A Q", "\u{e9}"] {
            assert!(decode("x", bad).is_err(), "{bad}");
        }
    }
}
