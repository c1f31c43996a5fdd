//! Tests states of a pair, each with its headline and findings.

mod identity;

use std::collections::BTreeSet;
use std::time::Instant;

use super::*;

const NOW: &str = "2026-11-20T12:53:12+01:00";
const SINCE: &str = "2026-11-20T12:41:12+01:00";

fn group(role: Role) -> GroupFacts {
    GroupFacts {
        name: "office".to_owned(),
        role,
        since: SINCE.to_owned(),
        cause: Cause::new(CauseKind::Isolated, ""),
        quality: 100,
        fence: match role {
            Role::Active => Fence::Passing,
            _ => Fence::Blocking,
        },
        ..GroupFacts::default()
    }
}

fn plugin(name: &str) -> PluginFacts {
    PluginFacts {
        name: name.to_owned(),
        has_channel: true,
        has_peer: true,
        in_sync: true,
        ..PluginFacts::default()
    }
}

fn link(interface: &str) -> LinkFacts {
    LinkFacts {
        interface: interface.to_owned(),
        up: true,
        since: SINCE.to_owned(),
        ..LinkFacts::default()
    }
}

fn node(name: &str, role: Role) -> NodeFacts {
    NodeFacts {
        node: name.to_owned(),
        quality: 100,
        groups: vec![group(role)],
        plugins: vec![plugin("vrrp"), plugin("sets")],
        links: vec![link("hot0")],
        ..NodeFacts::default()
    }
}

/// Facts of r1, which is active, about itself and about r2, its backup.
struct Bed {
    own: NodeFacts,
    pair: Option<PairFacts>,
}

