//! A device's `tpm` statement for an ACME client that is not ours: made by the agent's code in a real TPM (or swtpm), for the
//! key authorization on standard input.
//!
//! `attestation_object TCTI STATE CERTIFICATES.pem OUT [CERTIFIED SHOWN]` writes the attestation object to OUT and the
//! certificate request of the key to OUT.csr. The key is made in slot `a` unless there is one. With two slots (`a`, `b`) the
//! chip certifies the first and the second's public area is shown instead: what a forger would try.

#![expect(clippy::unwrap_used, reason = "a tool for trials; a failure should stop it loudly")]

use std::io::Read;

use aws_lc_rs::digest::{SHA256, digest};
use lanyard_agent::protocol::attestation_object;
use lanyard_agent::tpm::tss::{HardwareOptions, HardwareTpm};
use lanyard_agent::tpm::{KeySlot, RootOfTrust};
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_attest::webauthn::{AttestationObject, Statement, encode};
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::csr;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tcti, state, certificates, out, slots @ ..] = arguments.as_slice() else {
        eprintln!("usage: attestation_object TCTI STATE CERTIFICATES.pem OUT [CERTIFIED SHOWN]");
        std::process::exit(2);
    };
    let slot = |text: &String| if text == "b" { KeySlot::B } else { KeySlot::A };
    let certified = slots.first().map_or(KeySlot::A, slot);
    let shown = slots.get(1).map_or(certified, slot);
    let root = HardwareTpm::open(HardwareOptions::new(tcti, state)).unwrap();
    for slot in [certified, shown] {
        if root.load_tls_key(slot).is_err() {
            root.create_tls_key(slot).unwrap();
        }
    }
    let mut authorization = Vec::new();
    std::io::stdin().read_to_end(&mut authorization).unwrap();
    let hash: [u8; 32] = digest(&SHA256, &authorization).as_ref().try_into().unwrap();
    let chain = chain_from_pem(&std::fs::read(certificates).unwrap()).unwrap();
    let chain = chain.iter().map(|c| c.der().to_vec()).collect();
    let mut object = attestation_object(&root, certified, chain, &hash).unwrap();
    let public = root.load_tls_key(shown).unwrap();
    if shown != certified {
        let honest = AttestationObject::parse(&object).unwrap();
        let forged = Statement { pub_area: Some(public.clone()), ..honest.statement().clone() };
        object = encode(honest.format(), &forged, None);
    }
    std::fs::write(out, object).unwrap();
    let spki = spki_der(&Public::parse(&public).unwrap());
    let request = csr::build(&spki, "device", |bytes| root.sign_tls(shown, bytes)).unwrap();
    std::fs::write(format!("{out}.csr"), request).unwrap();
}
