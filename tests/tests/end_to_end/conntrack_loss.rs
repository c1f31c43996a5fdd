// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever is lost on the way is found missing, counted and sent again: both tables are equal in
//! the end.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Crowd};
use spared_tests::lab::{Wire, scenario, skipped};
use spared_tests::pair::Fault;
use spared_tests::router::Ruleset;
use spared_tests::synced::{Synced, plan};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(10);

#[test]
fn a_burst_into_a_small_buffer_is_counted_and_both_are_equal() {
    scenario(2, |lab| {
        let toml = "event_buffer_kib = 64\n";
        let pair = Synced::start(lab, &plan(toml), &Ruleset::default())?;
        let active = pair.at()?;
        let ns = &lab.sites[active].ns;
        let crowd = Crowd::udp(40_000);
        crowd.create(ns)?;
        // some of them change and some end while nobody can have heard of all
        let (ended, changed) = (
            Crowd {
                count: 10_000,
                ..crowd
            },
            Crowd {
                first: 10_000,
                count: 10_000,
                mark: 9,
                ..crowd
            },
        );
        ended.delete(ns)?;
        changed.update(ns)?;
        pair.wait_holds(1 - active, 30_000, Crowd::has)?;
        pair.wait_equal()?;
        assert!(pair.number(active, "overruns") > 0, "no overrun");
        assert!(pair.number(active, "resyncs") > 0);
        pair.wait_settled()
    });
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The backup's worker.
    Worker,
    /// The whole backup.
    Node,
    /// The active node's worker.
    Sender,
}

fn kill_in_a_bulk(victims: &[Victim]) {
    const FLOWS: u32 = 30_000;
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        let crowd = Crowd::udp(FLOWS);
        crowd.create(&lab.sites[active].ns)?;
        pair.wait_equal()?;
        for (round, victim) in victims.iter().enumerate() {
            let failed = |error| format!("round {round}, {victim:?}: {error}");
            // a newcomer with an empty kernel: all of it is to be sent
            pair.router(backup).kill();
            flows::flush(&lab.sites[backup].ns)?;
            pair.restart(backup)?;
            let third = || flows::count(&lab.sites[backup].ns).unwrap_or(0) > FLOWS as usize / 3;
            if !poll(LIMIT, Duration::from_millis(1), third) {
                return Err(failed("no bulk".into()).into());
            }
            match victim {
                Victim::Worker => pair.kill_worker(backup)?,
                Victim::Sender => pair.kill_worker(active)?,
                Victim::Node => {
                    pair.router(backup).kill();
                    pair.restart(backup)?;
                }
            }
            // what comes and goes meanwhile
            let late = Crowd {
                first: FLOWS + round as u32 * 100,
                count: 100,
                ..crowd
            };
            late.create(&lab.sites[active].ns)?;
            Crowd {
                first: round as u32 * 100,
                count: 100,
                ..crowd
            }
            .delete(&lab.sites[active].ns)?;
            pair.wait_settled().map_err(failed)?;
            pair.wait_equal().map_err(failed)?;
            assert_eq!(pair.at()?, active, "roles moved");
        }
        Ok(())
    });
}

#[test]
fn a_peer_killed_at_a_third_of_a_bulk_is_equal_in_the_end() {
    use Victim::{Node, Sender, Worker};
    kill_in_a_bulk(&[Worker, Node, Sender, Node, Worker]);
}

#[test]
fn a_peer_killed_at_a_third_of_a_bulk_is_equal_in_the_end_again() {
    use Victim::{Node, Sender, Worker};
    kill_in_a_bulk(&[Node, Worker, Node, Sender, Node]);
}

