//! EST, Enrollment over Secure Transport (RFC 7030, with RFC 8951 and RFC 9908), both halves.
//!
//! Server: [`parse`] turns an HTTP request into a [`Request`]; its [`Credential`] is proven outside, [`Enroll`] becomes
//! an [`crate::EnrollmentRequest`], and [`render`] or [`keygen::reply`] makes an answer of the [`crate::Outcome`]. A
//! request that is not taken is an [`EstError`], which knows its answer. Client: [`client`].
//!
//! In scope: paths and labels, base64 in the client's style, PKCS#10 with proof of possession, HTTP Basic, linking to
//! the TLS connection, CSR attributes, keys made by the server. Out of scope: TLS, whether a certificate or a secret
//! is anyone's, Full CMC (refused), EST over CoAP (RFC 9148).
//!
//! To add an operation: its variant in [`Operation`] and in [`Wish`], its answer in [`render`], its two functions in
//! [`client`], a line in `docs/protocols/est.md`.

mod attributes;
mod base64;
pub mod client;
mod credentials;
mod csrattrs;
mod error;
pub mod keygen;
mod linking;
pub mod render;
mod route;
mod server;

pub use attributes::BadAttributes;
pub use base64::{BadBase64, BadStyle, Base64Style};
pub use credentials::{BadAuthorization, PresentedSecret};
pub use csrattrs::{BadCsrAttributes, CsrTemplate, MAX_CSRATTRS_BYTES};
pub use error::EstError;
pub use linking::Linking;
pub use route::{BadLabel, Label, Operation, PREFIX, Route, route};
pub use server::{Credential, Enroll, Incoming, Occasion, Request, Wish, parse};

/// A request of 16 KiB in base64 has 21.4 KiB, with CR LF after every 64 characters 22 KiB; indented by hand, more.
pub const MAX_REQUEST_BODY: usize = 32 * 1024;

/// RFC 7030 4.2.1
const PKCS10: &str = "application/pkcs10";
/// RFC 7030 4.1.3
const PKCS7: &str = "application/pkcs7-mime";
/// RFC 7030 4.2.3. libest compares it byte by byte, the space included.
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 7030 4.4.2
const PKCS8: &str = "application/pkcs8";
/// RFC 7030 4.5.2
const CSRATTRS: &str = "application/csrattrs";
/// Our own: why an answer without a body is what it is.
const REASON: &str = "lanyard-reason";
