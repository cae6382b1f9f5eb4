//! Shards: in which of a CA's lists a certificate would stand, said by its serial number alone.
//!
//! The shard is baked into the certificate (its CRL distribution point), so it never moves. A CA that wants another
//! count gives it to new certificates; the count stands in the address, so lists of two counts never share one, and
//! the old lists end with the last certificate that names them.
//!
//! How many: a revocation makes one list anew, and every relying party loads it. Of five million certificates valid
//! at once with 2 % revoked, 32 shards hold some 3,000 entries of 49 octets each: 150 kB, made in a few milliseconds.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::serial::Serial;
use crate::uri::{BadUri, HttpUri};

/// 4096 lists of one CA: above it each holds next to nothing, and signing them all again takes long.
const MOST: u32 = 4096;

/// Behind a list's path: what changed since.
const DELTA: &str = ".delta.crl";

/// How many lists a CA has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shards(NonZeroU32);

/// Why a count is none, or an address names no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadShard {
    /// Out of range.
    #[error("{0} shards: a CA has 1 to {MOST} lists")]
    Count(u32),
    /// No such list.
    #[error("`{0}` names no revocation list: expected `<key id of the CA in hex>/<shards>/<index>.crl`")]
    Path(String),
}

impl Shards {
    /// Enough for five million certificates, see the module.
    pub const DEFAULT: Shards = Shards(NonZeroU32::MIN.saturating_add(31));

    /// All in one list, as a root has it.
    pub const ONE: Shards = Shards(NonZeroU32::MIN);

    /// A count from 1 to 4096.
    pub fn new(count: u32) -> Result<Self, BadShard> {
        match NonZeroU32::new(count) {
            Some(count) if count.get() <= MOST => Ok(Self(count)),
            _ => Err(BadShard::Count(count)),
        }
    }

    /// As a number.
    pub fn count(self) -> u32 {
        self.0.get()
    }
}

/// The shard of a certificate: the last eight octets of its serial number, as a number, modulo the count.
///
/// Serial numbers of ours are random in all of these 64 bits, so the shards fill evenly; of a CA that counts its
/// serials they do too. Anyone can compute it from the certificate.
pub fn shard_of(serial: &Serial, shards: Shards) -> u32 {
    u32::try_from(serial.low_u64() % u64::from(shards.count())).unwrap_or_default()
}

/// The longest key identifier that can stand in an address: ours have 20 octets, a hospital's own CA may have a SHA-256.
const MAX_KEY_ID: usize = 32;

/// Which list: of which CA, of how many, which one. Its text is the path at which it is served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    ca: Vec<u8>,
    shards: Shards,
    index: u32,
}

impl Place {
    /// The list of the CA with this key identifier in which the certificate with this serial would stand.
    pub fn of(ca_key_id: &[u8], shards: Shards, serial: &Serial) -> Self {
        Self { ca: ca_key_id.to_vec(), shards, index: shard_of(serial, shards) }
    }

    /// Every list of that CA.
    pub fn all(ca_key_id: &[u8], shards: Shards) -> impl Iterator<Item = Self> {
        (0..shards.count()).map(move |index| Self { ca: ca_key_id.to_vec(), shards, index })
    }

    /// The CA's key identifier.
    pub fn ca_key_id(&self) -> &[u8] {
        &self.ca
    }

    /// Of how many.
    pub fn shards(&self) -> Shards {
        self.shards
    }

    /// Which one, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whether the certificate with this serial would stand in it.
    pub fn holds(&self, serial: &Serial) -> bool {
        shard_of(serial, self.shards) == self.index
    }

    /// The path at which the difference to it is served.
    pub fn delta_path(&self) -> String {
        format!("{self}{DELTA}")
    }

    /// The list whose difference is served at this path, if it is one of those.
    pub fn of_delta(path: &str) -> Option<Self> {
        path.strip_suffix(DELTA)?.parse().ok()
    }

