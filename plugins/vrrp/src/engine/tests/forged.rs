//! A station that sends anything, and the most damage that it can do.

use super::lab::{Lab, MS, SECOND, by_priority};
use super::linked::pair;
use super::rfc::advert;
use crate::error::Discard;

fn discarded(lab: &Lab, node: usize, reason: Discard) -> u64 {
    lab.nodes[node].engine.interfaces[0].discards.get(reason)
}

#[test]
fn an_address_that_no_router_sends_from_is_refused_and_counted() {
    for source in [
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.18",
        "255.255.255.255",
        "10.1.0.255",
        "10.1.0.1",
    ] {
        let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
        for _ in 0..10 {
            lab.inject(0, "lan1", advert(253, 100 * MS, source));
            lab.run(50 * MS);
        }
        assert_eq!(lab.active(), [0], "{source}");
        assert_eq!(discarded(&lab, 0, Discard::Source), 10, "{source}");
    }
}

#[test]
fn the_owner_of_a_virtual_address_sends_from_it() {
    let mut lab = Lab::settled(&by_priority(&[200], "", ""), 1);
    lab.inject(0, "lan1", advert(255, 100 * MS, "10.1.0.1"));
    assert!(lab.active().is_empty());
    // the station's priority 0 counts as well: the wait is the skew, not Active_Down
    lab.inject(0, "lan1", advert(0, 100 * MS, "10.1.0.1"));
    let took = lab.run_until(300 * MS, |lab| lab.active() == [0]);
    assert!(took.is_some_and(|took| took < 100 * MS), "{took:?}");
    assert_eq!(discarded(&lab, 0, Discard::Source), 0);
}

#[test]
fn an_interval_that_nobody_uses_delays_a_failover_by_three_longest_ones_at_most() {
    let rfc_ns = 40_950 * MS;
    for (keys, limit_ns) in [("", SECOND), ("interval_max = \"200ms\"", 200 * MS)] {
        let mut lab = Lab::settled(&by_priority(&[200, 100], keys, ""), 2);
        lab.kill(0);
        lab.inject(1, "lan1", advert(200, rfc_ns, "10.1.0.2"));
        let took = lab.run_until(200 * SECOND, |lab| lab.active() == [1]);
        let most_ns = 4 * limit_ns;
        assert!(took.is_some_and(|took| took < most_ns), "{keys}: {took:?}");
    }
}

#[test]
fn beside_a_link_such_an_interval_delays_no_more_either() {
    let mut lab = pair("");
    assert_eq!(lab.active(), [0]);
    lab.kill(0);
    for wire in ["lan1", "lan2"] {
        let source = wire.replace("lan", "10.") + ".0.2";
        lab.inject(1, wire, advert(250, 40_950 * MS, &source));
    }
    let took = lab.run_until(200 * SECOND, |lab| lab.active() == [1]);
    assert!(took.is_some_and(|took| took < 4 * SECOND), "{took:?}");
}

/// Adverts that a station may send: priority, interval and source.
const FORGERIES: [(u8, u64, &str); 12] = [
    (0, 100 * MS, "10.1.0.2"),
    (0, 100 * MS, "10.1.0.3"),
    (0, 100 * MS, "10.1.0.9"),
    (1, 100 * MS, "10.1.0.2"),
    (1, 100 * MS, "10.1.0.3"),
    (1, 100 * MS, "10.1.0.9"),
    (250, 100 * MS, "10.1.0.2"),
    (250, 100 * MS, "10.1.0.3"),
    (254, 100 * MS, "10.1.0.9"),
    (255, 100 * MS, "10.1.0.1"),
    (250, 40_950 * MS, "10.1.0.3"),
    (250, 100 * MS, "127.0.0.1"),
];

#[test]
fn beside_a_link_forged_adverts_move_nothing_and_are_two_lines_a_minute() {
    for (priority, interval_ns, source) in FORGERIES {
        for node in [0, 1] {
            let mut lab = pair("");
            for _ in 0..1000 {
                lab.inject(node, "lan1", advert(priority, interval_ns, source));
                lab.run(100 * MS);
            }
            let what = format!("{source} says {priority} to r{}", node + 1);
            assert_eq!(lab.active(), [0], "{what}");
            assert_eq!((lab.failovers(), lab.switchovers()), (0, 0), "{what}");
            let told = &lab.nodes[node];
            let lines = [&told.events[..], &told.warnings[..]].concat();
            // the interval is a second kind
            assert!(lines.len() <= 4, "{what}: {lines:#?}");
            assert!(told.announced <= 100, "{what}: {}", told.announced);
            let conflicts = lines.iter().filter(|line| line.contains("conflict"));
            let of_peer = source == "10.1.0.2" || source == "10.1.0.3";
            assert!(!of_peer || conflicts.count() == 0, "{what}: {lines:#?}");
        }
    }
}

#[test]
fn without_a_link_a_forged_rival_is_two_lines_a_minute_and_an_announcement_a_second() {
    for (priority, source) in [(0, "10.1.0.3"), (1, "10.1.0.3"), (0, "10.1.0.9")] {
        // with pauses in which the conflict does not end, and in which it does
        for pause_ms in [100, 1000] {
            let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
            for _ in 0..100_000 / pause_ms {
                lab.inject(0, "lan1", advert(priority, 100 * MS, source));
                lab.run(pause_ms * MS);
            }
            let what = format!("{source} says {priority} each {pause_ms} ms");
            assert_eq!(lab.active(), [0], "{what}");
            let told = &lab.nodes[0];
            assert!(told.events.len() <= 4, "{what}: {:#?}", told.events);
            assert!(told.announced <= 101, "{what}: {}", told.announced);
        }
    }
}
