// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node restarts while it takes the configuration of a push back: both nodes end with the old one.

use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{VIRTUAL, Wire, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::pair::Fault;
use spared_tests::random::Random;

use crate::files::expect;
use crate::files_config::{Nodes, PUSH};
use crate::files_config_faults::Pushing;

const VRRP: &str = "plugins/vrrp.toml";
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(1);
/// Restarts within the take-back; the first take-back is only measured.
const RESTARTS: usize = 6;
/// Sentence of a node that is told to take its configuration back.
const SAID: &str = "is taken back, by a user on";

/// Pushes a configuration that this node refuses, and that the other one has in force by then and is told to take back.
struct Round<'n, 'l> {
    nodes: &'n mut Nodes<'l>,
    from: usize,
}

impl Round<'_, '_> {
    fn log(&self) -> String {
        self.nodes.pair.routers[1 - self.from].log()
    }

    /// Begins a push, and waits until the other node begins to take it back.
    fn begin(&self) -> Result<Pushing> {
        let count = self.log().matches(SAID).count();
        let mut words = PUSH;
        // by itself it would go back much later
        words[3] = "10m";
        let pushing = Pushing::begin(self.nodes, self.from, &words)?;
        let begins = || self.log().matches(SAID).count() > count;
        if poll(LIMIT, STEP, begins) {
            Ok(pushing)
        } else {
            Err(format!("nothing is taken back: {:?}", pushing.end()?).into())
        }
    }

    /// Length of a take-back.
    fn measure(&self) -> Result<Duration> {
        let reloaded = || self.log().matches("reloaded, configuration").count();
        let before = reloaded();
        let pushing = self.begin()?;
        let begun = Instant::now();
        // the first is of the push
        poll(LIMIT, STEP, || reloaded() >= before + 2);
        let length = begun.elapsed();
        self.end(pushing).map(|()| length)
    }

    fn end(&self, pushing: Pushing) -> Result<()> {
        let peer = format!("r{}", 2 - self.from);
        let (code, said) = pushing.end()?;
        assert_eq!(code, Some(1), "{said}");
        expect(&said, &format!("{peer}: the configuration is in force"))?;
        let is_back = format!("{peer}: the old configuration is in force again");
        let by_itself = format!("{peer} goes back to the old configuration by itself within");
        assert!(
            said.contains(&is_back) || said.contains(&by_itself),
            "{said}"
        );
        Ok(())
    }

    /// Restarts the other node so long after it has begun to take the configuration back.
    fn restart_after(&mut self, delay: Duration) -> Result<()> {
        let peer = 1 - self.from;
        let pushing = self.begin()?;
        std::thread::sleep(delay);
        let pair = &mut self.nodes.pair;
        pair.begin_fault(Fault::Kill, peer)?;
        let (lab, plan) = (pair.lab, pair.plans[peer].clone());
        pair.routers[peer].start_again(lab, &lab.sites[peer], &plan)?;
        self.end(pushing)
    }
}

#[test]
fn a_node_that_restarts_while_it_takes_a_push_back_ends_with_the_old_configuration() {
    scenario(2, |lab| {
        let mut random = Random::from_environment();
        let mut it = Nodes::ready(lab)?;
        let old = it.read(0, VRRP);
        let in_force = [0, 1].map(|site| it.in_force(site));
        let [lost, new] = [VIRTUAL, 77].map(|host| Wire::Lan.ipv4(host).to_string());
        let mut length = Duration::ZERO;
        for number in 0..=RESTARTS {
            // only the active node would lose an address, and so refuses; a busy machine may have moved the role
            let from = it.pair.at()?;
            let peer = 1 - from;
            it.edit(from, VRRP, |text| text.replace(&lost, &new))?;
            it.pair.said(from, &["files", "diff", "spared"])?;
            it.wait_row(from, "state", |it| it.starts_with("pending"))?;
            let nodes = &mut it;
            let mut round = Round { nodes, from };
            let delay = random.time(1000);
            let what = if number == 0 {
                length = round.measure()?;
                format!("a take-back of {length:?}")
            } else {
                let delay = length.mul_f64(delay.as_secs_f64());
                round.restart_after(delay)?;
                format!("restarted after {delay:?} of {length:?}")
            };
            let is_old = |site| it.in_force(site) == in_force[site];
            let waits = || {
                it.pair
                    .status(peer)
                    .unwrap_or_default()
                    .orders
                    .unconfirmed_until
            };
            let rests =
                || is_old(0) && is_old(1) && it.read(peer, VRRP) == old && waits().is_none();
            if !poll(LIMIT, INTERVAL, rests) {
                let log = it.pair.routers[peer].log();
                return Err(format!("{what}: {:?}\n{log}", waits()).into());
            }
            println!("{what}");
            // the edit stays where it was made
            expect(&it.read(from, VRRP), &new)?;
            it.edit(from, VRRP, |_| old.clone())?;
            it.pair.said(from, &["files", "diff", "spared"])?;
            it.wait_same()?;
        }
        it.pair.wait_settled()
    });
}
