//! What the engine may read: accounts in the ledger, accounts in memory, secrets, certificates that are to be replaced.

use std::collections::{HashMap, VecDeque};

use lanyard_control::world::{self, account_id};
use lanyard_domain::id::{SecretId, StreamId};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_enroll::acme::{
    Account, AccountId, AccountStatus, Binding, CertId, Identifier, Jwk, Predecessor, Records,
};
use lanyard_enroll::secret::Secret;

use super::Acme;
use crate::state::State;

/// Devices that enroll at the same time with an account of nobody: some 10 MB. The oldest is forgotten for a new one, and its
/// owner makes it again.
const MOST_UNBOUND: usize = 10_000;

/// The address of an account is made of its first key.
pub(super) fn id_of(first: &Digest) -> AccountId {
    AccountId::from_random(account_id(first))
}

/// Accounts that no secret bound.
#[derive(Debug, Default)]
pub(super) struct Unbound {
    accounts: HashMap<AccountId, Account>,
    keys: HashMap<[u8; 32], AccountId>,
    oldest_first: VecDeque<AccountId>,
}

impl Unbound {
    pub(super) fn insert(&mut self, account: Account) {
        if self.accounts.len() >= MOST_UNBOUND
            && let Some(oldest) = self.oldest_first.pop_front()
            && let Some(gone) = self.accounts.remove(&oldest)
        {
            self.keys.remove(&gone.key.thumbprint());
        }
        self.keys.insert(account.key.thumbprint(), account.id);
        if self.accounts.insert(account.id, account.clone()).is_none() {
            self.oldest_first.push_back(account.id);
        }
    }

    /// The same account, changed.
    pub(super) fn replace(&mut self, account: Account) {
        let Some(before) = self.accounts.get_mut(&account.id) else { return };
        self.keys.remove(&before.key.thumbprint());
        self.keys.insert(account.key.thumbprint(), account.id);
        *before = account;
    }

    fn of_key(&self, thumbprint: &[u8; 32]) -> Option<Account> {
        self.accounts.get(self.keys.get(thumbprint)?).cloned()
    }
}

/// All of it, as of now.
pub(super) struct Books<'a> {
    pub(super) state: &'a State,
    pub(super) acme: &'a Acme,
    pub(super) now: Timestamp,
}

impl Records for Books<'_> {
    fn account(&self, id: AccountId) -> Option<Account> {
        let bound = self.state.control.world().account_at(id.as_bytes()).and_then(|(_, a)| bound(a));
        bound.or_else(|| self.acme.unbound().accounts.get(&id).cloned())
    }

    fn stands(&self, account: &Account) -> bool {
        if account.binding.is_none() {
            return self
                .acme
                .unbound()
                .accounts
                .get(&account.id)
                .is_some_and(|now| now.status == AccountStatus::Valid && now.key == account.key);
        }
        // Accounts of the ledger are found by the key that they have now.
        let key = Digest(account.key.thumbprint());
        self.state.control.world().account(&key).is_some_and(|now| !now.ended)
    }

    fn account_of_key(&self, thumbprint: &[u8; 32]) -> Option<Account> {
        let bound = self.state.control.world().account(&Digest(*thumbprint)).and_then(bound);
        bound.or_else(|| self.acme.unbound().of_key(thumbprint))
    }

    fn secret(&self, id: SecretId) -> Option<Secret> {
        let unused =
            self.state.control.world().by_secret(id).is_some_and(|(_, open)| open.used_for.is_none());
        if unused { self.state.control.enrollment_secret(id, self.now) } else { None }
    }

    fn refusal(&self, account: &Account, identifiers: &[Identifier]) -> Option<String> {
        self.state.control.may_order(record(account), identifiers).err().map(|error| error.to_string())
    }

    fn predecessor(
        &self,
        account: &Account,
        certificate: &CertId,
        identifiers: &[Identifier],
    ) -> Predecessor {
        self.state.control.predecessor(record(account), certificate, identifiers)
    }
}

fn record(account: &Account) -> Option<StreamId> {
    account.binding.map(|binding| binding.record)
}

/// An account of the ledger as the engine has it.
fn bound(account: &world::Account) -> Option<Account> {
    let key = Jwk::parse(&account.jwk)
        .inspect_err(|_| {
            tracing::error!("the key of an account in the ledger cannot be read; please report it")
        })
        .ok()?;
    Some(Account {
        id: id_of(&account.first_sha256),
        key,
        contacts: Vec::new(),
        status: if account.ended { AccountStatus::Deactivated } else { AccountStatus::Valid },
        binding: Some(Binding { record: StreamId::from(account.subject) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u32) -> Account {
        let x = data_encoding::BASE64URL_NOPAD.encode(&lanyard_control::digest::sha256(&n.to_be_bytes()).0);
        let key = Jwk::parse(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).unwrap();
        Account {
            id: id_of(&Digest(key.thumbprint())),
            key,
            contacts: Vec::new(),
            status: AccountStatus::Valid,
            binding: None,
        }
    }

    // I12: whoever makes accounts takes no memory from us.
    #[test]
    fn accounts_of_nobody_are_bounded_and_the_oldest_is_forgotten() {
        let mut unbound = Unbound::default();
        let most = u32::try_from(MOST_UNBOUND).unwrap();
        for n in 0..=most {
            unbound.insert(account(n));
        }
        assert_eq!((unbound.accounts.len(), unbound.keys.len()), (MOST_UNBOUND, MOST_UNBOUND));
        assert!(unbound.of_key(&account(0).key.thumbprint()).is_none());
        assert!(unbound.of_key(&account(most).key.thumbprint()).is_some());
    }

    #[test]
    fn an_account_keeps_its_address_with_another_key() {
        let mut unbound = Unbound::default();
        let (old, new) = (account(1), account(2));
        unbound.insert(old.clone());
        unbound.replace(Account { key: new.key.clone(), ..old.clone() });
        assert!(unbound.of_key(&old.key.thumbprint()).is_none());
        assert_eq!(unbound.of_key(&new.key.thumbprint()).unwrap().id, old.id);
    }
}
