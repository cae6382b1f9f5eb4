//! A shard says its address and that it lists end entities; a list of everything says neither.

use super::super::build::Scope;
use super::super::facts::{Names, Point};
use super::{Lint, Linted};

pub(super) const LINT: Lint =
    Lint { name: "crl_issuing_distribution_point", clause: "RFC 5280 5.2.5", check };

fn check(linted: &Linted<'_>) -> Result<(), String> {
    let (point, uri) = match (&linted.facts.point, linted.scope) {
        (None, Scope::All) => return Ok(()),
        (Some(_), Scope::All) => return Err("a list of all certificates restricts itself".into()),
        (None, Scope::Users(_)) => return Err("a shard does not say that it is one".into()),
        (Some(point), Scope::Users(uri)) => (point, uri),
    };
    let expected = Point {
        // The rule `crl_critical_extensions` judges that.
        critical: point.critical,
        names: Names { uris: vec![uri.as_str().to_owned()], others: 0 },
        only_user_certificates: true,
        ..Point::default()
    };
    if *point == expected {
        Ok(())
    } else {
        Err(format!("it must name `{uri}` alone and say onlyContainsUserCerts alone"))
    }
}
