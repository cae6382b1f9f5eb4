//! How a certificate's revocation is known: it ends before it would matter (noRevAvail), or lists and a responder say it.
//!
//! The shard of a certificate's CRL is chosen from its serial when it is issued and stands in the certificate, so that
//! reading or building one list never needs the others. In scope: the URIs and the shard. Out of scope: building lists
//! and answers, serving them.
//!
//! Base URIs are of the installation, not of a profile: below them the issuer's key identifier tells the generations
//! apart (a CRL has one issuer, RFC 5280 5), and the shard its number: `<crl_base>/<key id>/<shard>.crl`.

use crate::serial::Serial;

/// Longest base URI: with `/<40 hex>/<5 digits>.crl` behind it still below 256.
const MOST_CHARACTERS: usize = 200;
/// 5 million certificates over 65,536 lists are 76 entries each; more lists than that only cost requests.
const MOST_SHARDS: u32 = 65_536;

/// Where an installation serves revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationUris {
    crl_base: String,
    ocsp: String,
    ca_issuers_base: String,
    shards: u32,
}

/// Why URIs cannot stand in certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRevocationUris {
    /// Not a URI that every relying party can fetch.
    #[error("{field}: `{found}` {rule}")]
    Uri {
        /// Which.
        field: &'static str,
        /// The text, cut to 80 characters.
        found: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// No list, or more than make sense.
    #[error("shards: {0} is not within 1 to {MOST_SHARDS}")]
    Shards(u32),
}

impl RevocationUris {
    /// Checks and keeps the three URIs and the number of lists. The number may grow later: a certificate keeps the
    /// shard that stands in it, so lists with the old numbers are served until the last of them has expired.
    pub fn new(
        crl_base: &str,
        ocsp: &str,
        ca_issuers_base: &str,
        shards: u32,
    ) -> Result<Self, BadRevocationUris> {
        for (field, uri) in [("crl_base", crl_base), ("ocsp", ocsp), ("ca_issuers", ca_issuers_base)] {
            check(field, uri)?;
        }
        if !(1..=MOST_SHARDS).contains(&shards) {
            return Err(BadRevocationUris::Shards(shards));
        }
        let [crl_base, ocsp, ca_issuers_base] = [crl_base, ocsp, ca_issuers_base].map(str::to_owned);
        Ok(Self { crl_base, ocsp, ca_issuers_base, shards })
    }

    /// How many lists there are for each issuer.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// The list on which a serial would stand.
    pub fn shard_of(&self, serial: &Serial) -> u32 {
        // The low octets: the first one of a serial of ours has two fixed bits. 65,536 divides 2^32 evenly, and any
        // smaller number is uneven by less than one in 65,000.
        let low = serial.der_content().iter().rev().take(4).rev().fold(0u32, |n, b| (n << 8) | u32::from(*b));
        low % self.shards
    }

    /// The URI of one list.
    pub fn crl(&self, issuer_key_id: &[u8], shard: u32) -> String {
        format!("{}/{}/{shard}.crl", self.crl_base, data_encoding::HEXLOWER.encode(issuer_key_id))
    }

    /// The URI of the responder.
    pub fn ocsp(&self) -> &str {
        &self.ocsp
    }

    /// The URI of the issuer's certificate, DER (RFC 5280 4.2.2.1).
    pub fn ca_issuers(&self, issuer_key_id: &[u8]) -> String {
        format!("{}/{}.cer", self.ca_issuers_base, data_encoding::HEXLOWER.encode(issuer_key_id))
    }

    /// What stands in one certificate.
    pub(crate) fn pointers(&self, issuer_key_id: &[u8], serial: &Serial) -> Pointers {
        let shard = self.shard_of(serial);
        Pointers {
            shard,
            crl: self.crl(issuer_key_id, shard),
            ocsp: self.ocsp.clone(),
            ca_issuers: self.ca_issuers(issuer_key_id),
        }
    }
}

/// The three URIs in one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointers {
    pub shard: u32,
    pub crl: String,
    pub ocsp: String,
    pub ca_issuers: String,
}

fn check(field: &'static str, uri: &str) -> Result<(), BadRevocationUris> {
    let bad = |rule| Err(BadRevocationUris::Uri { field, found: uri.chars().take(80).collect(), rule });
    // RFC 5280 8: behind https, fetching the list would need a certificate whose list must be fetched first.
    let Some(rest) = uri.strip_prefix("http://") else { return bad("must start with http:// (RFC 5280 8)") };
    if uri.len() > MOST_CHARACTERS {
        return bad("has more than 200 characters");
    }
    if rest.split('/').next().is_none_or(str::is_empty) || uri.ends_with('/') {
        return bad("must name a host and not end with `/`");
    }
    // RFC 3986 2: what is outside of this set would have to be escaped, and readers differ in how.
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/:[]".contains(&b)) {
        return bad("must have letters, digits and -._~/:[] only, no query and no fragment");
    }
    Ok(())
}

/// How a profile's certificates are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// A CA: its end is announced by trust bundles.
    Unstated,
    /// It lives too briefly for a list: noRevAvail (RFC 9608).
    ShortLived,
    /// CRL shard and responder.
    Lists(RevocationUris),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uris(shards: u32) -> RevocationUris {
        let base = "http://pki.hospital.example";
        RevocationUris::new(&format!("{base}/crl"), &format!("{base}/ocsp"), &format!("{base}/ca"), shards)
            .unwrap()
    }

    #[test]
    fn a_certificate_names_the_list_of_its_issuer_and_serial() {
        let serial = Serial::from_der_content(&[0x41, 0, 0, 1, 2]).unwrap();
        let pointers = uris(128).pointers(&[0xab; 20], &serial);
        let id = "ab".repeat(20);
        // 0x00000102 = 258 = 2 * 128 + 2
        assert_eq!(pointers.crl, format!("http://pki.hospital.example/crl/{id}/2.crl"));
        assert_eq!(pointers.ca_issuers, format!("http://pki.hospital.example/ca/{id}.cer"));
        assert_eq!(pointers.ocsp, "http://pki.hospital.example/ocsp");
    }

    #[test]
    fn uris_that_not_every_peer_can_fetch_are_refused() {
        let good = "http://h";
        for bad in [
            "https://h/crl",
            "ldap://h/cn=crl",
            "http://",
            "http:///crl",
            "http://h/",
            "http://h/a b",
            "http://h/?q",
            "http://h/#f",
            "http://user@h/crl",
            "HTTP://h",
            "h/crl",
            "",
            &format!("http://h/{}", "a".repeat(200)),
        ] {
            for fields in [[bad, good, good], [good, bad, good], [good, good, bad]] {
                let [crl, ocsp, issuers] = fields;
                let refused = RevocationUris::new(crl, ocsp, issuers, 1);
                assert!(matches!(refused, Err(BadRevocationUris::Uri { .. })), "{bad}: {refused:?}");
            }
        }
        for shards in [0, MOST_SHARDS + 1] {
            assert_eq!(RevocationUris::new(good, good, good, shards), Err(BadRevocationUris::Shards(shards)));
        }
    }

    proptest! {
        #[test]
        fn a_serial_has_one_shard_below_their_number(bytes: [u8; 16], shards in 1u32..=MOST_SHARDS) {
            let uris = uris(shards);
            let shard = uris.shard_of(&Serial::from_random(bytes));
            prop_assert!(shard < shards);
        }
    }
}
