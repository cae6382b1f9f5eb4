//! SCEP clients that nobody here wrote, against our engine behind a small HTTP loop.

mod certmonger;
mod client;
mod hospital;
mod http;
mod issuing;
mod micromdm;
mod openssl;
mod strongswan;
