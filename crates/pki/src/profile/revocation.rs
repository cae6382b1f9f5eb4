//! How a certificate's revocation is known: it ends before it would matter (noRevAvail), or lists and a responder say it.
//!
//! In scope: the three addresses of an installation, and which of them stand in one certificate: all three in one that is
//! listed, its root's list and the root in an authority's (a root has no responder). Out of scope: how the
//! lists are divided ([`crate::crl::shard`]), building and serving lists and answers.
//!
//! Base addresses are of the installation, not of a profile: below them the issuer's key identifier tells the generations
//! apart (a CRL has one issuer, RFC 5280 5).

use crate::crl::shard::{BadShard, Place, Shards};
use crate::serial::Serial;
use crate::uri::{BadUri, HttpUri};

/// Longest base address: with `/<40 hex>/<4 digits>/<4 digits>.crl` behind it it still is an [`HttpUri`].
const MOST_CHARACTERS: usize = 200;

/// Where an installation serves revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationUris {
    crl_base: HttpUri,
    ocsp: HttpUri,
    ca_issuers_base: HttpUri,
    shards: Shards,
    deltas_from: usize,
}

/// Why addresses cannot stand in certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRevocationUris {
    /// Not an address that every relying party can fetch.
    #[error("{field}: {source}")]
    Uri {
        /// Which.
        field: &'static str,
        /// The rule that it breaks.
        source: BadUri,
    },
    /// No room for what stands behind it.
    #[error("{field}: `{uri}` has more than {MOST_CHARACTERS} characters")]
    Long {
        /// Which.
        field: &'static str,
        /// The address.
        uri: HttpUri,
    },
    /// No list, or more than make sense.
    #[error("shards: {0}")]
    Shards(#[from] BadShard),
}

impl RevocationUris {
    /// Checks and keeps the three addresses and the number of lists. The number may change later: a certificate keeps the
    /// list that stands in it, so lists of the old number are served until the last of them has expired.
    pub fn new(
        crl_base: &str,
        ocsp: &str,
        ca_issuers_base: &str,
        shards: u32,
    ) -> Result<Self, BadRevocationUris> {
        Ok(Self {
            crl_base: checked("crl_base", crl_base)?,
            ocsp: checked("ocsp", ocsp)?,
            ca_issuers_base: checked("ca_issuers", ca_issuers_base)?,
            shards: Shards::new(shards)?,
            deltas_from: 0,
        })
    }

    /// The addresses as a control plane serves them below its public one.
    pub fn below(http_url: &str, shards: u32) -> Result<Self, BadRevocationUris> {
        let at = |path: &str| format!("{}/{path}", http_url.trim_end_matches('/'));
        Self::new(&at("crl"), &at("ocsp"), &at("ca"), shards)
    }

    /// Lists with at least so many entries say where their difference is; none do for 0.
    pub fn with_deltas_from(mut self, entries: usize) -> Self {
        self.deltas_from = entries;
        self
    }

    /// Whether a list with so many entries has a difference that is served.
    pub fn has_delta(&self, entries: usize) -> bool {
        self.deltas_from > 0 && entries >= self.deltas_from
    }

    /// The address of the difference to a list ([`crate::crl::Kind::Delta`]).
    pub fn delta(&self, place: &Place) -> Result<HttpUri, BadUri> {
        self.crl_base.join(&place.delta_path())
    }

    /// How many lists there are for each issuer.
    pub fn shards(&self) -> Shards {
        self.shards
    }

    /// The address of one list: in certificates, and in the list itself ([`crate::crl::Scope::Users`]).
    pub fn crl(&self, place: &Place) -> Result<HttpUri, BadUri> {
        place.uri(&self.crl_base)
    }

    /// The address of the responder.
    pub fn ocsp(&self) -> &HttpUri {
        &self.ocsp
    }

    /// The address of the issuer's certificate, DER (RFC 5280 4.2.2.1).
    pub fn ca_issuers(&self, issuer_key_id: &[u8]) -> Result<HttpUri, BadUri> {
        self.ca_issuers_base.join(&format!("{}.cer", data_encoding::HEXLOWER.encode(issuer_key_id)))
    }

    /// What stands in one certificate.
    pub(crate) fn pointers(&self, issuer_key_id: &[u8], serial: &Serial) -> Result<Pointers, BadUri> {
        let place = Place::of(issuer_key_id, self.shards, serial);
        Ok(Pointers {
            crl: Some(self.crl(&place)?),
            ocsp: Some(self.ocsp.clone()),
            ca_issuers: self.ca_issuers(issuer_key_id)?,
            place: Some(place),
        })
    }

    /// What stands in the certificate of an authority whose root has its list here.
    pub(crate) fn root_pointers(&self, root_key_id: &[u8], serial: &Serial) -> Result<Pointers, BadUri> {
        let place = Place::of(root_key_id, Shards::ONE, serial);
        Ok(Pointers { crl: Some(self.crl(&place)?), place: Some(place), ..self.root_only(root_key_id)? })
    }

