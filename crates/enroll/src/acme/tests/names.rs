//! The names of a certificate request against those of its order.

use super::*;
use crate::acme::csr::check;

fn run(order: &[(&str, &str)], subject: Vec<u8>, extensions: &[Vec<u8>]) -> Result<(), String> {
    with(DeviceNames::Allowed, order, subject, extensions)
}

fn with(
    policy: DeviceNames,
    order: &[(&str, &str)],
    subject: Vec<u8>,
    extensions: &[Vec<u8>],
) -> Result<(), String> {
    let ordered: Vec<_> = order.iter().map(|(k, v)| Identifier::parse(k, v).unwrap()).collect();
    let request = P256::new().request(subject, extensions);
    check(&request, &ordered, policy).map(|_| ()).map_err(|p| {
        assert_eq!(p.kind(), ErrorType::BadCsr);
        p.detail().to_owned()
    })
}

fn none() -> Vec<u8> {
    sequence(&[])
}

#[test]
fn the_names_of_applications_are_those_of_the_order() {
    let order = [("dns", "a.example"), ("ip", "10.0.0.1")];
    let address = tlv(0x87, &[10, 0, 0, 1]);
    let both = alt_names(&[dns_name("a.example"), address.clone()]);
    assert_eq!(run(&order, none(), std::slice::from_ref(&both)), Ok(()));
    // RFC 8555 7.4: case does not matter in DNS, and the common name may carry one.
    let upper = alt_names(&[dns_name("A.EXAMPLE"), address.clone()]);
    assert_eq!(run(&order, name("a.example"), &[upper]), Ok(()));
    assert_eq!(run(&order, name("a.example"), &[alt_names(std::slice::from_ref(&address))]), Ok(()));
    for (what, subject, extensions) in [
        ("no names", none(), vec![]),
        ("a name less", none(), vec![alt_names(std::slice::from_ref(&address))]),
        (
            "a name more",
            none(),
            vec![alt_names(&[dns_name("a.example"), dns_name("b.example"), address.clone()])],
        ),
        ("another common name", name("b.example"), vec![both.clone()]),
        ("a common name that is none", name("a pump"), vec![both.clone()]),
        (
            "a mail address",
            none(),
            vec![alt_names(&[tlv(0x81, b"a@b"), dns_name("a.example"), address.clone()])],
        ),
        ("a URI", none(), vec![alt_names(&[tlv(0x86, b"urn:x"), dns_name("a.example"), address.clone()])]),
        ("alternative names twice", none(), vec![both.clone(), both.clone()]),
        ("an odd address", none(), vec![alt_names(&[dns_name("a.example"), tlv(0x87, &[10, 0, 0])])]),
    ] {
        assert!(run(&order, subject, &extensions).is_err(), "{what}");
    }
}

// Device attestation draft 3.2 and 4.2
#[test]
fn the_names_of_devices_may_be_left_out_or_are_the_same_octet_for_octet() {
    let order = [("permanent-identifier", "SN-1/1.2.3"), ("hardware-module", "M-7/1.2.4")];
    let good = [permanent_name("SN-1", Some("1.2.3")), module_name("1.2.4", "M-7")];
    assert_eq!(run(&order, none(), &[]), Ok(()));
    assert_eq!(run(&order, name("any text at all"), &[]), Ok(()));
    assert_eq!(run(&order, none(), &[alt_names(&good)]), Ok(()));
    assert_eq!(run(&order, none(), &[alt_names(&good[1..])]), Ok(()));
    for (what, other) in [
        ("another case", permanent_name("sn-1", Some("1.2.3"))),
        ("no assigner", permanent_name("SN-1", None)),
        ("another assigner", permanent_name("SN-1", Some("1.2.4"))),
        ("an assigner inside of the value", permanent_name("SN-1/1.2.3", None)),
        ("another serial number", module_name("1.2.4", "M-8")),
        ("another type", module_name("1.2.3", "M-7")),
        ("a type inside of the serial number", module_name("1.2.4", "M-7/1.2.4")),
        ("an otherName of another kind", tlv(0xa0, &[oid("1.2.3.4"), tlv(0xa0, &tlv(0x0c, b"x"))].concat())),
        ("a broken one", tlv(0xa0, &[oid("1.3.6.1.5.5.7.8.3"), tlv(0xa0, &tlv(0x0c, b"x"))].concat())),
        ("a DNS name", dns_name("a.example")),
    ] {
        assert!(run(&order, none(), &[alt_names(&[other])]).is_err(), "{what}");
    }
    // Without an assigner in the order there is none in the request.
    let plain = [("permanent-identifier", "SN-1")];
    assert_eq!(run(&plain, none(), &[alt_names(&[permanent_name("SN-1", None)])]), Ok(()));
    assert!(run(&plain, none(), &[alt_names(&good[..1])]).is_err());
}

// Draft 7.4
#[test]
fn private_certificates_can_be_insisted_on() {
    let order = [("permanent-identifier", "SN-1")];
    assert_eq!(with(DeviceNames::Refused, &order, none(), &[]), Ok(()));
    let named = [alt_names(&[permanent_name("SN-1", None)])];
    assert!(with(DeviceNames::Refused, &order, none(), &named).unwrap_err().contains("leave them out"));
}

// I12
#[test]
fn a_broken_request_is_refused() {
    let ordered = [Identifier::parse("dns", "a.example").unwrap()];
    let good = P256::new().request(none(), &[alt_names(&[dns_name("a.example")])]);
    assert!(check(&good, &ordered, DeviceNames::Allowed).is_ok());
    for n in 0..good.len() {
        assert!(check(&good[..n], &ordered, DeviceNames::Allowed).is_err(), "cut to {n}");
        let mut bad = good.clone();
        bad[n] ^= 1;
        assert!(check(&bad, &ordered, DeviceNames::Allowed).is_err(), "byte {n}");
    }
}
