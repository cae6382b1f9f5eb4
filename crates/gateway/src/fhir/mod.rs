//! The FHIR guard, without IO: a request's head and body, the device's view and the time go in, a ruling comes out.
//!
//! Walk: `screen` (who, what, may it) -> body (`json`, `schema`, `types`) -> `bundle` (resource + Provenance) -> [`Ruling`].
//! After the EHR has answered, [`answer::judge`] says what the device hears.
//! In scope: FHIR R4 REST as far as `request` lists it. Out of scope: sockets, tokens, the log (`relay`, `token`, `log`).
//! A [`Forward`] holds a [`Permit`], which only this module makes, and only from `lanyard_domain::access::Allowed`.

pub mod answer;
mod bundle;
pub mod json;
pub mod outcome;
mod provenance;
pub mod request;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;
pub mod types;

use lanyard_domain::access::{self, Allowed, Denied, DeniedKind, DeviceView, Interaction};
use lanyard_domain::event::AccessRecord;
use lanyard_domain::id::{DecisionId, GatewayId};
use lanyard_domain::record::{Permission, Scope};
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::{Reason, Verdict};

use answer::Expect;
use outcome::{Issue, Refusal};
use request::{Head, Request};
use schema::Checker;
use transaction::Op;

/// Who asks: the device's view, the certificate of this connection, and the scopes of its token, if it brought one.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// What we know of the device.
    pub view: &'a DeviceView,
    /// Thumbprint of the certificate that it authenticated with.
    pub certificate: &'a Digest,
    /// A token narrows what the record allows, it never widens it.
    pub token_scopes: Option<&'a [Scope]>,
}

/// What else a decision rests on and names.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Now.
    pub now: Timestamp,
    /// Position in the main log up to which we have heard.
    pub heard_pos: u64,
    /// Fresh random ids.
    pub ids: Ids,
}

/// Fresh random ids for one decision.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// The decision.
    pub decision: DecisionId,
    /// The resource's place in the transaction.
    pub entry: DecisionId,
    /// The Provenance's place in the transaction.
    pub provenance: DecisionId,
}

impl Ids {
    /// Ids from 48 random bytes.
    pub fn from_random(bytes: [u8; 48]) -> Ids {
        let part = |n: usize| {
            let mut id = [0u8; 16];
            bytes.iter().skip(n * 16).zip(id.iter_mut()).for_each(|(from, to)| *to = *from);
            DecisionId::from_random(id)
        };
        Ids { decision: part(0), entry: part(1), provenance: part(2) }
    }
}

/// The guard of one gateway.
#[derive(Debug, Clone)]
pub struct Guard {
    gateway: GatewayId,
    site: String,
    main_log: String,
    max_body: usize,
}

/// A positive ruling's proof; made only here, from `Allowed` values, one per interaction of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    allowed: Vec<Allowed>,
}

impl Permit {
    /// What was allowed; never empty.
    pub fn allowed(&self) -> &[Allowed] {
        &self.allowed
    }
}

/// A request that may go to the EHR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    permit: Permit,
    /// For the decision log, to be durable before the request leaves.
    pub record: AccessRecord,
    /// What to send.
    pub upstream: Upstream,
    /// What the EHR must answer.
    pub expect: Expect,
}

impl Forward {
    /// The proof that it was allowed.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

/// What to send to the EHR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `GET` of this path and query below the EHR's base, with `Prefer: handling=strict`.
    Get(String),
    /// `POST` of this transaction Bundle to the EHR's base.
    Transaction(String),
}

/// A request that goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the device hears.
    pub refusal: Refusal,
    /// For the decision log.
    pub record: AccessRecord,
}

/// The outcome of [`Guard::decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Allowed.
    Forward(Box<Forward>),
    /// Not.
    Refuse(Box<Refused>),
}

impl Guard {
    /// Largest request body by default: 1 MiB holds 40 seconds of a 12-lead ECG at 500 Hz as text.
    pub const MAX_BODY: usize = 1 << 20;

    /// A guard. `main_log` is the origin of the log that evidence positions point into.
    pub fn new(gateway: GatewayId, site: &str, main_log: &str, max_body: usize) -> Guard {
        Guard { gateway, site: site.to_owned(), main_log: main_log.to_owned(), max_body }
    }

