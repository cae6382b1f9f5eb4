//! Object identifiers that our profiles, lints and checks speak of. One line each, with its source.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    // RFC 5280 4.2.1, extensions
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    KEY_USAGE = "2.5.29.15";
    SUBJECT_ALT_NAME = "2.5.29.17";
    BASIC_CONSTRAINTS = "2.5.29.19";
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    EXTENDED_KEY_USAGE = "2.5.29.37";
    FRESHEST_CRL = "2.5.29.46";
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    // RFC 9608 2
    NO_REV_AVAIL = "2.5.29.56";
    // RFC 5280 4.2.1.12 and 4.2.2.1
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    OCSP = "1.3.6.1.5.5.7.48.1";
    // RFC 5280 appendix A, attributes of a Name
    COMMON_NAME = "2.5.4.3";
    SERIAL_NUMBER = "2.5.4.5";
    ORGANIZATION = "2.5.4.10";
    // RFC 5480 2.1.1 and RFC 5758 3.2
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    P256 = "1.2.840.10045.3.1.7";
    P384 = "1.3.132.0.34";
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
    // RFC 8410 3
    ED25519 = "1.3.101.112";
    // RFC 9881 2
    ML_DSA_65 = "2.16.840.1.101.3.4.3.18";
    // RFC 8017 appendix A
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
}

/// Whether it is one of the RSA PKCS#1 v1.5 signature algorithms, whose parameters are NULL (RFC 4055 5).
pub(crate) fn is_rsa_signature(id: &ObjectIdentifier) -> bool {
    [SHA256_WITH_RSA, SHA384_WITH_RSA, SHA512_WITH_RSA].contains(id)
}
