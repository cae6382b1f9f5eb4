//! EST.

mod exchange;
mod hospital;
mod limits;
mod openssl;