impl Bed {
    fn new() -> Self {
        let pair = PairFacts {
            peer: "r2".to_owned(),
            has_link: true,
            link_up: true,
            life: PeerLife::Alive,
            last_heard: Some("2026-11-20T09:41:07+01:00".to_owned()),
            heard_on: vec!["hot0".to_owned(), "lan".to_owned()],
            facts: Some(node("r2", Role::Backup)),
            ..PairFacts::default()
        };
        Self {
            own: node("r1", Role::Active),
            pair: Some(pair),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut bed = Self::new();
        change(&mut bed);
        bed
    }

    fn pair(&mut self) -> &mut PairFacts {
        self.pair.get_or_insert_default()
    }

    fn peer(&mut self) -> &mut NodeFacts {
        self.pair().facts.get_or_insert_default()
    }

    /// Takes all links down, so that no facts of r2 are known.
    fn unlink(&mut self, life: PeerLife) {
        let pair = self.pair();
        (pair.link_up, pair.facts, pair.life) = (false, None, life);
        for link in &mut self.own.links {
            (link.up, link.why) = (false, "no answer".to_owned());
        }
    }

    fn verdict(&self) -> Verdict {
        verdict(NOW, &self.own, self.pair.as_ref())
    }
}

/// Returns word and headline, then the ids of the findings with their nodes.
fn said(bed: &Bed) -> (String, Vec<String>) {
    let verdict = bed.verdict();
    let head = verdict.headlines.first().cloned().unwrap_or_default();
    let ids = verdict.findings.iter();
    let ids = ids.map(|it| format!("{} {}", it.id, it.node)).collect();
    assert_eq!(verdict.word, head.word, "one group");
    assert_begun(&verdict);
    for found in &verdict.findings {
        let says = !found.todo.is_empty() || found.text.contains("to fix: ");
        assert!(says, "it does not say what to do: {found:?}");
    }
    (format!("{}  {}", verdict.word.word(), head.text), ids)
}

/// Asserts that each finding has a begin when it is shown, and keeps it.
fn assert_begun(verdict: &Verdict) {
    let mut lasting = FindingTimes::default();
    let mut shown = |at: &str| {
        let mut found = verdict.findings.clone();
        lasting.set_begin(Instant::now(), at, &mut found);
        let begins = found.into_iter();
        begins
            .map(|it| it.since.expect("a begin"))
            .collect::<Vec<_>>()
    };
    let first = shown(SINCE);
    for (begin, found) in first.iter().zip(&verdict.findings) {
        assert_eq!(begin, found.since.as_deref().unwrap_or(SINCE), "{found:?}");
    }
    assert_eq!(shown(NOW), first);
}

/// State of a pair: its name, headline and findings, and the change that makes it.
type State<'s> = (&'s str, &'s str, &'s [&'s str], fn(&mut Bed));

#[track_caller]
fn states(cases: &[State<'_>]) {
    for (name, head, ids, change) in cases {
        let bed = Bed::with(change);
        let found = said(&bed);
        assert_eq!((found.0.as_str(), found.1), (*head, words(ids)), "{name}");
    }
}

fn words(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|it| (*it).to_owned()).collect()
}

const TAINTED: &str = "WARN  office: r1 is active, r2 can take over; see the findings below.";

#[test]
fn a_pair_that_lacks_nothing_is_ok() {
    let head = "OK  office: r1 is active, r2 is ready. A failover now would lose nothing.";
    let none: &[&str] = &[];
    states(&[
        ("active", head, none, |_| {}),
        ("backup", head, none, |bed| {
            bed.own = node("r1", Role::Active);
            let theirs = node("r2", Role::Backup);
            let own = std::mem::replace(&mut bed.own, theirs);
            bed.pair().peer = "r1".to_owned();
            bed.pair().facts = Some(own);
        }),
    ]);
}

#[test]
fn who_is_active_is_said_truly() {
    states(&[
        (
            "both",
            "CONFLICT  office: active on BOTH nodes, r1 and r2.",
            &["SP-0105 r1"],
            |bed| bed.peer().groups = vec![group(Role::Active)],
        ),
        (
            "a rival",
            "CONFLICT  office: active on BOTH: r1 and 10.0.0.9.",
            &["SP-0105 r1"],
            |bed| bed.own.groups[0].rivals.conflict = Some("10.0.0.9".to_owned()),
        ),
        (
            "nobody",
            "NONE  office: no node is active. r1 is backup because it listens for 320 ms, in case another \
             router is active.",
            &["SP-0104 r1"],
            |bed| {
                bed.own.groups = vec![group(Role::Backup)];
                bed.own.groups[0].cause = Cause {
                    for_ns: 320_000_000,
                    ..Cause::new(CauseKind::Listening, "")
                };
            },
        ),
        (
            "a third router",
            "WARN  office: 10.0.0.9 is active, and is not a node of this pair.",
            &["SP-0106 r1"],
            |bed| {
                bed.own.groups = vec![group(Role::Backup)];
                bed.own.groups[0].rivals.other_active = Some(OtherActive {
                    name: "10.0.0.9".to_owned(),
                    is_peer: false,
                });
            },
        ),
        (
            "the peer, which has not said so yet",
            "OK  office: r2 is active, r1 is ready. A failover now would lose nothing.",
            &[],
            |bed| {
                bed.own.groups = vec![group(Role::Backup)];
                bed.own.groups[0].rivals.other_active = Some(OtherActive {
                    name: "10.0.0.2".to_owned(),
                    is_peer: true,
                });
            },
        ),
    ]);
}

/// The groups of both nodes have these roles, and r2's facts may be older than r1's last change.
fn changed_since(bed: &mut Bed, here: Role, there: Role) {
    bed.own.groups = vec![group(here)];
    bed.peer().groups = vec![group(there)];
    bed.pair().outdated = BTreeSet::from(["office".to_owned()]);
}

#[test]
fn a_report_that_may_be_older_than_a_change_here_makes_no_conflict_and_no_lack() {
    let other = |is_peer| {
        let name = "10.0.0.2".to_owned();
        Some(OtherActive { name, is_peer })
    };
    let stands_by = "OK  office: r1 is active, r2 is ready. A failover now would lose nothing.";
    for (here, there, rivals, head, ids) in [
        (
            Role::Active,
            Role::Active,
            Rivals::default(),
            "WARN  office: r1 became active, and r2 has not reported its state since.",
            &[][..],
        ),
        (
            Role::Backup,
            Role::Backup,
            Rivals::default(),
            "WARN  office: r1 ceased to be active, and r2 has not reported its state since.",
            &[],
        ),
        // what is heard is no older
        (
            Role::Active,
            Role::Active,
            Rivals {
                conflict: Some("10.0.0.2".to_owned()),
                ..Rivals::default()
            },
            "CONFLICT  office: active on BOTH: r1 and 10.0.0.2.",
            &["SP-0105 r1"],
        ),
        (
            Role::Backup,
            Role::Backup,
            Rivals {
                other_active: other(true),
                ..Rivals::default()
            },
            "OK  office: r2 is active, r1 is ready. A failover now would lose nothing.",
            &[],
        ),
        // reports that agree
        (
            Role::Active,
            Role::Backup,
            Rivals::default(),
            stands_by,
            &[],
        ),
        (
            Role::Backup,
            Role::Fault,
            Rivals::default(),
            "NONE  office: no node is active. r1 is backup because no interface is usable.",
            &["SP-0104 r1"],
        ),
    ] {
        let bed = Bed::with(|bed| {
            changed_since(bed, here, there);
            bed.own.groups[0].rivals = rivals;
        });
        assert_eq!(said(&bed), (head.to_owned(), words(ids)));
    }
    // another group has changed
    let bed = Bed::with(|bed| {
        changed_since(bed, Role::Active, Role::Active);
        bed.pair().outdated = BTreeSet::from(["dmz".to_owned()]);
    });
    let both = "CONFLICT  office: active on BOTH nodes, r1 and r2.";
    assert_eq!(said(&bed), (both.to_owned(), words(&["SP-0105 r1"])));
}

fn unarmed(node: &mut NodeFacts) {
    node.orders.unarmed = true;
    node.groups = vec![group(Role::Fault)];
    node.groups[0].cause = Cause::new(CauseKind::Barred, UNARMED);
}

#[test]
fn a_node_that_is_not_armed_is_named_with_the_command_that_arms_it() {
    states(&[
        (
            "the other node",
            "ALONE  office: r1 is active and r2 cannot take over: it is not armed: run `sparectl arm`.",
            &["SP-0704 r2"],
            |bed| unarmed(bed.peer()),
        ),
        (
            "this node",
            "ALONE  office: r2 is active and r1 cannot take over: it is not armed: run `sparectl arm`.",
            &["SP-0704 r1"],
            |bed| {
                unarmed(&mut bed.own);
                bed.peer().groups = vec![group(Role::Active)];
            },
        ),
        (
            "this node, beside the link",
            "ALONE  office: r2 is active and r1 cannot take over: it is not armed: run `sparectl arm`.",
            &["SP-0501 r1", "SP-0704 r1"],
            |bed| {
                bed.unlink(PeerLife::Alive);
                unarmed(&mut bed.own);
                bed.own.groups[0].rivals.other_active = Some(OtherActive {
                    name: "r2".to_owned(),
                    is_peer: true,
                });
            },
        ),
    ]);
}

#[test]
fn a_reload_that_waits_for_its_confirmation_is_named_with_its_end() {
    let waits = |node: &mut NodeFacts| node.orders.unconfirmed_until = Some(NOW.to_owned());
    let mut bed = Bed::with(|bed| waits(&mut bed.own));
    waits(bed.peer());
    let ids = ["SP-0705 r1", "SP-0705 r2"];
    assert_eq!(said(&bed), (TAINTED.to_owned(), words(&ids)));
    let line = bed.verdict().findings[0].line(NOW);
    let text = "r1: the last reload is not confirmed: the configuration from before it comes back at 2026-11-20 12:53:12. \
                If all is well: sparectl confirm. Otherwise, on r1: sparectl reload --back (SP-0705)";
    assert_eq!(line, text);
}

#[test]
fn where_nobody_serves_the_headline_says_who_is_not_armed() {
    states(&[
        (
            "both",
            "NONE  office: nobody serves: r1 and r2 are not armed: run `sparectl arm`.",
            &["SP-0104 r1", "SP-0704 r1", "SP-0704 r2"],
            |bed| {
                unarmed(&mut bed.own);
                unarmed(bed.peer());
            },
        ),
        (
            "this node, and the other is dead",
            "NONE  office: nobody serves: r1 is not armed: run `sparectl arm`.",
            &["SP-0101 r2", "SP-0104 r1", "SP-0704 r1"],
            |bed| {
                bed.unlink(PeerLife::Silent);
                unarmed(&mut bed.own);
            },
        ),
        (
            "this node, and the other cannot be active",
            "NONE  office: nobody serves: r1 is not armed: run `sparectl arm`. r2 is fault because no interface \
             is usable.",
            &["SP-0104 r1", "SP-0704 r1"],
            |bed| {
                unarmed(&mut bed.own);
                bed.peer().groups = vec![group(Role::Fault)];
            },
        ),
        (
            "the other, and this node cannot be active",
            "NONE  office: nobody serves: r2 is not armed: run `sparectl arm`. r1 is fault because no interface \
             is usable.",
            &["SP-0104 r1", "SP-0704 r2"],
            |bed| {
                bed.own.groups = vec![group(Role::Fault)];
                unarmed(bed.peer());
            },
        ),
    ]);
}

#[test]
fn what_cannot_be_known_stands_in_the_headline() {
    states(&[
        (
            "dead",
            "ALONE  office: r1 is active and no other node stands by.",
            &["SP-0101 r2"],
            |bed| {
                bed.unlink(PeerLife::Silent);
                bed.pair().answers_ping = Some(false);
            },
        ),
        (
            "only the link is refused, or its daemon is dead",
            "ALONE  office: r1 is active and no other node is known to stand by.",
            &["SP-0101 r2"],
            |bed| {
                bed.unlink(PeerLife::Silent);
                bed.pair().answers_ping = Some(true);
            },
        ),
        (
            "it lives beside the link",
            "WARN  office: r1 is active and r2 is alive. No link is up, so its readiness is not known.",
            &["SP-0501 r1"],
            |bed| bed.unlink(PeerLife::Alive),
        ),
        (
            "the other is active beside the link",
            "WARN  office: r2 is active, r1 stands by. No link is up: its records may be stale.",
            &["SP-0501 r1"],
            |bed| {
                bed.unlink(PeerLife::Alive);
                bed.own.groups = vec![group(Role::Backup)];
                bed.own.groups[0].rivals.other_active = Some(OtherActive {
                    name: "r2".to_owned(),
                    is_peer: true,
                });
            },
        ),
        (
            "it stands by and has not heard this node",
            "WARN  office: r1 is active, r2 is not ready: it hears no heartbeats of r1.",
            &[],
            |bed| {
                let why = "it hears no heartbeats of r1";
                why.clone_into(&mut bed.peer().groups[0].failover.waits);
                "r1 hears no heartbeats of it".clone_into(&mut bed.own.groups[0].failover.waits);
            },
        ),
        (
            "it stands by, and has not said yet that it has not heard this node",
            "WARN  office: r1 is active, r2 is not ready: r1 hears no heartbeats of it.",
            &[],
            |bed| {
                "r1 hears no heartbeats of it".clone_into(&mut bed.own.groups[0].failover.waits);
            },
        ),
        (
            "just connected",
            "WARN  office: r1 is active; r2 has not reported its state yet.",
            &["SP-0103 r2"],
            |bed| bed.pair().facts = None,
        ),
        (
            "its daemon hangs",
            "WARN  office: r1 is active; r2 has not reported its state for 7 s.",
            &["SP-0103 r2"],
            |bed| (bed.pair().facts, bed.pair().facts_silent_s) = (None, Some(7)),
        ),
        (
            "it does not have the group",
            "ALONE  office: r1 is active and r2 cannot take over: no plugin there handles this group.",
            &[],
            |bed| bed.peer().groups.clear(),
        ),
        (
            "it is active without the group in its report",
            "WARN  office: r2 is active, r1 stands by. No plugin handles this group on r2.",
            &[],
            |bed| {
                bed.own.groups = vec![group(Role::Backup)];
                bed.own.groups[0].rivals.other_active = Some(OtherActive {
                    name: "r2".to_owned(),
                    is_peer: true,
                });
                bed.peer().groups.clear();
            },
        ),
        (
            "nobody elects for the group there",
            "ALONE  office: r1 is active and r2 cannot take over: no plugin there handles this group.",
            &[],
            |bed| bed.peer().groups[0].is_unelected = true,
        ),
        (
            "this node has no key",
            "UNKNOWN  office: r1 is active; it is not known whether r2 is alive.",
            &["SP-0505 r1"],
            |bed| {
                bed.unlink(PeerLife::Unknown);
                bed.own.links.clear();
                bed.own.config.key_faults = vec!["spared.toml:2: nodes: no such file".to_owned()];
            },
        ),
        (
            "neither link nor key",
            "UNKNOWN  office: r1 is active; it is not known whether r2 is alive.",
            &["SP-0102 r2"],
            |bed| {
                bed.unlink(PeerLife::Unknown);
                bed.own.links.clear();
                bed.pair().has_link = false;
            },
        ),
        (
            "keys and no link",
            "OK  office: r1 is active, r2 stands by. Without a link nothing is replicated.",
            &[],
            |bed| {
                bed.unlink(PeerLife::Alive);
                bed.own.links.clear();
                bed.pair().has_link = false;
            },
        ),
        (
            "keys, no link, and a backup that hears nothing",
            "WARN  office: r1 is active, r2 is not ready: it hears no heartbeats of r1.",
            &[],
            |bed| {
                bed.unlink(PeerLife::Alive);
                bed.own.links.clear();
                bed.pair().has_link = false;
                "it hears no heartbeats of r1".clone_into(&mut bed.own.groups[0].failover.waits);
            },
        ),
        (
            "keys, no link, and plugins that replicate",
            "WARN  office: r1 is active, r2 stands by. Without a link nothing is replicated.",
            &["SP-0311 r1"],
            |bed| {
                bed.unlink(PeerLife::Alive);
                bed.own.links.clear();
                bed.pair().has_link = false;
                bed.own.plugins[1].is_unlinked = true;
            },
        ),
        (
            "keys, no link, and nobody",
            "ALONE  office: r1 is active and no other node stands by.",
            &["SP-0101 r2"],
            |bed| {
                bed.unlink(PeerLife::Silent);
                bed.own.links.clear();
                bed.pair().has_link = false;
            },
        ),
    ]);
}

#[test]
fn a_router_without_a_pair_says_what_it_hears() {
    let role = |role: Role, other: Option<&str>| {
        let mut bed = Bed::new();
        bed.pair = None;
        bed.own.links.clear();
        bed.own.groups = vec![group(role)];
        bed.own.groups[0].rivals.other_active = other.map(|name| OtherActive {
            name: name.to_owned(),
            is_peer: false,
        });
        said(&bed).0
    };
    assert_eq!(
        role(Role::Active, None),
        "OK  office: r1 is active. It is not known whether a backup stands by: a VRRP backup sends nothing."
    );
    assert_eq!(
        role(Role::Backup, Some("10.0.0.2")),
        "OK  office: 10.0.0.2 is active, r1 stands by."
    );
    assert!(role(Role::Backup, None).starts_with("NONE  office: no node is active."));
    assert_eq!(
        role(Role::Fault, None),
        "NONE  office: no node is active; r1 cannot become active: no interface is usable."
    );
    assert_eq!(
        role(Role::Fault, Some("10.0.0.2")),
        "ALONE  office: 10.0.0.2 is active and r1 cannot take over: no interface is usable."
    );
}

fn failed(name: &str, state: u32) -> CheckStatus {
    CheckStatus {
        plugin: "service".to_owned(),
        name: name.to_owned(),
        weight: 0,
        state,
        why: "no such unit".to_owned(),
        points: 0,
        since: SINCE.to_owned(),
        is_shared: false,
    }
}

fn duplicate(by: &str) -> DuplicateAddress {
    DuplicateAddress {
        address: "10.1.0.1".to_owned(),
        interface: "lan1".to_owned(),
        by: by.to_owned(),
        is_peer: false,
    }
}

fn copied() -> BareInterface {
    BareInterface {
        interface: "lan1".to_owned(),
        family: "IPv4".to_owned(),
        virtuals: vec![VirtualCopy {
            address: "10.1.0.1/24".to_owned(),
            group: "office".to_owned(),
        }],
    }
}

#[test]
fn a_finding_about_an_address_says_whose_it_is_and_what_to_type() {
    let line = |change: &dyn Fn(&mut GroupFacts)| {
        let mut group = GroupFacts {
            name: "office".to_owned(),
            ..GroupFacts::default()
        };
        change(&mut group);
        let found = crate::addresses::findings("r1", &group, "r2").next();
        found.map(|it| it.line(NOW)).unwrap_or_default()
    };
    assert_eq!(
        line(&|group| group.addresses.bare.push(copied())),
        "r1: office: lan1 has no IPv4 address of its own (10.1.0.1/24 there is a virtual address of group office): \
         no advert is sent there, and its virtual addresses do not answer. Give the interface an address that is in no group, and delete the other one: `ip address del 10.1.0.1/24 dev lan1` (SP-0204)"
    );
    assert_eq!(
        line(&|group| group
            .addresses
            .duplicates
            .push(duplicate("02:00:00:00:00:99"))),
        "r1: office: another machine (02:00:00:00:00:99) answers for 10.1.0.1 on lan1: it gets a part of the packets. \
         The switch's table of MAC addresses shows its port. Take 10.1.0.1 from it. (SP-0109)"
    );
    let of_peer = DuplicateAddress {
        is_peer: true,
        ..duplicate("02:00:00:00:00:12")
    };
    assert_eq!(
        line(&|group| group.addresses.duplicates.push(of_peer.clone())),
        "r1: office: r2 (02:00:00:00:00:12) is not active and answers for 10.1.0.1 on lan1: it gets a part of the \
         packets. On r2: see where it has 10.1.0.1 (`ip address show to 10.1.0.1`) and delete it there, or start \
         spared. (SP-0109)"
    );
}

#[test]
fn many_checks_without_a_result_for_one_reason_are_one_finding() {
    let pending = |number: u32, why: &str| CheckStatus {
        plugin: "service".to_owned(),
        name: format!("service.s{number:02}"),
        state: STATE_UNKNOWN,
        why: why.to_owned(),
        since: SINCE.to_owned(),
        ..CheckStatus::default()
    };
    let mut bed = Bed::new();
    let starting = (1..=56).map(|number| pending(number, "is being started"));
    bed.own.checks = starting.chain([pending(57, "no role is known")]).collect();
    let verdict = bed.verdict();
    let lines: Vec<String> = verdict.findings.iter().map(|it| it.line(NOW)).collect();
    assert_eq!(
        lines,
        [
            "r1: 56 checks of service are not known yet (is being started): s01, s02, s03 and 53 more since 12:41:12 \
             (12 min). See `sparectl service`. (SP-0402)",
            "r1: check \"service.s57\" is not known yet (no role is known) since 12:41:12 (12 min). See `sparectl \
             service`. (SP-0402)"
        ]
    );
}

#[test]
fn what_is_not_so_on_either_node_is_no_ok() {
    states(&[
        ("a unit here", TAINTED, &["SP-0401 r1"], |bed| {
            bed.own.checks = vec![failed("squid", 0)];
        }),
        ("a unit there", TAINTED, &["SP-0401 r2"], |bed| {
            bed.peer().checks = vec![failed("squid", 0)];
        }),
        ("not known yet", TAINTED, &["SP-0402 r1"], |bed| {
            bed.own.checks = vec![failed("squid", STATE_UNKNOWN)];
        }),
        ("what a failover loses", TAINTED, &["SP-0404 r1"], |bed| {
            bed.own.checks = vec![failed("translation", STATE_LOSES)];
        }),
        ("the active one's plugin", TAINTED, &["SP-0304 r1"], |bed| {
            bed.own.plugins[1].in_sync = false;
        }),
        ("a fence that is gone", TAINTED, &["SP-0201 r2"], |bed| {
            bed.peer().fence_gone = Some("flushed".to_owned());
        }),
        ("a fence that blocks", TAINTED, &["SP-0202 r1"], |bed| {
            bed.own.groups[0].fence = Fence::Blocking;
        }),
        ("an address", TAINTED, &["SP-0203 r1"], |bed| {
            bed.own.groups[0].addresses.missing = vec![AddressStatus::default()];
        }),
        ("a key that waits", TAINTED, &["SP-0603 r1"], |bed| {
            bed.own.config.not_in_force = vec!["fence".to_owned()];
        }),
        ("a route", TAINTED, &["SP-0207 r1"], |bed| {
            bed.own.groups[0].addresses.missing_routes = vec![MissingRoute::default()];
        }),
        ("a copy on the backup", TAINTED, &["SP-0208 r2"], |bed| {
            bed.peer().groups[0].addresses.foreign = vec![ForeignAddress::default()];
        }),
        (
            "a copy on the active one",
            TAINTED,
            &["SP-0208 r1"],
            |bed| {
                bed.own.groups[0].addresses.foreign = vec![ForeignAddress::default()];
            },
        ),
        ("no own address", TAINTED, &["SP-0204 r2"], |bed| {
            bed.peer().groups[0].addresses.bare = vec![BareInterface::default()];
            bed.peer().checks = vec![failed("", 0)];
        }),
        ("a virtual address", TAINTED, &["SP-0204 r2"], |bed| {
            bed.peer().groups[0].addresses.bare = vec![copied()];
        }),
        ("another machine", TAINTED, &["SP-0109 r1"], |bed| {
            bed.own.groups[0].addresses.duplicates = vec![duplicate("02:00:00:00:00:99")];
            // the backup hears the machine as well
            bed.peer().groups[0].addresses.duplicates = vec![duplicate("02:00:00:00:00:99")];
        }),
        (
            "unheard, muted",
            TAINTED,
            &["SP-0205 r1", "SP-0206 r1"],
            |bed| {
                let group = &mut bed.own.groups[0];
                group
                    .networks
                    .unheard
                    .insert("lan".to_owned(), "good".to_owned());
                group.routers.muted.push(muted("lan"));
            },
        ),
        (
            "heard and not hearing, and as the other node has it",
            TAINTED,
            &["SP-0205 r1"],
            |bed| {
                let lan = || ("lan".to_owned(), "one way, good".to_owned());
                bed.own.groups[0].networks.unheard.extend([lan()]);
                bed.peer().groups[0].networks.unheard.extend([lan()]);
            },
        ),
        (
            "an interface that the other node cannot use, as it says itself",
            TAINTED,
            &["SP-0401 r2"],
            |bed| {
                let lan = ("lan".to_owned(), "unusable".to_owned());
                bed.own.groups[0].networks.unheard.extend([lan]);
                bed.peer().checks = vec![failed("lan", 0)];
            },
        ),
        (
            "a muted VLAN, and its check, beside a failed check",
            TAINTED,
            &["SP-0206 r1", "SP-0401 r1"],
            |bed| {
                bed.own.groups[0].routers.muted.push(muted("lan.50"));
                bed.own.checks = vec![failed("lan.50", 0), failed("50", 0)];
            },
        ),
        ("a worker that is silent", TAINTED, &["SP-0308 r2"], |bed| {
            bed.peer().plugins[1].is_silent = true;
            bed.peer().plugins[1].in_sync = false;
        }),
        ("an elector that is late", TAINTED, &["SP-0307 r1"], |bed| {
            bed.own.processes.elector_silent = Some(SilentElector {
                plugin: "vrrp".to_owned(),
                since: SINCE.to_owned(),
            });
        }),
        (
            "a starter that is silent",
            TAINTED,
            &["SP-0309 r2"],
            |bed| {
                bed.peer().processes.starter_silent = true;
            },
        ),
        ("one object, two plugins", TAINTED, &["SP-0401 r1"], |bed| {
            let of_dhcp = CheckStatus {
                plugin: "dhcp".to_owned(),
                ..failed("squid", STATE_UNKNOWN)
            };
            bed.own.checks = vec![of_dhcp, failed("service.squid", 0)];
        }),
        (
            "two objects",
            TAINTED,
            &["SP-0401 r1", "SP-0401 r1"],
            |bed| {
                let of_dhcp = CheckStatus {
                    plugin: "dhcp".to_owned(),
                    ..failed("kea", 0)
                };
                bed.own.checks = vec![of_dhcp, failed("service.squid", 0)];
            },
        ),
        ("a wrong group", TAINTED, &["SP-0305 r1"], |bed| {
            bed.own.plugins[1].unknown_groups = vec!["attic".to_owned()];
            bed.peer().plugins[1].unknown_groups = vec!["attic".to_owned()];
        }),
        ("a file that was refused", TAINTED, &["SP-0310 r1"], |bed| {
            bed.own.plugins[1].refused_file = "sets.toml:3: no such set".to_owned();
        }),
        ("a role that failed", TAINTED, &["SP-0306 r1"], |bed| {
            let failed = &mut bed.own.plugins[1].failed_roles;
            failed.insert("office".to_owned(), "no such file".to_owned());
        }),
        (
            "a link without heartbeats, also as another group has it, and one that is down",
            TAINTED,
            &["SP-0501 r1", "SP-0506 r1"],
            |bed| {
                bed.own.links.push(LinkFacts {
                    up: false,
                    ..link("hot1")
                });
                let deaf = ["hot0".to_owned(), "hot1".to_owned()];
                bed.own.groups[0].failover.deaf_links.extend(deaf);
            },
        ),
        (
            "a link that loses long packets, as both nodes find, and is down for that",
            TAINTED,
            &["SP-0507 r1"],
            |bed| {
                let narrow = LinkFacts {
                    up: false,
                    mtu: Some(1500),
                    passes: Some(1400),
                    ..link("hot1")
                };
                bed.own.links.push(narrow.clone());
                bed.peer().links.push(narrow);
            },
        ),
        ("one of two links", TAINTED, &["SP-0501 r1"], |bed| {
            let down = LinkFacts {
                up: false,
                ..link("hot1")
            };
            bed.own.links.push(down.clone());
            bed.peer().links.push(down);
        }),
        ("a filtered link", TAINTED, &["SP-0502 r1"], |bed| {
            bed.own.links[0].up = false;
            bed.own.processes.link_filtered =
                Some("input drops port 3780; to fix: nft insert".to_owned());
        }),
        (
            "no process of the firewall",
            TAINTED,
            &["SP-0504 r1"],
            |bed| {
                bed.own.processes.firewall_down = Some("the firewall process ended".to_owned());
            },
        ),
        ("a weak passphrase", TAINTED, &["SP-0503 r1"], |bed| {
            bed.own.machine.weak_passphrase = true;
        }),
        ("a wrong key", TAINTED, &["SP-0505 r1"], |bed| {
            bed.own.config.key_faults = vec!["spared.toml:2: nodes: no such file".to_owned()];
        }),
        ("another key", TAINTED, &["SP-0602 r1"], |bed| {
            bed.pair().differences = vec![Difference {
                plugin: Some("sets".to_owned()),
                file: "sets.toml".to_owned(),
                key: "after".to_owned(),
                ..Difference::default()
            }];
        }),
        ("frozen, on both", TAINTED, &["SP-0702 r1"], |bed| {
            bed.own.orders.frozen_until = Some(NOW.to_owned());
            bed.peer().orders.frozen_until = Some(NOW.to_owned());
        }),
        ("forced here", TAINTED, &["SP-0703 r1"], |bed| {
            bed.own.groups[0].forced = Forced::Active;
        }),
        ("a full disk", TAINTED, &["SP-0801 r1"], |bed| {
            bed.own.machine.unwritten = Some("/var/lib/spared: no space left".to_owned());
        }),
        (
            "a key that others can read",
            TAINTED,
            &["SP-0806 r2"],
            |bed| {
                bed.peer().config.next_key_faults =
                    vec!["spared.toml:2: link: chmod 600 key".to_owned()];
            },
        ),
        ("both forced", TAINTED, &["SP-0108 r1"], |bed| {
            bed.own.groups[0].forced = Forced::Active;
            bed.peer().groups[0].forced = Forced::Active;
        }),
    ]);
}

#[test]
fn a_finding_of_two_plugins_has_the_words_of_both() {
    let mut bed = Bed::new();
    let of_dhcp = CheckStatus {
        plugin: "dhcp".to_owned(),
        why: "does not run".to_owned(),
        ..failed("squid", 0)
    };
    bed.own.checks = vec![failed("service.squid", 0), of_dhcp];
    let verdict = verdict(NOW, &bed.own, bed.pair.as_ref());
    let texts: Vec<&str> = verdict.findings.iter().map(|it| it.text.as_str()).collect();
    let wanted = "r1: check \"service.squid\" fails (no such unit; dhcp: does not run)";
    assert_eq!(texts, [wanted]);
}

#[test]
fn a_finding_about_a_name_that_another_plugin_has_too_names_its_plugin() {
    let mut bed = Bed::new();
    bed.own.checks = vec![CheckStatus {
        is_shared: true,
        ..failed("room", 0)
    }];
    let verdict = verdict(NOW, &bed.own, bed.pair.as_ref());
    let texts: Vec<&str> = verdict.findings.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(
        texts,
        ["r1: check \"room\" of service fails (no such unit)"]
    );
}

#[test]
fn a_spare_that_cannot_take_over_is_named_with_its_reason() {
    states(&[
        (
            "fault",
            "ALONE  office: r1 is active and r2 cannot take over: no interface is usable.",
            &["SP-0107 r2"],
            |bed| bed.peer().groups = vec![group(Role::Fault)],
        ),
        (
            "not ready",
            "WARN  office: r1 is active, r2 is not ready: sets is not yet in sync (61 %).",
            &["SP-0304 r2"],
            |bed| {
                let peer = bed.peer();
                (peer.plugins[1].in_sync, peer.plugins[1].lack) = (false, "61 %".to_owned());
                peer.missing = missing(peer, "r1", None, &[]);
            },
        ),
        (
            "less fit",
            "WARN  office: r1 is active, r2 can take over, but its quality is lower (73 against 100).",
            &["SP-0401 r2"],
            |bed| {
                bed.peer().groups[0].quality = 73;
                bed.peer().checks = vec![failed("internet", 0)];
            },
        ),
        (
            "in maintenance",
            "WARN  office: r1 is active, r2 is in maintenance.",
            &["SP-0701 r2"],
            |bed| bed.peer().orders.maintenance = Some(Maintenance::default()),
        ),
        (
            "kept from it",
            "WARN  office: r1 is active, r2 is forced backup.",
            &["SP-0703 r2"],
            |bed| bed.peer().groups[0].forced = Forced::Backup,
        ),
    ]);
}

fn muted(interface: &str) -> RouterFault {
    RouterFault {
        router: format!("virtual_router.{interface}.51.IPv4"),
        interface: interface.to_owned(),
        why: "its adverts cannot be sent from".to_owned(),
    }
}

fn cut_off(node: &mut NodeFacts) {
    node.groups[0].addresses.is_cut_off = true;
    node.interfaces = vec![InterfaceFacts {
        name: "lan".to_owned(),
        lack: InterfaceLack::Carrier,
        since: SINCE.to_owned(),
    }];
}

#[test]
fn one_fault_is_one_finding() {
    states(&[
        (
            "a plugin that is refused on the spare",
            "WARN  office: r1 is active, r2 is not ready: sets is not running.",
            &["SP-0301 r2"],
            |bed| {
                let peer = bed.peer();
                peer.plugins[1].state = PluginState::Refused;
                peer.missing = missing(peer, "r1", None, &[]);
                bed.own.plugins[1].has_peer = false;
                bed.pair().differences = vec![Difference {
                    plugin: Some("sets".to_owned()),
                    file: "sets.toml".to_owned(),
                    key: "set \"bans\"".to_owned(),
                    ..Difference::default()
                }];
            },
        ),
        (
            "a plugin that one node alone has",
            "WARN  office: r1 is active, r2 is not ready: sets does not hear its peer on r1.",
            &["SP-0303 r2"],
            |bed| {
                bed.own.plugins.truncate(1);
                let peer = bed.peer();
                peer.plugins[1].has_peer = false;
                peer.missing = missing(peer, "r1", None, &[]);
                bed.pair().differences = vec![Difference {
                    plugin: Some("sets".to_owned()),
                    kind: DifferenceKind::File,
                    file: "sets.toml".to_owned(),
                    key: "the file".to_owned(),
                    ..Difference::default()
                }];
            },
        ),
        (
            "addresses of an interface that is down",
            TAINTED,
            &["SP-0403 r1"],
            |bed| {
                bed.own.groups[0].addresses.missing = vec![AddressStatus {
                    interface: "lan".to_owned(),
                    ..AddressStatus::default()
                }];
                bed.own.interfaces = vec![InterfaceFacts {
                    name: "lan".to_owned(),
                    lack: InterfaceLack::Up,
                    since: SINCE.to_owned(),
                }];
            },
        ),
        (
            "a spare without an interface that is up",
            "ALONE  office: r1 is active and r2 cannot take over: none of its interfaces is usable.",
            &["SP-0403 r2"],
            |bed| cut_off(bed.peer()),
        ),
        (
            "an active node without an interface that is up",
            "NONE  office: no node answers: r1 is active, but none of its interfaces is usable.",
            &["SP-0403 r1"],
            |bed| {
                cut_off(&mut bed.own);
                bed.own.groups[0].fence = Fence::Blocking;
            },
        ),
        (
            "a stranger beside an active node, heard by both",
            TAINTED,
            &["SP-0106 r1"],
            |bed| {
                for is_own in [true, false] {
                    let node = if is_own { &mut bed.own } else { bed.peer() };
                    node.groups[0].routers.strangers.push(RouterFault {
                        why: "10.0.0.9 (priority 254)".to_owned(),
                        ..muted("lan")
                    });
                }
            },
        ),
        (
            "plugins that do not speak with each other",
            "WARN  office: r1 is active, r2 is not ready: sets: here wire 1, r2 has 2.",
            &["SP-0302 r1"],
            |bed| {
                bed.own.plugins[1].refused = Some("here wire 1, r2 has 2".to_owned());
                let peer = bed.peer();
                peer.plugins[1].refused = Some("here wire 1, r2 has 2".to_owned());
                peer.missing = missing(peer, "r1", None, &[]);
            },
        ),
        (
            "a carrier that is lost",
            "ALONE  office: r1 is active and r2 cannot take over: no interface is usable.",
            &["SP-0403 r2"],
            |bed| {
                let peer = bed.peer();
                peer.groups = vec![group(Role::Fault)];
                peer.checks = vec![failed("lan", 0)];
                peer.interfaces = vec![InterfaceFacts {
                    name: "lan".to_owned(),
                    lack: InterfaceLack::Carrier,
                    since: SINCE.to_owned(),
                }];
            },
        ),
        (
            "a link whose interface is down there",
            TAINTED,
            &["SP-0501 r2"],
            |bed| {
                let down = LinkFacts {
                    up: false,
                    ..link("hot1")
                };
                bed.own.links.push(down.clone());
                let is_local = true;
                bed.peer().links.push(LinkFacts { is_local, ..down });
                bed.peer().interfaces = vec![InterfaceFacts {
                    name: "hot1".to_owned(),
                    lack: InterfaceLack::Up,
                    since: SINCE.to_owned(),
                }];
            },
        ),
    ]);
}

#[test]
fn a_line_says_since_when_what_to_do_and_its_id() {
    let bed = Bed::with(|bed| {
        bed.own.interfaces = vec![InterfaceFacts {
            name: "in".to_owned(),
            lack: InterfaceLack::Carrier,
            since: SINCE.to_owned(),
        }];
    });
    assert_eq!(
        bed.verdict().findings[0].line(NOW),
        "r1: interface \"in\" has no carrier since 12:41:12 (12 min). \
         Check its cable or switch port. (SP-0403)"
    );
    let bed = Bed::with(|bed| {
        bed.unlink(PeerLife::Silent);
        bed.pair().answers_ping = Some(false);
    });
    assert_eq!(
        bed.verdict().findings[0].line(NOW),
        "r2 was last heard 2026-11-20 09:41:07 (3 h 12 min ago) on hot0 and lan; no ping is \
         answered on the links: its machine or its daemon is off, or its key or the cables are missing. Look at r2: is it on? `systemctl status spared` there says whether its daemon runs. (SP-0101)"
    );
}

#[test]
fn each_line_says_for_how_long() {
    let line = |change: fn(&mut Bed)| {
        let mut found = Bed::with(change).verdict().findings;
        FindingTimes::default().set_begin(Instant::now(), SINCE, &mut found);
        found.remove(0).line(NOW)
    };
    let gone = line(|bed| bed.own.fence_gone = Some("flushed".to_owned()));
    assert!(gone.ends_with(". (SP-0201), for 12 min"), "{gone}");
    let behind = line(|bed| bed.own.plugins[1].in_sync = false);
    let wanted =
        "r1: sets is not yet in sync since 12:41:12 (12 min). See `sparectl sets`. (SP-0304)";
    assert_eq!(behind, wanted);
}

#[test]
fn the_other_node_tells_since_when_it_has_a_finding() {
    let mut bed = Bed::with(|bed| bed.peer().fence_gone = Some("flushed".to_owned()));
    assert_eq!(bed.verdict().findings[0].since, None);
    let mut there = FindingTimes::default();
    there.update(Instant::now(), SINCE, bed.verdict().findings);
    bed.peer().first_found = there.first_found("r2");
    assert_eq!(bed.verdict().findings[0].since.as_deref(), Some(SINCE));
    // the begin of one finding is not that of another
    bed.peer().fence_gone = None;
    bed.peer().machine.unwritten = Some("no space left".to_owned());
    assert_eq!(bed.verdict().findings[0].since, None);
}

#[test]
fn facts_tell_since_when_the_peer_is_silent_and_a_group_forced() {
    let bed = Bed::with(|bed| bed.unlink(PeerLife::Silent));
    let heard = bed.pair.as_ref().and_then(|pair| pair.last_heard.clone());
    assert_eq!(bed.verdict().findings[0].since, heard);
    let bed = Bed::with(|bed| {
        bed.own.groups[0].forced = Forced::Active;
        bed.own.groups[0].forced_since = SINCE.to_owned();
    });
    assert_eq!(bed.verdict().findings[0].since.as_deref(), Some(SINCE));
}

/// Both nodes print a finding: each word of it must mean the same node on both.
#[test]
fn what_is_to_be_done_names_the_node_on_both() {
    // the pair as r1 sees it, and as r2 sees it
    let both = |change: fn(&mut NodeFacts), there: fn(&mut NodeFacts)| {
        let bed = Bed::with(|bed| {
            change(&mut bed.own);
            there(bed.peer());
        });
        let mut other = Bed::new();
        (other.own, other.pair().peer) = (
            bed.pair.clone().and_then(|it| it.facts).expect("facts"),
            "r1".to_owned(),
        );
        *other.peer() = bed.own.clone();
        (bed, other)
    };
    let line = |bed: &Bed| {
        let found = bed.verdict().findings;
        found
            .iter()
            .map(|it| it.line(NOW))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let causes: [fn(&mut NodeFacts); 6] = [
        |there| there.checks = vec![failed("squid", 0)],
        // the object has the node's name, which is not in the remedy
        |there| there.checks = vec![failed("r2", 0)],
        |there| there.plugins[1].state = PluginState::Refused,
        |there| there.plugins[1].in_sync = false,
        |there| there.plugins[1].unknown_groups = vec!["attic".to_owned()],
        |there| {
            let failed = &mut there.plugins[1].failed_roles;
            failed.insert("office".to_owned(), "no such file".to_owned());
        },
    ];
    for cause in causes {
        let (one, other) = both(|_| (), cause);
        let (there, here) = (line(&one), line(&other));
        assert!(there.contains(". On r2: "), "{there}");
        assert!(!here.contains(" On r2: "), "{here}");
    }

    let lone = |own: &mut NodeFacts| own.plugins[1].has_peer = false;
    let (mut one, mut other) = both(lone, |there| drop(there.plugins.pop()));
    let name = one.own.plugins[1].name.clone();
    let difference = |here: &str, there: &str| Difference {
        plugin: Some(name.clone()),
        kind: DifferenceKind::File,
        file: format!("{name}.toml"),
        key: "the file".to_owned(),
        here: Some(here.to_owned()),
        there: Some(there.to_owned()),
    };
    one.pair().differences = vec![difference("present", "absent")];
    other.pair().differences = vec![difference("absent", "present")];
    for bed in [&one, &other] {
        let said = line(bed);
        let todo = format!(
            "Put {name}.toml on r2, or remove it on r1; then `sparectl reload` there. (SP-0303)"
        );
        assert!(said.ends_with(&todo), "{said}");
        assert!(
            said.contains("r1 present") && said.contains("r2 absent"),
            "{said}"
        );
        assert!(!said.contains("here "), "{said}");
    }
    let key = Difference {
        kind: DifferenceKind::Group,
        file: "vrrp.toml".to_owned(),
        key: "group \"office\": vrid".to_owned(),
        here: Some("51".to_owned()),
        there: Some("50".to_owned()),
        ..Difference::default()
    };
    // r2's reason is read on r1
    let lacks = missing(&other.own, "r1", None, &[key]);
    assert!(
        lacks.contains(&"vrrp.toml: group \"office\": vrid: r2 51, r1 50".to_owned()),
        "{lacks:?}"
    );
}

#[test]
fn a_node_without_groups_has_a_verdict_too() {
    let of = |plugins: Vec<PluginFacts>| {
        let own = NodeFacts {
            groups: Vec::new(),
            links: Vec::new(),
            plugins,
            ..node("r1", Role::Backup)
        };
        verdict(NOW, &own, None).word
    };
    assert_eq!(of(Vec::new()), Word::Ok);
    assert_eq!(of(vec![plugin("sets")]), Word::Ok);
    let state = PluginState::Failed;
    assert_eq!(
        of(vec![PluginFacts {
            state,
            ..plugin("vrrp")
        }]),
        Word::None
    );
}

#[test]
fn codes_rise_with_the_list_and_none_is_used_twice() {
    let codes: Vec<&str> = Id::ALL.iter().map(|id| id.code()).collect();
    assert!(codes.windows(2).all(|two| two[0] < two[1]), "{codes:?}");
}

#[test]
fn what_is_missing_is_a_sentence_each() {
    let mut own = node("r2", Role::Backup);
    assert_eq!(missing(&own, "r1", None, &[]), [""; 0]);
    own.quality = 0;
    own.orders.maintenance = Some(Maintenance::default());
    own.groups[0].forced = Forced::Backup;
    own.plugins = vec![
        PluginFacts {
            state: PluginState::Failed,
            ..plugin("dhcp")
        },
        plugin("sets"),
    ];
    let difference = Difference {
        kind: DifferenceKind::Group,
        file: "vrrp.toml".to_owned(),
        key: "group \"office\" interface \"lan2\": vrid".to_owned(),
        here: Some("50".to_owned()),
        there: None,
        ..Difference::default()
    };
    assert_eq!(
        missing(
            &own,
            "r1",
            Some("nothing was heard for 900 ms"),
            &[difference]
        ),
        [
            "it is in maintenance",
            "office is forced backup on it",
            "its quality is 0",
            "no link to r1 is up: nothing was heard for 900 ms",
            "dhcp is not running",
            "vrrp.toml: group \"office\" interface \"lan2\": vrid: r2 50, r1 absent",
        ]
    );
}

#[test]
fn a_difference_has_the_finding_of_its_kind_whatever_its_words_are() {
    for (kind, id) in [
        (DifferenceKind::Group, "SP-0601 r1"),
        (DifferenceKind::File, "SP-0602 r1"),
        (DifferenceKind::Key, "SP-0602 r1"),
    ] {
        let mut bed = Bed::new();
        bed.pair().differences = vec![Difference {
            kind,
            key: "unit \"squid.toml: the file\": name".to_owned(),
            ..Difference::default()
        }];
        assert_eq!(said(&bed).1, [id], "{kind:?}");
    }
}

#[test]
fn facts_cross_as_json_and_an_unknown_field_does_no_harm() {
    let mut facts = node("r1", Role::Active);
    facts.groups[0]
        .networks
        .unheard
        .insert("lan".to_owned(), "bad".to_owned());
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<NodeFacts>(&text).unwrap(), facts);
    let later = text.replacen('{', "{\"later\":1,", 1);
    assert_eq!(serde_json::from_str::<NodeFacts>(&later).unwrap(), facts);
}
