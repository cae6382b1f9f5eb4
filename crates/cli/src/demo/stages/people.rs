//! Before anything connects: people, makers, releases, records, approvals (R31, R32, R63).

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use lanyard_api::signing::verify_statement;
use lanyard_domain::event::Event;
use lanyard_domain::id::{DeviceId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_sim::catalogue::{Class, corrected_row, purchase_list};
use lanyard_sim::fleet::concurrently;
use lanyard_sim::rng::fresh;

use crate::demo::narrate::Scene;
use crate::demo::story::{ApprovedRelease, Story, refused_as};
use crate::import::parse_csv;

/// How many calls are under way at a time.
const AT_ONCE: usize = 8;

/// The first operator, the others, the maker of the chips, and releases that two people stand behind.
pub(in crate::demo) async fn staff(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let (desk, people) = (&story.house.desk, &story.people);
    desk.bootstrap(&people.admin, &story.house.bootstrap_secret).await.context("bootstrap")?;
    let again = desk.bootstrap(&people.security, &story.house.bootstrap_secret).await;
    ensure!(again.is_err(), "the bootstrap secret worked twice");
    for person in people.others() {
        desk.decide(&people.admin, person.admission(), "hired").await.context(person.name.clone())?;
    }
    scene.note(format!("{} people, each with a signing key of their own", people.others().len() + 1));
    let root = Blob(story.maker.root_der().to_vec());
    let accept = Action::AddEndorsement { certificate: root, grade: None, uses: Vec::new() };
    desk.decide(&people.security, accept, "maker of the chips in the delivery").await?;
    let mut approved = Vec::new();
    for class in Class::ALL {
        for record in class.releases() {
            let id = ReleaseId::from_random(fresh()?);
            let version = record.version.clone();
            let is_model = !record.is_firmware();
            let propose = Action::ProposeRelease { release: id, record };
            desk.decide(&people.biomedical, propose, "as published by the maker").await?;
            let approve = || Action::ApproveRelease { release: id };
            let alone = desk.decide(&people.biomedical, approve(), "my own proposal").await;
            let alone = alone.err().context("who proposed a release could approve it too")?;
            refused_as("release_not_approvable", alone.refusal().map(|code| (code, "")))?;
            desk.decide(&people.security, approve(), "digests compared with the maker's").await?;
            approved.push(ApprovedRelease { class, version, id, is_model });
        }
    }
    story.releases = approved;
    let models = story.releases.iter().filter(|r| r.is_model).count();
    Ok(format!(
        "{} people, 1 maker of chips, {} firmware and {models} AI model releases, each by two people",
        people_count(story),
        story.releases.len() - models
    ))
}

fn people_count(story: &Story) -> usize {
    story.people.others().len() + 1
}

/// The purchase list, with one bad row; then the corrected row.
pub(in crate::demo) async fn register(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let delivered: Vec<_> = story.delivered.iter().map(|d| d.delivered()).collect::<Result<_, _>>()?;
    let list = purchase_list(&delivered);
    std::fs::write(story.data_dir.join("purchase-list.csv"), &list)
        .context("cannot keep the purchase list")?;
    let (good, bad) = parse_csv(list.as_bytes());
    let [refused] = bad.as_slice() else {
        anyhow::bail!("expected one bad row in the purchase list, found {}", bad.len());
    };
    let last_row = delivered.len() + 1;
    ensure!(
        (refused.row, refused.field.as_str()) == (last_row, "scopes"),
        "the wrong row was refused: {refused}"
    );
    scene.note(format!("refused {refused}"));
    let (corrected, still_bad) = parse_csv(corrected_row(&delivered).as_bytes());
    ensure!(still_bad.is_empty(), "the corrected row was refused too");
    let records: Vec<_> = good.into_iter().chain(corrected).map(|(_, record)| record).collect();
    ensure!(records.len() == delivered.len(), "{} of {} rows went in", records.len(), delivered.len());

    let (first, admission) = (records.first().cloned(), story.admission());
    scene.count(records.len());
    let outcomes = concurrently(records, AT_ONCE, |record| {
        let admission = admission.clone();
        async move { admission.register(record).await }
    });
    story.registered = outcomes.await.into_iter().collect::<Result<_, _>>()?;
    if let Some(record) = first {
        let twice = story.admission().register(record).await;
        let twice = twice.err().context("the same label was registered twice")?;
        ensure!(twice.refusal().is_some(), "registering a label twice failed otherwise: {twice}");
    }
    Ok(format!(
        "{} of {} rows went in at once, 1 was refused ({refused}), corrected and registered",
        delivered.len() - 1,
        delivered.len()
    ))
}

/// Security and biomedical engineering, two people; one person in both roles is refused.
pub(in crate::demo) async fn approve(story: &mut Story, scene: &Scene) -> anyhow::Result<String> {
    let first = *story.registered.first().context("nothing is registered")?;
    let (desk, both) = (&story.house.desk, &story.people.both);
    let approve = |role| Action::ApproveDevice { device: first, role };
    desk.decide(both, approve(Role::Security), "as security").await?;
    let alone = desk.decide(both, approve(Role::Biomedical), "and as biomedical").await;
    let alone = alone.err().context("one person approved in both roles")?;
    refused_as("one_person_one_role", alone.refusal().map(|code| (code, "")))?;
    scene.note(format!("{} holds both roles and was refused the second one: {alone}", both.name));
    desk.decide(&story.people.biomedical, approve(Role::Biomedical), "checked against the order").await?;

    let others: Vec<_> = story.registered.iter().skip(1).copied().collect();
    let admission = story.admission();
    scene.count(others.len());
    let outcomes = concurrently(others, AT_ONCE, |device| {
        let admission = admission.clone();
        async move { admission.approve(device).await }
    });
    outcomes.await.into_iter().collect::<Result<Vec<()>, _>>()?;
    for device in &story.registered {
        approved_by_two(story, *device).await.with_context(|| format!("device {device}"))?;
    }
    Ok(format!(
        "{} devices by two people each; one person in both roles was refused (one_person_one_role)",
        story.registered.len()
    ))
}

/// As its chain says, with signatures that anyone can check: two people, in the two roles.
async fn approved_by_two(story: &Story, device: DeviceId) -> anyhow::Result<()> {
    let detail = story.detail(device).await?;
    ensure!(detail.stage == "approved", "it is {}", detail.stage);
    let mut given = BTreeSet::new();
    for event in story.events(device).await? {
        let Event::DeviceApproved { role, statement } = event else { continue };
        let signer = statement.parse()?.operator;
        let person = story.people.find(signer).with_context(|| format!("signed by the unknown {signer}"))?;
        verify_statement(&statement, &person.public_key()).with_context(|| person.name.clone())?;
        given.insert((role, signer));
    }
    let roles: Vec<Role> = given.iter().map(|(role, _)| *role).collect();
    let people: BTreeSet<_> = given.iter().map(|(_, operator)| *operator).collect();
    ensure!(roles == [Role::Security, Role::Biomedical], "approved for {roles:?}");
    ensure!(people.len() == 2, "approved by {} person", people.len());
    Ok(())
}
