// SPDX-License-Identifier: MIT OR Apache-2.0
//! Findings of `check` about strongSwan's connections, and the cost of a switchover with those that it names.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{
    Charon, Connection, Family, Side, Tunnelled, asking, is_in_clear, is_sent_by_far,
};
use spared_tests::lab::scenario;
use spared_tests::machine::{Node, STEP};
use spared_tests::probe::{Outage, Pings, Recorder};

const SPACING: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(30);
const CALM: Duration = Duration::from_millis(500);
/// Everything that comes after a switchover has come: the daemon's end, and the next one's negotiation.
const STILL: Duration = Duration::from_secs(5);

/// As the manual has it.
fn fit() -> Connection {
    Connection {
        lines: "unique = never\n mobike = no".to_owned(),
        ..Connection::default()
    }
}

/// Charons as services on both routers, a tunnel, and which router is active.
fn start(tunnelled: &Tunnelled, connections: [&Connection; 2]) -> Result<usize> {
    let mut plan = asking();
    plan.plugins.push(tunnelled.charon_services(connections)?);
    let active = tunnelled.start_spared(&plan)?;
    Charon::start(&tunnelled.far, Side::Far, connections[0])?;
    Charon::of_service(&tunnelled.routers[active])?.initiate()?;
    tunnelled.wait_followed(active, 2, 3)?;
    Ok(active)
}

/// The keys of what is said of connections and pools, and whether anything of it is wrong.
fn named(node: Node) -> Result<(Vec<String>, bool)> {
    let (code, _) = node.sparectl("ipsec check")?;
    let rows = node.rows("ipsec check")?;
    let rows = rows.as_object().ok_or("no rows")?;
    let keys = rows.keys().filter(|key| !key.starts_with("all."));
    Ok((keys.cloned().collect(), code != 0))
}

fn wait_named(node: Node, keys: &[&str]) -> Result<()> {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    let is_wrong = !keys.is_empty();
    let wanted = (keys, is_wrong);
    if poll(LIMIT, STEP, || {
        named(node).is_ok_and(|found| found == wanted)
    }) {
        return Ok(());
    }
    let said = node.sparectl("ipsec check")?.1;
    Err(format!("{}: not {wanted:?}: {said}", node.0.name).into())
}

/// Outage by a change of roles, with all that comes after it.
fn cost(pings: &Pings, since: Stamp) -> Result<Outage> {
    pings.outage_of(since, CALM, LIMIT).ok_or("no answers")?;
    thread::sleep(STILL);
    pings
        .outage_of(since, CALM, LIMIT)
        .ok_or("no answers any more".into())
}

/// The frames in clear text that a router has sent, and those that the far gateway has. A charon at the far end
/// that is told of a new first contact takes the policies of the old tunnel away before it has those of the new
/// one: what it answers in between is neither ours nor ours to hold.
fn in_clear(recorder: &Recorder) -> [usize; 2] {
    let frames = recorder.take(is_in_clear);
    let of_far = frames.iter().filter(|it| is_sent_by_far(it)).count();
    [frames.len() - of_far, of_far]
}

#[test]
fn strongswan_as_distributed_is_named_and_a_switchover_with_it_costs_no_more_than_a_death() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let distributed = Connection::default();
        let first = start(&tunnelled, [&distributed, &distributed])?;
        let node = tunnelled.nodes()[first];
        wait_named(node, &["far.mobike", "far.unique"])?;
        // connections of two daemons that come and go differ for some seconds
        let status = || node.sparectl("status").map(|it| it.1).unwrap_or_default();
        let is_told = || status().contains("sparectl ipsec check");
        assert!(poll(LIMIT, STEP, is_told), "{}", status());
        let checked = node.check()?;
        for line in ["write mobike = no", "write unique = never"] {
            let is_warned =
                |it: &str| it.starts_with("warning[plugin]: ipsec: far.") && it.ends_with(line);
            assert!(checked.lines().any(is_warned), "{line}: {checked}");
        }

        let recorder = tunnelled.record()?;
        let pings = tunnelled.pings(Family::V4, SPACING)?;
        thread::sleep(Duration::from_secs(1));
        let switched = Stamp::now();
        tunnelled.switch_to(1 - first)?;
        let planned = cost(&pings, switched)?;
        let clear = in_clear(&recorder);
        tunnelled.wait_followed(1 - first, 2, 3)?;
        let killed = Stamp::now();
        tunnelled.routers[1 - first].kill();
        let death = cost(&pings, killed)?;
        println!(
            "planned {planned:?}, {clear:?} in clear by us and the far end; a death {death:?}, {:?}",
            in_clear(&recorder)
        );
        assert!(
            planned.total <= death.total,
            "{planned:?}, a death {death:?}"
        );
        assert_eq!(clear[0], 0, "in clear text");
        Ok(())
    });
}

#[test]
#[ignore = "a daemon has half a minute to end: make soak-ipsec"]
fn a_charon_that_runs_on_the_backup_is_named() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        // without the service that would stop it
        tunnelled.start_spared(&asking())?;
        for router in &tunnelled.routers {
            Charon::start(router, Side::Router, &fit())?;
        }
        let limit = Duration::from_secs(60);
        let is_named =
            |it: &Node<'_>| named(*it).is_ok_and(|it| it.0.contains(&"charon.service".to_owned()));
        // Either: on a busy machine the role moves.
        let mut backup = None;
        poll(limit, STEP, || {
            backup = tunnelled.nodes().into_iter().find(is_named);
            backup.is_some()
        });
        let asked = || tunnelled.nodes().map(|it| it.sparectl("ipsec check"));
        let node = backup.ok_or_else(|| format!("nobody names it: {:?}", asked()))?;
        let checked = node.check()?;
        let is_warned = |it: &str| {
            let begins =
                it.starts_with("warning[plugin]: ipsec: charon.service: it runs on the backup");
            begins && it.ends_with("write after = [\"ipsec\"] and its unit into service.toml")
        };
        assert!(checked.lines().any(is_warned), "{checked}");
        Ok(())
    });
}

#[test]
fn connections_as_the_manual_has_them_are_fine_and_others_of_the_peer_are_named() {
    scenario(0, |lab| {
        let tunnelled = Tunnelled::boot(lab)?;
        let other = Connection {
            child: "rekey_time = 1000s".to_owned(),
            ..fit()
        };
        let first = start(&tunnelled, [&fit(), &other])?;
        let nodes = tunnelled.nodes();
        wait_named(nodes[first], &[])?;
        let said = |at: usize| nodes[at].ipsec_check("all.peer");
        let is_compared = || !said(first).contains("not compared");
        assert!(poll(LIMIT, STEP, || !is_compared()), "{}", said(first));

        tunnelled.switch_to(1 - first)?;
        wait_named(nodes[1 - first], &["far.peer"])?;
        // its charon does not run any more, and what it had is known
        wait_named(nodes[first], &["far.peer"])?;
        assert_eq!(said(first), "has different connections");
        Ok(())
    });
}
