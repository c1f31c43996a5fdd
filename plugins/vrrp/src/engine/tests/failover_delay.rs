//! Reports of a backup that could not answer a death within the failover time, with what it waits for, and of links
//! that bring no heartbeats.

use spared_sdk::Value;

use super::lab::{Lab, MS, SECOND};
use super::linked::{LINKS, by_quality, pair};
use crate::engine::Table;

/// Failover time at the default interval of 100 ms, with the skew and the latency of a frame.
const FAILOVER_NS: u64 = 410 * MS;

/// Values of a node's rows whose keys end in `suffix`, each with the part of the key before it.
fn rows(lab: &Lab, node: usize, suffix: &str) -> Vec<(String, String)> {
    let rows = lab.nodes[node]
        .engine
        .rows(lab.clock.now_ns(), Table::Status);
    let rows = rows.into_iter().filter_map(|(key, value)| {
        let key = key.strip_suffix(suffix)?.to_owned();
        match value {
            Value::Text(text) => Some((key, text)),
            _ => None,
        }
    });
    rows.collect()
}

fn waits(lab: &Lab, node: usize) -> Option<String> {
    let mut rows = rows(lab, node, ".failover_waits").into_iter();
    rows.next().map(|(_, why)| why)
}

/// Lab in which r1 is active and r2 has not started.
fn alone(text: &str) -> Lab {
    let mut lab = Lab::without_start(text, &LINKS);
    lab.start(0);
    lab.run(30 * SECOND);
    assert_eq!(lab.active(), [0]);
    lab
}

/// Kills the active node; returns the time until the other one is active.
fn dies(lab: &Lab) -> Option<u64> {
    let mut lab = lab.clone();
    let active = lab.active();
    lab.kill(active[0]);
    lab.run_until(20 * SECOND, |lab| lab.active() == [1 - active[0]])
}

#[test]
fn a_backup_that_has_not_heard_the_active_node_says_so_and_so_does_that_node() {
    let mut lab = alone(&by_quality(""));
    lab.nobody_signs = true;
    lab.start(1);
    lab.run(SECOND);
    let said = waits(&lab, 1).unwrap_or_default();
    assert_eq!(said, "it hears no heartbeats of r1");
    let said = waits(&lab, 0).unwrap_or_default();
    assert_eq!(said, "r1 hears no heartbeats of it");
    assert!(dies(&lab).is_some_and(|ns| ns > 3 * SECOND));
    lab.nobody_signs = false;
    lab.run(2 * SECOND);
    assert_eq!([waits(&lab, 0), waits(&lab, 1)], [None, None]);
    assert!(dies(&lab).is_some_and(|ns| ns < FAILOVER_NS));
}

/// Checks a node at each moment after its start, after its return, and after a restart of its elector or the active
/// node's. For a second the processes that sign are late.
#[test]
fn from_the_moment_on_in_which_a_node_says_nothing_a_death_is_answered_in_time() {
    type Event = fn(&mut Lab);
    let events: [(&str, usize, Event); 4] = [
        ("begins", 1, |_| {}),
        ("comes back", 1, |lab| {
            lab.start(1);
            lab.run(10 * SECOND);
            lab.kill(1);
            lab.run(10 * SECOND);
        }),
        ("elector of the backup", 1, |lab| {
            lab.start(1);
            lab.run(10 * SECOND);
            lab.crash(1);
        }),
        ("elector of the active node", 0, |lab| {
            lab.start(1);
            lab.run(10 * SECOND);
            lab.crash(0);
            lab.run(500 * MS);
        }),
    ];
    for (name, late, event) in events {
        let mut lab = alone(&by_quality(""));
        event(&mut lab);
        lab.nobody_signs = true;
        lab.start(late);
        // until then a node that does not know the fault yet cannot report it
        lab.run(FAILOVER_NS);
        let mut quiet = 0;
        for step in 0..300 {
            lab.nobody_signs = step < 100;
            for node in [0, 1] {
                if lab.active().len() == 1 && waits(&lab, node).is_none() {
                    quiet += 1;
                    let took = dies(&lab);
                    let in_time = took.is_some_and(|ns| ns < FAILOVER_NS);
                    assert!(in_time, "{name}: r{} is quiet, {took:?}", node + 1);
                }
            }
            lab.run(10 * MS);
        }
        assert!(quiet > 0, "{name}");
    }
}

#[test]
fn a_start_delay_is_said_by_both() {
    let mut lab = alone(&by_quality("start_delay = \"20s\""));
    lab.start(1);
    lab.run(5 * SECOND);
    let said = waits(&lab, 1).unwrap_or_default();
    assert_eq!(said, "its start_delay is not over");
    assert!(waits(&lab, 0).is_some());
    lab.run(16 * SECOND);
    assert_eq!([waits(&lab, 0), waits(&lab, 1)], [None, None]);
}

/// The elector starts again while the backup can send nothing, and still reports that it hears no heartbeats.
#[test]
fn an_active_node_that_never_hears_its_backup_says_so() {
    let mut lab = pair("");
    let active = lab.active()[0];
    for path in ["lan1", "lan2", LINKS[0], LINKS[1]] {
        lab.cut_one_way(path, 1 - active, active);
    }
    lab.run(2 * SECOND);
    lab.crash(active);
    lab.start(active);
    lab.run(20 * SECOND);
    for node in lab.active() {
        assert!(waits(&lab, node).is_some(), "r{}", node + 1);
    }
}

/// The backup's frames are lost on every path, while it hears the active node.
#[test]
fn a_backup_that_nobody_hears_says_so() {
    let mut lab = pair("");
    let active = lab.active()[0];
    let backup = 1 - active;
    for path in ["lan1", "lan2", LINKS[0], LINKS[1]] {
        lab.cut_one_way(path, backup, active);
    }
    lab.run(SECOND);
    let [own, other] = [active + 1, backup + 1];
    let said = waits(&lab, backup).unwrap_or_default();
    assert_eq!(said, format!("r{own} hears no heartbeats of it"));
    assert!(waits(&lab, active).is_some(), "r{other} is not heard");
    lab.fix();
    lab.run(2 * SECOND);
    assert_eq!([waits(&lab, 0), waits(&lab, 1)], [None, None]);
}

// ---- links that are up and bring nothing -------------------------------------------------------

fn silent(lab: &Lab, node: usize) -> Vec<String> {
    let rows = rows(lab, node, ".heartbeats_unheard").into_iter();
    rows.map(|(key, _)| key).collect()
}

#[test]
fn heartbeats_that_a_link_loses_one_way_are_told_where_they_should_arrive() {
    let mut lab = pair("");
    for node in &mut lab.nodes {
        node.engine.set_session(lab.clock.now_ns(), true);
    }
    lab.run(3 * SECOND);
    assert!(silent(&lab, 0).is_empty() && silent(&lab, 1).is_empty());
    lab.cut_one_way(LINKS[0], 0, 1);
    lab.run(1_200 * MS);
    assert_eq!(silent(&lab, 1), ["g.link.link1"]);
    assert!(silent(&lab, 0).is_empty());
    lab.fix();
    lab.run(200 * MS);
    assert!(silent(&lab, 1).is_empty());
}

/// Without a session no node knows that the link works.
#[test]
fn a_link_that_brings_nothing_to_nodes_without_a_session_is_down_and_that_is_told() {
    let mut lab = pair("");
    lab.cut(LINKS[0], 0, 1);
    lab.run(10 * SECOND);
    assert!(silent(&lab, 0).is_empty() && silent(&lab, 1).is_empty());
}
