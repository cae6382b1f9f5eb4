//! Files of devices without network: what a technician's stick brings.

use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{
    Attested, Challenge, Keys, RequestFile, Response, Ticket, TicketDraft, TicketFor, Unsigned,
};
use lanyard_enroll::secret::SecretKey;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[Target { name: "offline_file", run: file, seeds: files }];

fn file(data: &[u8]) {
    if let Ok(keys) = Keys::parse(data) {
        assert_eq!(keys.encode(), data, "one encoding");
    }
    let covered =
        |content: &[u8]| assert!(data.starts_with(content), "what is signed is the file's beginning");
    if let Ok((_, signed)) = Challenge::parse(data) {
        covered(signed.content());
    }
    if let Ok((_, signed)) = RequestFile::parse(data) {
        covered(signed.content());
        let _outcome = RequestFile::verify(data);
    }
    if let Ok((_, signed)) = Response::parse(data) {
        covered(signed.content());
    }
}

fn files() -> Vec<Vec<u8>> {
    let keys = Keys {
        vendor: "Acme".to_owned(),
        model: "Pump".to_owned(),
        serial: "1".to_owned(),
        ek_certificates: vec![vec![1; 9]],
        ek_public: vec![2; 9],
        ak_public: vec![3; 9],
    };
    let at = Timestamp::from_seconds(1_795_305_600);
    let device = DeviceId::from_bytes([1; 16]);
    let ticket = |purpose| {
        let draft = TicketDraft {
            device,
            purpose,
            issued: at,
            expires: at,
            checkpoint: (1, Digest::default()),
            nonce: [0; 16],
        };
        Ticket::new(draft, &SecretKey::new([7; 32]))
    };
    let enroll = TicketFor::Enroll { keys_sha256: Digest([1; 32]) };
    let challenge = Challenge {
        ticket: ticket(enroll),
        pcrs: vec![0, 7],
        credential_blob: vec![1; 9],
        encrypted_secret: vec![2; 9],
    };
    let answer = Attested {
        ticket: ticket(enroll),
        enroll: Some((keys.clone(), vec![4; 9])),
        tls_public: vec![5; 9],
        certify: vec![6; 9],
        certify_signature: vec![7; 9],
        evidence: vec![8; 9],
    };
    let renewal = Attested { ticket: ticket(TicketFor::Renew), enroll: None, ..answer.clone() };
    let response = Response {
        request_sha256: Digest::default(),
        device,
        issued: at,
        expires: at,
        renew_at: at,
        chain: vec![vec![9; 9]],
    };
    let signer = [vec![1; 9], vec![2; 9]];
    [
        challenge.unsigned(&signer),
        RequestFile::with_challenge(&[0x30, 0], &answer),
        RequestFile::with_challenge(&[0x30, 0], &renewal),
        RequestFile::with_secret(&[0x30, 0], SecretId::from_random([1; 5]), "secret"),
        response.unsigned(&signer),
    ]
    .into_iter()
    .map(signed)
    .chain([keys.encode()])
    .collect()
}

fn signed(file: Unsigned) -> Vec<u8> {
    let Ok(signed) = file.sign(|_| Ok::<_, std::convert::Infallible>(vec![5; 70]));
    signed
}
