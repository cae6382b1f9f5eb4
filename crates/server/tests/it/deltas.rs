//! Differences to revocation lists, as relying parties fetch them.

use std::collections::HashMap;

use lanyard_domain::event::RevocationReason;
use lanyard_domain::statement::Action;
use lanyard_domain::tier::Tier;
use lanyard_pki::certificate::Certificate;
use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_pki::crl::{Crl, VerifiedCrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hospital::Hospital;
use crate::rotation::EstDevice;

async fn get(hospital: &Hospital, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(hospital.running.http_address.unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: pki\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    (status, answer.split_off(head + 4))
}

fn has(list: &[u8], certificate: &Certificate) -> bool {
    let serial = data_encoding::HEXLOWER.decode(certificate.serial().to_string().as_bytes()).unwrap();
    list.windows(serial.len()).any(|bytes| bytes == serial)
}

// R49
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_says_where_its_difference_is_and_that_has_what_changed_since() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    // Two certificates for one list of 32: of 33 there are always two.
    let mut seen: HashMap<Place, (Certificate, EstDevice<'_>)> = HashMap::new();
    let mut pair = None;
    for n in 0..33 {
        let device = EstDevice::new(&hospital, &format!("E-{n}"), Tier::Standard).await;
        let certificate = device.enroll(&device.key("key")).await;
        let issuers = hospital.running.state.control.authority.issuers();
        let issuer = issuers.of(&certificate).unwrap().certificate().clone();
        let key_id = issuer.subject_key_id().unwrap().to_vec();
        let place = Place::of(&key_id, Shards::new(32).unwrap(), &certificate.serial());
        if let Some(first) = seen.remove(&place) {
            pair = Some((place, issuer, first, (certificate, device)));
            break;
        }
        seen.insert(place, (certificate, device));
    }
    let (place, issuer, (first, one), (second, other)) = pair.unwrap();
    let revoke = async |device: &EstDevice<'_>, certificate: &Certificate| {
        let serials = vec![certificate.serial().to_string()];
        let reason = RevocationReason::Compromised;
        let action = Action::RevokeCertificates { device: device.id, serials, reason };
        hospital.decide(&hospital.security, action).await.unwrap();
    };
    let (whole, difference) = (format!("/crl/{place}"), format!("/crl/{}", place.delta_path()));
    let read = |der: &[u8]| -> VerifiedCrl { Crl::parse(der).unwrap().verify(&issuer).unwrap() };
    let address = place.delta_path().into_bytes();
    let points = |list: &[u8]| list.windows(address.len()).any(|bytes| bytes == address);

    // Shorter than what is configured (here: one entry), a list has no difference.
    let (status, empty) = get(&hospital, &whole).await;
    assert!(status == 200 && !points(&empty));
    assert_eq!(get(&hospital, &difference).await.0, 404);

    revoke(&one, &first).await;
    let (_, base) = get(&hospital, &whole).await;
    assert!(has(&base, &first) && points(&base));
    hospital.clock.advance(600);
    revoke(&other, &second).await;
    let (status, delta) = get(&hospital, &difference).await;
    assert_eq!(status, 200);
    assert!(has(&delta, &second) && !points(&delta));
    let (whole_now, applied) = (get(&hospital, &whole).await.1, read(&base).apply(&read(&delta)).unwrap());
    assert!(has(&whole_now, &first) && has(&whole_now, &second));
    assert!(applied.apply(&read(&delta)).is_err(), "once is enough");
    // It says so of every list that was good when it was made.
    assert!(read(&empty).apply(&read(&delta)).is_ok());
    // Nothing changed: the same bytes.
    assert_eq!(get(&hospital, &difference).await.1, delta);

    for none in ["/crl/aa/32/0.crl.delta.crl", "/crl/x.delta.crl", "/crl/.delta.crl"] {
        assert_eq!(get(&hospital, none).await.0, 404, "{none}");
    }
    hospital.running.shutdown().await;
}
