//! SCEP (RFC 8894), for legacy devices.
