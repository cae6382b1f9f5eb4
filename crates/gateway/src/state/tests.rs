use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::trust::Verdict;

use super::journal::{Journal, JournalError};
use super::*;

fn view(n: u8, verdict: Verdict) -> DeviceView {
    DeviceView {
        device: DeviceId::from_random([n; 16]),
        site: "north".into(),
        vendor: "Acme".into(),
        model: "P".into(),
        serial: format!("{n}"),
        tier: Tier::High,
        ai: false,
        scopes: vec![],
        verdict,
        reasons: vec![],
        fresh_until: None,
        untrusted_after: None,
        certificates: vec![Digest([n; 32])],
        firmware: None,
        ai_model: None,
        evidence_pos: None,
        evidence_sha256: None,
        as_of: 1,
    }
}

fn snapshot(pos: u64, devices: Vec<DeviceView>) -> FeedItem {
    FeedItem::Snapshot(Box::new(Snapshot {
        compromised_issuers: Vec::new(),
        distrusted_issuers: Vec::new(),
        gateway: GatewayId::from_random([3; 16]),
        site: "north".into(),
        pos,
        time: Timestamp::from_seconds(1),
        log_vkey: "log.example+00000000+AA".into(),
        anchors_pem: String::new(),
        jwks: String::new(),
        token_issuer: "i".into(),
        devices,
    }))
}

fn state() -> State {
    State::new(GatewayId::from_random([3; 16]), "north", "log.example")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn changed(pos: u64, view: DeviceView) -> FeedItem {
    FeedItem::Changed { pos, view: Box::new(view) }
}

#[test]
fn changes_apply_in_order_and_name_whom_they_touch() {
    let state = state();
    assert_eq!(state.apply(&changed(1, view(1, Verdict::Trusted)), at(1)), Err(FeedFault::NoSnapshot));
    assert_eq!(state.heard_at(), None);
    let two = vec![view(1, Verdict::Trusted), view(2, Verdict::Trusted)];
    state.apply(&snapshot(10, two), at(1)).unwrap();
    let id = DeviceId::from_random([1; 16]);
    let effect = state.apply(&changed(11, view(1, Verdict::Untrusted)), at(2)).unwrap();
    assert_eq!(effect.touched, [id]);
    assert_eq!(state.view(id).unwrap().verdict, Verdict::Untrusted);
    state.apply(&FeedItem::Removed { pos: 12, device: id }, at(3)).unwrap();
    assert!(state.view(id).is_none());
    assert_eq!((state.heard_pos(), state.heard_at(), state.devices()), (12, Some(at(3)), 1));
    // A new snapshot forgets who is not in it.
    let effect = state.apply(&snapshot(12, vec![]), at(4)).unwrap();
    assert_eq!(effect.touched, [DeviceId::from_random([2; 16])]);
}

#[test]
fn a_feed_that_goes_back_or_is_not_ours_changes_nothing() {
    let state = state();
    state.apply(&snapshot(10, vec![view(1, Verdict::Untrusted)]), at(1)).unwrap();
    let older = snapshot(9, vec![view(1, Verdict::Trusted)]);
    assert!(matches!(state.apply(&older, at(5)), Err(FeedFault::WentBack { heard: 10, told: 9 })));
    let FeedItem::Snapshot(good) = snapshot(11, vec![view(1, Verdict::Trusted)]) else { panic!() };
    for change in [
        (|s| s.site = "south".into()) as fn(&mut Snapshot),
        |s| s.gateway = GatewayId::from_random([9; 16]),
        |s| s.log_vkey = "other.example+0+A".into(),
        |s| s.jwks = "{".into(),
    ] {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(state.apply(&FeedItem::Snapshot(bad), at(5)).is_err());
    }
    assert_eq!(state.view(DeviceId::from_random([1; 16])).unwrap().verdict, Verdict::Untrusted);
    assert_eq!(state.heard_at(), Some(at(1)));
}

#[test]
fn a_device_of_another_site_is_not_kept() {
    let state = state();
    let mut foreign = view(1, Verdict::Trusted);
    foreign.site = "south".into();
    state.apply(&snapshot(1, vec![foreign.clone()]), at(1)).unwrap();
    assert_eq!(state.devices(), 0);
    state.apply(&changed(2, foreign), at(1)).unwrap();
    assert_eq!(state.devices(), 0);
}

fn reload(path: &std::path::Path) -> Result<State, JournalError> {
    let state = state();
    Journal::new(path, &[5; 32]).load(|e| {
        let _ = state.apply(&e.item, e.at);
    })?;
    Ok(state)
}

// I6, I12: what a restart without the control plane starts from
#[test]
fn the_journal_gives_back_the_last_state_and_only_what_this_gateway_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.journal");
    assert_eq!(reload(&path).unwrap().heard_at(), None);
    let live = Arc::new(state());
    let saver = Saver::start(Journal::new(&path, &[5; 32]), live.clone()).unwrap();
    for (n, item) in [
        snapshot(10, vec![view(1, Verdict::Trusted), view(2, Verdict::Trusted)]),
        changed(11, view(1, Verdict::Untrusted)),
        FeedItem::Removed { pos: 12, device: DeviceId::from_random([2; 16]) },
    ]
    .into_iter()
    .enumerate()
    {
        live.apply(&item, at(n as i64)).unwrap();
        saver.save(item, at(n as i64));
    }
    assert!(*saver.watch().borrow());
    drop(saver);

    let again = reload(&path).unwrap();
    assert_eq!(again.view(DeviceId::from_random([1; 16])).unwrap().verdict, Verdict::Untrusted);
    assert_eq!((again.devices(), again.heard_pos(), again.heard_at()), (1, 12, Some(at(2))));

    let bytes = std::fs::read(&path).unwrap();
    let first_line = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    // A flip anywhere in a complete line is tampering: nothing is used.
    for at in (0..bytes.len()).step_by(37).filter(|at| bytes[*at] != b'\n') {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(reload(&path), Err(JournalError::Tampered { .. })), "{at}");
    }
    // A cut at any byte leaves whole lines before it.
    for cut in (0..bytes.len()).step_by(53) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert_eq!(reload(&path).unwrap().heard_at().is_some(), cut >= first_line, "{cut}");
    }
    // Lines in another order, and another key.
    std::fs::write(&path, [&bytes[first_line..], &bytes[..first_line]].concat()).unwrap();
    assert!(matches!(reload(&path), Err(JournalError::Tampered { line: 1, .. })));
    std::fs::write(&path, &bytes).unwrap();
    let other = Journal::new(&path, &[6; 32]).load(|_| ());
    assert!(matches!(other, Err(JournalError::Tampered { line: 1, .. })));
}

