//! Base64 bodies (RFC 8951 3.1): what clients send is read with or without white space, and each gets its answer in
//! the style that it wrote itself.
//!
//! Why there are styles: strongSwan 5.9.8 does not read lines, libest reads nothing but lines, and RFC 8951 allows both.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

/// How an answer's base64 is broken into lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Base64Style {
    /// One line without an end. RFC 8951 3.1: senders need not insert white space.
    #[default]
    OneLine,
    /// Lines of 64 characters (RFC 7468 2), as OpenSSL and libest write them.
    Wrapped64,
    /// Lines of 76 characters (RFC 2045 6.8), as MIME libraries and coreutils write them.
    Wrapped76,
}

impl Base64Style {
    /// As it stands in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Base64Style::OneLine => "one-line",
            Base64Style::Wrapped64 => "wrapped-64",
            Base64Style::Wrapped76 => "wrapped-76",
        }
    }

    const fn width(self) -> usize {
        match self {
            Base64Style::OneLine => usize::MAX,
            Base64Style::Wrapped64 => 64,
            Base64Style::Wrapped76 => 76,
        }
    }

    /// The style that a body is written in.
    pub(super) fn of(body: &[u8]) -> Self {
        let body = body.trim_ascii();
        match body.iter().position(|byte| *byte == b'\n') {
            None => Base64Style::OneLine,
            // Up to 64 characters and the CR of CR LF.
            Some(0..=65) => Base64Style::Wrapped64,
            Some(_) => Base64Style::Wrapped76,
        }
    }
}

impl fmt::Display for Base64Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text names no style.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a base64 style: use `one-line`, `wrapped-64` or `wrapped-76`")]
pub struct BadStyle(String);

impl FromStr for Base64Style {
    type Err = BadStyle;

    fn from_str(text: &str) -> Result<Self, BadStyle> {
        [Base64Style::OneLine, Base64Style::Wrapped64, Base64Style::Wrapped76]
            .into_iter()
            .find(|style| style.as_str() == text)
            .ok_or_else(|| BadStyle(text.chars().take(80).collect()))
    }
}

/// Why a body is not base64. Two of them are what people do by hand, and say how to do it right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBase64 {
    /// Nothing there.
    #[error("the body is empty: send base64 of DER")]
    Empty,
    /// PEM armour.
    #[error("the body is PEM: send the base64 without the BEGIN and END lines")]
    Pem,
    /// DER as it is.
    #[error("the body is DER: send its base64")]
    Der,
    /// A character that is none of base64.
    #[error("the body is not base64: byte 0x{byte:02x} at {at}")]
    Character {
        /// Counted from 0.
        at: usize,
        /// What stands there.
        byte: u8,
    },
    /// A length or padding that no bytes have.
    #[error("the body is not base64: it ends early, or its padding is wrong (RFC 4648 4)")]
    Padding,
}

/// RFC 7468 2
const ARMOUR: &[u8] = b"-----BEGIN ";

/// RFC 8951 3.1: CR, LF, spaces and tabs are tolerated wherever they stand.
pub(super) fn decode(body: &[u8]) -> Result<Vec<u8>, BadBase64> {
    // Tools write comments in front of it.
    if body.windows(ARMOUR.len()).any(|window| window == ARMOUR) {
        return Err(BadBase64::Pem);
    }
    // A SEQUENCE with a long length. Its first byte is also a base64 character, its second is none.
    if matches!(body, [0x30, 0x80..=0x84, ..]) {
        return Err(BadBase64::Der);
    }
    let mut text = Vec::with_capacity(body.len());
    for (at, byte) in body.iter().copied().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => text.push(byte),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            byte => return Err(BadBase64::Character { at, byte }),
        }
    }
    if text.is_empty() {
        return Err(BadBase64::Empty);
    }
    BASE64.decode(&text).map_err(|_| BadBase64::Padding)
}

/// Lines end with LF: what `base64 -d` and `openssl base64 -d` both read.
pub(super) fn encode(bytes: &[u8], style: Base64Style) -> Vec<u8> {
    let text = BASE64.encode(bytes).into_bytes();
    if style == Base64Style::OneLine {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + text.len() / style.width() + 1);
    for line in text.chunks(style.width()) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLES: [Base64Style; 3] = [Base64Style::OneLine, Base64Style::Wrapped64, Base64Style::Wrapped76];

    #[test]
    fn every_style_reads_back_and_is_recognised() {
        // 48 and 57 bytes fill a line exactly.
        for length in [1, 2, 3, 47, 48, 49, 56, 57, 58, 300, 1000] {
            let bytes: Vec<u8> = (0..length).map(|n: usize| n as u8).collect();
            for style in STYLES {
                let text = encode(&bytes, style);
                assert_eq!(decode(&text).unwrap(), bytes, "{style} {length}");
                let crlf = String::from_utf8(text.clone()).unwrap().replace('\n', "\r\n");
                assert_eq!(decode(crlf.as_bytes()).unwrap(), bytes, "{style} {length}");
                if length > 58 {
                    assert_eq!(Base64Style::of(&text), style);
                    assert_eq!(Base64Style::of(crlf.as_bytes()), style);
                }
                let longest = text.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap();
                assert!(longest <= style.width());
            }
        }
    }

    #[test]
    fn a_style_is_known_by_its_name() {
        for style in STYLES {
            assert_eq!(style.as_str().parse(), Ok(style));
        }
        assert!("mime".parse::<Base64Style>().unwrap_err().to_string().contains("wrapped-64"));
    }

    // I12
    #[test]
    fn what_people_send_by_mistake_is_named() {
        for (body, expected) in [
            (b"".as_slice(), BadBase64::Empty),
            (b" \r\n", BadBase64::Empty),
            (b"\n-----BEGIN CERTIFICATE REQUEST-----\nMIIB", BadBase64::Pem),
            (b"subject=CN = pump\n-----BEGIN CERTIFICATE REQUEST-----\nMIIB", BadBase64::Pem),
            (&[0x30, 0x82, 1, 2], BadBase64::Der),
            (b"MIIB.", BadBase64::Character { at: 4, byte: b'.' }),
            (b"MIIB\0", BadBase64::Character { at: 4, byte: 0 }),
            (b"MII", BadBase64::Padding),
            (b"MI==MI==A", BadBase64::Padding),
            // Bits that no encoder leaves behind.
            (b"MR==", BadBase64::Padding),
        ] {
            assert_eq!(decode(body), Err(expected), "{body:?}");
        }
    }
}
