//! Ids of accounts and orders: 16 random bytes, in base64url where they stand in addresses.

use std::fmt;
use std::str::FromStr;

use super::base64url;
use super::problem::Problem;

macro_rules! url_ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An id of random bytes.
            pub const fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64url::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Problem;

            fn from_str(text: &str) -> Result<Self, Problem> {
                let bytes = base64url::decode("id", text)?;
                Ok(Self(bytes.try_into().map_err(|_| Problem::not_found($what))?))
            }
        }
    )*};
}

url_ids! {
    /// Which account; stands in its URL. It stays when the key changes.
    AccountId, "account";
    /// Which order; stands in its URL and in those of its authorizations, challenges and certificate.
    OrderId, "order";
}
