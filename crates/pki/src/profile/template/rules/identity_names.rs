//! Devices and gateways are recognised by their id as URI and as DNS name, which are written together.

use super::{Check, Draft, Report, Rule};
use crate::profile::template::vocabulary::{AltNameForm, SubjectKind};

pub(super) const RULE: Rule = Rule { name: "identity_names", clause: "R38", check: Check::Whole(check) };

fn check(draft: &Draft, report: &mut Report<'_>) {
    let Some(kind) = draft.subject() else { return };
    let forms = draft.forms();
    let (uri, dns) = (forms.contains(&AltNameForm::UriId), forms.contains(&AltNameForm::MachineDns));
    let enough = match kind {
        SubjectKind::Device | SubjectKind::Gateway => uri && dns,
        // Without both it is a certificate for the application's own clients.
        SubjectKind::Application => uri == dns,
    };
    if !enough {
        let help =
            format!("a {kind} has `uri-id` and `machine-dns` together, or Lanyard does not recognise it");
        report.breach_at(&RULE, "names.alternative", draft.place("names.alternative"), help);
    }
}
