//! How a share is written on paper: 32 letters and digits without look-alikes, and six of them that find mistakes.
//!
//! The code is that of Bech32m (BIP 350): a BCH code over GF(32) that finds every mistake in up to four places of
//! 89, and any other with a chance of 1 - 2^-30. The prefix `lys` (Lanyard share) is part of what is checked. Ours are
//! the grouping by four and that upper and lower case, spaces and hyphens mean nothing.

use zeroize::Zeroizing;

/// The letters of Bech32: no `1`, `b`, `i`, `o`.
const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// What a share's text begins with; `1` ends the prefix (BIP 173).
pub(super) const PREFIX: &str = "lys";
const SEPARATOR: u8 = b'1';
const CHECKSUM: usize = 6;
const BECH32M: u32 = 0x2bc8_30a3;
/// Beyond this no text is read: ten times a share.
const MAX_TEXT: usize = 1024;

/// Why a text is no share. Group numbers count from 1, behind the prefix `lys1`; no letter of the text is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Does not begin with `lys1`.
    #[error("a share begins with `lys1`")]
    Prefix,
    /// A letter that no share has.
    #[error(
        "group {group} has a character that is in no share: there are no `b`, `i`, `o` and `1` (look for `6`, `j`, `0`, `l`)"
    )]
    Character {
        /// Where.
        group: usize,
    },
    /// Too short or too long.
    #[error(
        "the share has {found} characters after `lys1`, expected are {expected}: some were left out or doubled"
    )]
    Length {
        /// Without spaces and hyphens.
        found: usize,
        /// As many as there must be.
        expected: usize,
    },
    /// Mistyped.
    #[error("the share is mistyped{}", .group.map(|g| format!(": look at group {g} first")).unwrap_or_default())]
    Mistyped {
        /// Where one changed character would make it right; with two or more mistakes this may be wrong or missing.
        group: Option<usize>,
    },
}

/// Writes bytes in groups of four letters, the prefix first.
pub(super) fn write(bytes: &[u8]) -> Zeroizing<String> {
    let mut symbols = to_symbols(bytes);
    let checksum = remainder(PREFIX, &symbols, CHECKSUM) ^ BECH32M;
    for place in (0..CHECKSUM).rev() {
        symbols.push(((checksum >> (5 * place)) & 31) as u8);
    }
    // Reserved once, so that no copy of a half-written share is left behind by growing.
    let mut out = Zeroizing::new(String::with_capacity(PREFIX.len() + 1 + symbols.len() * 2));
    out.push_str(PREFIX);
    out.push(char::from(SEPARATOR));
    for (place, symbol) in symbols.iter().enumerate() {
        if place % 4 == 0 {
            out.push(' ');
        }
        out.push(letter(*symbol));
    }
    out
}

/// Reads what [`write`] wrote of `length` bytes.
pub(super) fn read(text: &str, length: usize) -> Result<Zeroizing<Vec<u8>>, TextError> {
    let expected = (length * 8).div_ceil(5) + CHECKSUM;
    if text.len() > MAX_TEXT {
        return Err(TextError::Length { found: text.len(), expected });
    }
    let mut typed = Zeroizing::new(Vec::with_capacity(text.len()));
    typed.extend(
        text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'-').map(|b| b.to_ascii_lowercase()),
    );
    let body = typed
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.strip_prefix(&[SEPARATOR]))
        .ok_or(TextError::Prefix)?;
    let mut symbols = Zeroizing::new(Vec::with_capacity(body.len()));
    for (place, byte) in body.iter().enumerate() {
        symbols.push(symbol(*byte).ok_or(TextError::Character { group: place / 4 + 1 })?);
    }
    if symbols.len() != expected {
        return Err(TextError::Length { found: symbols.len(), expected });
    }
    if remainder(PREFIX, &symbols, 0) != BECH32M {
        return Err(TextError::Mistyped { group: suspect(&mut symbols) });
    }
    symbols.truncate(expected - CHECKSUM);
    // Bits beyond the last byte are zero, or one share would have many texts.
    from_symbols(&symbols, length).ok_or(TextError::Mistyped { group: None })
}

fn letter(symbol: u8) -> char {
    LETTERS.get(usize::from(symbol & 31)).copied().map_or('q', char::from)
}

fn symbol(letter: u8) -> Option<u8> {
    LETTERS.iter().zip(0..).find_map(|(known, symbol)| (*known == letter).then_some(symbol))
}

