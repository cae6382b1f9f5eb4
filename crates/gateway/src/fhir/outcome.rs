//! Refusals, and how they read as FHIR R4 OperationOutcome: every answer of the gateway that is not success has one.
//!
//! A refusal names field and rule, never a value from the request and never whether something exists in the EHR (I9):
//! the same text goes to the device and to the decision log.
//! To add a refusal: an [`Issue`] if none fits, its HTTP status at the place that refuses.

use lanyard_domain::trust::Reason;

use super::json::Json;

/// Media type of every body the gateway writes.
pub const FHIR_JSON: &str = "application/fhir+json; fhirVersion=4.0";

/// R4 value set `issue-type`, as far as we use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// Content that is not FHIR.
    Structure,
    /// A required element is missing.
    Required,
    /// An element's value is not acceptable.
    Value,
    /// A rule over several elements is broken.
    Invariant,
    /// A code is not in its required value set.
    CodeInvalid,
    /// Our rule, not FHIR's.
    BusinessRule,
    /// The caller did not prove who it is.
    Login,
    /// The credential is past its end.
    Expired,
    /// The caller may not do this.
    Forbidden,
    /// The interaction, resource or format is not offered.
    NotSupported,
    /// The EHR has no such resource.
    NotFound,
    /// Edit conflict.
    Conflict,
    /// Too many bytes.
    TooLong,
    /// The EHR is away or answers wrongly; may pass.
    Transient,
    /// No answer in time.
    Timeout,
    /// Too many requests.
    Throttled,
    /// The gateway could not keep its record.
    NoStore,
}

impl Issue {
    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Issue::Structure => "structure",
            Issue::Required => "required",
            Issue::Value => "value",
            Issue::Invariant => "invariant",
            Issue::CodeInvalid => "code-invalid",
            Issue::BusinessRule => "business-rule",
            Issue::Login => "login",
            Issue::Expired => "expired",
            Issue::Forbidden => "forbidden",
            Issue::NotSupported => "not-supported",
            Issue::NotFound => "not-found",
            Issue::Conflict => "conflict",
            Issue::TooLong => "too-long",
            Issue::Transient => "transient",
            Issue::Timeout => "timeout",
            Issue::Throttled => "throttled",
            Issue::NoStore => "no-store",
        }
    }
}

/// An answer that is not success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// FHIR issue type.
    pub issue: Issue,
    /// FHIRPath of the element, when one is at fault. Goes to the device only: it may hold names the device made up.
    pub expression: Option<String>,
    /// Why; at least one. Goes to the device and to the log.
    pub reasons: Vec<Reason>,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn new(status: u16, issue: Issue, code: &str, text: impl Into<String>) -> Refusal {
        Refusal { status, issue, expression: None, reasons: vec![Reason::new(code, text)] }
    }

    /// The same, at this element.
    pub fn at(mut self, expression: impl Into<String>) -> Refusal {
        self.expression = Some(expression.into());
        self
    }

    /// The OperationOutcome.
    pub fn body(&self) -> String {
        let issues = self.reasons.iter().map(|reason| {
            let mut members = vec![
                ("severity".into(), Json::text("error")),
                ("code".into(), Json::text(self.issue.code())),
                (
                    "details".into(),
                    Json::object([(
                        "coding",
                        Json::List(vec![Json::object([
                            ("system", Json::text(REASON_SYSTEM)),
                            ("code", Json::text(reason.code.as_str())),
                        ])]),
                    )]),
                ),
                ("diagnostics".into(), Json::text(reason.text.as_str())),
            ];
            if let Some(expression) = &self.expression {
                members.push(("expression".into(), Json::List(vec![Json::text(expression.as_str())])));
            }
            Json::Object(members)
        });
        let outcome = Json::object([
            ("resourceType", Json::text("OperationOutcome")),
            ("issue", Json::List(issues.collect())),
        ]);
        let mut out = String::with_capacity(256);
        outcome.write(&mut out);
        out
    }
}

/// Code system of the reason codes; they are the codes of the verdict's reasons and of this module's callers.
pub const REASON_SYSTEM: &str = "urn:lanyard:fhir:reason";
