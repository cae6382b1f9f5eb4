//! PEM in and out, with its limits.

use lanyard_pki::certificate::{CertificateError, MAX_CHAIN, chain_from_pem};

use crate::installation::Installation;

#[test]
fn a_chain_reads_back_as_written() {
    let a = Installation::new();
    let chain = [a.device(), a.authority.issuing.certificate().clone()];
    let pem: String = chain.iter().map(|c| c.to_pem()).collect();
    assert_eq!(chain_from_pem(pem.as_bytes()).unwrap(), chain);
    let commented = format!("subject=pump\r\n{}", pem.replace('\n', "\r\n"));
    assert_eq!(chain_from_pem(commented.as_bytes()).unwrap(), chain);
}

// I12
#[test]
fn what_is_no_chain_is_refused() {
    let a = Installation::new();
    let pem = a.device().to_pem();
    assert_eq!(chain_from_pem(b""), Err(CertificateError::NoPem));
    assert_eq!(chain_from_pem(b"hello"), Err(CertificateError::NoPem));
    assert_eq!(
        chain_from_pem(pem.repeat(MAX_CHAIN + 1).as_bytes()),
        Err(CertificateError::ChainTooLong(MAX_CHAIN + 1))
    );
    assert!(matches!(chain_from_pem(&vec![b'a'; 200_000]), Err(CertificateError::TooLarge(_))));
    // A cut before the closing dashes are complete is never a certificate.
    for at in 0..pem.trim_end().len() {
        assert!(chain_from_pem(&pem.as_bytes()[..at]).is_err(), "cut at {at}");
    }
}
