//! Operators' view of the makers that are accepted, and of their lists.

use axum::Json;
use axum::extract::State as Shared;
use lanyard_api::makers::{EndorsementLine, MakerListLine};
use lanyard_control::makers::list::Form;
use lanyard_control::makers::{ListStanding, MakerList};
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::text::Digest;
use lanyard_domain::time::Timestamp;
use lanyard_pki::certificate::Certificate;

use super::peer::OperatorPeer;
use crate::state::State;

/// `GET /v1/endorsements`.
pub async fn endorsements(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<EndorsementLine>> {
    let now = state.clock.now();
    let named = state.control.named_by_lists();
    let world = state.control.world();
    let line = |(key, list): (&Digest, &MakerList)| {
        list_line(list, named.get(key).copied().unwrap_or_default(), now)
    };
    let lines = world.endorsements.iter().map(|maker| {
        let uses = EndorsementUse::ALL.into_iter().filter(|one| maker.accepts(*one));
        let mut lists: Vec<MakerListLine> =
            world.maker_lists.iter().filter(|(_, list)| list.authority == maker.sha256).map(line).collect();
        lists.sort_by_key(|list| list.until);
        EndorsementLine {
            sha256: maker.sha256,
            subject: Certificate::parse(&maker.certificate).map(|c| c.subject_text()).unwrap_or_default(),
            uses: uses.map(|one| one.to_string()).collect(),
            grade: maker.grade.clone(),
            lists,
        }
    });
    Json(lines.collect())
}

fn list_line(list: &MakerList, (named, open): (usize, usize), now: Timestamp) -> MakerListLine {
    let standing = match list.standing(now) {
        ListStanding::Current => "current",
        ListStanding::LapsesSoon => "lapses soon",
        ListStanding::Stale => "out of date",
    };
    MakerListLine {
        issuer: list.issuer_name.clone(),
        part: list.part.clone(),
        form: match list.form {
            Form::Crl => "crl".to_owned(),
            Form::Status => "status".to_owned(),
        },
        number: list.number.map(|n| n.to_string()),
        sha256: list.sha256,
        this_update: list.this_update,
        until: list.until(),
        standing: standing.to_owned(),
        entries: list.entries.len(),
        named,
        open,
    }
}
