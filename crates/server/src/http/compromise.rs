//! Operators' view of compromised authorities and of how far their replacement is.

use axum::Json;
use axum::extract::State as Shared;
use lanyard_api::compromise::{ClassLine, CompromiseReport, StuckLine};
use lanyard_control::compromise::progress::{ClassProgress, Place, Progress, Stuck};

use super::peer::OperatorPeer;
use crate::state::State;

/// `GET /v1/compromises`.
pub async fn compromises(Shared(state): Shared<State>, _who: OperatorPeer) -> Json<Vec<CompromiseReport>> {
    Json(state.control.progress(state.clock.now()).into_iter().map(report).collect())
}

fn report(found: Progress) -> CompromiseReport {
    CompromiseReport {
        name: found.name,
        successor: found.successor,
        plan: found.plan,
        declared_by: found.declared_by,
        confirmed_at: found.confirmed_at,
        ended_at: found.ended_at,
        classes: found.classes.iter().map(class).collect(),
        stuck: found.stuck.into_iter().map(stuck).collect(),
    }
}

fn class(found: &ClassProgress) -> ClassLine {
    ClassLine {
        class: found.class.to_string(),
        total: found.total,
        replaced: found.at(Place::Replaced),
        settling: found.at(Place::Settling),
        waiting: found.at(Place::Waiting),
        told: found.at(Place::Told),
        overdue: found.at(Place::Overdue),
        off_the_air: found.at(Place::OffTheAir),
        gone: found.at(Place::Gone),
    }
}

fn stuck(found: Stuck) -> StuckLine {
    StuckLine {
        class: found.class.to_string(),
        id: found.id.to_string(),
        off_the_air: found.place == Place::OffTheAir,
        name: found.name,
        site: found.site,
        owner: found.owner,
        why: found.why,
        deadline: found.deadline,
    }
}
