//! The addresses of the resources, both ways: rendered for clients, and read from requests.

use std::fmt;
use std::str::FromStr;

use super::challenge::ChallengeKind;
use super::id::AccountId;
use super::id::OrderId;
use super::renewal::CertId;

/// Room for the longest path below it, within the limit for `url`.
const MAX_BASE: usize = 300;

/// Where the resources of one ACME server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    base: String,
}

/// Why a text cannot be the base of ACME's addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ACME base URL must be `https://host[:port]/path` without `/` at the end, `?` or `#`, at most 300 bytes"
)]
pub struct BadUrl;

impl FromStr for Urls {
    type Err = BadUrl;

    fn from_str(base: &str) -> Result<Self, BadUrl> {
        // RFC 8555 6.1: HTTPS only.
        let rest = base.strip_prefix("https://").ok_or(BadUrl)?;
        let plain = rest
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\' | b'<' | b'>'));
        if rest.is_empty() || rest.starts_with('/') || rest.ends_with('/') || !plain || base.len() > MAX_BASE
        {
            return Err(BadUrl);
        }
        Ok(Self { base: base.to_owned() })
    }
}

impl Urls {
    pub(super) fn to(&self, route: &Route) -> String {
        format!("{}{route}", self.base)
    }

    /// The account that a `kid` names.
    pub(super) fn account(&self, kid: &str) -> Option<AccountId> {
        match Route::parse(kid.strip_prefix(&self.base)?)? {
            Route::Account(id) => Some(id),
            _ => None,
        }
    }
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Directory,
    NewNonce,
    NewAccount,
    NewOrder,
    RevokeCert,
    KeyChange,
    /// The bare address, as the directory names it.
    RenewalInfos,
    RenewalInfo(CertId),
    Account(AccountId),
    Orders(AccountId),
    Order(OrderId),
    Finalize(OrderId),
    Authorization(OrderId, usize),
    Challenge(OrderId, usize, ChallengeKind),
    /// 0 is the chain that the order names, the others are its alternates.
    Certificate(OrderId, usize),
}

impl Route {
    /// The resource of a path below the base.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let route = match parts.next()? {
            "directory" => Self::Directory,
            "new-nonce" => Self::NewNonce,
            "new-account" => Self::NewAccount,
            "new-order" => Self::NewOrder,
            "revoke-cert" => Self::RevokeCert,
            "key-change" => Self::KeyChange,
            "renewal-info" => match parts.next() {
                None => Self::RenewalInfos,
                Some(id) => Self::RenewalInfo(id.parse().ok()?),
            },
            "account" => {
                let id = parts.next()?.parse().ok()?;
                match parts.next() {
                    None => Self::Account(id),
                    Some("orders") => Self::Orders(id),
                    Some(_) => return None,
                }
            }
            "order" => {
                let id = parts.next()?.parse().ok()?;
                match parts.next() {
                    None => Self::Order(id),
                    Some("finalize") => Self::Finalize(id),
                    Some(_) => return None,
                }
            }
            "authorization" => Self::Authorization(parts.next()?.parse().ok()?, number(parts.next()?)?),
            "challenge" => Self::Challenge(
                parts.next()?.parse().ok()?,
                number(parts.next()?)?,
                parts.next()?.parse().ok()?,
            ),
            "certificate" => {
                let id = parts.next()?.parse().ok()?;
                match parts.next() {
                    None => Self::Certificate(id, 0),
                    Some(text) => Self::Certificate(id, number(text).filter(|n| *n > 0)?),
                }
            }
            _ => return None,
        };
        if parts.next().is_none() { Some(route) } else { None }
    }
}

/// One or two digits in their one spelling: an order has at most 16 identifiers.
fn number(text: &str) -> Option<usize> {
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text && number < 100).then_some(usize::from(number))
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("/directory"),
            Self::NewNonce => f.write_str("/new-nonce"),
            Self::NewAccount => f.write_str("/new-account"),
            Self::NewOrder => f.write_str("/new-order"),
            Self::RevokeCert => f.write_str("/revoke-cert"),
            Self::KeyChange => f.write_str("/key-change"),
            Self::RenewalInfos => f.write_str("/renewal-info"),
            Self::RenewalInfo(id) => write!(f, "/renewal-info/{id}"),
            Self::Account(id) => write!(f, "/account/{id}"),
            Self::Orders(id) => write!(f, "/account/{id}/orders"),
            Self::Order(id) => write!(f, "/order/{id}"),
            Self::Finalize(id) => write!(f, "/order/{id}/finalize"),
            Self::Authorization(id, at) => write!(f, "/authorization/{id}/{at}"),
            Self::Challenge(id, at, kind) => write!(f, "/challenge/{id}/{at}/{}", kind.as_str()),
            Self::Certificate(id, 0) => write!(f, "/certificate/{id}"),
            Self::Certificate(id, at) => write!(f, "/certificate/{id}/{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_read_as_what_it_was_written_for() {
        let (order, account) = (OrderId::from_random([1; 16]), AccountId::from_random([2; 16]));
        let certificate: CertId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap();
        for route in [
            Route::Directory,
            Route::NewNonce,
            Route::NewAccount,
            Route::NewOrder,
            Route::RevokeCert,
            Route::KeyChange,
            Route::RenewalInfos,
            Route::RenewalInfo(certificate),
            Route::Account(account),
            Route::Orders(account),
            Route::Order(order),
            Route::Finalize(order),
            Route::Authorization(order, 15),
            Route::Challenge(order, 0, ChallengeKind::DeviceAttest01),
            Route::Certificate(order, 0),
            Route::Certificate(order, 2),
        ] {
            assert_eq!(Route::parse(&route.to_string()), Some(route.clone()), "{route}");
        }
        let urls: Urls = "https://ca.hospital.example:8443/acme".parse().unwrap();
        let kid = urls.to(&Route::Account(account));
        assert_eq!(urls.account(&kid), Some(account));
        assert_eq!(urls.account(&kid.replace("hospital", "hospitai")), None);
        assert_eq!(urls.account(&urls.to(&Route::Orders(account))), None);
    }

    #[test]
    fn other_paths_are_nothing() {
        let order = OrderId::from_random([1; 16]);
        for path in [
            "",
            "directory",
            "/",
            "/directory/",
            "/DIRECTORY",
            "/order",
            "/order/x",
            &format!("/order/{order}/"),
            &format!("/order/{order}/x"),
            &format!("/order/{order}="),
            &format!("/authorization/{order}"),
            &format!("/authorization/{order}/100"),
            &format!("/authorization/{order}/01"),
            &format!("/authorization/{order}/+1"),
            &format!("/challenge/{order}/0/email-01"),
            &format!("/certificate/{order}/0"),
            "/renewal-info/x",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    #[test]
    fn the_base_is_an_https_url_without_an_end() {
        assert!("https://ca.hospital.example".parse::<Urls>().is_ok());
        for bad in [
            "",
            "http://a",
            "https://",
            "https:///a",
            "https://a/",
            "https://a?x",
            "https://a b",
            "https://a\"b",
        ] {
            assert!(bad.parse::<Urls>().is_err(), "{bad}");
        }
        assert!(format!("https://{}", "a".repeat(300)).parse::<Urls>().is_err());
    }
}
