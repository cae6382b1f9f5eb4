//! Signatures: whoever decided something signed exactly that, with the key that the log admitted for them.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::{DeviceId, OperatorId, ReleaseId};
use lanyard_domain::rights::right;
use lanyard_domain::statement::{Action, SignedStatement};
use lanyard_domain::text::Digest;

use super::super::history::{OPERATOR_KEY_REPLACED, OPERATOR_REMOVED, operators};
use super::{Case, Finding, Line, not_proven, passed};
use crate::digest::sha256;

/// Who signed the statement in this line, by its own words.
pub(crate) fn signed_by(line: &Line) -> Option<OperatorId> {
    line.event.as_ref().and_then(Event::statement)?.parse().ok().map(|statement| statement.operator)
}

/// Every statement shown.
pub(super) fn signatures(case: &Case<'_>) -> Finding {
    let people =
        People { added: operators(&case.main), removed: removals(case), replaced: replacements(case) };
    one_key_one_person(&people)?;
    let mut seen = HashSet::new();
    let mut erased = Vec::new();
    let mut count = 0usize;
    for line in case.main.lines() {
        let Some((event, signed)) = line.event.as_ref().and_then(|e| Some((e, e.statement()?))) else {
            continue;
        };
        let good = check(case, &people, line, event, signed)
            .map_err(|why| format!("statement at position {}: {why}", line.pos()))?;
        match good {
            Signer::Known => count += 1,
            Signer::Erased => erased.push(line.pos()),
        }
        if !seen.insert(&signed.text) {
            return Err(format!("statement at position {}: it was carried out before", line.pos()));
        }
    }
    if !erased.is_empty() {
        return not_proven(format!(
            "the signers' keys of the statements at {erased:?} were erased or are withheld"
        ));
    }
    passed(format!("{count} statements, each signed by the person who decided"))
}

/// One key, one person (I1); and one person at most came in without another's signature.
fn one_key_one_person(people: &People<'_>) -> Result<(), String> {
    let mut keys = HashSet::new();
    let mut first = 0;
    for line in people.added.values() {
        let Some(Event::OperatorAdded { public_key, statement, .. }) = &line.event else { continue };
        if !keys.insert(public_key) {
            return Err(format!("the operator added at position {} has another operator's key", line.pos()));
        }
        first += usize::from(statement.is_none());
    }
    for line in people.replaced.values().flatten() {
        let Some(Event::OperatorKeyReplaced { public_key, .. }) = &line.event else { continue };
        if !keys.insert(public_key) {
            return Err(format!("the key given at position {} is or was an operator's already", line.pos()));
        }
    }
    if first > 1 {
        return Err("more than one operator was added without an admin's signature".to_owned());
    }
    Ok(())
}

/// The lines that gave and took rights, and those that gave other keys, oldest first.
struct People<'a> {
    added: HashMap<OperatorId, &'a Line>,
    removed: HashMap<OperatorId, u64>,
    replaced: HashMap<OperatorId, Vec<&'a Line>>,
}

impl People<'_> {
    /// Whether this operator was added before this position and not removed before it.
    fn in_office(&self, id: OperatorId, pos: u64) -> Result<&Line, String> {
        let added = self.added.get(&id).ok_or(format!("the bundle does not show who operator {id} is"))?;
        if added.pos() >= pos {
            return Err(format!("operator {id} was added only later"));
        }
        if self.removed.get(&id).is_some_and(|removed| *removed < pos) {
            return Err(format!("operator {id} had no rights any more"));
        }
        Ok(added)
    }

    /// The key that this operator had at this position, added with `first`; none where the payload that gave it is not shown.
    fn key_at(&self, id: OperatorId, pos: u64, first: Digest) -> Option<Digest> {
        let given = self.replaced.get(&id).into_iter().flatten().rev().find(|line| line.pos() < pos);
        match given.map(|line| &line.event) {
            None => Some(first),
            Some(Some(Event::OperatorKeyReplaced { public_key, .. })) => Some(*public_key),
            Some(_) => None,
        }
    }
}

fn replacements<'a>(case: &'a Case<'_>) -> HashMap<OperatorId, Vec<&'a Line>> {
    let mut replaced: HashMap<OperatorId, Vec<&Line>> = HashMap::new();
    for line in case.main.lines() {
        let header = &line.header;
        if header.stream_kind == StreamKind::Operator as u8 && header.kind == OPERATOR_KEY_REPLACED {
            replaced.entry(OperatorId::from(line.stream())).or_default().push(line);
        }
    }
    replaced
}

