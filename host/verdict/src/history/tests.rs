use std::collections::BTreeMap;

use jiff::Timestamp;
use spared_sim::Random;

use super::*;
use crate::finding::Finding;

const DAY_S: i64 = 86_400;
const MONTH_S: i64 = 31 * DAY_S;
const ALL: usize = usize::MAX;

/// Time so many seconds after a Monday in November.
fn at(s: i64) -> String {
    let start: Timestamp = "2026-11-02T00:00:00Z".parse().unwrap();
    let at = start.checked_add(jiff::SignedDuration::from_secs(s));
    at.unwrap()
        .strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
        .to_string()
}

fn change(at: &str, node: &str, group: &str, to: Role) -> RoleChange {
    RoleChange {
        at: at.to_owned(),
        group: group.to_owned(),
        to,
        own: fit(node),
        ..RoleChange::default()
    }
}

/// A change as long as real ones are.
fn real_change(s: i64, node: &str, number: u64, to: Role) -> RoleChange {
    let peer = Fitness {
        quality: 73,
        failing: vec!["check \"internet\" fails: 3 of 3 lost".to_owned(); 2],
        said: Some(at(s)),
        ..fit("fw2")
    };
    let cause = Cause {
        own: 100,
        theirs: 73,
        peer: "fw2".to_owned(),
        ..Cause::new(CauseKind::Quality, "")
    };
    RoleChange {
        at: at(s),
        group: "office".to_owned(),
        number: Some(number),
        from: Role::Backup,
        ..RoleChange::new(to, cause, fit(node), Some(peer))
    }
}

fn fit(node: &str) -> Fitness {
    Fitness {
        node: node.to_owned(),
        quality: 100,
        ..Fitness::default()
    }
}

fn finding(thing: &str) -> Finding {
    Finding {
        id: "SP-0401".to_owned(),
        node: "fw1".to_owned(),
        thing: thing.to_owned(),
        text: format!("fw1: check \"{thing}\" fails: 3 of 3 requests to 192.0.2.1 were lost"),
        ..Finding::default()
    }
}

fn started(s: i64) -> History {
    let mut history = History::default();
    history.handle_start(&at(s), None, &fit("fw1"), "boot");
    history
}

fn past(history: &History, s: i64) -> Past {
    history.past(&PastQuery::default(), &at(s), ALL)
}

/// Lets these findings last at this time.
fn look(history: &mut History, s: i64, things: &[&str]) -> Urgency {
    let found: Vec<Finding> = things.iter().map(|it| finding(it)).collect();
    let now = at(s);
    let lasting = found.iter().map(|it| (it, now.as_str()));
    history.handle_findings(&now, lasting)
}

fn bytes(history: &History) -> usize {
    history.bytes.values().sum()
}

/// Contents of a file that gets all changes.
#[derive(Default)]
struct File(BTreeMap<u64, HistoryEntry>);

impl File {
    fn write(&mut self, history: &mut History, s: i64) {
        for (number, entry) in history.take_changed(&at(s)) {
            match entry {
                Some(entry) => drop(self.0.insert(number, entry)),
                None => drop(self.0.remove(&number)),
            }
        }
    }

    fn read(&self) -> History {
        History::restore(self.0.clone())
    }
}

#[test]
fn the_oldest_makes_room_the_last_of_a_group_stays_and_that_is_said() {
    let mut history = started(0);
    history.push(change(&at(0), "fw1", "attic", Role::Active));
    for s in 1..4000 {
        history.push(real_change(s, "fw1", 1, Role::Active));
    }
    let kept = past(&history, 4000);
    assert_eq!(kept.changes[0].group, "attic");
    assert!(
        (1000..3000).contains(&kept.changes.len()),
        "{}",
        kept.changes.len()
    );
    assert!(bytes(&history) <= 1_100_000);
    let gone = 4000 - 1 - (kept.changes.len() as i64 - 1);
    assert_eq!(kept.since, Some(at(gone)));
    assert!(!kept.is_cut, "all that is kept is listed");
    // findings go by themselves
    look(&mut history, 4001, &["a"]);
    let roles = PastQuery {
        roles_only: true,
        ..PastQuery::default()
    };
    assert_eq!(history.past(&roles, &at(4001), ALL).since, Some(at(gone)));
}

