// SPDX-License-Identifier: MIT OR Apache-2.0
//! State that no attacker may change: processes, roles, and the punctuality of every advert, as seen on the network.

use std::time::Duration;

use crate::Result;
use crate::clock::Stamp;
use crate::lab::{Wire, is_alive};
use crate::probe::{Control, Watch};
use crate::router::{Router, Spared};

/// Longest time between adverts: one and a half intervals of the pair.
const SPACING_MAX: Duration = Duration::from_millis(150);

/// Watched routers, of which one is active.
pub struct Steady<'r> {
    watch: &'r Watch,
    routers: &'r [Router],
    control: Control,
    before: Vec<Node>,
}

/// Processes and role of a node.
#[derive(Debug, PartialEq, Eq)]
struct Node {
    processes: Processes,
    restarts: u64,
    role: String,
    transitions: u64,
}

/// Process ids of a node, which are read without a request to it.
#[derive(Debug, PartialEq, Eq)]
struct Processes {
    host: u32,
    starter: Option<u32>,
    link: Option<u32>,
    elector: Option<u32>,
}

impl<'r> Steady<'r> {
    /// Begins to watch.
    pub fn begin(watch: &'r Watch, routers: &'r [Router]) -> Result<Self> {
        Ok(Self {
            watch,
            routers,
            control: Control::start(),
            before: routers.iter().map(node).collect::<Result<_>>()?,
        })
    }

    /// Checks that no process has ended, that roles are unchanged on the network, and that no advert since `from` was
    /// late. The error is that of `disturbed` if the machine itself was late. Nodes are not queried: under attack a
    /// node may need a second for its status.
    pub fn hold(&self, from: Stamp, what: &str) -> Result<()> {
        for (router, before) in self.routers.iter().zip(&self.before) {
            let site = router.site;
            let (now, before_pids) = (processes(router)?, &before.processes);
            if now != *before_pids {
                let said = format!("{what}: r{}: {now:?}, before {before_pids:?}", site + 1);
                return Err(said.into());
            }
            for wire in Wire::BOTH {
                let adverts = self.watch.adverts(from, site, wire);
                let sent: Vec<Stamp> = adverts.iter().map(|(at, _)| *at).collect();
                match before.role.as_str() {
                    "active" => self.punctual(from, &sent, what)?,
                    _ if sent.is_empty() => {}
                    role => return Err(format!("{what}: adverts of r{}, {role}", site + 1).into()),
                }
            }
        }
        Ok(())
    }

    /// Checks that the nodes report the same as at first: for the end of a test.
    pub fn is_unchanged(&self) -> Result<()> {
        for (router, before) in self.routers.iter().zip(&self.before) {
            let now = node(router)?;
            if now != *before {
                return Err(format!("r{}: {now:?}, before {before:?}", router.site + 1).into());
            }
        }
        Ok(())
    }

    fn punctual(&self, from: Stamp, sent: &[Stamp], what: &str) -> Result<()> {
        let now = Stamp::now();
        let first = [from].into_iter().chain(sent.iter().copied());
        let second = sent.iter().copied().chain([now]);
        let worst = first.zip(second).map(|(one, next)| next.since(one)).max();
        let worst = worst.unwrap_or_default();
        let what = format!("{what}: without an advert");
        self.control.judge(&what, from, worst, SPACING_MAX)
    }
}

fn node(router: &Router) -> Result<Node> {
    let processes = processes(router)?;
    let status = Spared(router).status()?;
    let elector = status.plugins.into_iter().find(|it| it.name == "vrrp");
    let elector = elector.ok_or("no elector")?;
    let mut groups = status.groups.into_iter();
    let group = groups.find(|it| it.name == "office").unwrap_or_default();
    Ok(Node {
        processes,
        restarts: elector.restarts,
        role: group.role,
        transitions: group.transitions,
    })
}

fn processes(router: &Router) -> Result<Processes> {
    let pids = router.pids();
    let host = pids.first().copied().unwrap_or_default();
    if !is_alive(host) {
        return Err(format!("r{}: the daemon is gone", router.site + 1).into());
    }
    Ok(Processes {
        host,
        starter: router.process("starter"),
        link: router.process("link"),
        elector: router.process("vrrp"),
    })
}
