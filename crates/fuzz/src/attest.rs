//! What a device sends as evidence: TPM structures, the wire form, the firmware's event log.

use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::tcg::build::LogBuilder;
use lanyard_attest::tcg::{EventLog, replay};
use lanyard_attest::tpm::credential::Credential;
use lanyard_attest::tpm::keys::{ek_template_p256, ek_template_rsa2048};
use lanyard_attest::tpm::structures::{
    Attest, Body, ClockInfo, HashAlg, PcrSelection, Public, Signature, spki_der,
};

use lanyard_attest::webauthn::{
    Anchor, AttestationObject, Expected, Format, OnUnknown, Revocation, Trust, encode, verify,
};
use lanyard_domain::time::Timestamp;

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
    Target { name: "attest_statement", run: statement, seeds: statements },
    Target { name: "attest_crl", run: crl, seeds: crls },
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

/// Recordings of the attestation crate: root, attestation object.
const STATEMENTS: [(Format, &str); 5] = [
    (Format::Tpm, include_str!("../../attest/src/webauthn/vectors/w3c-tpm.txt")),
    (Format::Packed, include_str!("../../attest/src/webauthn/vectors/w3c-packed.txt")),
    (Format::Apple, include_str!("../../attest/src/webauthn/vectors/w3c-apple.txt")),
    (Format::AndroidKey, include_str!("../../attest/src/webauthn/vectors/w3c-android-key.txt")),
    (Format::Apple, include_str!("../../attest/src/webauthn/vectors/apple-2021.txt")),
];

fn field(text: &str, wanted: &str) -> Vec<u8> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find(|(key, _)| *key == wanted).map(|(_, value)| value).unwrap_or_default();
    data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).unwrap_or_default()
}

fn statement(data: &[u8]) {
    let Ok(object) = AttestationObject::parse(data) else { return };
    let again = encode(object.format(), object.statement(), object.auth_data());
    let parsed = AttestationObject::parse(&again);
    assert!(
        parsed.is_ok_and(|p| p.statement() == object.statement() && p.format() == object.format()),
        "what was read is written so that it is read the same"
    );
    let anchor = |(format, text): &(Format, &str)| Anchor {
        name: "recorded".to_owned(),
        format: *format,
        certificate: field(text, "root"),
    };
    let trust = Trust::new(STATEMENTS.iter().map(anchor).collect(), Revocation::new(OnUnknown::Accept));
    // 2021-09-01: all recorded chains but Android's are valid.
    let now = Timestamp::from_seconds(1_630_454_400);
    let outcome = verify(&object, &Expected::acme("token", "token.thumbprint"), &trust, now);
    assert!(outcome.is_err(), "nobody attested for this challenge");
}

fn statements() -> Vec<Vec<u8>> {
    STATEMENTS.iter().map(|(_, text)| field(text, "attestation")).collect()
}

fn crl(data: &[u8]) {
    let mut revocation = Revocation::new(OnUnknown::Refuse);
    // Each list is good or refused; neither panics.
    let _outcome = revocation.add_crl(data);
}

/// An empty list, and one with an entry, of version 2 with number and key identifier; signed by nobody.
fn crls() -> Vec<Vec<u8>> {
    vec![include_bytes!("../seeds/empty.crl").to_vec(), include_bytes!("../seeds/one.crl").to_vec()]
}