    /// Largest request body.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Everything that can be said before the body is read; [`Guard::decide`] says it again.
    pub fn screen<'h>(
        &self,
        head: &Head<'h>,
        caller: &Caller<'_>,
        now: Timestamp,
    ) -> Result<Request<'h>, Refusal> {
        self.admit(head, caller, now).map(|(request, _)| request)
    }

    /// The ruling on a request. `body` is ignored where the interaction has none.
    pub fn decide(&self, head: &Head<'_>, body: &[u8], caller: &Caller<'_>, at: &Circumstances) -> Ruling {
        let mut record = self.record(caller, at);
        if !body.is_empty() {
            record.request_sha256 = Some(sha256(body));
        }
        let outcome = self.rule(head, body, caller, at, &mut record);
        match outcome {
            Ok((permit, upstream, expect)) => {
                record.allowed = true;
                record.reasons = permit.allowed.iter().flat_map(|a| a.reasons()).cloned().collect();
                record.reasons.sort();
                record.reasons.dedup();
                if let Upstream::Transaction(body) = &upstream {
                    record.forwarded_sha256 = Some(sha256(body.as_bytes()));
                }
                Ruling::Forward(Box::new(Forward { permit, record, upstream, expect }))
            }
            Err(refusal) => {
                record.reasons.clone_from(&refusal.reasons);
                Ruling::Refuse(Box::new(Refused { refusal, record }))
            }
        }
    }

    /// The ruling on a refusal that was found elsewhere (token, size, unknown peer), so that it is recorded alike.
    pub fn refuse(&self, refusal: Refusal, caller: Option<&Caller<'_>>, at: &Circumstances) -> Refused {
        let mut record = match caller {
            Some(caller) => self.record(caller, at),
            None => self.blank(at),
        };
        record.reasons.clone_from(&refusal.reasons);
        Refused { refusal, record }
    }

    /// One interaction, judged by the domain's rules (R41, R69) and narrowed by the token.
    fn permit(
        &self,
        kind: &types::ResourceType,
        permission: Permission,
        caller: &Caller<'_>,
        now: Timestamp,
    ) -> Result<Allowed, Refusal> {
        let interaction = Interaction { resource: kind.name, permission };
        let allowed =
            access::decide(caller.view, caller.certificate, &interaction, now).map_err(|d| denied(&d))?;
        let narrowed =
            caller.token_scopes.is_some_and(|s| !s.iter().any(|s| s.allows(kind.name, permission)));
        if narrowed {
            return Err(Refusal::new(
                403,
                Issue::Forbidden,
                "not_in_token_scope",
                "The token's scope does not cover this; ask the token endpoint for it.",
            ));
        }
        Ok(allowed)
    }

    fn admit<'h>(
        &self,
        head: &Head<'h>,
        caller: &Caller<'_>,
        now: Timestamp,
    ) -> Result<(Request<'h>, Option<Allowed>), Refusal> {
        access::authenticate(caller.view, caller.certificate, now).map_err(|d| denied(&d))?;
        if caller.view.site != self.site {
            return Err(Refusal::new(
                403,
                Issue::Forbidden,
                "other_site",
                "The device is registered at another site than this gateway's.",
            ));
        }
        // R62: what an unknown model says is not accepted, whatever the verdict.
        if caller.view.ai && caller.view.ai_model.is_none() {
            return Err(Refusal::new(
                403,
                Issue::Forbidden,
                "model_unknown",
                "No approved AI model release matches what the device runs.",
            ));
        }
        let request = request::parse(head)?;
        let Some((kind, permission)) = request.permission() else { return Ok((request, None)) };
        let allowed = self.permit(kind, permission, caller, now)?;
        if matches!(permission, Permission::Create | Permission::Update) && kind.write.is_none() {
            return Err(transaction::not_writable());
        }
        Ok((request, Some(allowed)))
    }

    fn rule(
        &self,
        head: &Head<'_>,
        body: &[u8],
        caller: &Caller<'_>,
        at: &Circumstances,
        record: &mut AccessRecord,
    ) -> Result<(Permit, Upstream, Expect), Refusal> {
        let (request, allowed) = self.admit(head, caller, at.now)?;
        record.interaction = request.name();
        if body.len() > self.max_body {
            return Err(too_long(self.max_body));
        }
        let entry = at.ids.entry.to_string();
        let ops = match (&request, allowed) {
            (Request::Read(kind, id), Some(allowed)) => {
                let upstream = Upstream::Get(format!("/{}/{id}", kind.name));
                let expect = Expect::Read { kind: kind.name, id: (*id).to_owned() };
                return Ok((Permit { allowed: vec![allowed] }, upstream, expect));
            }
            (Request::Search(kind, query), Some(allowed)) => {
                let upstream = Upstream::Get(format!("/{}?{query}", kind.name));
                let parameters = request::parameter_names(query).map(str::to_owned).collect();
                let expect = Expect::Search { kind: kind.name, parameters };
                return Ok((Permit { allowed: vec![allowed] }, upstream, expect));
            }
            (_, Some(allowed)) => vec![(Op::single(&request, body, &entry)?, allowed)],
            (_, None) => {
                let ops = Op::transaction(body)?;
                record.interaction = transaction::name(&ops);
                let mut judged = Vec::with_capacity(ops.len());
                for op in ops {
                    let allowed = self.permit(op.kind, op.permission(), caller, at.now)?;
                    judged.push((op, allowed));
                }
                judged
            }
        };
        let (mut ops, allowed): (Vec<Op<'_>>, Vec<Allowed>) = ops.into_iter().unzip();
        transaction::check(&ops, caller.view.device, at.now)?;
        let permit = Permit { allowed };
        let verdict = permit.allowed.iter().map(Allowed::verdict).max().unwrap_or(Verdict::Untrusted);
        for op in &mut ops {
            bundle::label(op, caller.view, verdict);
        }
        let expect = Expect::transaction(&ops, matches!(request, Request::Transaction));
        let stamp = provenance::Stamp { guard: self, view: caller.view, verdict, at };
        let body = bundle::compose(&ops, &stamp, body.len());
        Ok((permit, Upstream::Transaction(body), expect))
    }

    fn record(&self, caller: &Caller<'_>, at: &Circumstances) -> AccessRecord {
        let view = caller.view;
        AccessRecord {
            device: Some(view.device),
            certificate_sha256: Some(*caller.certificate),
            verdict: Some(view.verdict_at(at.now)),
            evidence_pos: view.evidence_pos,
            evidence_sha256: view.evidence_sha256,
            firmware: view.firmware.as_ref().map(|r| r.id),
            model: view.ai_model.as_ref().map(|r| r.id),
            ..self.blank(at)
        }
    }

    fn blank(&self, at: &Circumstances) -> AccessRecord {
        AccessRecord {
            decision: at.ids.decision,
            gateway: self.gateway,
            device: None,
            certificate_sha256: None,
            path: "fhir".to_owned(),
            interaction: "unclear".to_owned(),
            allowed: false,
            verdict: None,
            reasons: Vec::new(),
            policy: access::POLICY.to_owned(),
            evidence_pos: None,
            evidence_sha256: None,
            firmware: None,
            model: None,
            heard_pos: at.heard_pos,
            request_sha256: None,
            forwarded_sha256: None,
        }
    }
}

/// A denial by the domain's rules, as FHIR says it (clinical.md §3.4: 401 login, 403 forbidden).
pub fn denied(denied: &Denied) -> Refusal {
    let (status, issue) = match denied.kind {
        DeniedKind::Credential => (401, Issue::Login),
        DeniedKind::Untrusted | DeniedKind::Scope => (403, Issue::Forbidden),
    };
    let mut reasons = denied.reasons.clone();
    if reasons.is_empty() {
        reasons.push(Reason::new("denied", "The rules do not allow it."));
    }
    Refusal { status, issue, expression: None, reasons }
}

/// The refusal of a body of more than `most` bytes.
pub fn too_long(most: usize) -> Refusal {
    Refusal::new(413, Issue::TooLong, "body_too_long", format!("A request body has at most {most} bytes."))
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(lanyard_ledger::hash::sha256(&[bytes]).0)
}
