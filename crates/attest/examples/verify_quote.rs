//! A quote that other software took, checked by our verifier: each check in words, exit code 1 if one fails.
//!
//! `verify_quote AK.pub QUOTE.msg QUOTE.sig NONCE_HEX PCR=SHA256_HEX...`, with the files of `tpm2_createak -u` and
//! `tpm2_quote -m -s`. What the PCR values mean is not judged here.

#![expect(clippy::unwrap_used, reason = "a tool for trials; a failure should stop it loudly")]

use data_encoding::HEXLOWER;
use lanyard_attest::tpm::quote::{Expected, verify};
use lanyard_attest::tpm::structures::Public;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ak, quote, signature, nonce, values @ ..] = arguments.as_slice() else {
        eprintln!("usage: verify_quote AK.pub QUOTE.msg QUOTE.sig NONCE_HEX PCR=SHA256_HEX...");
        std::process::exit(2);
    };
    let read = |path: &String| std::fs::read(path).unwrap();
    // tpm2-tools writes TPM2B_PUBLIC; two bytes of size stand in front of what we read.
    let ak = Public::parse(read(ak).split_at_checked(2).unwrap().1).unwrap();
    let pcrs: Vec<(u8, [u8; 32])> = values
        .iter()
        .map(|pair| {
            let (index, value) = pair.split_once('=').unwrap();
            (index.parse().unwrap(), HEXLOWER.decode(value.as_bytes()).unwrap().try_into().unwrap())
        })
        .collect();
    let required: Vec<u8> = pcrs.iter().map(|(index, _)| *index).collect();
    let nonce = HEXLOWER.decode(nonce.as_bytes()).unwrap();
    let report =
        verify(&ak, &read(quote), &read(signature), &pcrs, Expected { nonce: &nonce, required: &required });
    for check in &report.checks {
        let word = if check.failed() { "FAILED" } else { "holds" };
        println!("{:?}: {word}; expected {}, found {}", check.name, check.expected, check.found);
    }
    std::process::exit(if report.verified.is_some() { 0 } else { 1 });
}
