//! What a device sends as evidence: TPM structures, the wire form, the firmware's event log.

use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::tcg::build::LogBuilder;
use lanyard_attest::tcg::{EventLog, replay};
use lanyard_attest::tpm::credential::Credential;
use lanyard_attest::tpm::keys::{ek_template_p256, ek_template_rsa2048};
use lanyard_attest::tpm::structures::{
    Attest, Body, ClockInfo, HashAlg, PcrSelection, Public, Signature, spki_der,
};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "attest_public", run: public, seeds: publics },
    Target { name: "attest_attest", run: attest, seeds: attests },
    Target { name: "attest_signature", run: signature, seeds: signatures },
    Target { name: "attest_pcr_selection", run: pcr_selection, seeds: pcr_selections },
    Target { name: "attest_credential", run: credential, seeds: credentials },
    Target { name: "attest_evidence", run: evidence, seeds: evidences },
    Target { name: "attest_tcg_log", run: tcg_log, seeds: tcg_logs },
];

fn public(data: &[u8]) {
    let sized = Public::parse_sized(data);
    if let Ok(public) = &sized {
        assert_eq!(public.encode_sized(), data, "one public area, one encoding");
    }
    if let Ok(public) = sized.or_else(|_| Public::parse(data)) {
        let _name = public.name();
        let _spki = spki_der(&public);
    }
}

fn publics() -> Vec<Vec<u8>> {
    [ek_template_p256(), ek_template_rsa2048()]
        .iter()
        .flat_map(|key| [key.encode(), key.encode_sized()])
        .collect()
}

fn attest(data: &[u8]) {
    if let Ok(attest) = Attest::parse(data) {
        assert_eq!(attest.encode(), data, "one attestation, one encoding");
    }
}

fn attests() -> Vec<Vec<u8>> {
    let with = |body| Attest {
        qualified_signer: vec![0; 34],
        extra_data: vec![7; 32],
        clock: ClockInfo { clock: 1_000, reset_count: 2, restart_count: 3, safe: true },
        firmware_version: 0x2022_0321,
        body,
    };
    let quote = Body::Quote {
        selection: PcrSelection::of(HashAlg::Sha256, &[0, 2, 4, 7, 9, 12]),
        pcr_digest: vec![9; 32],
    };
    let certify = Body::Certify { name: vec![0; 34], qualified_name: vec![0; 34] };
    vec![with(quote).encode(), with(certify).encode()]
}

fn signature(data: &[u8]) {
    if let Ok(signature) = Signature::parse(data) {
        assert_eq!(signature.encode(), data, "one signature, one encoding");
        let _fixed = signature.to_fixed(32);
    }
}

fn signatures() -> Vec<Vec<u8>> {
    let rsa = Signature::Rsassa { hash: HashAlg::Sha256, signature: vec![3; 256] };
    let ecdsa = Signature::ecdsa_from_fixed(HashAlg::Sha256, &[5; 64]);
    ecdsa.iter().chain([&rsa]).map(Signature::encode).collect()
}

fn pcr_selection(data: &[u8]) {
    if let Ok(selection) = PcrSelection::parse(data) {
        assert_eq!(selection.encode(), data, "one selection, one encoding");
        for bank in &selection.banks {
            let _pcrs = bank.pcrs();
        }
    }
}

fn pcr_selections() -> Vec<Vec<u8>> {
    [[0, 7, 12], [23, 1, 2]].iter().map(|pcrs| PcrSelection::of(HashAlg::Sha256, pcrs).encode()).collect()
}

fn credential(data: &[u8]) {
    if let Ok(credential) = Credential::parse(data) {
        assert_eq!(credential.encode(), data, "one credential, one encoding");
    }
}

fn credentials() -> Vec<Vec<u8>> {
    vec![Credential { blob: vec![1; 68], encrypted_secret: vec![2; 256] }.encode()]
}

fn evidence(data: &[u8]) {
    if let Ok(evidence) = TpmEvidence::parse(data) {
        assert_eq!(evidence.encode(), data, "one evidence, one encoding");
    }
}

fn evidences() -> Vec<Vec<u8>> {
    let part = |list: Vec<Vec<u8>>| list.into_iter().next().unwrap_or_default();
    let evidence = TpmEvidence {
        quote: part(attests()),
        signature: part(signatures()),
        pcrs: vec![(0, [1; 32]), (7, [2; 32]), (12, [3; 32])],
        event_log: part(tcg_logs()),
    };
    vec![evidence.encode()]
}

fn tcg_log(data: &[u8]) {
    let Ok(log) = EventLog::parse(data) else { return };
    for bank in [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384] {
        for event in &log.events {
            let _covered = event.data_is_covered(bank);
        }
        // A bank that the log lacks is an error, not a panic.
        let _outcome = replay(&log, bank);
    }
}

fn tcg_logs() -> Vec<Vec<u8>> {
    let (log, _) = LogBuilder::new()
        .s_crtm_version("infusor 4.2.1")
        .firmware_blob(0, 0xFF00_0000, b"firmware volume")
        .secure_boot_variable(b"SecureBoot=1")
        .boot_application("\\EFI\\BOOT\\BOOTX64.EFI", b"loader")
        .ipl("vmlinuz", b"kernel")
        .separators()
        .model("triage 2.0", [6; 32])
        .finish();
    vec![log]
}
