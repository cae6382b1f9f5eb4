//! Object identifiers that profiles, lints, checks and enrollment protocols speak of. One line each, with its source.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);
        )*
    };
}

oids! {
    // RFC 5280 4.2.1, extensions
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    KEY_USAGE = "2.5.29.15";
    SUBJECT_ALT_NAME = "2.5.29.17";
    BASIC_CONSTRAINTS = "2.5.29.19";
    NAME_CONSTRAINTS = "2.5.29.30";
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    POLICY_CONSTRAINTS = "2.5.29.36";
    EXTENDED_KEY_USAGE = "2.5.29.37";
    FRESHEST_CRL = "2.5.29.46";
    INHIBIT_ANY_POLICY = "2.5.29.54";
    AUTHORITY_INFO_ACCESS = "1.3.6.1.5.5.7.1.1";
    // RFC 5280 5.2 and 5.3, extensions of lists and of their entries
    CRL_NUMBER = "2.5.29.20";
    REASON_CODE = "2.5.29.21";
    DELTA_CRL_INDICATOR = "2.5.29.27";
    ISSUING_DISTRIBUTION_POINT = "2.5.29.28";
    // RFC 9608 2
    NO_REV_AVAIL = "2.5.29.56";
    // RFC 5280 4.2.1.12 and 4.2.2.1
    ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0";
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    EAP_OVER_LAN = "1.3.6.1.5.5.7.3.14";
    // RFC 6402 2.10
    CMC_RA = "1.3.6.1.5.5.7.3.28";
    OCSP = "1.3.6.1.5.5.7.48.1";
    CA_ISSUERS = "1.3.6.1.5.5.7.48.2";
    // RFC 6960 4.2.2.2, 4.4 and appendix B
    OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
    OCSP_BASIC = "1.3.6.1.5.5.7.48.1.1";
    OCSP_NONCE = "1.3.6.1.5.5.7.48.1.2";
    OCSP_NO_CHECK = "1.3.6.1.5.5.7.48.1.5";
    OCSP_EXTENDED_REVOKE = "1.3.6.1.5.5.7.48.1.9";
    // RFC 6960 4.3 and RFC 9919 3.1.1, hashes in a CertID
    SHA1 = "1.3.14.3.2.26";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    // IEEE 11073-20701: a participant's role in a service-oriented device connectivity network
    SDC_SERVICE_PROVIDER = "1.2.840.10004.20701.1.1";
    SDC_SERVICE_CONSUMER = "1.2.840.10004.20701.1.2";
    // RFC 4043 2 and RFC 4108 5, forms of otherName
    PERMANENT_IDENTIFIER = "1.3.6.1.5.5.7.8.3";
    HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4";
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
    // RFC 2985 5.4.1 and 5.4.2, attributes of a certification request
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    // RFC 5652 4 and 5.1
    ID_DATA = "1.2.840.113549.1.7.1";
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    // RFC 8017 appendix A
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    SHA1_WITH_RSA = "1.2.840.113549.1.1.5";
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    // RFC 9881 2
    ML_DSA_65 = "2.16.840.1.101.3.4.3.18";
}

/// Whether it is one of the RSA PKCS#1 v1.5 signature algorithms, whose parameters are NULL (RFC 4055 5).
pub(crate) fn is_rsa_signature(id: &ObjectIdentifier) -> bool {
    [SHA256_WITH_RSA, SHA384_WITH_RSA, SHA512_WITH_RSA].contains(id)
}
