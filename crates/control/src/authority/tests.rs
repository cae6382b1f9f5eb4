//! Where issuing authorities stand, by the ledger.

use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{OperatorId, StreamId};
use lanyard_domain::statement::SignedStatement;
use lanyard_domain::text::Blob;
use lanyard_pki::authority::{Authority as Made, Generation};
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::name::Naming;

use super::*;
use crate::world::Origin;

const START: Timestamp = Timestamp::from_seconds(1_795_348_800);

fn statement() -> SignedStatement {
    SignedStatement { text: String::new(), signature: Blob(Vec::new()) }
}

fn blob(certificate: &Certificate) -> Blob {
    Blob(certificate.der().to_vec())
}

fn record(world: &mut World, event: Event) {
    let origin = Origin {
        stream: StreamId::SYSTEM,
        stream_kind: StreamKind::System as u8,
        pos: world.next_pos,
        time: START,
        actor: OperatorId::from_bytes([1; 16]),
    };
    world.apply(origin, Some(&event));
}

fn created(world: &mut World, name: &str, certificate: &Certificate) {
    record(
        world,
        Event::AuthorityCreated {
            name: name.to_owned(),
            certificate: blob(certificate),
            certificate_sha256: thumbprint(certificate),
            keys: KeyStore::Sealed,
        },
    );
}

fn imported(
    world: &mut World,
    (name, purpose): (&str, AuthorityPurpose),
    certificate: &Certificate,
    root: &Certificate,
) {
    record(
        world,
        Event::AuthorityPlanned {
            name: name.to_owned(),
            purpose,
            site: None,
            keys: KeyStore::Sealed,
            under: Some(blob(root)),
            statement: statement(),
        },
    );
    record(
        world,
        Event::AuthorityImported {
            name: name.to_owned(),
            certificate: blob(certificate),
            certificate_sha256: thumbprint(certificate),
            above: vec![blob(root)],
            statement: statement(),
        },
    );
}

// R50: what a hospital's root says of what stands below it is asked with each request; our own root said it once.
#[test]
fn only_what_stands_below_a_root_of_our_own_making_is_an_anchor() {
    let naming = Naming::new("General Hospital", "hospital.example").unwrap();
    let keys = MemoryKeys::default();
    let generation = |label: &str, n| Generation {
        number: u32::from(n),
        label: label.parse().unwrap(),
        serial: Serial::from_random([n; 16]),
    };
    let [hospital, first, second, third] = [
        ("root-9", "issuing-9", 1),
        ("root-1", "issuing-1", 3),
        ("root-2", "issuing-2", 5),
        ("root-3", "issuing-3", 7),
    ]
    .map(|(root, issuing, n)| {
        Made::create(&naming, &keys, &generation(root, n), &generation(issuing, n + 1), START).unwrap()
    });
    let hospital = hospital.root.certificate();
    let mut world = World::default();
    created(&mut world, "root-1", first.root.certificate());
    created(&mut world, "issuing-1", first.issuing.certificate());
    // Its certificate is by the hospital's root.
    imported(&mut world, ("issuing-2", AuthorityPurpose::Devices), second.issuing.certificate(), hospital);
    // Its root is ours, and that one's certificate is by the hospital's.
    imported(&mut world, ("root-3", AuthorityPurpose::Root), third.root.certificate(), hospital);
    created(&mut world, "issuing-3", third.issuing.certificate());

    let stores = KeyStores::new(Arc::new(keys), None);
    let authority =
        Authority::new(&world, Arc::new(stores), Installation { naming, revocation: None }).unwrap();
    let issuers = authority.issuers();
    let below: Vec<(&str, bool, usize)> = issuers
        .issuing()
        .iter()
        .map(|ca| (ca.name.as_str(), ca.is_below_own_root(), ca.above().len()))
        .collect();
    assert_eq!(below, [("issuing-1", true, 0), ("issuing-2", false, 0), ("issuing-3", false, 1)]);
}
