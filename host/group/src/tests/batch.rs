//! Tests calls about several groups.

use spared_contract::Call;
use spared_message::notice::Kind;
use spared_message::word::Word;

use super::*;
use crate::calls::GROUPS_MAX;

const NAMES: [&str; 3] = ["office", "lab", "shop"];

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    NAMES[1..].iter().for_each(|name| drop(fixture.claim(name)));
    fixture
}

/// Makes a fixture with all groups active.
fn active() -> Fixture {
    let mut fixture = fixture();
    let active = publications(&mut fixture, Role::Active);
    let now_ns = fixture.now_ns;
    fixture.groups.handle_publications(now_ns, active);
    drop(fixture.run());
    fixture
}

fn publications(fixture: &mut Fixture, role: Role) -> Vec<(Ticket, String, Publication)> {
    let sent_ns = fixture.now_ns;
    let publication = |name: &&str| {
        let publication = Publication {
            role,
            reopens: false,
            cause: Cause::new(CauseKind::Other, "a test says so"),
            sent_ns,
        };
        (fixture.ticket(), (*name).to_owned(), publication)
    };
    NAMES.iter().map(publication).collect()
}

/// Returns the steps: the kind of the actions in each, with the number of groups.
fn steps(fixture: &mut Fixture) -> Vec<(&'static str, usize)> {
    let mut steps = Vec::new();
    while let Some(action) = fixture.groups.poll_action() {
        let alike = match action {
            Action::Kernel(group, step) => fixture.groups.poll_batch(group, step),
            Action::Answer { .. } => {
                steps.push(("answer", 1));
                continue;
            }
            _ => continue,
        };
        let kind = match &alike[0].1 {
            KernelStep::GrantLease { .. } => "grant",
            KernelStep::RevokeLease => "revoke",
            KernelStep::CheckClaim { .. } => "check",
            KernelStep::Claim(_) => "claim",
            KernelStep::Install => "install",
            KernelStep::Prepare => "prepare",
            KernelStep::Remove => "remove",
            KernelStep::Release => "release",
            _ => continue,
        };
        steps.push((kind, alike.len()));
        let now_ns = fixture.now_ns;
        let (mut granted, mut checked) = (Vec::new(), Vec::new());
        for (group, step) in alike {
            match step {
                KernelStep::GrantLease {
                    ticket,
                    publication,
                } => granted.push((ticket, group, publication, Ok(()))),
                KernelStep::CheckClaim { ticket, claims } => {
                    checked.push((ticket, group, claims, Ok(())));
                }
                other => drop(fixture.perform(Action::Kernel(group, other))),
            }
        }
        fixture.groups.handle_leases(now_ns, granted);
        fixture.groups.handle_checks(checked);
    }
    steps
}

#[test]
fn leases_are_granted_in_one_step_and_answered_before_addresses_are_installed_in_one() {
    let mut fixture = fixture();
    let active = publications(&mut fixture, Role::Active);
    let now_ns = fixture.now_ns;
    fixture.groups.handle_publications(now_ns, active);
    let answers = [("answer", 1); 3];
    let all = steps(&mut fixture);
    assert_eq!(
        all,
        [&[("grant", 3)], &answers[..], &[("install", 3)]].concat()
    );
    let backup = publications(&mut fixture, Role::Backup);
    fixture.groups.handle_publications(now_ns, backup);
    let all = steps(&mut fixture);
    assert_eq!(
        all,
        [&[("revoke", 3)], &answers[..], &[("remove", 3)]].concat()
    );
}

#[test]
fn groups_that_have_waited_long_enough_are_installed_in_one_step() {
    let mut fixture = fixture();
    let settles = Follower {
        has_settle: true,
        has_role: true,
        ..Follower::default()
    };
    fixture.groups.handle_plugin_up(0, "conntrack", settles);
    let active = publications(&mut fixture, Role::Active);
    let now_ns = fixture.now_ns;
    fixture.groups.handle_publications(now_ns, active);
    assert_eq!(steps(&mut fixture).last(), Some(&("answer", 1)));
    fixture.groups.handle_timeout(now_ns + 200 * MS);
    assert_eq!(steps(&mut fixture), [("install", 3)]);
}

#[test]
fn claims_are_checked_and_answered_before_any_of_them_is_in_the_kernel() {
    let mut fixture = fixture();
    let claims: Vec<_> = NAMES
        .iter()
        .map(|name| (fixture.ticket(), (*name).to_owned(), Some(claims())))
        .collect();
    fixture.groups.handle_claims(claims);
    let expected = [
        ("check", 3),
        ("answer", 1),
        ("answer", 1),
        ("answer", 1),
        ("claim", 3),
    ];
    assert_eq!(steps(&mut fixture), expected);
}

#[test]
fn groups_that_are_withdrawn_together_are_released_in_one_step() {
    let mut fixture = active();
    let gone = NAMES.map(|name| (fixture.ticket(), name.to_owned(), None));
    fixture.groups.handle_claims(gone.to_vec());
    let answers = [("answer", 1); 3];
    assert_eq!(
        steps(&mut fixture),
        [&[("revoke", 3)], &answers[..], &[("release", 3)]].concat()
    );
}

