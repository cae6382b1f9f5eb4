//! ACME (RFC 8555, 9773, draft-ietf-acme-device-attest).