    /// What stands in the certificate of an authority whose root's key is elsewhere: nobody signs a list for us to serve.
    pub(crate) fn root_only(&self, root_key_id: &[u8]) -> Result<Pointers, BadUri> {
        Ok(Pointers { place: None, crl: None, ocsp: None, ca_issuers: self.ca_issuers(root_key_id)? })
    }
}

/// The addresses in one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointers {
    pub place: Option<Place>,
    pub crl: Option<HttpUri>,
    pub ocsp: Option<HttpUri>,
    pub ca_issuers: HttpUri,
}

fn checked(field: &'static str, text: &str) -> Result<HttpUri, BadRevocationUris> {
    let uri: HttpUri = text.parse().map_err(|source| BadRevocationUris::Uri { field, source })?;
    if text.len() > MOST_CHARACTERS {
        return Err(BadRevocationUris::Long { field, uri });
    }
    Ok(uri)
}

/// How a profile's certificates are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// A root, or a CA of an installation without a public address: its end is announced by trust bundles.
    Unstated,
    /// A CA below a root of ours: the root's list, beside trust bundles.
    RootsList(RevocationUris),
    /// A CA below a root whose key is elsewhere: only where that root's certificate is.
    RootOnly(RevocationUris),
    /// It lives too briefly for a list: noRevAvail (RFC 9608).
    ShortLived,
    /// CRL shard and responder.
    Lists(RevocationUris),
    /// An OCSP responder, about which nobody can be asked but itself: it lives briefly and says nocheck (RFC 6960
    /// 4.2.2.2.1).
    NoCheck,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(base: &str, shards: u32) -> RevocationUris {
        RevocationUris::new(&format!("{base}/crl"), &format!("{base}/ocsp"), &format!("{base}/ca"), shards)
            .unwrap()
    }

    #[test]
    fn a_certificate_names_the_list_of_its_issuer_and_serial() {
        let serial = Serial::from_der_content(&[0x41, 0, 0, 1, 2]).unwrap();
        let pointers = uris("http://pki.hospital.example", 128).pointers(&[0xab; 20], &serial).unwrap();
        let id = "ab".repeat(20);
        // 0x4100000102 = 258 modulo 256, and 258 = 2 * 128 + 2
        assert_eq!(pointers.crl.unwrap().as_str(), format!("http://pki.hospital.example/crl/{id}/128/2.crl"));
        assert_eq!(pointers.ca_issuers.as_str(), format!("http://pki.hospital.example/ca/{id}.cer"));
        assert_eq!(pointers.ocsp.unwrap().as_str(), "http://pki.hospital.example/ocsp");
        assert!(pointers.place.unwrap().holds(&serial));
    }

    #[test]
    fn an_authority_names_the_one_list_of_its_root_and_no_responder() {
        let serial = Serial::from_der_content(&[0x41, 0, 0, 1, 2]).unwrap();
        let (root, id) = ([0xab; 20], "ab".repeat(20));
        // As many lists as its own certificates have: the root's is one all the same. A slash at the end is none more.
        let uris = RevocationUris::below("http://pki.hospital.example/", 128).unwrap();
        let pointers = uris.root_pointers(&root, &serial).unwrap();
        assert_eq!(pointers.crl.unwrap().as_str(), format!("http://pki.hospital.example/crl/{id}/1/0.crl"));
        assert_eq!(pointers.ca_issuers.as_str(), format!("http://pki.hospital.example/ca/{id}.cer"));
        assert_eq!(pointers.ocsp, None);
        let only = uris.root_only(&root).unwrap();
        assert_eq!((only.place, only.crl, only.ocsp), (None, None, None));
        assert_eq!(only.ca_issuers, pointers.ca_issuers);
    }

    #[test]
    fn addresses_that_not_every_peer_can_fetch_are_refused() {
        let good = "http://h";
        for bad in ["https://h/crl", "ldap://h/cn=crl", "http://h/?q", "http://user@h/crl", ""] {
            for fields in [[bad, good, good], [good, bad, good], [good, good, bad]] {
                let [crl, ocsp, issuers] = fields;
                let refused = RevocationUris::new(crl, ocsp, issuers, 1);
                assert!(matches!(refused, Err(BadRevocationUris::Uri { .. })), "{bad}: {refused:?}");
            }
        }
        for shards in [0, 4097] {
            let refused = RevocationUris::new(good, good, good, shards);
            assert_eq!(refused, Err(BadRevocationUris::Shards(BadShard::Count(shards))));
        }
    }

    #[test]
    fn the_longest_base_address_leaves_room_for_the_longest_list() {
        let base = format!("http://h/{}", "a".repeat(MOST_CHARACTERS - 9));
        let serial = Serial::from_der_content(&[1]).unwrap();
        let long = RevocationUris::new(&base, &base, &base, 4096).unwrap();
        assert!(long.pointers(&[0xab; 20], &serial).is_ok());
        let longer = format!("{base}a");
        let refused = RevocationUris::new("http://h", &longer, &base, 1);
        assert!(matches!(refused, Err(BadRevocationUris::Long { field: "ocsp", .. })), "{refused:?}");
    }
}
