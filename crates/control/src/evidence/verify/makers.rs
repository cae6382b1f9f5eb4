//! Makers' lists: no hardware was believed that a list named which was asked, and what was drawn from a list stands in it.

use lanyard_domain::event::Event;
use lanyard_domain::text::Digest;
use lanyard_pki::serial::Serial;

use super::{Case, Finding, Line, passed};
use crate::digest::sha256;
use crate::makers::list::{Contents, Form, Listed, verify};
use crate::makers::list_in;

pub(super) fn lists(case: &Case<'_>) -> Finding {
    let (mut asked, mut drawn) = (0usize, 0usize);
    for (line, event) in case.events() {
        let at = |why: String| format!("the maker's lists at position {}: {why}", line.pos());
        match event {
            Event::MakerCertificatesShown { endorsement_sha256, certificates, lists } => {
                for sha256 in lists {
                    let (contents, authority) = taken(case, line, sha256).map_err(at)?;
                    let named = certificates.iter().find(|c| {
                        let is_of = match contents.form {
                            Form::Crl => c.issuer_sha256 == contents.issuer,
                            Form::Status => authority == *endorsement_sha256,
                        };
                        is_of && entry(&contents, &c.serial).is_some()
                    });
                    if let Some(named) = named {
                        return Err(at(format!(
                            "hardware was believed whose certificate {} stands on the list {sha256}",
                            named.serial
                        )));
                    }
                    asked += 1;
                }
            }
            Event::MakerRevocationFound { list_sha256, issuer_sha256, serial, revoked_at, reason } => {
                let (contents, _) = taken(case, line, list_sha256).map_err(at)?;
                let said = Listed { at: *revoked_at, reason: *reason };
                if contents.issuer != *issuer_sha256 || entry(&contents, serial) != Some(said) {
                    return Err(at(format!(
                        "the list {list_sha256} does not say that of certificate {serial}"
                    )));
                }
                drawn += 1;
            }
            _ => {}
        }
    }
    passed(format!(
        "asked {asked} times and silent; {drawn} revocations by the maker, each on a list that is shown"
    ))
}

fn entry(contents: &Contents, serial: &str) -> Option<Listed> {
    contents.entries.get(&serial.parse::<Serial>().ok()?).copied()
}

/// The list with this digest, taken before `line` for an authority that was accepted before that.
fn taken(case: &Case<'_>, line: &Line, digest: &Digest) -> Result<(Contents, Digest), String> {
    let earlier = |pos: u64| case.main.lines().iter().filter(move |l| l.pos() < pos);
    let is_it = |l: &&Line| matches!(&l.event, Some(Event::MakerListTaken { list_sha256, .. }) if list_sha256 == digest);
    let found = earlier(line.pos())
        .find(is_it)
        .ok_or_else(|| format!("the list {digest} is not shown as taken before"))?;
    let Some(Event::MakerListTaken {
        authority_sha256,
        issuers,
        number,
        this_update,
        next_update,
        statement,
        ..
    }) = &found.event
    else {
        return Err(format!("the list {digest} is not shown"));
    };
    let list = list_in(statement).filter(|list| sha256(list) == *digest);
    let list = list.ok_or_else(|| format!("the statement about the list {digest} hands in another one"))?;
    let authority = earlier(found.pos()).find_map(|l| match &l.event {
        Some(Event::EndorsementAdded { certificate, certificate_sha256, .. })
            if certificate_sha256 == authority_sha256 && sha256(&certificate.0) == *authority_sha256 =>
        {
            Some(&certificate.0)
        }
        _ => None,
    });
    let authority =
        authority.ok_or_else(|| format!("the authority of the list {digest} is not shown as accepted"))?;
    let issuers: Vec<&[u8]> = issuers.iter().map(|c| c.0.as_slice()).collect();
    let contents = verify(&list, &issuers, authority).map_err(|e| format!("the list {digest}: {e}"))?;
    let says = (contents.number.map(|n| n.to_string()), contents.next_update);
    if says != (number.clone(), *next_update) || contents.this_update.is_some_and(|at| at != *this_update) {
        return Err(format!("the list {digest} says otherwise than recorded about its number or times"));
    }
    Ok((contents, *authority_sha256))
}
