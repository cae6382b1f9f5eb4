//! Accounts as plain values: the caller keeps them (in the log), the engine only reads and proposes.

use lanyard_domain::id::StreamId;
use serde_json::{Value, json};

use super::id::AccountId;
use super::jwk::Jwk;
use super::problem::{ErrorType, Problem};
use super::urls::{Route, Urls};
use crate::secret::SecretProven;

/// Clients give one or two addresses.
const MAX_CONTACTS: usize = 4;
/// RFC 5321 4.5.3.1.3: a path has at most 256 octets; `mailto:` before it.
const MAX_CONTACT: usize = 263;

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// Yes.
    Valid,
    /// Its owner ended it.
    Deactivated,
    /// We ended it.
    Revoked,
}

impl AccountStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
        }
    }
}

/// What an account was bound to when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The record for which the secret was given out.
    pub record: StreamId,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which.
    pub id: AccountId,
    /// Its key.
    pub key: Jwk,
    /// `mailto:` addresses.
    pub contacts: Vec<String>,
    /// Whether it may be used.
    pub status: AccountStatus,
    /// To what it is bound.
    pub binding: Option<Binding>,
}

impl Account {
    /// RFC 8555 7.1.2.
    pub(super) fn to_json(&self, urls: &Urls) -> Value {
        json!({
            "status": self.status.as_str(),
            "contact": self.contacts,
            "orders": urls.to(&Route::Orders(self.id)),
        })
    }
}

/// A new account to be recorded.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its id, fresh.
    pub id: AccountId,
    /// Its key, with which the request was signed.
    pub key: Jwk,
    /// Checked contacts.
    pub contacts: Vec<String>,
    /// The secret that binds it; used up with the record.
    pub secret: Option<SecretProven>,
}

/// A change to an account, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// Other contacts.
    Contacts(Vec<String>),
    /// Its owner ends it.
    Deactivate,
    /// Another key (RFC 8555 7.3.5); both keys signed.
    Key(Box<Jwk>),
}

/// RFC 8555 7.3: what a contact may be.
pub(super) fn check_contacts(contacts: &[String]) -> Result<(), Problem> {
    if contacts.len() > MAX_CONTACTS {
        let text = format!("an account has at most {MAX_CONTACTS} contacts");
        return Err(Problem::new(ErrorType::InvalidContact, text));
    }
    for contact in contacts {
        let Some(address) = contact.strip_prefix("mailto:") else {
            let text = "contacts are `mailto:` URLs";
            return Err(Problem::new(ErrorType::UnsupportedContact, text));
        };
        // No header fields (`?`), one address (`,`), no escapes (`%`).
        let plain = address
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b',' | b'%' | b'"' | b'<' | b'>'));
        let parts = address.split_once('@').filter(|(local, domain)| {
            !local.is_empty() && !domain.contains('@') && domain.parse::<lanyard_pki::name::DnsName>().is_ok()
        });
        if !plain || parts.is_none() || contact.len() > MAX_CONTACT {
            let text = "a contact is one plain address: `mailto:name@domain`";
            return Err(Problem::new(ErrorType::InvalidContact, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_one_plain_address() {
        let check = |text: &str| check_contacts(&[text.to_owned()]).map_err(|p| p.kind());
        assert_eq!(check("mailto:pki@hospital.example"), Ok(()));
        assert_eq!(check("tel:+123"), Err(ErrorType::UnsupportedContact));
        for bad in [
            "mailto:",
            "mailto:a",
            "mailto:@b.example",
            "mailto:a@",
            "mailto:a@b@c.example",
            "mailto:a@b.example,c@d.example",
            "mailto:a@b.example?subject=x",
            "mailto:a%20b@c.example",
            "mailto:a b@c.example",
            "mailto:a@-b",
        ] {
            assert_eq!(check(bad), Err(ErrorType::InvalidContact), "{bad}");
        }
        let long = format!("mailto:{}@hospital.example", "a".repeat(MAX_CONTACT));
        assert_eq!(check(&long), Err(ErrorType::InvalidContact));
        let many = vec!["mailto:a@b.example".to_owned(); MAX_CONTACTS + 1];
        assert!(check_contacts(&many).is_err());
    }
}