#[test]
fn the_groups_of_an_elector_that_died_no_longer_answer_before_anything_else_is_done() {
    let mut fixture = active();
    let now_ns = fixture.now_ns;
    fixture
        .groups
        .handle_plugin_down(now_ns, "vrrp", "vrrp died");
    assert_eq!(steps(&mut fixture), [("revoke", 3), ("remove", 3)]);
    let started = Follower::default();
    fixture.groups.handle_plugin_up(now_ns, "vrrp", started);
    assert_eq!(steps(&mut fixture), [("release", 3)]);
}

#[test]
fn the_groups_of_an_elector_that_is_stopped_or_removed_leave_together() {
    let mut fixture = active();
    let now_ns = fixture.now_ns;
    fixture.groups.handle_elector_stopped(now_ns, "vrrp");
    assert_eq!(steps(&mut fixture), [("revoke", 3), ("remove", 3)]);
    fixture.groups.handle_plugin_removed(now_ns, "vrrp");
    assert_eq!(steps(&mut fixture), [("release", 3)]);
}

#[test]
fn a_node_has_no_more_groups_than_there_are_leases_for() {
    let mut fixture = Fixture::new();
    let claim = |fixture: &mut Fixture, name: String| {
        let claims = vec![(fixture.ticket(), name, Some(claims()))];
        fixture.groups.handle_claims(claims);
        fixture.run()
    };
    for number in fixture.groups.groups.len()..GROUPS_MAX {
        let done = claim(&mut fixture, format!("g{number}"));
        assert!(done.contains(&"answer 0".to_owned()), "{done:?}");
    }
    let refused = format!("answer {}", -libc::EINVAL);
    assert!(claim(&mut fixture, "beyond".to_owned()).contains(&refused));
    assert_eq!(fixture.groups.groups.len(), GROUPS_MAX);
    // a group that exists is replaced
    let done = claim(&mut fixture, "g7".to_owned());
    assert!(done.contains(&"answer 0".to_owned()), "{done:?}");
}

#[test]
fn one_that_fails_prevents_no_other() {
    let mut fixture = fixture();
    let mut active = publications(&mut fixture, Role::Active);
    active[1].1 = "nobody's".to_owned();
    let now_ns = fixture.now_ns;
    fixture.groups.handle_publications(now_ns, active);
    let done = fixture.run();
    let answers: Vec<_> = done.iter().filter(|it| it.starts_with("answer")).collect();
    assert_eq!(answers, ["answer -2", "answer 0", "answer 0"]);
    let roles = ["office", "lab", "shop"].map(|name| fixture.groups.groups[name].role);
    assert_eq!(roles, [Role::Active, Role::Backup, Role::Active]);
}

#[test]
fn groups_that_are_offered_together_are_prepared_in_one_step() {
    let mut fixture = fixture();
    fixture.groups.handle_link_up();
    for (switchover, name) in (1..).zip(NAMES) {
        let offer = Word::Offer {
            switchover,
            group: name.to_owned(),
            reason: "asked".to_owned(),
            why: "a test says so".to_owned(),
            anyway: true,
            unserved: false,
            within_ms: 2_000,
            channels: Vec::new(),
        };
        fixture.groups.handle_peer_word(fixture.now_ns, offer);
        // so the loop reads further words before it performs anything
        assert!(fixture.groups.should_batch());
    }
    assert_eq!(steps(&mut fixture), [("prepare", 3)]);
}

#[test]
fn a_call_that_names_no_group_or_one_twice_or_too_many_has_one_answer() {
    let mut fixture = fixture();
    let announce = |groups: Vec<String>| Call::Announce { groups };
    let named = |names: &[&str]| announce(names.iter().map(|it| (*it).to_owned()).collect());
    let many = (0..=GROUPS_MAX).map(|it| it.to_string());
    for (call, status) in [
        (named(&[]), 0),
        (named(&["office", "lab", "office"]), -libc::EINVAL),
        (named(&["office", ""]), -libc::EINVAL),
        (announce(many.collect()), -libc::EINVAL),
    ] {
        let answered = fixture.groups.handle_call(0, "vrrp", 9, call);
        assert_eq!(answered, Some(status));
        assert!(fixture.groups.poll_action().is_none());
    }
}

#[test]
fn each_group_of_a_call_is_answered_by_itself() {
    let mut fixture = fixture();
    let groups = ["office", "nobody"].map(str::to_owned).to_vec();
    let call = Call::Announce { groups };
    assert_eq!(super::count_of(&call), 2);
    assert_eq!(fixture.groups.handle_call(0, "vrrp", 9, call), None);
    let mut answers = Vec::new();
    while let Some(action) = fixture.groups.poll_action() {
        if let Action::Answer { ticket, status } = action {
            answers.push((ticket.part, status));
        }
    }
    assert_eq!(answers, [(0, 0), (1, ENOENT)]);
}

#[test]
fn only_the_elector_of_a_group_reports_its_events() {
    let fixture = fixture();
    let event = |plugin, is_conflict, text| {
        let notice = fixture.groups.event_of(plugin, is_conflict, text);
        (notice.kind, notice.group, notice.text)
    };
    let office = || Some("office".to_owned());
    let text = "office: another router";
    assert_eq!(
        event("vrrp", true, text),
        (Kind::Conflict, office(), "another router".to_owned())
    );
    assert_eq!(
        event("vrrp", false, text),
        (Kind::Report, office(), "another router".to_owned())
    );
    for (plugin, text) in [("sets", text), ("vrrp", "nobody: text"), ("vrrp", "text")] {
        let whole = format!("{plugin}: {text}");
        assert_eq!(event(plugin, true, text), (Kind::Report, None, whole));
    }
}