#[test]
fn many_groups_have_their_last_change_each_within_the_bound() {
    let mut history = started(0);
    for number in 0..300 {
        history.push(change(&at(1), "fw1", &format!("g{number}"), Role::Active));
    }
    history.push(change(&at(2), "fw1", "g7", Role::Backup));
    assert_eq!(past(&history, 3).changes.len(), 301);
    for number in 0..1300 {
        let group = format!("h{number}");
        history.push(RoleChange {
            why: "x".repeat(1000),
            ..change(&at(3), "fw1", &group, Role::Active)
        });
    }
    assert!(bytes(&history) < 1_100_000);
    assert!(history.last.len() < 1300);
}

#[test]
fn a_month_of_failovers_and_findings_is_kept_whole_and_what_is_older_leaves() {
    let mut history = started(0);
    let mut file = File::default();
    for s in 0..MONTH_S + 10 * DAY_S {
        if s % (DAY_S / 4) == 0 {
            let to = if s % (DAY_S / 2) == 0 {
                Role::Active
            } else {
                Role::Backup
            };
            history.push(real_change(s, "fw1", 1, to));
        }
        // each of 50 a day lasts for 5 minutes
        let phase = s % (DAY_S / 50);
        if phase == 0 {
            look(&mut history, s, &[&format!("check {}", s % 7)]);
        } else if phase == 300 {
            look(&mut history, s, &[]);
            file.write(&mut history, s);
        }
    }
    let end = MONTH_S + 10 * DAY_S;
    let kept = past(&history, end);
    assert_eq!(kept.changes.len(), 4 * 31);
    assert!((50 * 31..50 * 31 + 2).contains(&kept.findings.len()));
    assert!(
        kept.since
            .is_some_and(|since| time(&since) <= time(&at(10 * DAY_S)))
    );
    println!("a month: {} bytes as JSON", bytes(&history));
    assert!(bytes(&history) < 600_000);
    assert_eq!(past(&file.read(), end).changes, kept.changes);
}

#[test]
fn findings_that_come_and_go_for_a_month_have_a_span_an_hour_and_leave_role_changes_alone() {
    let mut history = started(0);
    history.push(change(&at(0), "fw1", "office", Role::Active));
    let mut began = 0;
    for s in (0..MONTH_S).step_by(60) {
        let urgency = if s % 120 == 0 {
            began += 1;
            look(&mut history, s, &["flaps"])
        } else {
            look(&mut history, s, &[])
        };
        assert!(urgency == Urgency::Late || s % 3600 < 120, "{s}");
    }
    let kept = past(&history, MONTH_S);
    assert_eq!(kept.changes.len(), 1);
    let spans = kept.findings.len() as i64;
    assert!((700..=750).contains(&spans), "{spans} spans");
    let times: u32 = kept.findings.iter().map(|it| it.times).sum();
    assert_eq!(times, began);
    println!(
        "a month of one that flaps: {} bytes as JSON",
        bytes(&history)
    );
    assert!(bytes(&history) < 300_000);
}

