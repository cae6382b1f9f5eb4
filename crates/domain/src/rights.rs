//! Rights: which roles may decide what. One place says it; whoever records a decision and whoever verifies one later ask here.
//!
//! In scope: the roles that a signer must hold one of. Out of scope: that two decisions are by two people, and the state in which
//! something can be decided (each object's own `decide`).
//!
//! To add one: a variant of [`Action`], a constant here and its arm in [`right`], its row in `docs/evidence-bundle.md` 9.5 and in
//! the Python verifier's table.

use crate::operator::Role::{self, Admin, Biomedical, Registrar, Security};
use crate::statement::Action;

/// What may be decided, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right<'a> {
    /// The decision, as it stands in a refusal: "to ... an operator needs".
    pub what: &'static str,
    /// Of these the signer holds one.
    pub roles: &'a [Role],
}

impl Right<'static> {
    const fn new(what: &'static str, roles: &'static [Role]) -> Self {
        Self { what, roles }
    }
}

/// Who knows the devices, whoever of them it is.
const KNOWS_DEVICES: &[Role] = &[Registrar, Security, Biomedical];
/// Who answers for a device's safety.
const ANSWERS_FOR_DEVICES: &[Role] = &[Security, Biomedical];
/// Who knows applications and other servers.
const KNOWS_SYSTEMS: &[Role] = &[Registrar, Security, Admin];
/// Who answers for what is trusted.
const ANSWERS_FOR_TRUST: &[Role] = &[Security, Admin];

/// [`Action::AddOperator`].
pub const ADD_OPERATOR: Right<'static> = Right::new("add an operator", &[Admin]);
/// [`Action::RemoveOperator`].
pub const REMOVE_OPERATOR: Right<'static> = Right::new("remove an operator", &[Admin]);
/// [`Action::ReplaceOperatorKey`].
pub const REPLACE_OPERATOR_KEY: Right<'static> = Right::new("replace an operator's key", &[Admin]);
/// [`Action::RegisterDevice`].
pub const REGISTER_DEVICE: Right<'static> = Right::new("register a device", KNOWS_DEVICES);
/// [`Action::QuarantineDevice`].
pub const QUARANTINE_DEVICE: Right<'static> = Right::new("quarantine a device", ANSWERS_FOR_DEVICES);
/// [`Action::ReleaseDevice`].
pub const RELEASE_DEVICE: Right<'static> =
    Right::new("release a device from quarantine", ANSWERS_FOR_DEVICES);
/// [`Action::RetireDevice`].
pub const RETIRE_DEVICE: Right<'static> = Right::new("retire a device", ANSWERS_FOR_DEVICES);
/// [`Action::IssueSecret`].
pub const ISSUE_SECRET: Right<'static> = Right::new("have an enrollment secret made", KNOWS_DEVICES);
/// [`Action::RevokeDevice`].
pub const REVOKE_DEVICE: Right<'static> = Right::new("revoke a device", ANSWERS_FOR_DEVICES);
/// [`Action::RevokeCertificates`].
pub const REVOKE_CERTIFICATES: Right<'static> = Right::new("revoke certificates", ANSWERS_FOR_DEVICES);
/// [`Action::AllowLateRenewal`].
pub const ALLOW_LATE_RENEWAL: Right<'static> = Right::new("allow a late renewal", ANSWERS_FOR_DEVICES);
/// [`Action::RegisterApplication`].
pub const REGISTER_APPLICATION: Right<'static> = Right::new("register an application", KNOWS_SYSTEMS);
/// [`Action::ApproveApplication`].
pub const APPROVE_APPLICATION: Right<'static> = Right::new("approve an application", &[Security]);
/// [`Action::RemoveApplication`].
pub const REMOVE_APPLICATION: Right<'static> = Right::new("remove an application", ANSWERS_FOR_TRUST);
/// [`Action::IssueApplicationSecret`].
pub const ISSUE_APPLICATION_SECRET: Right<'static> =
    Right::new("have an application's secret made", KNOWS_SYSTEMS);
/// [`Action::RevokeApplicationCertificates`].
pub const REVOKE_APPLICATION_CERTIFICATES: Right<'static> =
    Right::new("revoke an application's certificates", ANSWERS_FOR_TRUST);
/// [`Action::ProposeRelease`].
pub const PROPOSE_RELEASE: Right<'static> = Right::new("propose a release", KNOWS_DEVICES);
/// [`Action::ApproveRelease`].
pub const APPROVE_RELEASE: Right<'static> = Right::new("approve a release", ANSWERS_FOR_DEVICES);
/// [`Action::WithdrawRelease`].
pub const WITHDRAW_RELEASE: Right<'static> = Right::new("withdraw a release", ANSWERS_FOR_DEVICES);
/// [`Action::AddEndorsement`].
pub const ADD_ENDORSEMENT: Right<'static> = Right::new("accept an endorsement authority", ANSWERS_FOR_TRUST);
/// [`Action::TakeMakerList`].
pub const TAKE_MAKER_LIST: Right<'static> =
    Right::new("take a maker's list of revoked certificates", ANSWERS_FOR_TRUST);
/// [`Action::CreateAuthority`].
pub const CREATE_AUTHORITY: Right<'static> = Right::new("create an authority", ANSWERS_FOR_TRUST);
/// [`Action::RequestAuthority`].
pub const REQUEST_AUTHORITY: Right<'static> = Right::new("order an authority", ANSWERS_FOR_TRUST);
/// [`Action::ImportAuthority`].
pub const IMPORT_AUTHORITY: Right<'static> =
    Right::new("import an authority's certificate", ANSWERS_FOR_TRUST);
