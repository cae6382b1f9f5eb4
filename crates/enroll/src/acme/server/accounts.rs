//! Accounts: newAccount, update, deactivation, key change (RFC 8555 7.3).

use lanyard_domain::time::Timestamp;
use serde_json::json;

use super::super::account::{Account, AccountChange, AccountStatus, Registration, check_contacts};
use super::super::eab;
use super::super::id::AccountId;
use super::super::jwk::Jwk;
use super::super::jws::{KeyReference, Message, Payload};
use super::super::order::Command;
use super::super::payload::{self, AccountUpdate, NewAccount};
use super::super::policy::BindingPolicy;
use super::super::problem::{ErrorType, Problem};
use super::super::seed::Seed;
use super::super::urls::Route;
use super::render::json_reply;
use super::{Context, Server, State, Step};
use crate::Reply;

impl Server {
    pub(super) fn new_account(
        &self,
        context: &mut Context<'_>,
        key: Jwk,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let wish = NewAccount::read(payload)?;
        if let Some(account) = context.records.account_of_key(&key.thumbprint()) {
            if account.status != AccountStatus::Valid {
                let text = "the account of this key is not valid any more: make a new key";
                return Err(Problem::new(ErrorType::Unauthorized, text));
            }
            return Ok(self.reply(self.account_reply(200, &account), context));
        }
        if wish.only_return_existing {
            let text = "there is no account of this key";
            return Err(Problem::new(ErrorType::AccountDoesNotExist, text));
        }
        let secret = match &wish.external_account_binding {
            Some(binding) => {
                let url = self.urls.to(&Route::NewAccount);
                Some(eab::verify(binding, &key, &url, |id| context.records.secret(id))?)
            }
            None if self.policy.binding == BindingPolicy::Required => {
                let text = "an account is bound with an enrollment secret (externalAccountBinding)";
                return Err(Problem::new(ErrorType::ExternalAccountRequired, text));
            }
            None => None,
        };
        let id = AccountId::from_random(context.seed.derive("account", 0));
        Ok(Step::Register(Box::new(Registration { id, key, contacts: wish.contact, secret })))
    }

    /// The reply after [`Step::Register`].
    pub fn registered(&self, state: &State, account: &Account, seed: &Seed, now: Timestamp) -> Reply {
        self.finish(self.account_reply(201, account), state, seed, now)
    }

    fn account_reply(&self, status: u16, account: &Account) -> Reply {
        json_reply(status, &account.to_json(&self.urls))
            .with("location", self.urls.to(&Route::Account(account.id)))
    }

    pub(super) fn account(
        &self,
        context: &mut Context<'_>,
        id: AccountId,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        own(id, account)?;
        if payload.is_empty() {
            return Ok(self.reply(self.account_reply(200, account), context));
        }
        let update: AccountUpdate = payload.read("account update")?;
        let change = match (update.status.as_deref(), update.contact) {
            (Some("deactivated"), _) => AccountChange::Deactivate,
            (None | Some("valid"), Some(contacts)) => {
                check_contacts(&contacts)?;
                AccountChange::Contacts(contacts)
            }
            // RFC 8555 7.3.2: what is not known is ignored; then nothing is left to change.
            (None | Some("valid"), None) => return Ok(self.reply(self.account_reply(200, account), context)),
            (Some(_), _) => {
                return Err(Problem::malformed("an account's `status` can become `deactivated` only"));
            }
        };
        Ok(Step::Change { account: Box::new(account.clone()), change })
    }

    /// The reply after [`Step::Change`], with the account as it is now. The orders of an account that ended end too.
    pub fn changed(&self, state: &mut State, account: &Account, seed: &Seed, now: Timestamp) -> Reply {
        if account.status != AccountStatus::Valid {
            for id in state.orders.ids_of(account.id) {
                let Some(order) = state.orders.get(id).cloned() else { continue };
                if let Ok(event) = order.decide(Command::Cancel, &self.policy.lifetimes, now) {
                    state.orders.replace(order.apply(event));
                }
            }
        }
        self.finish(self.account_reply(200, account), state, seed, now)
    }

    /// RFC 8555 7.1.2.1.
    pub(super) fn orders_of(
        &self,
        context: &mut Context<'_>,
        id: AccountId,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        own(id, account)?;
        only_get(payload)?;
        let orders = context.state.orders.list(id, context.now);
        let urls: Vec<String> = orders.into_iter().map(|id| self.urls.to(&Route::Order(id))).collect();
        Ok(self.reply(json_reply(200, &json!({ "orders": urls })), context))
    }

    /// RFC 8555 7.3.5: the old key signs outside, the new one inside.
    pub(super) fn key_change(
        &self,
        context: &mut Context<'_>,
        account: &Account,
        payload: &Payload,
    ) -> Result<Step, Problem> {
        let inner = Message::parse(payload.bytes())?;
        let header = inner.header();
        if header.url != self.urls.to(&Route::KeyChange) {
            return Err(Problem::malformed("the inner `url` is not that of the outer request"));
        }
        if header.nonce.is_some() {
            return Err(Problem::malformed("the inner message has no nonce (RFC 8555 7.3.5)"));
        }
        let KeyReference::Key(new) = &header.key else {
            return Err(Problem::malformed("the inner message has the new key as `jwk`"));
        };
        let (named, old) = payload::key_change(&inner.verify(new)?)?;
        if named != self.urls.to(&Route::Account(account.id)) {
            return Err(Problem::malformed(
                "`account` of the inner message is not the account that signed outside",
            ));
        }
        if old.thumbprint() != account.key.thumbprint() {
            return Err(Problem::malformed("`oldKey` is not the account's key"));
        }
        if let Some(other) = context.records.account_of_key(&new.thumbprint()) {
            // RFC 8555 7.3.5.
            let url = self.urls.to(&Route::Account(other.id));
            return Err(Problem::malformed("the new key is that of an account")
                .status(409)
                .header("location", url));
        }
        Ok(Step::Change { account: Box::new(account.clone()), change: AccountChange::Key(new.clone()) })
    }
}

fn own(id: AccountId, account: &Account) -> Result<(), Problem> {
    if id == account.id {
        return Ok(());
    }
    let text = "this is another account's resource";
    Err(Problem::new(ErrorType::Unauthorized, text))
}

/// RFC 8555 6.3.
pub(super) fn only_get(payload: &Payload) -> Result<(), Problem> {
    if payload.is_empty() {
        return Ok(());
    }
    Err(Problem::malformed("this resource is read with the empty payload (POST-as-GET)"))
}