#[test]
fn any_number_of_findings_stays_within_the_bounds() {
    let mut history = started(0);
    history.push(change(&at(0), "fw1", "office", Role::Active));
    for s in 0..400 {
        let names: Vec<String> = (0..300).map(|it| format!("{}-{it}", s / 2 * 300)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        look(&mut history, s, if s % 2 == 0 { &names } else { &[] });
        assert!(bytes(&history) < 2_000_000, "{s}");
    }
    let kept = past(&history, 400);
    assert_eq!(kept.changes.len(), 1);
    assert!(
        kept.since
            .is_some_and(|since| time(&since) > time(&at(100)))
    );
    assert!(history.findings_known() < 10_000);
}

#[test]
fn a_finding_has_its_begin_and_its_end_and_one_that_comes_back_soon_is_the_same() {
    let mut history = started(0);
    assert_eq!(look(&mut history, 10, &["a", "b"]), Urgency::Now);
    assert_eq!(look(&mut history, 11, &["a", "b"]), Urgency::None);
    assert_eq!(look(&mut history, 20, &["b"]), Urgency::Now);
    assert_eq!(look(&mut history, 30, &["a", "b"]), Urgency::Late);
    assert_eq!(look(&mut history, 40, &["b"]), Urgency::Late);
    look(&mut history, 2000, &["a", "b"]);
    let spans = past(&history, 2000).findings.into_iter();
    let spans: Vec<_> = spans
        .map(|it| (it.thing, it.began, it.ended, it.times))
        .collect();
    let wanted = [
        ("a", 10, Some(40), 2),
        ("b", 10, None, 1),
        ("a", 2000, None, 1),
    ];
    let wanted = wanted
        .map(|(thing, began, ended, times)| (thing.to_owned(), at(began), ended.map(at), times));
    assert_eq!(spans, wanted);
    // a begin that the facts know; one that cannot be
    let found = [finding("c"), finding("d")];
    let begins = [at(1500), "\u{1b}never".to_owned()];
    let lasting = found.iter().zip(begins.iter().map(String::as_str));
    history.handle_findings(&at(2001), lasting);
    let begins = past(&history, 2001).findings.into_iter().map(|it| it.began);
    assert!(begins.eq([10, 10, 1500, 2000, 2001].map(at)));
}

#[test]
fn a_restart_leaves_a_gap_and_findings_whose_end_is_not_known() {
    let (mut history, mut file) = (started(0), File::default());
    look(&mut history, 100, &["a", "b"]);
    file.write(&mut history, 100);
    for (boot, seen, wanted) in [("boot", Some(at(160)), 160), ("other", None, 100)] {
        let mut next = file.read();
        let inherited = next.handle_start(&at(300), seen.as_deref(), &fit("fw1"), boot);
        assert!(inherited.is_empty());
        let runs = past(&next, 301).runs;
        let gaps: Vec<(&str, &str)> = gaps(&runs).iter().map(|it| (it.began, it.ended)).collect();
        assert_eq!(gaps, [(at(wanted).as_str(), at(300).as_str())]);
        assert_eq!(runs.last().and_then(|it| it.ended.clone()), None);
        let findings = past(&next, 301).findings;
        assert!(
            findings
                .iter()
                .all(|it| it.is_end_unknown && it.ended == Some(at(wanted)))
        );
        // facts know that the first one never ended; the second one is another one
        let found = [finding("a"), finding("b")];
        let begins = [at(100), at(301)];
        let lasting = found.iter().zip(begins.iter().map(String::as_str));
        next.handle_findings(&at(301), lasting);
        let findings = past(&next, 301).findings;
        let of_a: Vec<_> = findings.iter().filter(|it| it.thing == "a").collect();
        assert_eq!((of_a.len(), of_a[0].times, &of_a[0].ended), (1, 1, &None));
        assert_eq!(findings.len(), 3);
    }
}

#[test]
fn the_end_of_a_run_that_was_active_is_the_next_change() {
    let mut history = started(0);
    let numbered = |number, group: &str| RoleChange {
        number,
        ..change(&at(1), "fw1", group, Role::Active)
    };
    history.push(numbered(Some(4), "office"));
    history.push(numbered(None, "bare"));
    let groups = history.handle_start(&at(2), None, &fit("fw1"), "boot");
    assert_eq!(groups, ["bare", "office"].map(str::to_owned).into());
    let numbers = history.numbers().remove("office").unwrap();
    assert_eq!((numbers.began, numbers.left), (4, 5));
    assert_eq!(history.numbers().remove("bare").unwrap().left, 1);
}

#[test]
fn a_start_ends_what_the_run_before_left() {
    let mut history = started(0);
    history.push(change(&at(1), "fw1", "ended", Role::Active));
    history.push(change(&at(2), "fw1", "ended", Role::Backup));
    history.push(change(&at(3), "fw1", "cut", Role::Active));
    history.push(change(&at(4), "before", "renamed", Role::Active));
    let mut other_boot = history.clone();
    let ended = history.handle_start(&at(5), None, &fit("fw1"), "boot");
    assert_eq!(ended, BTreeSet::from(["cut".to_owned()]));
    let all: Vec<&RoleChange> = history.changes().collect();
    let last = all[4];
    assert_eq!((&last.at, last.group.as_str()), (&at(5), "cut"));
    assert_eq!((last.from, last.to), (Role::Active, Role::Backup));
    assert!(
        history
            .handle_start(&at(6), None, &fit("fw1"), "boot")
            .is_empty()
    );
    assert_eq!(history.changes().count(), 5);
    let ended = other_boot.handle_start(&at(5), None, &fit("fw1"), "other");
    assert!(ended.is_empty(), "the kernel has forgotten the addresses");
    assert_eq!(other_boot.changes().count(), 5);
    for boot in ["", ""] {
        let ended = other_boot.handle_start(&at(6), None, &fit("fw1"), boot);
        assert!(ended.is_empty(), "the boot is not known");
    }
}

#[test]
fn what_was_compared_is_remembered_and_its_checks_once_they_are_known() {
    let cause = Cause {
        own: 100,
        theirs: 73,
        peer: "r2".to_owned(),
        ..Cause::new(CauseKind::Quality, "")
    };
    let hurt = Fitness {
        quality: 73,
        failing: vec!["lan1 has no carrier".to_owned()],
        said: Some("10:00:00".to_owned()),
        ..fit("r2")
    };
    let bare = "r1 is active because its quality is 100 and r2's is 73";
    let mut history = History::default();
    for at in ["2026-11-20T10:00:00.000Z", "2026-11-20T10:00:05.010Z"] {
        history.push(RoleChange {
            at: at.to_owned(),
            ..RoleChange::new(Role::Active, cause.clone(), fit("r1"), Some(fit("r2")))
        });
    }
    let known = |history: &History, number: usize| {
        let change = history.changes().nth(number).expect("it is kept");
        (change.why.clone(), change.peer.clone().expect("known"))
    };
    let lost = Fitness {
        quality: 73,
        ..fit("r2")
    };
    assert_eq!(known(&history, 1), (bare.to_owned(), lost.clone()));
    let now = "2026-11-20T10:00:05.200Z";
    assert!(!history.handle_peer_fitness(now, &fit("r2")), "of before");
    assert!(history.handle_peer_fitness(now, &hurt));
    assert!(!history.handle_peer_fitness(now, &hurt), "twice");
    let explained = format!("{bare} (lan1 has no carrier)");
    assert_eq!(known(&history, 1), (explained, hurt.clone()));
    assert_eq!(known(&history, 0), (bare.to_owned(), lost), "long ago");

    // the elector detects a lost interface before any check does
    let seen = Cause {
        own: 73,
        theirs: 100,
        text: "lan1 has no carrier".to_owned(),
        ..cause
    };
    let change = RoleChange::new(Role::Backup, seen, fit("r1"), Some(fit("r2")));
    assert_eq!(
        (change.own.quality, &change.own.failing),
        (73, &hurt.failing)
    );
}

#[test]
fn both_nodes_are_merged_by_time_whatever_their_offsets_and_a_finding_of_both_is_one() {
    let changes = |all: &[(&str, &str)]| -> Vec<RoleChange> {
        let all = all.iter();
        all.map(|(at, node)| change(at, node, "office", Role::Active))
            .collect()
    };
    let span = |thing: &str, began: &str, ended: Option<&str>, times| PastFinding {
        thing: thing.to_owned(),
        began: began.to_owned(),
        ended: ended.map(str::to_owned),
        times,
        ..PastFinding::default()
    };
    let own = Past {
        changes: changes(&[
            ("2026-11-20T09:41:07.715+01:00", "r1"),
            ("2026-11-20T10:00:00.000+01:00", "r1"),
        ]),
        findings: vec![
            span(
                "a",
                "2026-11-20T09:00:00+01:00",
                Some("2026-11-20T10:00:00+01:00"),
                7,
            ),
            span("a", "2026-11-20T10:00:09+01:00", None, 1),
            PastFinding {
                is_end_unknown: true,
                ..span(
                    "b",
                    "2026-11-20T09:00:00+01:00",
                    Some("2026-11-20T09:10:00+01:00"),
                    1,
                )
            },
        ],
        since: Some("2026-11-20T08:00:00+01:00".to_owned()),
        ..Past::default()
    };
    let peer = Past {
        changes: changes(&[("2026-11-20T08:41:07.716Z", "r2"), ("never", "r2")]),
        findings: vec![
            span("a", "2026-11-20T08:00:01Z", Some("2026-11-20T08:59:58Z"), 6),
            span("a", "2026-11-20T09:00:11Z", Some("2026-11-20T09:30:00Z"), 1),
            span("b", "2026-11-20T07:59:58Z", Some("2026-11-20T08:11:00Z"), 1),
            span("c", "2026-11-20T07:00:00Z", None, 1),
        ],
        since: Some("2026-11-20T07:30:00Z".to_owned()),
        ..Past::default()
    };
    let mut all = own.merge(peer);
    let nodes =
        |all: &Past| -> Vec<String> { all.changes.iter().map(|it| it.own.node.clone()).collect() };
    assert_eq!(nodes(&all), ["r2", "r1", "r2", "r1"]);
    let spans: Vec<_> = all
        .findings
        .iter()
        .map(|it| (it.thing.as_str(), it.times, it.ended.is_none()))
        .collect();
    assert_eq!(
        spans,
        [
            ("c", 1, true),
            ("b", 1, false),
            ("a", 7, false),
            ("a", 1, true)
        ]
    );
    let b = &all.findings[1];
    assert_eq!(
        (b.is_end_unknown, b.ended.as_deref()),
        (false, Some("2026-11-20T08:11:00Z"))
    );
    assert_eq!(all.since.as_deref(), Some("2026-11-20T07:30:00Z"));
    all.keep(3);
    assert_eq!(
        (nodes(&all).len(), all.findings.len(), all.is_cut),
        (2, 2, true)
    );
    assert_eq!(nodes(&all), ["r2", "r1"], "the last of each");
}

/// Random steps of a month; all that is told of a part and of its parts is the same.
#[test]
fn parts_make_the_whole_and_a_file_makes_the_history() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let (mut history, mut file, mut s) = (started(0), File::default(), 0);
        for _ in 0..400 {
            s += 1 + random.below(3 * 3600) as i64;
            match random.below(8) {
                0 => {
                    let group = format!("g{}", random.below(4));
                    let to = if random.chance(500) {
                        Role::Active
                    } else {
                        Role::Backup
                    };
                    history.push(change(&at(s), "fw1", &group, to));
                }
                1 if random.chance(300) => {
                    history = file.read();
                    history.handle_start(&at(s), None, &fit("fw1"), "boot");
                }
                _ => {
                    let things = ["a", "b", "c", "d"];
                    let from = random.below(5) as usize;
                    look(&mut history, s, &things[from.min(3)..]);
                }
            }
            if random.chance(700) {
                file.write(&mut history, s);
            }
        }
        file.write(&mut history, s);
        let whole = past(&history, s);
        let mut read = file.read();
        read.run = history.run;
        assert_eq!(past(&read, s), whole, "seed {seed}");
        check_parts(&history, s, &whole);
    }
}