fn removals(case: &Case<'_>) -> HashMap<OperatorId, u64> {
    let of_operators = case.main.lines().iter().rev().filter(|line| {
        line.header.stream_kind == StreamKind::Operator as u8 && line.header.kind == OPERATOR_REMOVED
    });
    of_operators.map(|line| (OperatorId::from(line.stream()), line.pos())).collect()
}

enum Signer {
    Known,
    Erased,
}

fn check(
    case: &Case<'_>,
    people: &People<'_>,
    line: &Line,
    event: &Event,
    signed: &SignedStatement,
) -> Result<Signer, String> {
    let statement = signed.parse().map_err(|e| e.to_string())?;
    let id = statement.operator;
    if statement.log != case.claim.origin {
        return Err(format!("it is meant for log `{}`", statement.log));
    }
    if line.actor() != id {
        return Err(format!("operator {id} signed it, but the leaf says that {} acted", line.actor()));
    }
    if !decides(line, event, &statement.action) {
        return Err("what was signed is not what was recorded".to_owned());
    }
    let added = people.in_office(id, line.pos())?;
    if let Event::OperatorKeyReplaced { .. } = event {
        let whose = OperatorId::from(line.stream());
        if whose == id {
            return Err(format!("operator {id} replaced their own key"));
        }
        people.in_office(whose, line.pos())?;
    }
    let Some(Event::OperatorAdded { roles, public_key, .. }) = &added.event else {
        return Ok(Signer::Erased);
    };
    if !roles.iter().any(|role| right(&statement.action).roles.contains(role)) {
        return Err(format!("operator {id} holds no role that may decide this"));
    }
    let Some(key) = people.key_at(id, line.pos(), *public_key) else { return Ok(Signer::Erased) };
    UnparsedPublicKey::new(&ED25519, key.0)
        .verify(&signed.signed_bytes(), &signed.signature.0)
        .map_err(|_| format!("the signature is not by operator {id}"))?;
    Ok(Signer::Known)
}