    /// Its address below `base`, for the certificate and for the list itself.
    pub fn uri(&self, base: &HttpUri) -> Result<HttpUri, BadUri> {
        base.join(&self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}.crl", data_encoding::HEXLOWER.encode(&self.ca), self.shards.count(), self.index)
    }
}

impl FromStr for Place {
    type Err = BadShard;

    fn from_str(path: &str) -> Result<Self, BadShard> {
        let place = parse(path).ok_or_else(|| BadShard::Path(path.chars().take(80).collect()))?;
        // One spelling per list: `032` and `+32` are other texts.
        if place.to_string() == path {
            Ok(place)
        } else {
            Err(BadShard::Path(path.chars().take(80).collect()))
        }
    }
}

fn parse(path: &str) -> Option<Place> {
    let mut parts = path.strip_suffix(".crl")?.split('/');
    let ca = parts.next().filter(|id| (1..=2 * MAX_KEY_ID).contains(&id.len()))?;
    let ca = data_encoding::HEXLOWER.decode(ca.as_bytes()).ok()?;
    let shards = Shards::new(parts.next()?.parse().ok()?).ok()?;
    let index: u32 = parts.next()?.parse().ok()?;
    let fits = parts.next().is_none() && index < shards.count();
    fits.then_some(Place { ca, shards, index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random_serial;

    #[test]
    fn the_shard_of_a_serial_never_moves() {
        let shard = |text: &str, count| shard_of(&text.parse().unwrap(), Shards::new(count).unwrap());
        // Written down: a change of these would orphan every certificate in the field.
        assert_eq!(shard("1", 32), 1);
        assert_eq!(shard("ff", 32), 31);
        assert_eq!(shard("4a0b0c0d0e0f10111213141516171819", 32), 0x19);
        assert_eq!(shard("4a0b0c0d0e0f10111213141516171819", 1000), 297);
        assert_eq!(shard("ffffffffffffffffffff", 1), 0);
    }

    #[test]
    fn random_serials_fill_the_shards_evenly() {
        let shards = Shards::DEFAULT;
        let mut filled = vec![0u32; 32];
        for _ in 0..32_000 {
            filled[shard_of(&random_serial(), shards) as usize] += 1;
        }
        // 1000 expected, a standard deviation of 31: 8 of them is never.
        assert!(filled.iter().all(|n| (750..1250).contains(n)), "{filled:?}");
    }

    #[test]
    fn a_place_reads_back_and_has_one_spelling() {
        let (ca, serial) = ([0xab; 20], random_serial());
        let place = Place::of(&ca, Shards::DEFAULT, &serial);
        assert!(place.holds(&serial) && place.ca_key_id() == ca);
        assert_eq!(place.to_string().parse(), Ok(place.clone()));
        let mine: Vec<Place> = Place::all(&ca, Shards::DEFAULT).filter(|p| p.holds(&serial)).collect();
        assert!(mine == std::slice::from_ref(&place));
        let base: HttpUri = "http://pki.hospital.example/crl".parse().unwrap();
        assert_eq!(place.uri(&base).unwrap().as_str(), format!("{base}/{place}"));
        let tag = "00112233445566ff";
        assert!(format!("{tag}/32/31.crl").parse::<Place>().is_ok());
        for bad in [
            "",
            "x",
            "/32/1.crl",
            "../32/1.crl",
            "001/32/1.crl",
            &format!("{tag}/32/32.crl"),
            &format!("{tag}/0/0.crl"),
            &format!("{tag}/032/1.crl"),
            &format!("{tag}/32/+1.crl"),
            &format!("{tag}/32/1.crl/"),
            &format!("{tag}/32/1/1.crl"),
            &format!("{tag}/4097/1.crl"),
            &format!("{}/32/1.crl", tag.to_uppercase()),
            &format!("{}/32/1.crl", "ab".repeat(MAX_KEY_ID + 1)),
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        assert!(Shards::new(0).is_err() && Shards::new(MOST + 1).is_err());
    }
}
