//! Shards: in which of a CA's lists a certificate would stand, said by its serial number alone.
//!
//! The shard is baked into the certificate (its CRL distribution point), so it never moves. A CA that wants another
//! count gives it to new certificates; the count stands in the address, so lists of two counts never share one, and
//! the old lists end with the last certificate that names them.
//!
//! How many: a revocation makes one list anew, and every relying party loads it. Of five million certificates valid
//! at once with 2 % revoked, 32 shards hold some 3,000 entries each: 110 kB, made in about a millisecond.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::certificate::Certificate;
use crate::serial::Serial;
use crate::uri::{BadUri, HttpUri};

/// 4096 lists of one CA: above it each holds next to nothing, and signing them all again takes long.
const MOST: u32 = 4096;

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
    #[error("`{0}` names no revocation list: expected `<16 hex digits>/<shards>/<index>.crl`")]
    Path(String),
}

impl Shards {
    /// Enough for five million certificates, see the module.
    pub const DEFAULT: Shards = Shards(NonZeroU32::MIN.saturating_add(31));

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

/// Which list: of which CA, of how many, which one. Its text is the path at which it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    ca: [u8; 8],
    shards: Shards,
    index: u32,
}

impl Place {
    /// The list of `ca` in which the certificate with this serial would stand.
    pub fn of(ca: &Certificate, shards: Shards, serial: &Serial) -> Self {
        Self { ca: ca_tag(ca), shards, index: shard_of(serial, shards) }
    }

    /// Every list of `ca`.
    pub fn all(ca: &Certificate, shards: Shards) -> impl Iterator<Item = Self> + use<> {
        let ca = ca_tag(ca);
        (0..shards.count()).map(move |index| Self { ca, shards, index })
    }

    /// Whether it is a list of this CA.
    pub fn is_of(&self, ca: &Certificate) -> bool {
        self.ca == ca_tag(ca)
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

    /// Its address below `base`, for the certificate and for the list itself.
    pub fn uri(&self, base: &HttpUri) -> Result<HttpUri, BadUri> {
        base.join(&self.to_string())
    }
}

/// 64 bits of the key's digest: short in every certificate, and two CAs of one installation do not meet in them.
fn ca_tag(ca: &Certificate) -> [u8; 8] {
    ca.spki_sha256().first_chunk().copied().unwrap_or_default()
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
    let ca = data_encoding::HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
    let shards = Shards::new(parts.next()?.parse().ok()?).ok()?;
    let index: u32 = parts.next()?.parse().ok()?;
    let fits = parts.next().is_none() && index < shards.count();
    let place = Place { ca: ca.try_into().ok()?, shards, index };
    fits.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Installation, random_serial};

    #[test]
    fn the_shard_of_a_serial_never_moves() {
        let shard = |text: &str, count| shard_of(&text.parse().unwrap(), Shards::new(count).unwrap());
        // Written down: a change of these would orphan every certificate in the field.
        assert_eq!(shard("1", 32), 1);
        assert_eq!(shard("ff", 32), 31);
        assert_eq!(shard("4a0b0c0d0e0f10111213141516171819", 32), 0x19 % 32);
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
        let ca = Installation::new().authority.issuing.certificate().clone();
        let serial = random_serial();
        let place = Place::of(&ca, Shards::DEFAULT, &serial);
        assert!(place.holds(&serial) && place.is_of(&ca));
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!(
            Place::all(&ca, Shards::DEFAULT).filter(|p| p.holds(&serial)).collect::<Vec<_>>(),
            [place]
        );
        let base: HttpUri = "http://pki.hospital.example/crl".parse().unwrap();
        assert_eq!(place.uri(&base).unwrap().as_str(), format!("{base}/{place}"));
        let tag = "00112233445566ff";
        for bad in [
            "",
            "x",
            &format!("{tag}/32/32.crl"),
            &format!("{tag}/0/0.crl"),
            &format!("{tag}/032/1.crl"),
            &format!("{tag}/32/+1.crl"),
            &format!("{tag}/32/1.crl/"),
            &format!("{tag}/32/1/1.crl"),
            "001122/32/1.crl",
            &format!("{}/32/1.crl", tag.to_uppercase()),
            "../32/1.crl",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        assert!(Shards::new(0).is_err() && Shards::new(MOST + 1).is_err());
    }
}
