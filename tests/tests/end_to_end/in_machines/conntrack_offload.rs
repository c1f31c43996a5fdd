// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections that a flowtable carries, past connection tracking: the kernel then says neither their
//! time nor TCP's state. In machines, as not every kernel has flowtables.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Ends, Questions, Session};
use spared_tests::lab::{CLIENT, Lab, Wire, scenario};
use spared_tests::machine::{Machine, Node, Parts, STEP, wait_settled};
use spared_tests::synced::plan;

const LIMIT: Duration = Duration::from_secs(40);
const ANSWER: Duration = Duration::from_secs(8);
const GUESTS: &str = "[[group]]\nname = \"guests\"\nadvert_interval = \"100ms\"\n\
     [[group.interface]]\ninterface = \"lan\"\nvrid = 77\naddresses = [\"10.1.0.77/24\"]\n";
const RULES: &str = "table inet firewall {
    flowtable fast { hook ingress priority 0; devices = { lan, wan }; }
    chain through {
        type filter hook forward priority filter
        ct state invalid drop
        ct state new tcp flags & (fin | syn | rst | ack) != syn drop
        meta l4proto { tcp, udp } ct state established flow add @fast
    }
}
";

fn boot(lab: &Lab) -> Result<[Machine; 2]> {
    let parts = |name, host| Parts::new(name, host, &Wire::ALL);
    let machines = Machine::boot(lab, [parts("r1", 11), parts("r2", 12)])?;
    let rules = lab.dir.join("rules.nft");
    fs::write(&rules, RULES)?;
    for machine in &machines {
        machine.ok("echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose")?;
        machine.ok(&format!("nft -f {}", rules.display()))?;
    }
    Ok(machines)
}

fn place(nodes: [Node; 2], group: &str, at: usize) -> Result<()> {
    let is_there = || {
        let groups = nodes[at].status().unwrap_or_default().groups;
        groups
            .iter()
            .any(|it| it.name == group && it.role == "active")
    };
    let words = format!("switch --to {} {group}", nodes[at].0.name);
    let placed = poll(LIMIT, STEP, || {
        is_there() || nodes[1 - at].sparectl(&words).is_err() || is_there()
    });
    if placed && is_there() {
        Ok(())
    } else {
        Err(format!("{group} is not active on {}", nodes[at].0.name).into())
    }
}

/// Lines of the kernel's table with these words.
fn entries(machine: &Machine, words: &str) -> Result<usize> {
    let table = machine.ok("conntrack -L 2>/dev/null")?;
    Ok(table.lines().filter(|line| line.contains(words)).count())
}

#[test]
fn connections_in_a_flowtable_follow_and_stay() {
    scenario(0, |lab| {
        let machines = boot(lab)?;
        let nodes = [Node(&machines[0]), Node(&machines[1])];
        let mut plan = plan("resync_interval = \"2s\"\n");
        plan.sections = GUESTS.to_owned();
        for node in nodes {
            node.start(&plan)?;
        }
        wait_settled(nodes, LIMIT)?;
        place(nodes, "office", 0)?;
        place(nodes, "guests", 1)?;

        let to = |port| (Wire::Wan.ipv4(CLIENT), port).into();
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, to(22)))?;
        let mut questions = Questions::open(Ends::plain(&lab.lan, &lab.wan, to(53)))?;
        let mut talk = |seconds: u32| -> Result<()> {
            for _ in 0..seconds {
                let begun = Instant::now();
                session.say(ANSWER)?;
                questions.ask(ANSWER)?;
                thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
            }
            Ok(())
        };
        talk(5)?;
        assert_eq!(entries(&machines[0], "OFFLOAD")?, 2, "both are offloaded");
        // far longer than copies live that nobody renews
        talk(18)?;
        for machine in &machines {
            for words in ["dport=22 ", "dport=53 "] {
                assert_eq!(entries(machine, words)?, 1, "{words}on {}", machine.name);
            }
        }
        place(nodes, "office", 1)?;
        talk(6)?;
        place(nodes, "office", 0)?;
        talk(6)?;
        machines[0].kill();
        talk(4)
    });
}
