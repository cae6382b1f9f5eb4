//! Finds what opened payloads name: members with a text value, and digests.
//!
//! Payloads are JSON, but this layer reads them as bytes and looks for exact sequences. That is sound because
//! a quotation mark inside a JSON string is written `\"`: the sequence `"name":"` cannot hide in a value.
//! Which event such a member belongs to is the upper layer's question; it gets the position.

use std::collections::HashMap;

/// Hexadecimal digits of a SHA-256 digest.
const DIGEST: usize = 64;

/// Where each digest and each member value is named first, a claim where it is named last: index of the leaf.
#[derive(Default)]
pub(super) struct Quotes<'a> {
    digests: HashMap<&'a [u8], usize>,
    claims: HashMap<&'a [u8], usize>,
    notes: HashMap<&'a [u8], usize>,
    vkeys: HashMap<&'a [u8], usize>,
}

impl<'a> Quotes<'a> {
    /// Reads the digests that any payload names; leaves come in the order of the bundle.
    pub(super) fn read_digests(&mut self, leaf: usize, payload: &'a [u8]) {
        for digest in digests(payload) {
            self.digests.entry(digest).or_insert(leaf);
        }
    }

    /// Reads the members that count only in payloads of the main log.
    pub(super) fn read_members(&mut self, leaf: usize, payload: &'a [u8]) {
        self.claims.extend(members(payload, b"\"claim_sha256\":\"").map(|value| (value, leaf)));
        for value in members(payload, b"\"note_sha256\":\"") {
            self.notes.entry(value).or_insert(leaf);
        }
        for value in members(payload, b"\"vkey\":\"") {
            self.vkeys.entry(value).or_insert(leaf);
        }
    }

    /// First leaf that holds this digest as a whole JSON string.
    pub(super) fn digest(&self, hex: &str) -> Option<usize> {
        self.digests.get(hex.as_bytes()).copied()
    }

    /// Last leaf that holds `claim_sha256` with this digest: the same claim may have been exported before.
    pub(super) fn claim(&self, hex: &str) -> Option<usize> {
        self.claims.get(hex.as_bytes()).copied()
    }

    /// First leaf that holds `note_sha256` with this digest.
    pub(super) fn note(&self, hex: &str) -> Option<usize> {
        self.notes.get(hex.as_bytes()).copied()
    }

    /// First leaf that holds `vkey` with this text.
    pub(super) fn vkey(&self, vkey: &str) -> Option<usize> {
        self.vkeys.get(vkey.as_bytes()).copied()
    }
}

/// All runs of exactly 64 lowercase hexadecimal digits between two quotation marks.
fn digests(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Pieces between quotation marks; the first and the last have only one and are no quotation.
    let mut pieces = payload.split(|byte| *byte == b'"').skip(1).peekable();
    std::iter::from_fn(move || {
        loop {
            let piece = pieces.next()?;
            pieces.peek()?;
            if piece.len() == DIGEST && piece.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
                return Some(piece);
            }
        }
    })
}

/// The bytes from each occurrence of `opening` (it ends in a quotation mark) to the next quotation mark.
fn members<'a>(payload: &'a [u8], opening: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let starts = payload.windows(opening.len()).enumerate().filter(move |(_, window)| *window == opening);
    starts.filter_map(move |(at, _)| {
        let rest = payload.get(at + opening.len()..)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        rest.get(..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_whole_quoted_lowercase_strings() {
        let hex = "0123456789abcdef".repeat(4);
        let check = |payload: String, found: bool| {
            let mut quotes = Quotes::default();
            quotes.read_digests(7, payload.as_bytes());
            assert_eq!(quotes.digest(&hex), found.then_some(7), "{payload}");
        };
        check(format!(r#"{{"a":"{hex}"}}"#), true);
        check(format!(r#"["{hex}"]"#), true);
        check(format!(r#""{hex}"#), false);
        check(format!(r#"{hex}""#), false);
        check(format!(r#"{{"a":"{hex}0"}}"#), false);
        check(format!(r#"{{"a":"{}"}}"#, hex.to_uppercase()), false);
        check(format!(r#"{{"a":"{}"}}"#, hex.get(1..).unwrap()), false);
    }

    #[test]
    fn a_member_name_cannot_hide_in_an_escaped_string() {
        let mut quotes = Quotes::default();
        quotes.read_members(0, br#"{"text":"\"vkey\":\"evil+00000000+AA\""}"#);
        assert_eq!(quotes.vkey("evil+00000000+AA"), None);
        quotes.read_members(1, br#"{"vkey":"good+00000000+AA","note_sha256":"x","claim_sha256":"y"}"#);
        assert_eq!(quotes.vkey("good+00000000+AA"), Some(1));
        assert_eq!((quotes.note("x"), quotes.claim("y")), (Some(1), Some(1)));
        assert_eq!((quotes.note("y"), quotes.claim("x")), (None, None));
    }
}
