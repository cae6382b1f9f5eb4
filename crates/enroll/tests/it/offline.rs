//! Files of devices without network: what is written is read, and everything else is refused with its reason.

use lanyard_domain::id::StreamId;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::offline::{
    Attested, Challenge, FileError, Keys, Kind, MAX_CHALLENGE, MAX_KEYS, MAX_REQUEST, MAX_RESPONSE, Proof,
    RequestFile, Response, Ticket, TicketDraft, TicketFor,
};
use lanyard_enroll::secret::{Secret, SecretId, SecretKey};
use lanyard_pki::csr;
use lanyard_pki::key::KeyKind;
use lanyard_pki::path::{Anchors, PathError};

use crate::hospital::{Hospital, now, secret};

fn keys() -> Keys {
    Keys {
        vendor: "Acme".into(),
        model: "Pump X".into(),
        serial: "S-1".into(),
        ek_certificates: vec![vec![1; 700], vec![2; 600]],
        ek_public: vec![3; 314],
        ak_public: vec![4; 88],
    }
}

fn server_key() -> SecretKey {
    SecretKey::new([9; 32])
}

fn ticket(purpose: TicketFor) -> Ticket {
    let draft = TicketDraft {
        device: Hospital::device_id(),
        purpose,
        issued: now(),
        expires: now().plus_seconds(300),
        checkpoint: (77, Digest([5; 32])),
        nonce: [6; 16],
    };
    Ticket::new(draft, &server_key())
}

fn challenge() -> Challenge {
    Challenge {
        ticket: ticket(TicketFor::Enroll { keys_sha256: Digest([8; 32]) }),
        pcrs: vec![0, 2, 4, 7, 9, 12],
        credential_blob: vec![1; 52],
        encrypted_secret: vec![2; 256],
    }
}

fn attested(purpose: TicketFor) -> Attested {
    Attested {
        ticket: ticket(purpose),
        enroll: matches!(purpose, TicketFor::Enroll { .. }).then(|| (keys(), vec![7; 32])),
        tls_public: vec![1; 90],
        certify: vec![2; 120],
        certify_signature: vec![3; 72],
        evidence: vec![4; 900],
    }
}

fn response() -> Response {
    Response {
        request_sha256: Digest([1; 32]),
        device: Hospital::device_id(),
        issued: now(),
        expires: now().plus_seconds(600),
        renew_at: now().plus_seconds(300),
        chain: vec![vec![5; 600], vec![6; 500]],
    }
}

/// Signed by the control plane.
fn by_control(hospital: &Hospital, unsigned: lanyard_enroll::offline::Unsigned) -> Vec<u8> {
    unsigned.sign(|bytes| hospital.sign(&hospital.signer_label, bytes)).unwrap()
}

fn chain(hospital: &Hospital) -> Vec<Vec<u8>> {
    vec![hospital.signer.der().to_vec(), hospital.issuing().der().to_vec()]
}

fn anchors(hospital: &Hospital) -> Anchors {
    Anchors::new(vec![hospital.root().clone()]).unwrap()
}

/// A request with a secret, and the label of its key.
fn with_secret(hospital: &Hospital, label: &str, secret: &Secret) -> Vec<u8> {
    let (label, spki) = hospital.new_key(label, KeyKind::P256);
    let csr = csr::build(&spki, "device", |m| hospital.sign(&label, m)).unwrap();
    RequestFile::with_secret(&csr, secret.id(), secret.reveal()).sign(|m| hospital.sign(&label, m)).unwrap()
}

fn with_challenge(hospital: &Hospital, label: &str, purpose: TicketFor) -> Vec<u8> {
    let (label, spki) = hospital.new_key(label, KeyKind::P256);
    let csr = csr::build(&spki, "device", |m| hospital.sign(&label, m)).unwrap();
    RequestFile::with_challenge(&csr, &attested(purpose)).sign(|m| hospital.sign(&label, m)).unwrap()
}

fn cuts_are_refused(bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(bytes));
    for end in 0..bytes.len() {
        assert!(!accepts(&bytes[..end]), "cut to {end} of {}", bytes.len());
    }
    assert!(!accepts(&[bytes, &[0]].concat()), "one byte more");
}

