//! Tests the sentences of each kind of cause, in each role to which it applies.

use super::*;

const BY_SWITCHOVER: u32 = spared_abi::CAUSE_BY_SWITCHOVER;
const OWN_PREFERRED: u32 = spared_abi::CAUSE_OWN_PREFERRED;
const PEER_PREFERRED: u32 = spared_abi::CAUSE_PEER_PREFERRED;

fn fit(node: &str, quality: u8, failing: &[&str]) -> Fitness {
    Fitness {
        node: node.to_owned(),
        quality,
        failing: failing.iter().map(|&check| check.to_owned()).collect(),
        said: None,
    }
}

/// A cause with all fields set.
fn cause(kind: CauseKind) -> Cause {
    Cause {
        kind,
        flags: 0,
        own: 73,
        theirs: 100,
        for_ns: 303_000_000,
        peer: "r2".to_owned(),
        interface: "lan1, lan2".to_owned(),
        text: String::new(),
    }
}

fn told(kind: CauseKind, text: &str) -> Cause {
    Cause {
        text: text.to_owned(),
        ..cause(kind)
    }
}

fn compared(own: u32, theirs: u32, flags: u32) -> Cause {
    Cause {
        own,
        theirs,
        flags,
        ..cause(CauseKind::Quality)
    }
}

fn say(cause: &Cause, own: &Fitness, peer: Option<&Fitness>) -> String {
    cause.sentence(Role::Backup, own, peer)
}

/// Asserts the sentence about r1, and the reason.
fn check(role: Role, cause: &Cause, word: &str, wanted: &str) {
    let sentence = cause.sentence(role, &fit("r1", 100, &[]), None);
    assert_eq!((sentence.as_str(), cause.reason(role)), (wanted, word));
}

#[test]
fn each_kind_has_its_sentence_and_its_word() {
    let (active, backup, fault) = (Role::Active, Role::Backup, Role::Fault);
    for (role, kind, word, wanted) in [
        (
            active,
            CauseKind::NobodyHeard,
            "nobody-heard",
            "no other router was heard on lan1, lan2 for 303 ms",
        ),
        (
            active,
            CauseKind::PeerSilent,
            "peer-silent",
            "r2 fell silent on lan1, lan2 for 303 ms",
        ),
        (
            active,
            CauseKind::PeerResigned,
            "peer-resigned",
            "r2 resigned",
        ),
        (
            backup,
            CauseKind::PeerActive,
            "peer-active",
            "r2 is active (priority 100, here 73)",
        ),
        (active, CauseKind::PeerUnable, "peer-aside", "r2 cannot be"),
        (
            active,
            CauseKind::PeerAside,
            "peer-aside",
            "r2 is forced to be backup, or in maintenance",
        ),
        (
            active,
            CauseKind::PeerJoining,
            "peer-aside",
            "r2 is not yet in sync",
        ),
        (
            backup,
            CauseKind::PeerForced,
            "forced",
            "r2 is forced to be active",
        ),
        (
            backup,
            CauseKind::Quality,
            "quality",
            "its quality is 73 and r2's is 100",
        ),
        (
            active,
            CauseKind::Priority,
            "priority",
            "its priority is 73 and r2's is 100",
        ),
        (
            active,
            CauseKind::Preferred,
            "preferred",
            "it is preferred and r2 is not healthier",
        ),
        (
            active,
            CauseKind::Owner,
            "owner",
            "it owns the addresses (priority 255)",
        ),
        (
            active,
            CauseKind::Forced,
            "forced",
            "it is forced; otherwise r2 would be active (100 against 73)",
        ),
        (
            backup,
            CauseKind::StandsAside,
            "stands-aside",
            "it is forced to be backup",
        ),
        (
            fault,
            CauseKind::Barred,
            "barred",
            "the daemon does not let it be active",
        ),
        (
            active,
            CauseKind::UnheardInterface,
            "unheard-interface",
            "r2 is not heard on lan1, lan2, but other stations there answer this node",
        ),
        (
            backup,
            CauseKind::UnheardInterface,
            "unheard-interface",
            "r2 does not hear it on lan1, lan2, and no station there shows whose connection is at fault",
        ),
        (
            backup,
            CauseKind::InterfaceHurt,
            "interface-hurt",
            "an interface does not carry it: it leaves the role to another router",
        ),
        (
            fault,
            CauseKind::Isolated,
            "isolated",
            "no interface is usable",
        ),
        (
            backup,
            CauseKind::AdvertsUnsent,
            "adverts-unsent",
            "its adverts cannot be sent from lan1, lan2",
        ),
        (
            active,
            CauseKind::Switchover,
            "switchover",
            "r2 switched over",
        ),
        (backup, CauseKind::Asked, "switchover", "it was asked to"),
        (
            backup,
            CauseKind::NotInSync,
            "not-in-sync",
            "it is not yet in sync",
        ),
        (
            backup,
            CauseKind::Listening,
            "listening",
            "it listens for 303 ms, in case another router is active",
        ),
        (
            backup,
            CauseKind::Late,
            "late",
            "its advert would have been 303 ms late, longer than its fence lease",
        ),
        (
            backup,
            CauseKind::FenceBlocking,
            "fence-blocking",
            "the daemon did not let the fence pass",
        ),
        (
            backup,
            CauseKind::Cloned,
            "cloned",
            "another machine has sent this run's heartbeats",
        ),
        (
            backup,
            CauseKind::Second,
            "second",
            "the peer hears another machine with this node's key",
        ),
        (
            backup,
            CauseKind::Withdrawn,
            "withdrawn",
            "the group is no longer configured",
        ),
        (backup, CauseKind::Shutdown, "shutdown", "it shuts down"),
        (
            active,
            CauseKind::Conflict,
            "conflict",
            "r2 was active, too, for 303 ms and gave way",
        ),
        (
            backup,
            CauseKind::Claimed,
            "claimed",
            "the group has just been claimed",
        ),
    ] {
        let wanted = format!("r1 is {} because {wanted}", role.word());
        check(role, &cause(kind), word, &wanted);
    }
}

