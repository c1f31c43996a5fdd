// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two groups, active on different nodes: connections of one that moves away and back go on, although
//! the other node's copies of them run out.

use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Ends, Session};
use spared_tests::lab::{CLIENT, Lab, Wire, scenario};
use spared_tests::router::{Ruleset, Spared};
use spared_tests::synced::{Synced, plan};

const LIMIT: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(200);
/// The kernel's timeout of an idle connection here, in seconds.
const IDLE_S: u64 = 8;
const SESSIONS: u16 = 8;
/// A second group, which carries nothing of what is looked at.
const GUESTS: &str = "[[group]]\nname = \"guests\"\nadvert_interval = \"100ms\"\n\
     [[group.interface]]\ninterface = \"lan\"\nvrid = 77\naddresses = [\"10.1.0.77/24\"]\n";

fn shorten(lab: &Lab) -> Result<()> {
    let idle = IDLE_S.to_string();
    for site in &lab.sites {
        site.ns.set(&[
            ("net/netfilter/nf_conntrack_tcp_timeout_established", &idle),
            ("net/netfilter/nf_conntrack_tcp_loose", "0"),
        ])?;
    }
    Ok(())
}

/// Where a group is active.
fn at(pair: &Synced<'_>, group: &str) -> Option<usize> {
    let is_active = |site: &usize| {
        let status = Spared(&pair.routers[*site]).status().unwrap_or_default();
        let groups = status.groups.iter();
        groups
            .filter(|it| it.role == "active")
            .any(|it| it.name == group)
    };
    let active: Vec<usize> = (0..2).filter(is_active).collect();
    match active.as_slice() {
        [site] => Some(*site),
        _ => None,
    }
}

fn move_to(pair: &Synced<'_>, group: &str, site: usize) -> Result<()> {
    let node = format!("r{}", site + 1);
    let mut answer = String::new();
    let moved = poll(LIMIT, STEP, || {
        if at(pair, group) != Some(site) {
            let said = pair.said(1 - site, &["switch", "--to", &node, group]);
            answer = said.map_or_else(|error| error.to_string(), |(_, text)| text);
        }
        at(pair, group) == Some(site)
    });
    if moved {
        Ok(())
    } else {
        Err(format!("{group} does not move to {node}: {answer}").into())
    }
}

/// How many still answer.
fn talk(sessions: &mut [Session], seconds: u64) -> Result<usize> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut living = 0;
    while Instant::now() < until {
        let begun = Instant::now();
        living = sessions
            .iter_mut()
            .filter_map(|it| it.say(ANSWER).ok())
            .count();
        if living < sessions.len() {
            return Ok(living);
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
    }
    Ok(living)
}

#[test]
fn connections_of_a_group_that_moved_away_and_back_outlive_the_other_s_copies() {
    scenario(2, |lab| {
        shorten(lab)?;
        let mut plan = plan("resync_interval = \"2s\"\n");
        plan.sections = GUESTS.to_owned();
        let pair = Synced::begin(lab, [plan.clone(), plan], &Ruleset::snat())?;
        let both = |wanted: [usize; 2]| {
            ["office", "guests"].map(|group| at(&pair, group)) == wanted.map(Some)
        };
        let settled = || at(&pair, "office").is_some() && at(&pair, "guests").is_some();
        assert!(poll(LIMIT, STEP, settled), "no roles");
        move_to(&pair, "office", 0)?;
        move_to(&pair, "guests", 1)?;
        let to = |port| Ends::plain(&lab.lan, &lab.wan, (Wire::Wan.ipv4(CLIENT), port).into());
        let sessions = (0..SESSIONS).map(|number| Session::open(to(2200 + number)));
        let mut sessions = sessions.collect::<Result<Vec<_>>>()?;
        let all = sessions.len();
        assert_eq!(talk(&mut sessions, 3)?, all, "before");
        move_to(&pair, "office", 1)?;
        assert_eq!(talk(&mut sessions, 3)?, all, "away\n{}", pair.tables());
        move_to(&pair, "office", 0)?;
        assert!(both([0, 1]), "the groups are elsewhere");
        // three times what an idle copy lives
        let living = talk(&mut sessions, 3 * IDLE_S)?;
        assert_eq!(living, all, "back\n{}", pair.tables());
        // and the other node has them as well
        pair.wait_equal()
    });
}
