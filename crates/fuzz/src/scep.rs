//! What SCEP clients send: BER, signed and encrypted messages, queries.

use std::sync::LazyLock;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use lanyard_domain::time::Timestamp;
use lanyard_enroll::scep::{
    Algorithms, Fresh, Incoming, MAX_MESSAGE_BYTES, Received, Responder, Transactions, Wish, to_der,
};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "scep_ber", run: ber, seeds: messages },
    Target { name: "scep_message", run: message, seeds: messages },
    Target { name: "scep_query", run: query, seeds: queries },
];

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
const RESPONDER: &[u8] = include_bytes!("../../enroll/tests/data/scep/responder.der");
const KEY: &[u8] = include_bytes!("../../enroll/tests/data/scep/responder.key.der");
const MICROMDM: &[u8] = include_bytes!("../../enroll/tests/data/scep/micromdm-pkcsreq.der");
const STRONGSWAN: &[u8] = include_bytes!("../../enroll/tests/data/scep/strongswan-pkcsreq.der");
const CERTMONGER: &[u8] = include_bytes!("../../enroll/tests/data/scep/certmonger-pkcsreq.query");

static RESPONDING: LazyLock<Option<(Responder, Pkcs1PrivateDecryptingKey)>> = LazyLock::new(|| {
    let key = Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(KEY).ok()?).ok()?;
    Some((Responder::new(RESPONDER, &[], Algorithms::Legacy).ok()?, key))
});

fn ber(data: &[u8]) {
    if let Ok(der) = to_der(data, MAX_MESSAGE_BYTES) {
        assert_eq!(to_der(&der, MAX_MESSAGE_BYTES * 2).as_ref(), Ok(&der), "DER stays as it is");
    }
}

fn receive(incoming: &Incoming<'_>) {
    let Some((responder, key)) = &*RESPONDING else { return };
    let decrypt = |wrapped: &[u8]| {
        let mut out = vec![0; key.min_output_size()];
        key.decrypt(wrapped, &mut out).map(|plain| plain.to_vec())
    };
    // A refusal is not signed: that would be most of the time.
    let sign = |_: &[u8]| Err::<Vec<u8>, _>(Unspecified);
    let fresh = Fresh::from_random([7; 64]);
    let received =
        responder.receive(incoming, decrypt, sign, || true, (&Transactions::default(), NOW, &fresh));
    if let Received::Asked(asked) = received
        && let Wish::Enroll(enrollment) = &asked.wish
    {
        assert!(enrollment.challenge().len() <= 255, "a challenge is bounded");
    }
}

fn message(data: &[u8]) {
    receive(&Incoming { method: "POST", path: "/scep", query: "operation=PKIOperation", body: data });
}

fn messages() -> Vec<Vec<u8>> {
    let in_pieces = [0x30, 0x80, 0x24, 0x80, 4, 2, 1, 2, 4, 1, 3, 0, 0, 0xa0, 0x80, 2, 1, 5, 0, 0, 0, 0];
    vec![STRONGSWAN.to_vec(), MICROMDM.to_vec(), in_pieces.to_vec()]
}

fn query(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        receive(&Incoming { method: "GET", path: "/scep/pump", query: text, body: b"" });
        receive(&Incoming { method: "GET", path: text, query: "operation=GetCACaps", body: b"" });
    }
}

fn queries() -> Vec<Vec<u8>> {
    let paths: [&[u8]; 3] = [b"/scep/pump/cgi-bin/pkiclient.exe", b"operation=GetCACert&message=0", b"/scep"];
    [&[CERTMONGER], &paths[..]].concat().into_iter().map(<[u8]>::to_vec).collect()
}
