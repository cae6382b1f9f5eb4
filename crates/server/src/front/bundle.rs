//! All that is trusted, for relying parties: PEM, PKCS #7, and a SPIFFE bundle.

use axum::extract::State as Shared;
use axum::response::Response;
use lanyard_control::world::World;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::pkcs7;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};
use serde_json::{Value, json};

use super::revocation::typed;
use crate::state::State;

/// Bundles change when an authority comes or goes, which is announced days before it matters.
const REFRESH_SECONDS: u32 = 3_600;

pub(super) async fn pem(Shared(state): Shared<State>) -> Response {
    let issuers = state.control.authority.issuers();
    let pem: String = issuers.trusted().into_iter().map(Certificate::to_pem).collect();
    typed("application/x-pem-file", pem.into_bytes())
}

pub(super) async fn pkcs7(Shared(state): Shared<State>) -> Response {
    let issuers = state.control.authority.issuers();
    let certificates: Vec<&[u8]> = issuers.trusted().into_iter().map(|c| c.der().as_ref()).collect();
    typed("application/pkcs7-mime; smime-type=certs-only", pkcs7::certs_only(&certificates))
}

/// SPIFFE Trust Domain and Bundle 4: roots only, as JWKs that carry the certificate.
pub(super) async fn spiffe(Shared(state): Shared<State>) -> Response {
    let issuers = state.control.authority.issuers();
    let keys: Vec<Value> = issuers.roots().iter().filter_map(jwk).collect();
    let bundle = json!({
        "keys": keys,
        "spiffe_sequence": sequence(&state.control.world()),
        "spiffe_refresh_hint": REFRESH_SECONDS,
    });
    typed("application/json", bundle.to_string().into_bytes())
}

/// Grows with every change of what is trusted: an authority comes, goes, or is not believed any more.
fn sequence(world: &World) -> usize {
    let there = world.authorities.iter().filter(|a| !a.certificate.is_empty()).count();
    let retired = world.authorities.iter().filter(|a| a.retired).count();
    let distrusted = world.compromises.iter().filter(|c| c.is_distrusted()).count();
    there + retired + distrusted
}

/// Of every root: one that is left out would be distrusted by whoever reads this bundle alone.
fn jwk(root: &Certificate) -> Option<Value> {
    let mut jwk = of_key(root.public_key().ok()?)?;
    let members = jwk.as_object_mut()?;
    members.insert("use".to_owned(), "x509-svid".into());
    members.insert("x5c".to_owned(), json!([data_encoding::BASE64.encode(root.der())]));
    Some(jwk)
}

/// RFC 7518 6.2, 6.3, RFC 8037 2; ML-DSA as draft-ietf-cose-dilithium writes it.
fn of_key(key: &PublicKey) -> Option<Value> {
    let text = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let on_curve = |curve: &str, half: usize| {
        // An uncompressed point is 4, x and y.
        let (x, y) = key.bits().get(1..)?.split_at_checked(half)?;
        Some(json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) }))
    };
    match key.kind() {
        PublicKeyKind::P256 => on_curve("P-256", 32),
        PublicKeyKind::P384 => on_curve("P-384", 48),
        PublicKeyKind::Ed25519 => Some(json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.bits()) })),
        PublicKeyKind::MlDsa65 => Some(json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": text(key.bits()) })),
        PublicKeyKind::Rsa(_) => {
            let (n, e) = key.rsa_numbers()?;
            Some(json!({ "kty": "RSA", "n": text(&n), "e": text(&e) }))
        }
    }
}

#[cfg(test)]
mod tests {
    use lanyard_control::world::Origin;
    use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
    use lanyard_domain::event::{Event, StreamKind};
    use lanyard_domain::id::{OperatorId, StreamId};
    use lanyard_domain::statement::SignedStatement;
    use lanyard_domain::text::{Blob, Digest};
    use lanyard_domain::time::Timestamp;
    use lanyard_pki::key::{KeyBackend as _, KeyKind, MemoryKeys};

    use super::*;

    // R50: no kind of root is left out; each has the members of its kind, whole.
    #[test]
    fn a_root_of_every_kind_has_its_jwk() {
        let keys = MemoryKeys::default();
        for kind in KeyKind::ALL {
            let label = kind.as_str().parse().unwrap();
            let key = PublicKey::parse(&keys.generate(&label, kind).unwrap()).unwrap();
            let jwk = of_key(&key).unwrap();
            let bytes = |member: &str| {
                jwk[member]
                    .as_str()
                    .map(|text| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap())
            };
            let lengths = ["x", "y", "n", "e", "pub"].map(|m| bytes(m).map(|b| b.len()));
            let expected = match key.kind() {
                PublicKeyKind::P256 => [Some(32), Some(32), None, None, None],
                PublicKeyKind::P384 => [Some(48), Some(48), None, None, None],
                PublicKeyKind::Ed25519 => [Some(32), None, None, None, None],
                PublicKeyKind::Rsa(bits) => [None, None, Some(bits / 8), Some(3), None],
                PublicKeyKind::MlDsa65 => [None, None, None, None, Some(1952)],
            };
            assert_eq!(lengths, expected, "{kind:?}: {jwk}");
        }
    }

    // R50: the number grows with an end as with a beginning.
    #[test]
    fn every_change_of_what_is_trusted_moves_the_sequence() {
        let mut world = World::default();
        let statement = || SignedStatement { text: String::new(), signature: Blob(Vec::new()) };
        let name = || "issuing-1".to_owned();
        let events = [
            (
                false,
                Event::AuthorityPlanned {
                    name: name(),
                    purpose: AuthorityPurpose::Devices,
                    site: None,
                    under: None,
                    keys: KeyStore::Sealed,
                    statement: statement(),
                },
            ),
            (
                true,
                Event::AuthorityCreated {
                    name: name(),
                    certificate: Blob(vec![0x30]),
                    certificate_sha256: Digest([1; 32]),
                    keys: KeyStore::Sealed,
                },
            ),
            (false, Event::AuthorityActivated { name: name(), statement: statement() }),
            (true, Event::AuthorityRetired { name: name(), statement: statement() }),
        ];
        for (moves, event) in events {
            let before = sequence(&world);
            let origin = Origin {
                stream: StreamId::SYSTEM,
                stream_kind: StreamKind::System as u8,
                pos: world.next_pos,
                time: Timestamp::from_seconds(1_795_348_800),
                actor: OperatorId::from_bytes([1; 16]),
            };
            world.apply(origin, Some(&event));
            assert_eq!(sequence(&world), before + usize::from(moves), "{event:?}");
        }
    }
}