/// Asks for parts of so many bytes, each time for what is before.
fn check_parts(history: &History, s: i64, whole: &Past) {
    let query = PastQuery::default();
    let mut all = history.past(&query, &at(s), 6000);
    let mut parts = 1;
    while let Some(query) = query.before(&all) {
        let part = history.past(&query, &at(s), 6000);
        assert!(serde_json::to_string(&part).unwrap().len() < 12_000);
        all.add_older(part);
        parts += 1;
        assert!(parts < 100);
    }
    assert!(parts > 3);
    let mut wanted = whole.clone();
    let order = |past: &mut Past| {
        past.changes
            .sort_by_key(|it| (it.at.clone(), it.group.clone()));
        past.findings
            .sort_by_key(|it| (it.began.clone(), it.thing.clone()));
    };
    order(&mut all);
    order(&mut wanted);
    assert!(all.changes == wanted.changes, "{parts} parts");
    assert!(all.findings == wanted.findings, "{parts} parts");
    assert!(all.runs == wanted.runs, "{parts} parts");
    assert_eq!((all.since, all.is_cut), (wanted.since, false));
}

#[test]
fn a_query_for_a_time_has_what_reaches_into_it_and_the_last_change_before() {
    let mut history = started(0);
    history.push(change(&at(10), "fw1", "attic", Role::Active));
    history.push(change(&at(20), "fw1", "office", Role::Backup));
    look(&mut history, 30, &["a", "b"]);
    look(&mut history, 40, &["a"]);
    history.push(change(&at(110), "fw1", "office", Role::Active));
    let query = PastQuery {
        since: Some(at(100)),
        ..PastQuery::default()
    };
    let part = history.past(&query, &at(200), ALL);
    let times: Vec<&String> = part.changes.iter().map(|it| &it.at).collect();
    assert_eq!(times, [&at(10), &at(110)]);
    assert_eq!(part.findings.len(), 1);
    assert_eq!((part.since, part.is_cut), (Some(at(100)), false));
    let query = PastQuery {
        group: Some("office".to_owned()),
        roles_only: true,
        ..query
    };
    let part = history.past(&query, &at(200), ALL);
    assert_eq!((part.changes.len(), part.findings.len()), (1, 0));
    let last = history.past(&PastQuery::last(None), &at(200), ALL);
    assert_eq!(last.changes.len(), 2);
}
