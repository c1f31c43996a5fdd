//! E12: one heartbeat for all groups of a node.

use std::net::IpAddr;

use super::lab::{Lab, MS, SECOND};
use super::linked::LINKS;
use crate::engine::unheard_port::Rating;
use crate::heartbeats::{Key, SECRET_LEN, Sender};
use crate::wire::heartbeat::{Ack, FRAME_MAX};

/// Configuration of groups g1, g2, ... with these intervals in ms and preferred nodes, all on lan1.
fn groups(groups: impl Iterator<Item = (u64, &'static str)>) -> String {
    let group = |(vrid, (ms, prefer)): (usize, (u64, &str))| {
        format!(
            "[[group]]\nname = \"g{vrid}\"\nprefer = \"{prefer}\"\nadvert_interval = \"{ms}ms\"\n\
             [[group.interface]]\ninterface = \"lan1\"\nvrid = {vrid}\n\
             addresses = [\"10.1.{vrid}.1/24\"]\n"
        )
    };
    (1..).zip(groups).map(group).collect()
}

/// Pair whose groups all prefer r1.
fn pair(intervals: &[u64]) -> Lab {
    let all = intervals.iter().map(|ms| (*ms, "r1"));
    Lab::linked(&groups(all), &LINKS)
}

/// Number of groups for which each node is active.
fn shares(lab: &Lab) -> [usize; 2] {
    [0, 1].map(|node| {
        let groups = lab.nodes[node].engine.groups.iter();
        groups.filter(|group| group.is_active()).count()
    })
}

/// Number of heartbeats that each node sends.
fn heartbeats_within(lab: &mut Lab, for_ns: u64) -> [u64; 2] {
    let sent = |lab: &Lab| [0, 1].map(|node| lab.nodes[node].host.heartbeats_sent);
    let [first, second] = sent(lab);
    lab.run(for_ns);
    let after = sent(lab);
    [after[0] - first, after[1] - second]
}

#[test]
fn a_pair_of_255_groups_sends_one_heartbeat_an_interval() {
    let mut lab = Lab::without_start(&groups((0..255).map(|_| (100, "r1"))), &LINKS);
    // the host takes its time, so that they begin one after the other
    lab.nodes[0].publish_ns = MS;
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    lab.forget();
    assert_eq!(shares(&lab), [255, 0]);
    for sent in heartbeats_within(&mut lab, 10 * SECOND) {
        assert!((100..=101).contains(&sent), "{sent}");
    }
    // each group sends its adverts, none of them early by now
    assert_eq!(lab.sent_by(0).len(), 255 * 100);
    let now_ns = lab.clock.now_ns();
    let mut sender = Sender::new(1);
    let key = Key::new(1, &[0; SECRET_LEN]);
    let engine = &mut lab.nodes[0].engine;
    engine.begin_round(now_ns + 100 * MS);
    let (heartbeats, ways) = engine.heartbeat(now_ns);
    assert_eq!(ways.len(), 1);
    let parts = sender.begin_heartbeat(heartbeats);
    assert!(parts <= 7, "{parts}");
    for part in 0..parts {
        assert!(sender.seal(&key, Ack::default(), 0, part).len() <= FRAME_MAX);
    }
}

#[test]
fn the_shortest_interval_is_the_nodes() {
    let mut lab = pair(&[10, 1000]);
    for sent in heartbeats_within(&mut lab, SECOND) {
        assert!((99..=101).contains(&sent), "{sent}");
    }
}

/// Each round brings heartbeats for the peer; adverts still come at their interval, as in the RFC.
#[test]
fn no_advert_is_later_than_its_interval() {
    for intervals in [[10, 1000], [30, 70], [100, 110], [20, 30]] {
        let mut lab = pair(&intervals);
        lab.run(30 * SECOND);
        for ms in intervals {
            let of_group = lab.sent.iter().filter(|sent| sent.interval_ns == ms * MS);
            let at: Vec<u64> = of_group.map(|sent| sent.at_ns).collect();
            let pauses = at.windows(2).map(|pair| pair[1] - pair[0]);
            let longest_ns = pauses.max().expect("adverts");
            assert!(longest_ns <= ms * MS, "{intervals:?}: {longest_ns}");
            // they do not come much more often either
            let least = 30_000 / ms;
            let most = 2 * least + 1;
            let count = u64::try_from(at.len()).expect("few");
            assert!((least..=most).contains(&count), "{intervals:?}: {count}");
        }
    }
}

#[test]
fn at_a_death_every_lease_has_ended_before_the_peer_takes_over() {
    for intervals in [[10, 1000], [1000, 10], [30, 70], [100, 110]] {
        let settled = pair(&intervals);
        for step in 0..50 {
            let mut lab = settled.clone();
            lab.run(step * 23 * MS + step * MS / 7);
            lab.kill(0);
            let longest_ms = intervals.into_iter().max().expect("two");
            lab.run(5 * longest_ms * MS);
            assert_eq!(shares(&lab)[1], 2, "{intervals:?} {step}");
            assert_eq!(lab.overlaps, [], "{intervals:?} {step}");
        }
    }
}

/// A group waits for the host, and the others' adverts wait with it: a heartbeat that was sent before is old by then.
#[test]
fn an_advert_behind_a_slow_host_has_a_heartbeat_of_its_own() {
    let all = ["r1", "r2", "r1"].map(|node| (100, node));
    let mut settled = Lab::linked(&groups(all.into_iter()), &LINKS);
    assert_eq!(shares(&settled), [2, 1]);
    settled.nodes[0].publish_ns = 60 * MS;
    for step in 0..20 {
        let mut lab = settled.clone();
        lab.kill(1);
        // due at once: adverts, and failovers of groups that nobody serves any more
        lab.run(120 * MS + step * 5 * MS);
        lab.stop(0);
        lab.run(100 * MS);
        lab.resume(0);
        lab.run(2 * SECOND);
        assert_eq!(shares(&lab)[0], 3, "{step}");
    }
}

/// No node was active before, so there was no switchover; no node is preferred.
#[test]
fn groups_that_start_together_settle_on_one_node_and_say_why() {
    let count = 30;
    let none = groups((0..count).map(|_| (100, ""))).replace("prefer = \"\"\n", "");
    for publish_ms in [0, 20] {
        for later_ms in (0..1000).step_by(130) {
            let mut lab = Lab::without_start(&none, &LINKS);
            for node in &mut lab.nodes {
                node.publish_ns = publish_ms * MS;
            }
            lab.start(1);
            lab.run(later_ms * MS);
            lab.start(0);
            lab.run(20 * SECOND);
            let step = format!("{publish_ms} ms, {later_ms} ms later");
            let shares = shares(&lab);
            assert!(shares.contains(&count), "{step}: {shares:?}");
            let why = lab.nodes.iter().flat_map(|node| &node.roles);
            let untrue = why
                .filter(|(.., why)| why.contains("switched over"))
                .count();
            assert_eq!(untrue, 0, "{step}");
        }
    }
}

/// Ratings of lan1 by each group of a node.
fn ratings(lab: &Lab, node: usize) -> Vec<Option<Rating>> {
    let groups = lab.nodes[node].engine.groups.iter();
    groups
        .map(|group| group.networks.ports()[0].unheard.rating())
        .collect()
}

fn known(addresses: impl Iterator<Item = [u8; 4]>) -> Vec<IpAddr> {
    addresses.map(IpAddr::from).collect()
}

#[test]
fn groups_of_one_network_probe_it_together() {
    for intervals in [
        [100; 20],
        [100, 30, 150, 200, 250].repeat(4).try_into().expect("20"),
    ] {
        let mut lab = pair(&intervals);
        lab.neighbours = known((100..120).map(|host| [10, 1, 0, host]));
        lab.cut("lan1", 0, 1);
        let (mut rounds, mut asked) = (0, 0);
        for _ in 0..100 {
            let before = [0, 1].map(|node| lab.nodes[node].probes);
            lab.run(99 * MS);
            for node in [0, 1] {
                let probes = lab.nodes[node].probes - before[node];
                assert!(probes <= 8, "{intervals:?}: {probes} of {node}");
                rounds += u32::from(probes > 0);
                asked += probes;
            }
        }
        assert_eq!(asked, 8 * rounds, "{intervals:?}");
        assert_eq!(ratings(&lab, 1), [Some(Rating::Bad); 20], "{intervals:?}");
    }
}

/// Heartbeats prove the network again; if they are filtered, answers to one round of questions do.
#[test]
fn groups_of_one_network_go_back_to_the_preferred_node_after_a_silent_cut() {
    for is_filtered in [false, true] {
        for intervals in [&[100, 100][..], &[100; 5], &[100, 150, 200]] {
            let all = intervals.iter().map(|ms| (*ms, "r1"));
            let mut lab = Lab::without_start(&groups(all), &LINKS);
            if is_filtered {
                lab.filtered.insert("lan1".to_owned());
            }
            lab.start(0);
            lab.start(1);
            lab.run(20 * SECOND);
            let what = format!("{is_filtered} {intervals:?}");
            assert_eq!(shares(&lab), [intervals.len(), 0], "{what}");
            lab.cut("lan1", 0, 1);
            lab.run(3 * SECOND);
            assert_eq!(shares(&lab), [0, intervals.len()], "{what}");
            lab.fix();
            lab.run(60 * SECOND);
            assert_eq!(shares(&lab), [intervals.len(), 0], "{what}");
        }
    }
}

#[test]
fn an_address_of_another_group_is_no_station() {
    let mut lab = pair(&[100; 20]);
    lab.neighbours = known((1..21).map(|group| [10, 1, group, 1]));
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    assert_eq!(ratings(&lab, 1), [Some(Rating::Unknown); 20]);
}

#[test]
fn a_group_whose_time_is_up_ends_the_listening_of_no_other() {
    let mut lab = pair(&[100, 150, 200, 250]);
    lab.neighbours = known([[10, 1, 0, 100]].into_iter());
    lab.cut("lan1", 0, 1);
    let mut heard = 0;
    for _ in 0..10_000 {
        lab.run(MS);
        for node in &lab.nodes {
            let groups = &node.engine.groups;
            let waits = groups.iter().any(|group| group.listens(0));
            assert_eq!(node.listens(), waits, "{}", node.name);
            heard += u32::from(waits);
        }
    }
    assert!(heard > 300, "{heard}");
}
