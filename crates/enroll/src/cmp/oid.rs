//! Object identifiers of CMP, CRMF and the MACs. One line each, with its source.

use der::asn1::ObjectIdentifier;

macro_rules! oids {
    ($($name:ident = $text:literal;)*) => {
        $(pub(super) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    // RFC 9810 5.1.3.1, RFC 4211 4.4
    PASSWORD_BASED_MAC = "1.2.840.113533.7.66.13";
    // RFC 8018 appendix A
    PBMAC1 = "1.2.840.113549.1.5.14";
    PBKDF2 = "1.2.840.113549.1.5.12";
    // RFC 9481 2, hashes
    SHA1 = "1.3.14.3.2.26";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    SHA384 = "2.16.840.1.101.3.4.2.2";
    SHA512 = "2.16.840.1.101.3.4.2.3";
    // RFC 9481 6.2, MACs; the first is what OpenSSL calls hmac-sha1, the second is hmacWithSHA1
    HMAC_SHA1 = "1.3.6.1.5.5.8.1.2";
    HMAC_WITH_SHA1 = "1.2.840.113549.2.7";
    HMAC_SHA256 = "1.2.840.113549.2.9";
    HMAC_SHA384 = "1.2.840.113549.2.10";
    HMAC_SHA512 = "1.2.840.113549.2.11";
    // RFC 9481 3, signatures
    ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
    ECDSA_WITH_SHA384 = "1.2.840.10045.4.3.3";
    ECDSA_WITH_SHA512 = "1.2.840.10045.4.3.4";
    ED25519 = "1.3.101.112";
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    // RFC 9810 5.1.1, items of generalInfo
    IMPLICIT_CONFIRM = "1.3.6.1.5.5.7.4.13";
    CONFIRM_WAIT_TIME = "1.3.6.1.5.5.7.4.14";
    CERT_PROFILE = "1.3.6.1.5.5.7.4.21";
    // RFC 9810 5.3.19, what a genm asks and a genp answers
    SIGN_KEY_PAIR_TYPES = "1.3.6.1.5.5.7.4.2";
    UNSUPPORTED_OIDS = "1.3.6.1.5.5.7.4.7";
    CA_CERTS = "1.3.6.1.5.5.7.4.17";
    ROOT_CA_KEY_UPDATE = "1.3.6.1.5.5.7.4.18";
    CERT_REQ_TEMPLATE = "1.3.6.1.5.5.7.4.19";
    ROOT_CA_CERT = "1.3.6.1.5.5.7.4.20";
    CRL_STATUS_LIST = "1.3.6.1.5.5.7.4.22";
    CRLS = "1.3.6.1.5.5.7.4.23";
    // RFC 4211 6 and RFC 9810 5.3.19.16, controls
    OLD_CERT_ID = "1.3.6.1.5.5.7.5.1.5";
    ALGORITHM_CONTROL = "1.3.6.1.5.5.7.5.1.11";
    RSA_LENGTH_CONTROL = "1.3.6.1.5.5.7.5.1.12";
    // RFC 5480 2.1.1 and RFC 8017, keys
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    P256 = "1.2.840.10045.3.1.7";
    P384 = "1.3.132.0.34";
    // RFC 5280 5.3.1
    CRL_REASON = "2.5.29.21";
    // RFC 5280 appendix A
    COMMON_NAME = "2.5.4.3";
}