fn to_symbols(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity((bytes.len() * 8).div_ceil(5) + CHECKSUM));
    let (mut pending, mut bits) = (0u32, 0u32);
    for byte in bytes {
        pending = (pending << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push((pending >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        out.push((pending << (5 - bits) & 31) as u8);
    }
    out
}

fn from_symbols(symbols: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(length + 1));
    let (mut pending, mut bits) = (0u32, 0u32);
    for symbol in symbols {
        pending = (pending << 5 | u32::from(*symbol)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((pending >> bits & 0xff) as u8);
        }
    }
    let rest = pending & ((1 << bits) - 1);
    (out.len() == length && rest == 0).then_some(out)
}

/// The remainder of BIP 173's generator over prefix, symbols and `zeros` more symbols.
fn remainder(prefix: &str, symbols: &[u8], zeros: usize) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let step = |state: u32, value: u8| {
        let top = state >> 25;
        let shifted = (state & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATOR
            .iter()
            .zip(0..)
            .fold(shifted, |next, (part, bit)| next ^ (part & 0u32.wrapping_sub(top >> bit & 1)))
    };
    prefix
        .bytes()
        .map(|b| b >> 5)
        .chain([0])
        .chain(prefix.bytes().map(|b| b & 31))
        .chain(symbols.iter().copied())
        .chain(std::iter::repeat_n(0, zeros))
        .fold(1, step)
}

/// The group in which one other letter would make the text right. It is shown and never applied: with more than two
/// mistakes the nearest right text may be another one (BIP 173, "Error correction").
fn suspect(symbols: &mut [u8]) -> Option<usize> {
    for place in 0..symbols.len() {
        for change in 1..32 {
            let flip = |symbols: &mut [u8]| {
                if let Some(symbol) = symbols.get_mut(place) {
                    *symbol ^= change;
                }
            };
            flip(symbols);
            let right = remainder(PREFIX, symbols, 0) == BECH32M;
            flip(symbols);
            if right {
                return Some(place / 4 + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remainder of a whole Bech32m text, for the vectors.
    fn whole(text: &str) -> Option<u32> {
        let text = text.to_ascii_lowercase();
        let (prefix, body) = text.rsplit_once('1')?;
        let symbols: Option<Vec<u8>> = body.bytes().map(symbol).collect();
        Some(remainder(prefix, &symbols?, 0))
    }

    // BIP 350, "Test vectors for Bech32m"
    #[test]
    fn the_checksum_is_that_of_bip_350() {
        for valid in [
            "A1LQFN3A",
            "a1lqfn3a",
            "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
            "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
            "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
            "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
            "?1v759aa",
        ] {
            assert_eq!(whole(valid), Some(BECH32M), "{valid}");
        }
        for invalid in
            ["y1b0jsk6g", "lt1igcx5c0", "in1muywd", "mm1crxm3i", "au1s5cgom", "M1VUXWEZ", "a1lqfn3q"]
        {
            assert_ne!(whole(invalid), Some(BECH32M), "{invalid}");
        }
    }

    const BYTES: [u8; 42] = [0xa7; 42];

    #[test]
    fn case_spaces_and_hyphens_mean_nothing() {
        let text = write(&BYTES);
        assert!(text.starts_with("lys1 "), "{}", *text);
        for form in [
            text.to_string(),
            text.to_uppercase(),
            text.replace(' ', ""),
            text.replace(' ', "-"),
            format!("\n {}\r\n", text.replace(' ', "\n")),
        ] {
            assert_eq!(read(&form, 42).unwrap().as_slice(), BYTES, "{form}");
        }
    }

    #[test]
    fn one_wrong_letter_is_found_in_its_group_and_never_read() {
        let text = write(&BYTES).replace(' ', "");
        for place in 4..text.len() {
            for other in LETTERS {
                let mut changed = text.clone().into_bytes();
                if changed[place] == *other {
                    continue;
                }
                changed[place] = *other;
                let changed = String::from_utf8(changed).unwrap();
                let group = (place - 4) / 4 + 1;
                assert_eq!(read(&changed, 42), Err(TextError::Mistyped { group: Some(group) }));
            }
        }
    }

    // I12. Swaps of neighbours and of groups are what people do; up to four changed places are found for certain.
    #[test]
    fn swapped_left_out_and_doubled_letters_are_never_read() {
        let bytes: Vec<u8> = (0..42).map(|n| n * 6 + 1).collect();
        let text = write(&bytes).replace(' ', "");
        let refused = |changed: &[u8]| {
            let changed = String::from_utf8(changed.to_vec()).unwrap();
            changed == text || read(&changed, 42).is_err()
        };
        for at in 0..text.len() {
            assert!(refused(&text.as_bytes()[..at]), "cut at {at}");
            let mut swapped = text.clone().into_bytes();
            if at + 1 < swapped.len() {
                swapped.swap(at, at + 1);
                assert!(refused(&swapped), "swap at {at}");
            }
            let mut doubled = text.clone().into_bytes();
            doubled.insert(at, doubled[at]);
            assert!(refused(&doubled), "doubled at {at}");
            doubled.pop();
            assert!(refused(&doubled), "doubled at {at}, the end left out");
            for by in [4usize, 8, 20] {
                let mut exchanged = text.clone().into_bytes();
                if at >= 4 && at + by + 4 <= exchanged.len() {
                    for n in 0..4 {
                        exchanged.swap(at + n, at + by + n);
                    }
                    assert!(refused(&exchanged), "groups at {at} and {by} behind");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = write(&BYTES).to_string();
        assert_eq!(read("", 42), Err(TextError::Prefix));
        assert_eq!(read("lyq1 qqqq", 42), Err(TextError::Prefix));
        assert_eq!(read("lys1 qqqq qqbq", 42), Err(TextError::Character { group: 2 }));
        assert_eq!(read("lys1 qqqq qqq\u{e9}", 42), Err(TextError::Character { group: 2 }));
        assert_eq!(read("lys1 qqqq", 42), Err(TextError::Length { found: 4, expected: 74 }));
        assert!(matches!(read(&"q".repeat(2000), 42), Err(TextError::Length { found: 2000, .. })));
        let said = read(&text.replacen('5', "4", 1), 42).unwrap_err().to_string();
        assert!(said.contains("look at group"), "{said}");
    }
}
