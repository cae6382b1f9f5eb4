//! Object identifiers of SCEP messages. One line each, with its source.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $text:literal;)*) => {
        $(pub(super) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    // RFC 5652 4, 5.1, 6.1
    DATA = "1.2.840.113549.1.7.1";
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    // RFC 5652 11.1, 11.2
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    // RFC 2985 5.4.1
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    // RFC 8894 3.2.1
    MESSAGE_TYPE = "2.16.840.1.113733.1.9.2";
    PKI_STATUS = "2.16.840.1.113733.1.9.3";
    FAIL_INFO = "2.16.840.1.113733.1.9.4";
    SENDER_NONCE = "2.16.840.1.113733.1.9.5";
    RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6";
    TRANSACTION_ID = "2.16.840.1.113733.1.9.7";
    FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1";
    // RFC 3370 2.1, RFC 5754 2
    SHA1 = "1.3.14.3.2.26";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    SHA384 = "2.16.840.1.101.3.4.2.2";
    SHA512 = "2.16.840.1.101.3.4.2.3";
    // RFC 8017 appendix C
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    SHA1_WITH_RSA = "1.2.840.113549.1.1.5";
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    // RFC 3565 4.1
    AES_128_CBC = "2.16.840.1.101.3.4.1.2";
    AES_192_CBC = "2.16.840.1.101.3.4.1.22";
    AES_256_CBC = "2.16.840.1.101.3.4.1.42";
    // RFC 3370 5.1; OIW for single DES
    DES_EDE3_CBC = "1.2.840.113549.3.7";
    DES_CBC = "1.3.14.3.2.7";
}