// I12
#[test]
fn each_kind_reads_back_as_written_and_no_cut_of_it_is_read() {
    let hospital = Hospital::new();
    let file = keys().encode();
    assert_eq!(Keys::parse(&file), Ok(keys()));
    cuts_are_refused(&file, |b| Keys::parse(b).is_ok());

    let file = by_control(&hospital, challenge().unsigned(&chain(&hospital)));
    assert_eq!(Challenge::verify(&file, &anchors(&hospital), now()), Ok(challenge_of(&file)));
    cuts_are_refused(&file, |b| Challenge::parse(b).is_ok());

    for purpose in [TicketFor::Renew, TicketFor::Enroll { keys_sha256: Digest([8; 32]) }] {
        let label = format!("tls-{}", matches!(purpose, TicketFor::Renew));
        let file = with_challenge(&hospital, &label, purpose);
        let read = RequestFile::verify(&file).unwrap();
        let Proof::Challenge(found) = &read.file().proof else { panic!("{read:?}") };
        assert_eq!(found.enroll, attested(purpose).enroll);
        assert_eq!(found.ticket.purpose, purpose);
        cuts_are_refused(&file, |b| RequestFile::parse(b).is_ok());
    }

    let file = with_secret(&hospital, "tls-secret", &secret(1));
    assert!(RequestFile::verify(&file).unwrap().prove(&secret(1)).is_ok());
    cuts_are_refused(&file, |b| RequestFile::parse(b).is_ok());

    let file = by_control(&hospital, response().unsigned(&chain(&hospital)));
    let read = Response::verify(&file, &anchors(&hospital), now()).unwrap();
    assert_eq!((read.request_sha256, read.chain), (response().request_sha256, response().chain));
    cuts_are_refused(&file, |b| Response::parse(b).is_ok());
}

fn challenge_of(file: &[u8]) -> Challenge {
    Challenge::parse(file).unwrap().0
}

// I12: a bit anywhere in what a signature covers, or in the signature.
#[test]
fn no_changed_bit_is_taken() {
    let hospital = Hospital::new();
    let anchors = anchors(&hospital);
    let answer = by_control(&hospital, response().unsigned(&chain(&hospital)));
    let request = with_secret(&hospital, "tls", &secret(1));
    for (name, file, taken) in [
        (
            "response",
            &answer,
            (&|b: &[u8]| Response::verify(b, &anchors, now()).is_ok()) as &dyn Fn(&[u8]) -> bool,
        ),
        ("request", &request, &|b: &[u8]| RequestFile::verify(b).is_ok()),
    ] {
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(!taken(&changed), "{name}, byte {at}");
        }
    }
}

// I10: only the control plane of the pinned anchors speaks to a device.
#[test]
fn nobody_else_signs_for_the_control_plane() {
    let hospital = Hospital::new();
    let stranger = Hospital::new();
    let by_stranger = by_control(&stranger, response().unsigned(&chain(&stranger)));
    let refused = Response::verify(&by_stranger, &anchors(&hospital), now()).unwrap_err();
    assert_eq!(refused, FileError::Signer(PathError::UnknownIssuer));
    // A device of the same hospital has a certificate under the same root.
    let (label, certificate) = hospital.device("pump");
    let by_device = response()
        .unsigned(&[certificate.der().to_vec(), hospital.issuing().der().to_vec()])
        .sign(|m| hospital.sign(&label, m))
        .unwrap();
    let refused = Response::verify(&by_device, &anchors(&hospital), now()).unwrap_err();
    assert!(matches!(refused, FileError::Signer(_) | FileError::NotControlPlane(_)), "{refused}");
    // The right chain, another key.
    let (other, _) = hospital.new_key("other", KeyKind::P256);
    let forged = response().unsigned(&chain(&hospital)).sign(|m| hospital.sign(&other, m)).unwrap();
    assert_eq!(Response::verify(&forged, &anchors(&hospital), now()), Err(FileError::Signature));
    let unsigned = by_control(&hospital, response().unsigned(&[]));
    assert_eq!(
        Response::verify(&unsigned, &anchors(&hospital), now()),
        Err(FileError::Signer(PathError::Empty))
    );
    // After its signer's end.
    let good = by_control(&hospital, response().unsigned(&chain(&hospital)));
    let later = hospital.signer.not_after().plus_seconds(1);
    assert!(matches!(
        Response::verify(&good, &anchors(&hospital), later),
        Err(FileError::Signer(PathError::Expired { .. }))
    ));
}