/// Whether the event records exactly this decision, about the object whose stream it stands in.
fn decides(line: &Line, event: &Event, action: &Action) -> bool {
    let device = |id: &DeviceId| line.is_of(StreamKind::Device, *id);
    let release = |id: &ReleaseId| line.is_of(StreamKind::Release, *id);
    let operator = |id: &OperatorId| line.is_of(StreamKind::Operator, *id);
    match (event, action) {
        (Event::DeviceRegistered { record, .. }, Action::RegisterDevice { device: id, record: r }) => {
            device(id) && record == r
        }
        (Event::DeviceApproved { role, .. }, Action::ApproveDevice { device: id, role: r }) => {
            device(id) && role == r
        }
        (Event::DeviceQuarantined { .. }, Action::QuarantineDevice { device: id })
        | (Event::QuarantineReleased { .. }, Action::ReleaseDevice { device: id })
        | (Event::RetirementBegun { .. }, Action::RetireDevice { device: id }) => device(id),
        (
            Event::EnrollmentSecretIssued { secret, expires, .. },
            Action::IssueSecret { device: id, secret: s, expires: e },
        ) => device(id) && (secret, expires) == (s, e),
        (
            Event::RevocationOrdered { reason, serials, .. },
            Action::RevokeDevice { device: id, reason: r },
        ) => device(id) && serials.is_empty() && reason == r,
        (
            Event::RevocationOrdered { reason, serials, .. },
            Action::RevokeCertificates { device: id, serials: s, reason: r },
        ) => device(id) && !serials.is_empty() && (serials, reason) == (s, r),
        (
            Event::ApplicationRegistered { record, .. },
            Action::RegisterApplication { application, record: r },
        ) => line.is_of(StreamKind::Application, *application) && record == r,
        (Event::ApplicationApproved { .. }, Action::ApproveApplication { application })
        | (Event::ApplicationRemoved { .. }, Action::RemoveApplication { application }) => {
            line.is_of(StreamKind::Application, *application)
        }
        (
            Event::EnrollmentSecretIssued { secret, expires, .. },
            Action::IssueApplicationSecret { application, secret: s, expires: e },
        ) => line.is_of(StreamKind::Application, *application) && (secret, expires) == (s, e),
        (
            Event::RevocationOrdered { reason, serials, .. },
            Action::RevokeApplicationCertificates { application, serials: s, reason: r },
        ) => line.is_of(StreamKind::Application, *application) && (serials, reason) == (s, r),
        (
            Event::RequestFileHandedIn { request_sha256, .. },
            Action::HandInRequest { device: id, request_sha256: r },
        ) => device(id) && request_sha256 == r,
        (Event::LateRenewalAllowed { until, .. }, Action::AllowLateRenewal { device: id, until: u }) => {
            device(id) && until == u
        }
        (
            Event::AuthorityPlanned { name, purpose, site, keys, under: None, .. },
            Action::CreateAuthority { name: n, purpose: p, site: s, keys: k },
        ) => (name, purpose, site, keys) == (n, p, s, k),
        (Event::ServerWatched { record, .. }, Action::WatchServer { record: r }) => record == r,
        (Event::ServerUnwatched { address, .. }, Action::UnwatchServer { address: a }) => address == a,
        (
            Event::AuthorityPlanned { name, purpose, site, keys, under: Some(under), .. },
            Action::RequestAuthority { name: n, purpose: p, site: s, keys: k, under: u },
        ) => (name, purpose, site, keys, under) == (n, p, s, k, u),
        (
            Event::AuthorityImported { name, certificate, above, .. },
            Action::ImportAuthority { name: n, certificate: c, above: a },
        ) => (name, certificate, above) == (n, c, a),
        (Event::AuthorityActivated { name, .. }, Action::ActivateAuthority { name: n })
        | (Event::AuthorityRetired { name, .. }, Action::RetireAuthority { name: n }) => name == n,
        (
            Event::AuthorityCompromiseDeclared { name, successor, plan, .. },
            Action::DeclareCompromise { name: n, successor: s, plan: p },
        )
        | (
            Event::AuthorityCompromiseConfirmed { name, successor, plan, .. },
            Action::ConfirmCompromise { name: n, successor: s, plan: p },
        ) => (name, successor, plan) == (n, s, p),
        (Event::MaintenanceSet { site, windows, .. }, Action::SetMaintenance { site: s, windows: w }) => {
            (site, windows) == (s, w)
        }
        (Event::ProfileProposed { text, .. }, Action::ProposeProfile { text: t }) => text == t,
        (
            Event::ProfileApproved { name, text_sha256, .. },
            Action::ApproveProfile { name: n, text_sha256: t },
        ) => (name, text_sha256) == (n, t),
        (
            Event::EvidenceExported { claim_sha256, .. },
            Action::ExportEvidence { device: id, claim_sha256: claim },
        ) => device(id) && claim_sha256 == claim,
        (Event::ReleaseProposed { record, .. }, Action::ProposeRelease { release: id, record: r }) => {
            release(id) && record == r
        }
        (Event::ReleaseApproved { .. }, Action::ApproveRelease { release: id })
        | (Event::ReleaseWithdrawn { .. }, Action::WithdrawRelease { release: id }) => release(id),
        (
            Event::OperatorAdded { name, roles, public_key, .. },
            Action::AddOperator { operator: id, name: n, roles: r, public_key: k },
        ) => operator(id) && (name, roles, public_key) == (n, r, k),
        (Event::OperatorRemoved { .. }, Action::RemoveOperator { operator: id }) => operator(id),
        (
            Event::OperatorKeyReplaced { public_key, .. },
            Action::ReplaceOperatorKey { operator: id, public_key: k },
        ) => operator(id) && public_key == k,
        (
            Event::EndorsementAdded { certificate, grade, uses, .. },
            Action::AddEndorsement { certificate: c, grade: g, uses: u },
        ) => (certificate, grade, uses) == (c, g, u),
        (
            Event::MakerListTaken { authority_sha256, issuers, list_sha256, .. },
            Action::TakeMakerList { authority_sha256: a, issuers: i, list },
        ) => (authority_sha256, issuers) == (a, i) && sha256(&list.0) == *list_sha256,
        (
            Event::GatewayAdded { site, vkey, spki_sha256, names, .. },
            Action::AddGateway { gateway: id, site: s, spki_sha256: k, vkey: v, names: n },
        ) => line.is_of(StreamKind::Gateway, *id) && (site, vkey, spki_sha256, names) == (s, v, k, n),
        (Event::GatewayRemoved { reason, .. }, Action::RemoveGateway { gateway: id, reason: r }) => {
            line.is_of(StreamKind::Gateway, *id) && reason == r
        }
        (Event::PayloadErased { pos, legal_basis, .. }, Action::ErasePayload { pos: p, legal_basis: b }) => {
            (pos, legal_basis) == (p, b)
        }
        _ => false,
    }
}
