//! One entry of a list, written without a detour: a list may have a hundred thousand of them.

use lanyard_domain::time::Timestamp;

use super::Entry;
use crate::revocation::Reason;
use crate::write;

/// SEQUENCE OF one Extension: reasonCode (2.5.29.21), not critical, ENUMERATED of one octet, which follows.
const REASON_HEAD: [u8; 13] = [
    write::SEQUENCE,
    12,
    write::SEQUENCE,
    10,
    write::OBJECT_IDENTIFIER,
    3,
    0x55,
    0x1d,
    0x15,
    write::OCTET_STRING,
    3,
    0x0a,
    1,
];

/// revokedCertificates: SEQUENCE { userCertificate, revocationDate, crlEntryExtensions } (RFC 5280 5.1).
pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(write::SEQUENCE);
    let length_at = out.len();
    out.push(0);
    let serial = entry.serial.magnitude();
    let padding = usize::from(serial.first().is_some_and(|b| *b >= 0x80));
    out.extend([write::INTEGER, (serial.len() + padding) as u8]);
    out.extend(std::iter::repeat_n(0, padding));
    out.extend_from_slice(serial);
    write_time(out, entry.revocation.at);
    // RFC 5280 5.3.1: unspecified is said by leaving the reason out.
    if entry.revocation.reason != Reason::Unspecified {
        out.extend_from_slice(&REASON_HEAD);
        out.push(entry.revocation.reason.code());
    }
    // At most 2 + 21 + 17 + 14 octets: the length fits in one.
    let length = out.len() - length_at - 1;
    if let Some(octet) = out.get_mut(length_at) {
        *octet = length as u8;
    }
}

/// What [`write::time`] writes, digit by digit.
fn write_time(out: &mut Vec<u8>, at: Timestamp) {
    let (year, month, day, hour, minute, second) = at.civil();
    if !(1950..2050).contains(&year) {
        return write::time(out, at);
    }
    out.extend([write::UTC_TIME, 13]);
    for number in [year.rem_euclid(100) as u8, month, day, hour, minute, second] {
        out.extend([b'0' + number / 10, b'0' + number % 10]);
    }
    out.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oid;
    use crate::revocation::Revocation;
    use crate::write::Critical;

    /// The same entry by the general writer.
    fn slowly(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        write::tlv(&mut out, write::SEQUENCE, |o| {
            write::bytes(o, write::INTEGER, &entry.serial.der_content());
            write::time(o, entry.revocation.at);
            if entry.revocation.reason != Reason::Unspecified {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::extension(o, &oid::REASON_CODE, Critical::No, |o| {
                        write::bytes(o, write::ENUMERATED, &[entry.revocation.reason.code()]);
                    });
                });
            }
        });
        out
    }

    #[test]
    fn the_quick_writer_writes_what_the_general_one_does() {
        let longest = "7f".repeat(20);
        for serial in ["1", "7f", "80", "ff01", longest.as_str()] {
            for at in [
                "1955-01-02T03:04:05Z",
                "2026-11-22T12:00:00Z",
                "2049-12-31T23:59:59Z",
                "2050-01-01T00:00:00Z",
            ] {
                for reason in Reason::ALL {
                    let revocation = Revocation { at: at.parse().unwrap(), reason };
                    let entry = Entry { serial: serial.parse().unwrap(), revocation };
                    let mut quick = Vec::new();
                    write_entry(&mut quick, &entry);
                    assert_eq!(quick, slowly(&entry), "{entry:?}");
                }
            }
        }
    }
}