/// Both carry flows of their own while no wire joins them.
#[test]
fn after_a_partition_the_winner_s_flows_win_and_the_loser_s_are_added() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let shared = Crowd {
            mark: 1,
            ..Crowd::udp(500)
        };
        let first = pair.at()?;
        shared.create(&lab.sites[first].ns)?;
        pair.wait_equal()?;
        // the one that is cut off is active still, for itself
        lab.power_off(&lab.sites[first])?;
        pair.wait("both active", || pair.active().len() == 2)?;
        let own = |site: usize| Crowd {
            first: 1000 * (site as u32 + 1),
            count: 300,
            ..shared
        };
        for site in [0, 1] {
            let ns = &lab.sites[site].ns;
            own(site).create(ns)?;
            Crowd {
                mark: 10 + site as u32,
                ..shared
            }
            .update(ns)?;
        }
        lab.power_on(&lab.sites[first])?;
        pair.wait_settled()?;
        let winner = pair.at()?;
        for site in [0, 1] {
            pair.wait_holds(site, 1100, Crowd::has)?;
        }
        pair.wait_equal()?;
        let mark = 10 + winner as u32;
        for site in [0, 1] {
            pair.wait_holds(site, 500, |entry| Crowd::has(entry) && entry.mark == mark)?;
        }
        Ok(())
    });
}

/// Flows that are not synced leave no room in the backup's kernel.
#[test]
fn a_backup_without_room_says_so_and_catches_up() {
    scenario(2, |lab| {
        let most = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")?;
        let most: u32 = most.trim().parse()?;
        if most > 600_000 {
            return Err(skipped(format!(
                "a table of {most} flows takes too long to fill"
            )));
        }
        let toml = "resync_interval = \"1s\"\n[[exclude]]\nzone = [9]\n";
        let pair = Synced::start(lab, &plan(toml), &Ruleset::default())?;
        let (active, backup) = (pair.at()?, 1 - pair.at()?);
        let filler = Crowd {
            zone: 9,
            ..Crowd::udp(most - 2000)
        };
        assert_eq!(filler.create(&lab.sites[backup].ns)?.refused, 0);
        let crowd = Crowd {
            first: filler.count,
            count: 6000,
            ..Crowd::udp(0)
        };
        crowd.create(&lab.sites[active].ns)?;
        let refused = || pair.number(backup, "refused.full") > 0;
        assert!(
            poll(LIMIT, STEP, refused),
            "{}",
            pair.said(backup, &["conntrack"])?.1
        );
        let (code, text) = pair.said(active, &["status"])?;
        assert_ne!(code, 0, "all is well with a full table:\n{text}");
        Crowd {
            count: 100_000,
            ..filler
        }
        .delete(&lab.sites[backup].ns)?;
        pair.wait_equal_of(|entry| entry.zone == 0)?;
        pair.wait_settled()
    });
}

/// All links silent for a while, and a worker of either side killed meanwhile.
#[test]
fn flows_made_while_no_link_is_up_follow() {
    scenario(2, |lab| {
        let pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let active = pair.at()?;
        let links = |cut: bool| -> Result<()> {
            for wire in Wire::LINKS {
                let site = &lab.sites[0];
                if cut {
                    lab.cut(site, wire)?
                } else {
                    lab.join(site, wire)?
                }
            }
            Ok(())
        };
        let crowd = Crowd::udp(5000);
        crowd.create(&lab.sites[active].ns)?;
        pair.wait_equal()?;
        links(true)?;
        thread::sleep(Duration::from_millis(500));
        crowd.next().create(&lab.sites[active].ns)?;
        Crowd {
            count: 1000,
            ..crowd
        }
        .delete(&lab.sites[active].ns)?;
        thread::sleep(Duration::from_millis(1500));
        links(false)?;
        pair.wait_settled()?;
        pair.wait_holds(1 - active, 9000, Crowd::has)?;
        pair.wait_equal()
    });
}

/// A switchover at once after a burst: whatever was made before it is in the new active's kernel when
/// it serves.
#[test]
fn a_switchover_waits_for_what_has_not_been_sent() {
    scenario(2, |lab| {
        let mut pair = Synced::start(lab, &plan(""), &Ruleset::default())?;
        let crowd = Crowd::udp(20_000);
        for round in 0..4 {
            let crowd = Crowd {
                first: round * crowd.count,
                ..crowd
            };
            crowd.create(&lab.sites[pair.at()?].ns)?;
            let new = pair.strike(Fault::Switch)?;
            let table = flows::read(&lab.sites[new].ns)?;
            let there = table.iter().filter(|entry| Crowd::has(entry)).count();
            assert_eq!(there, ((round + 1) * crowd.count) as usize, "round {round}");
            pair.repair(Fault::Switch, 1 - new)?;
        }
        pair.wait_equal()
    });
}