#[test]
fn what_only_a_text_says_is_said_by_it() {
    for (kind, word, text, wanted) in [
        (
            CauseKind::Other,
            "other",
            "its lamp is red",
            "its lamp is red",
        ),
        (
            CauseKind::ElectorDied,
            "elector-died",
            "vrrp was killed",
            "vrrp was killed",
        ),
        (
            CauseKind::Lapsed,
            "lapsed",
            "its lease expired",
            "its lease expired",
        ),
        (
            CauseKind::Kernel,
            "kernel",
            "the fence cannot pass",
            "the fence cannot pass",
        ),
        (
            CauseKind::Started,
            "started",
            "spared was started",
            "spared was started",
        ),
        (
            CauseKind::StandsAside,
            "stands-aside",
            "root forced it",
            "root forced it",
        ),
        (
            CauseKind::Barred,
            "barred",
            "dhcp has failed",
            "dhcp has failed",
        ),
        (
            CauseKind::Asked,
            "switchover",
            "root switched it",
            "root switched it",
        ),
        (
            CauseKind::Isolated,
            "isolated",
            "lan1 is down",
            "no interface is usable: lan1 is down",
        ),
        (
            CauseKind::InterfaceHurt,
            "interface-hurt",
            "lan1 is down",
            "lan1 is down: it leaves the role to another router",
        ),
        (
            CauseKind::Other,
            "other",
            "",
            "the vrrp plugin gives no reason",
        ),
    ] {
        let wanted = format!("r1 is backup because {wanted}");
        check(Role::Backup, &told(kind, text), word, &wanted);
    }
    let late = Cause::new(CauseKind::Late, "the fence passed too late");
    let wanted = "r1 is backup because the fence passed too late";
    check(Role::Backup, &late, "late", wanted);
    let alone = Cause::new(CauseKind::Forced, "root forced it");
    let wanted = "r1 is active because root forced it";
    check(Role::Active, &alone, "forced", wanted);
}