#[test]
fn a_saver_that_starts_over_writes_the_whole_state_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.journal");
    let live = Arc::new(state());
    live.apply(&snapshot(10, vec![view(1, Verdict::Trusted), view(2, Verdict::Trusted)]), at(1)).unwrap();
    let saver = Saver::start(Journal::new(&path, &[5; 32]), live.clone()).unwrap();
    let change = changed(11, view(1, Verdict::Untrusted));
    live.apply(&change, at(2)).unwrap();
    saver.save(change, at(2));
    drop(saver);
    let again = reload(&path).unwrap();
    assert_eq!(again.devices(), 2);
    assert_eq!(again.view(DeviceId::from_random([1; 16])).unwrap().verdict, Verdict::Untrusted);
}

// I6: nothing that was known before a distrust may undo it
#[test]
fn an_older_view_never_replaces_a_newer_one() {
    let state = state();
    let id = DeviceId::from_random([1; 16]);
    let known = |as_of, verdict| DeviceView { as_of, ..view(1, verdict) };
    state.apply(&snapshot(10, vec![known(8, Verdict::Untrusted)]), at(1)).unwrap();
    // The feed repeats what its snapshot had, and a heartbeat overtakes a change.
    state.apply(&changed(7, known(7, Verdict::Trusted)), at(1)).unwrap();
    state.apply(&FeedItem::Heartbeat { pos: 20, time: at(1) }, at(1)).unwrap();
    assert_eq!(state.view(id).unwrap().verdict, Verdict::Untrusted);
    state.apply(&changed(19, known(19, Verdict::Trusted)), at(1)).unwrap();
    assert_eq!(state.view(id).unwrap().verdict, Verdict::Trusted);
    state.apply(&FeedItem::Removed { pos: 21, device: id }, at(1)).unwrap();
    state.apply(&changed(20, known(20, Verdict::Trusted)), at(1)).unwrap();
    assert!(state.view(id).is_none());
    assert_eq!(state.heard_pos(), 21);
}
