//! Every format: recorded statements, and a no for each rule.

use super::testkit::{
    Draft, Key, Maker, NOW, Recorded, constraints, extension, name, oid, recorded, sequence, tlv, trust,
};
use super::*;
use crate::testkit::SoftAk;
use crate::tpm::keys::TLS_ATTRIBUTES;
use crate::tpm::structures::{Attest, Attributes, Body, HashAlg, PcrSelection, Public};

mod android;
mod apple;
mod chain;
mod packed;
mod tpm;
mod vectors;

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const AUTHORIZATION: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

fn expected() -> Expected<'static> {
    Expected::acme(TOKEN, AUTHORIZATION)
}

fn check(format: &str, statement: &Statement, trust: &Trust) -> Result<AttestedKey, StatementRefusal> {
    let object = AttestationObject::parse(&encode(format, statement, None)).unwrap();
    verify(&object, &expected(), trust, NOW)
}

fn code(format: &str, statement: &Statement, trust: &Trust) -> &'static str {
    check(format, statement, trust).unwrap_err().code()
}
