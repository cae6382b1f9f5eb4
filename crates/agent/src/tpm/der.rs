//! The little DER (X.690) that a root of trust needs: writing a signature and an endorsement certificate, and
//! telling where one certificate ends. Out of scope: reading anything else; that is `lanyard_pki`'s.

/// One element.
pub(super) fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    // X.690 8.1.3: short form below 128, else the count of length octets first. The longest is a list, below 4 GiB.
    match u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes() {
        [0, 0, 0, n] if n < 0x80 => out.push(n),
        [0, 0, 0, n] => out.extend_from_slice(&[0x81, n]),
        [0, 0, high, low] => out.extend_from_slice(&[0x82, high, low]),
        [0, a, b, c] => out.extend_from_slice(&[0x83, a, b, c]),
        [a, b, c, d] => out.extend_from_slice(&[0x84, a, b, c, d]),
    }
    out.extend_from_slice(body);
    out
}

/// SEQUENCE of parts that are encoded already.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// INTEGER from an unsigned big-endian number.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut value: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    // X.690 8.3: a set top bit would make it negative.
    if value.first().is_none_or(|b| *b >= 0x80) {
        value.insert(0, 0);
    }
    tlv(0x02, &value)
}

/// ECDSA-Sig-Value (RFC 3279 2.2.3) from the two numbers of a signature.
pub(super) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    sequence(&[&unsigned(r), &unsigned(s)])
}

/// The certificates at the start of `bytes`; whatever follows the last whole SEQUENCE is padding. An NV index
/// may be larger than its certificate, and one index may hold several.
#[cfg(any(test, feature = "tpm"))]
pub(super) fn certificates(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let len = match bytes {
            [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
            [0x30, 0x81, n, ..] => 3 + usize::from(*n),
            _ => return out,
        };
        let Some((certificate, rest)) = bytes.split_at_checked(len) else { return out };
        out.push(certificate.to_vec());
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_never_negative() {
        for (input, expected) in [
            (&[0u8, 0, 1][..], &[2u8, 1, 1][..]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0], &[2, 1, 0]),
            (&[], &[2, 1, 0]),
        ] {
            assert_eq!(unsigned(input), expected);
        }
    }

    #[test]
    fn certificates_are_told_apart_and_padding_is_left_out() {
        let (one, two) = (sequence(&[&[1; 300]]), sequence(&[&[2; 200]]));
        let all = [&one[..], &two, &[0xff; 40]].concat();
        assert_eq!(certificates(&all), [one.clone(), two]);
        for end in 0..one.len() {
            assert!(certificates(&one[..end]).is_empty(), "cut at {end}");
        }
    }
}
