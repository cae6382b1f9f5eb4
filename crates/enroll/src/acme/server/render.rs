//! The resources as JSON (RFC 8555 7.1).

use lanyard_domain::time::Timestamp;
use serde_json::{Map, Value, json};

use super::super::order::{
    Authorization, AuthorizationState, Challenge, ChallengeState, Order, OrderState, OrderStatus,
};
use super::super::policy::BindingPolicy;
use super::super::renewal::rfc3339;
use super::super::urls::Route;
use super::Server;
use crate::Reply;

pub(super) fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::new(status, "application/json", body.to_string().into_bytes())
}

impl Server {
    /// RFC 8555 7.1.1, RFC 9773 3, profiles draft 3.
    pub(super) fn directory(&self) -> Reply {
        let url = |route: Route| self.urls.to(&route);
        let mut meta = Map::new();
        let required = self.policy.binding == BindingPolicy::Required;
        meta.insert("externalAccountRequired".into(), json!(required));
        if !self.policy.profiles.is_empty() {
            meta.insert("profiles".into(), json!(self.policy.profiles));
        }
        let body = json!({
            "newNonce": url(Route::NewNonce),
            "newAccount": url(Route::NewAccount),
            "newOrder": url(Route::NewOrder),
            "revokeCert": url(Route::RevokeCert),
            "keyChange": url(Route::KeyChange),
            "renewalInfo": url(Route::RenewalInfos),
            "meta": meta,
        });
        json_reply(200, &body)
    }

    /// RFC 8555 7.1.3.
    pub(super) fn order_json(&self, order: &Order, now: Timestamp) -> Value {
        let authorizations: Vec<String> = (0..order.authorizations.len())
            .map(|at| self.urls.to(&Route::Authorization(order.id, at)))
            .collect();
        let identifiers: Vec<Value> = order.request.identifiers.iter().map(|i| i.to_json()).collect();
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        put("status", json!(order.status(now).as_str()));
        put("expires", json!(rfc3339(order.expires)));
        put("identifiers", json!(identifiers));
        put("authorizations", json!(authorizations));
        put("finalize", json!(self.urls.to(&Route::Finalize(order.id))));
        if let Some(profile) = &order.request.profile {
            put("profile", json!(profile));
        }
        if let Some(replaces) = &order.request.replaces {
            put("replaces", json!(replaces.to_string()));
        }
        match &order.state {
            OrderState::Valid { .. } => {
                put("certificate", json!(self.urls.to(&Route::Certificate(order.id, 0))))
            }
            OrderState::Invalid { problem } => put("error", problem.to_json()),
            OrderState::Open | OrderState::Processing { .. } => {}
        }
        Value::Object(out)
    }

    /// RFC 8555 7.1.4.
    pub(super) fn authorization_json(
        &self,
        order: &Order,
        at: usize,
        found: &Authorization,
        now: Timestamp,
    ) -> Value {
        let challenges: Vec<Value> =
            found.challenges.iter().map(|c| self.challenge_json(order, at, c)).collect();
        json!({
            "identifier": found.identifier.to_json(),
            "status": authorization_status(order, found, now),
            "expires": rfc3339(order.expires),
            "challenges": challenges,
        })
    }

    /// RFC 8555 7.1.5 and 8.
    pub(super) fn challenge_json(&self, order: &Order, at: usize, challenge: &Challenge) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        put("type", json!(challenge.kind.as_str()));
        put("url", json!(self.urls.to(&Route::Challenge(order.id, at, challenge.kind))));
        put("token", json!(challenge.token));
        match &challenge.state {
            ChallengeState::Pending => put("status", json!("pending")),
            ChallengeState::Processing => put("status", json!("processing")),
            ChallengeState::Valid { at } => {
                put("status", json!("valid"));
                put("validated", json!(rfc3339(*at)));
            }
            ChallengeState::Invalid { problem, at } => {
                put("status", json!("invalid"));
                put("validated", json!(rfc3339(*at)));
                put("error", problem.to_json());
            }
        }
        Value::Object(out)
    }
}

fn authorization_status(order: &Order, found: &Authorization, now: Timestamp) -> &'static str {
    match (&found.state, order.status(now)) {
        (AuthorizationState::Deactivated, _) => "deactivated",
        (AuthorizationState::Invalid, _) => "invalid",
        (_, OrderStatus::Invalid) if now > order.expires => "expired",
        // Another authorization failed, and no more can come of this one.
        (AuthorizationState::Pending, OrderStatus::Invalid) => "invalid",
        (AuthorizationState::Pending, _) => "pending",
        (AuthorizationState::Valid(_), _) => "valid",
    }
}