#[test]
fn qualities_are_compared_as_the_role_has_it() {
    let (active, backup) = (Role::Active, Role::Backup);
    for (role, cause, word, wanted) in [
        (
            active,
            compared(100, 73, 0),
            "quality",
            "because its quality is 100 and r2's is 73",
        ),
        (
            active,
            compared(50, 73, 0),
            "active-first",
            "although its quality is 50: r2's is 73, and it was active first",
        ),
        (
            active,
            compared(100, 100, OWN_PREFERRED),
            "preferred",
            "because both nodes have quality 100 and it is preferred",
        ),
        (
            active,
            compared(100, 100, PEER_PREFERRED),
            "active-first",
            "because both nodes have quality 100, and r2, though preferred, was active later",
        ),
        (
            active,
            compared(50, 50, 0),
            "active-first",
            "although its quality is 50: r2's is 50 too, so neither is better, no node is \
             preferred, and it was active first",
        ),
        (
            backup,
            compared(100, 73, 0),
            "peer-active",
            "although its quality is 100 and r2's is 73: r2 is active, and is to switch over",
        ),
        (
            backup,
            compared(100, 100, PEER_PREFERRED),
            "preferred",
            "because both nodes have quality 100 and r2 is preferred",
        ),
        (
            backup,
            compared(50, 50, 0),
            "active-first",
            "because its quality is 50: r2's is 50 too, so neither is better, no node is \
             preferred, and r2 was active first",
        ),
        (
            backup,
            compared(73, 100, BY_SWITCHOVER),
            "switchover",
            "because it switched over to r2: its quality is 73 and r2's is 100",
        ),
        (
            active,
            compared(100, 73, BY_SWITCHOVER),
            "switchover",
            "because its quality is 100 and r2's is 73",
        ),
    ] {
        let wanted = format!("r1 is {} {wanted}", role.word());
        check(role, &cause, word, &wanted);
    }
}

#[test]
fn failback_says_what_it_waits_for() {
    let waits = told(CauseKind::Failback, "conntrack is not yet in sync (61 %)");
    let wanted = "r1 is backup although preferred: conntrack is not yet in sync (61 %); it takes \
                  over 303 ms after that";
    check(Role::Backup, &waits, "peer-active", wanted);
    let ready = Cause {
        flags: spared_abi::CAUSE_READY,
        ..waits
    };
    let wanted = "r1 is backup although preferred: r2 switches over once this node has been ready for \
                  303 ms";
    check(Role::Backup, &ready, "peer-active", wanted);
}

#[test]
fn the_worst_check_stands_behind_a_quality_that_is_the_nodes_still() {
    let hurt = ["interface \"in\" has no carrier", "disk is full"];
    let one = fit("r1", 73, &hurt[..1]);
    let both = fit("r1", 73, &hurt);
    let peer = fit("r2", 100, &[]);
    let lost = compared(73, 100, 0);
    assert_eq!(
        say(&lost, &one, Some(&peer)),
        "r1 is backup because its quality is 73 (interface \"in\" has no carrier) and r2's is 100"
    );
    assert_eq!(
        say(&lost, &both, None),
        "r1 is backup because its quality is 73 (interface \"in\" has no carrier, and 1 more) and \
         r2's is 100"
    );
    let bare = "r1 is backup because its quality is 73 and r2's is 100";
    // an outdated quality, and another router's
    assert_eq!(say(&lost, &fit("r1", 7, &hurt), None), bare);
    let stranger = fit("r3", 100, &hurt);
    assert_eq!(say(&lost, &fit("r1", 73, &[]), Some(&stranger)), bare);
    let won = compared(100, 73, 0);
    assert_eq!(
        won.sentence(
            Role::Active,
            &fit("r1", 100, &[]),
            Some(&fit("r2", 73, &hurt[1..]))
        ),
        "r1 is active because its quality is 100 and r2's is 73 (disk is full)"
    );
    // the elector's text about its interfaces is newer
    let seen = Cause {
        text: "lan1 is down".to_owned(),
        ..lost
    };
    assert_eq!(
        say(&seen, &one, None),
        "r1 is backup because its quality is 73 (lan1 is down) and r2's is 100"
    );
}

#[test]
fn a_cause_without_its_fields_is_a_sentence_all_the_same() {
    for &kind in CauseKind::ALL {
        for role in [Role::Active, Role::Backup, Role::Fault] {
            let clause = Cause::new(kind, "").clause(role);
            let holes = ["  ", " 's", ": :", "; ;"];
            assert!(!holes.iter().any(|hole| clause.contains(hole)), "{clause}");
            assert!(clause.len() > 5, "{kind:?}: {clause}");
        }
    }
}

#[test]
fn a_kind_is_its_number_and_an_unknown_number_is_another_kind() {
    for &kind in CauseKind::ALL {
        assert_eq!(CauseKind::from(u32::from(kind)), kind);
    }
    for unknown in [32, 63, 69, u32::MAX] {
        assert_eq!(CauseKind::from(unknown), CauseKind::Other);
    }
    let later = "{\"kind\": 4000000, \"text\": \"its lamp is red\", \"since\": 7}";
    let cause: Cause = serde_json::from_str(later).expect("a cause of a later version");
    assert_eq!(cause, Cause::new(CauseKind::Other, "its lamp is red"));
}