// I2: whoever holds a file can write its ECDSA signature in another way; the request stays the same one.
#[test]
fn a_request_is_named_by_what_was_signed() {
    let hospital = Hospital::new();
    let (label, spki) = hospital.new_key("tls", KeyKind::P256);
    let csr = csr::build(&spki, "device", |m| hospital.sign(&label, m)).unwrap();
    let one = RequestFile::with_secret(&csr, secret(1).id(), secret(1).reveal());
    let files = [(); 2].map(|()| one.clone().sign(|m| hospital.sign(&label, m)).unwrap());
    assert_ne!(files[0], files[1], "ECDSA signs with fresh randomness");
    let digests = files.map(|f| RequestFile::verify(&f).unwrap().sha256());
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], lanyard_enroll::offline::request_sha256(one.content()));
}

// R36
#[test]
fn a_secret_proves_its_own_requests_only() {
    let hospital = Hospital::new();
    let made = RequestFile::verify(&with_secret(&hospital, "tls", &secret(1))).unwrap();
    assert_eq!(made.prove(&secret(2)), Err(FileError::Secret));
    // The same id, for another record or another end.
    let key = SecretKey::new([7; 32]);
    let (id, end) = (SecretId::from_random([1; 5]), Timestamp::from_seconds(3));
    assert_eq!(made.prove(&key.derive(id, StreamId::from_bytes([9; 16]), end)), Err(FileError::Secret));
    let renewal = RequestFile::verify(&with_challenge(&hospital, "other", TicketFor::Renew)).unwrap();
    assert_eq!(renewal.prove(&secret(1)), Err(FileError::Secret));
}

#[test]
fn a_control_plane_knows_its_own_challenges() {
    let good = ticket(TicketFor::Renew);
    assert!(good.is_by(&server_key()));
    assert!(!good.is_by(&SecretKey::new([8; 32])));
    let changes: [fn(&mut Ticket); 7] = [
        |t| t.device = lanyard_domain::id::DeviceId::from_random([3; 16]),
        |t| t.purpose = TicketFor::Enroll { keys_sha256: Digest::default() },
        |t| t.issued = t.issued.plus_seconds(1),
        |t| t.expires = t.expires.plus_seconds(1),
        |t| t.checkpoint_size += 1,
        |t| t.checkpoint_root = Digest([1; 32]),
        |t| t.nonce = [0; 16],
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        assert!(!changed.is_by(&server_key()), "change {n}");
    }
}

// I12
#[test]
fn what_is_no_such_file_is_told_what_it_is() {
    let hospital = Hospital::new();
    let file = keys().encode();
    assert_eq!(Kind::of(&file), Ok(Kind::Keys));
    assert_eq!(
        Response::parse(&file).unwrap_err(),
        FileError::OtherKind { expected: "response", found: "keys" }
    );
    assert_eq!(Kind::of(b"-----BEGIN CERTIFICATE-----"), Err(FileError::NotOurs));
    assert_eq!(Kind::of(b""), Err(FileError::NotOurs));
    let mut other = file.clone();
    other[4] = 2;
    assert_eq!(Keys::parse(&other), Err(FileError::Version(2)));
    other[4] = 1;
    other[5] = 9;
    assert!(matches!(Keys::parse(&other), Err(FileError::Malformed(_))));
    assert_eq!(
        Keys::parse(&Keys { vendor: String::new(), ..keys() }.encode()),
        Err(FileError::Text("vendor"))
    );
    let long = Keys { ek_certificates: vec![vec![0; 17 << 10]], ..keys() };
    assert!(matches!(Keys::parse(&long.encode()), Err(FileError::Malformed(_))));
    let unordered = Challenge { pcrs: vec![7, 0], ..challenge() };
    let file = by_control(&hospital, unordered.unsigned(&chain(&hospital)));
    assert!(matches!(Challenge::parse(&file), Err(FileError::Malformed(_))));
    // As long as a kind may be, and one byte more.
    for (kind, limit) in [(1u8, MAX_KEYS), (2, MAX_CHALLENGE), (3, MAX_REQUEST), (4, MAX_RESPONSE)] {
        let mut huge = vec![0; limit + 1];
        huge[..6].copy_from_slice(&[b'L', b'N', b'Y', b'O', 1, kind]);
        let refused = match kind {
            1 => Keys::parse(&huge).unwrap_err(),
            2 => Challenge::parse(&huge).unwrap_err(),
            3 => RequestFile::parse(&huge).unwrap_err(),
            _ => Response::parse(&huge).unwrap_err(),
        };
        assert!(matches!(refused, FileError::TooLarge { .. }), "{kind}: {refused}");
    }
}
