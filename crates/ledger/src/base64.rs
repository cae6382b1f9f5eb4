//! Standard base64 with padding (RFC 4648 §4) in its one canonical spelling.

use data_encoding::BASE64;

/// Decodes, unless another text stands for the same bytes: the decoder alone also takes padded pieces joined together
/// (`YWI=Yw==` for `YWJj`), and one signature would have many spellings.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_pieces_joined_together_are_refused() {
        assert_eq!(decode("YWJj").as_deref(), Some(b"abc".as_slice()));
        for text in ["YWI=Yw==", "YWJj=", "YWJ", "YWI", "YWJ ", "YWJk\n", "YWK="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