/// [`Action::ActivateAuthority`].
pub const ACTIVATE_AUTHORITY: Right<'static> = Right::new("activate an authority", ANSWERS_FOR_TRUST);
/// [`Action::RetireAuthority`].
pub const RETIRE_AUTHORITY: Right<'static> = Right::new("retire an authority", ANSWERS_FOR_TRUST);
/// [`Action::DeclareCompromise`].
pub const DECLARE_COMPROMISE: Right<'static> =
    Right::new("declare an authority compromised", ANSWERS_FOR_TRUST);
/// [`Action::ConfirmCompromise`].
pub const CONFIRM_COMPROMISE: Right<'static> =
    Right::new("confirm an authority's compromise", ANSWERS_FOR_TRUST);
/// [`Action::SetMaintenance`].
pub const SET_MAINTENANCE: Right<'static> =
    Right::new("set a site's maintenance windows", &[Biomedical, Admin]);
/// [`Action::ProposeProfile`].
pub const PROPOSE_PROFILE: Right<'static> = Right::new("propose a profile", KNOWS_SYSTEMS);
/// [`Action::ApproveProfile`].
pub const APPROVE_PROFILE: Right<'static> = Right::new("approve a profile", &[Security]);
/// [`Action::AddGateway`].
pub const ADD_GATEWAY: Right<'static> = Right::new("admit a gateway", &[Admin]);
/// [`Action::RemoveGateway`].
pub const REMOVE_GATEWAY: Right<'static> = Right::new("remove a gateway", ANSWERS_FOR_TRUST);
/// [`Action::HandInRequest`], and all that is asked about such a file before.
pub const HAND_IN_REQUEST: Right<'static> = Right::new("hand in a request file", KNOWS_DEVICES);
/// [`Action::WatchServer`].
pub const WATCH_SERVER: Right<'static> = Right::new("have a server watched", KNOWS_SYSTEMS);
/// [`Action::UnwatchServer`].
pub const UNWATCH_SERVER: Right<'static> =
    Right::new("take a server off the list of those that are watched", KNOWS_SYSTEMS);
/// [`Action::ErasePayload`].
pub const ERASE_PAYLOAD: Right<'static> = Right::new("erase a payload", &[Admin]);
/// [`Action::ExportEvidence`].
pub const EXPORT_EVIDENCE: Right<'static> = Right::new("export evidence", &Role::ALL);

/// An approval counts for the role that it is given in. Which roles approve is the device's own rule.
pub const fn approve_device(role: &Role) -> Right<'_> {
    Right { what: "approve in that role", roles: std::slice::from_ref(role) }
}

/// Who may decide this.
pub const fn right(action: &Action) -> Right<'_> {
    match action {
        Action::AddOperator { .. } => ADD_OPERATOR,
        Action::RemoveOperator { .. } => REMOVE_OPERATOR,
        Action::ReplaceOperatorKey { .. } => REPLACE_OPERATOR_KEY,
        Action::RegisterDevice { .. } => REGISTER_DEVICE,
        Action::ApproveDevice { role, .. } => approve_device(role),
        Action::QuarantineDevice { .. } => QUARANTINE_DEVICE,
        Action::ReleaseDevice { .. } => RELEASE_DEVICE,
        Action::RetireDevice { .. } => RETIRE_DEVICE,
        Action::IssueSecret { .. } => ISSUE_SECRET,
        Action::RevokeDevice { .. } => REVOKE_DEVICE,
        Action::RevokeCertificates { .. } => REVOKE_CERTIFICATES,
        Action::AllowLateRenewal { .. } => ALLOW_LATE_RENEWAL,
        Action::RegisterApplication { .. } => REGISTER_APPLICATION,
        Action::ApproveApplication { .. } => APPROVE_APPLICATION,
        Action::RemoveApplication { .. } => REMOVE_APPLICATION,
        Action::IssueApplicationSecret { .. } => ISSUE_APPLICATION_SECRET,
        Action::RevokeApplicationCertificates { .. } => REVOKE_APPLICATION_CERTIFICATES,
        Action::ProposeRelease { .. } => PROPOSE_RELEASE,
        Action::ApproveRelease { .. } => APPROVE_RELEASE,
        Action::WithdrawRelease { .. } => WITHDRAW_RELEASE,
        Action::AddEndorsement { .. } => ADD_ENDORSEMENT,
        Action::TakeMakerList { .. } => TAKE_MAKER_LIST,
        Action::CreateAuthority { .. } => CREATE_AUTHORITY,
        Action::RequestAuthority { .. } => REQUEST_AUTHORITY,
        Action::ImportAuthority { .. } => IMPORT_AUTHORITY,
        Action::ActivateAuthority { .. } => ACTIVATE_AUTHORITY,
        Action::RetireAuthority { .. } => RETIRE_AUTHORITY,
        Action::DeclareCompromise { .. } => DECLARE_COMPROMISE,
        Action::ConfirmCompromise { .. } => CONFIRM_COMPROMISE,
        Action::SetMaintenance { .. } => SET_MAINTENANCE,
        Action::ProposeProfile { .. } => PROPOSE_PROFILE,
        Action::ApproveProfile { .. } => APPROVE_PROFILE,
        Action::AddGateway { .. } => ADD_GATEWAY,
        Action::RemoveGateway { .. } => REMOVE_GATEWAY,
        Action::HandInRequest { .. } => HAND_IN_REQUEST,
        Action::WatchServer { .. } => WATCH_SERVER,
        Action::UnwatchServer { .. } => UNWATCH_SERVER,
        Action::ErasePayload { .. } => ERASE_PAYLOAD,
        Action::ExportEvidence { .. } => EXPORT_EVIDENCE,
    }
}
