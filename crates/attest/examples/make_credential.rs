//! Our MakeCredential in the file format of tpm2-tools, so that `tpm2_activatecredential` can open it.
//!
//! `make_credential EK.pub AK_NAME_HEX SECRET_HEX OUT`, with the file of `tpm2_readpublic -f tss` or `tpm2_createek -u`.

#![expect(clippy::unwrap_used, reason = "a tool for trials; a failure should stop it loudly")]

use data_encoding::HEXLOWER;
use lanyard_attest::tpm::credential::make_credential;
use lanyard_attest::tpm::structures::Public;

/// tpm2-tools' credential file: a magic number and version 1, big-endian, in front of both structures.
const HEADER: [u8; 8] = [0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ek, name, secret, out] = arguments.as_slice() else {
        eprintln!("usage: make_credential EK.pub AK_NAME_HEX SECRET_HEX OUT");
        std::process::exit(2);
    };
    // tpm2-tools writes TPM2B_PUBLIC; two bytes of size stand in front of what we read.
    let ek = Public::parse(std::fs::read(ek).unwrap().split_at_checked(2).unwrap().1).unwrap();
    let hex = |text: &String| HEXLOWER.decode(text.as_bytes()).unwrap();
    let credential = make_credential(&ek, &hex(name), &hex(secret)).unwrap();
    std::fs::write(out, [HEADER.as_slice(), &credential.encode()].concat()).unwrap();
}
