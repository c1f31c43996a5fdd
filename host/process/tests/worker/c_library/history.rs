//! Long histories and nonsense of the daemon, with sanitizers.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use spared_contract::channel::{DOWN, MESSAGE, UP};
use spared_contract::{FromPlugin, InterfaceEvent, PairStatus, Role, SocketKind, ToPlugin};

use crate::lab::{Host, Lab, load, repository};
use crate::life::role;

use super::peer::put;

const BROKEN: i32 = 70;

fn spawned(program: &Path) -> Host {
    Host::spawn_by(program, program, &load("probe"))
}

/// Records of `golden.txt` to a plugin, as bytes.
fn golden() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(repository().join("abi/contract/golden.txt")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let records = lines.chunks(3);
    let to = records
        .filter(|lines| lines[0].starts_with("to the plugin") && lines[0].ends_with("all keys"));
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).unwrap();
        u8::from_str_radix(digits, 16).unwrap()
    };
    to.map(|lines| lines[2].trim().as_bytes().chunks(2).map(byte).collect())
        .collect()
}

/// Each message cut short, and with a bit turned, ends nothing but the process, by its own word.
#[test]
fn nonsense_of_the_daemon_ends_it_in_order() {
    let lab = Lab::new();
    let program = super::sanitized(&lab);
    for record in golden() {
        for at in [record.len() / 3, record.len() / 2, record.len() - 1] {
            let turned = |bit: u8| {
                let mut turned = record.clone();
                turned[at] ^= 1 << bit;
                turned
            };
            for wrong in [record[..at].to_vec(), turned(0), turned(5), turned(7)] {
                let mut host = spawned(&program);
                assert_eq!(host.configure("", false).status, 0);
                assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
                spared_records::transmit(host.worker.as_fd(), &wrong, &[]).unwrap();
                // it may have ended by then
                let _ = host.worker.send(&ToPlugin::Stop { token: 9 }, &[]);
                let ended = host.ended();
                assert!([0, BROKEN].contains(&ended), "{ended} by {wrong:02x?}");
            }
        }
    }
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.next(all.len() as u64)]
    }
}

const CONFIGURATIONS: [&str; 7] = [
    "",
    "scope = 1",
    "wrong = 1",
    "restart = 1",
    "follow = \"lan1\"",
    "name = \"office\"\nshare = 0.5\npriority = { r1 = 200, r2 = 100 }\n",
    "addresses = { r1 = [\"10.0.0.1\"] }\n[a]\n\"10.0.0.0/8\" = -3\n[a.b.c]\nd = [[1], [[2]]]\n",
];

const WORDS: [&str; 39] = [
    "get name",
    "get share",
    "get priority",
    "get a.10\\.0\\.0\\.0/8",
    "get a.b.c.d.1.0.0",
    "get a.b.c.d.7",
    "get @nodes.1",
    "get @links.x",
    "get @peer",
    "get a..\\",
    "len addresses",
    "len @nodes",
    "key a 0",
    "key  3",
    "key a.b 9",
    "type share",
    "type a.b.c.d",
    "timer 1 0",
    "timer 888 0",
    "timer 2 5000",
    "both",
    "pend",
    "put flows 7",
    "finish 0",
    "finish 99",
    "attend",
    "fill",
    "follow lan1",
    "follow a-name-that-is-too-long",
    "unfollow lan1",
    "watch 3",
    "document 5 1",
    "document 6 77",
    "send 40 60000",
    "too-long",
    "in_sync 1 yes",
    "report lan1 100 0",
    "forget lan1",
    "messenger",
];

/// The daemon's and the link's ends.
struct Ends {
    host: Host,
    dice: Dice,
    link: Option<OwnedFd>,
    interface: Option<OwnedFd>,
    generation: u64,
}

impl Ends {
    fn step(&mut self) {
        match self.dice.next(12) {
            0 => {
                let toml = self.dice.of(&CONFIGURATIONS);
                let check = self.dice.next(3) == 0;
                self.host.configure(toml, check);
            }
            1..=4 => {
                let argv = self.dice.of(&WORDS).split(' ').map(str::to_owned).collect();
                self.host.tell(|token| ToPlugin::Query { token, argv });
            }
            5 => {
                let group = self.dice.of(&["office", "pend", "early", ""]);
                let of = [Role::Active, Role::Backup, Role::Fault][self.dice.next(3)];
                self.host.tell(role(group, of));
            }
            6 => self.interface(),
            7 => self.channel(),
            8 | 9 => self.record(),
            10 => {
                let deadline_ns = u64::MAX;
                match self.dice.next(2) {
                    0 => self
                        .host
                        .tell(|token| ToPlugin::Drain { token, deadline_ns }),
                    _ => self
                        .host
                        .tell(|token| ToPlugin::Settle { token, deadline_ns }),
                };
            }
            _ => {
                let number = 7;
                self.host
                    .send(&ToPlugin::Status(PairStatus::default()), &[]);
                let part = ToPlugin::Document {
                    ticket: 5,
                    status: [0, 0, -22][self.dice.next(3)],
                    text: "{}".repeat(self.dice.next(9)),
                    left: self.dice.next(3) as u64,
                };
                self.host.send(&part, &[]);
                let statuses = vec![-22];
                self.host.send(&ToPlugin::Answer { number, statuses }, &[]);
                self.host.send(&ToPlugin::Ping { number }, &[]);
            }
        }
    }

    /// With a new socket, the same as before, or none.
    fn interface(&mut self) {
        let how = self.dice.next(3);
        self.generation += u64::from(how != 1);
        let event = ToPlugin::Interface(InterfaceEvent {
            name: "lan1".to_owned(),
            present: true,
            generation: self.generation,
            sockets: match how {
                0 | 1 => vec![SocketKind::PingIpv4],
                _ => Vec::new(),
            },
            ..InterfaceEvent::default()
        });
        if how != 0 {
            return self.host.send(&event, &[]);
        }
        let (ours, theirs) = spared_records::pair().unwrap();
        self.host.send(&event, &[theirs.as_fd()]);
        rustix::io::write(&ours, b"hello").unwrap();
        self.interface = Some(ours);
    }

    fn channel(&mut self) {
        let (ours, theirs) = spared_records::pair().unwrap();
        self.host.send(&ToPlugin::Channel, &[theirs.as_fd()]);
        self.link = Some(ours);
    }

    fn record(&mut self) {
        let Some(link) = &self.link else { return };
        let up = [UP, 0, 0, 0, 1];
        let message = [MESSAGE; 300];
        let length = self.dice.next(300);
        let record = match self.dice.next(16) {
            0 => &[DOWN][..],
            1 => &[0xff, 1, 2],
            2 => &up[..3],
            3..=6 => &up,
            _ => &message[..=length.min(299)],
        };
        // it may be closed, or full
        let _ = put(link, record);
        let mut buffer = vec![0; 70_000];
        while let Ok(Some(1..)) = spared_records::bytes::receive(link, &mut buffer) {}
    }
}

#[test]
fn a_long_history_breaks_no_rule_of_memory() {
    let lab = Lab::new();
    let program = super::sanitized(&lab);
    for seed in 1..=4 {
        let mut host = spawned(&program);
        assert_eq!(host.configure("", false).status, 0);
        assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
        let mut ends = Ends {
            host,
            dice: Dice(0x9e37_79b9_7f4a_7c15 + seed),
            link: None,
            interface: None,
            generation: 0,
        };
        for _ in 0..1500 {
            ends.step();
            let host = &mut ends.host;
            while let Ok(Some(message)) = host.worker.receive() {
                host.received.push_back(message);
            }
            let is_answer = |it: &FromPlugin| matches!(it, FromPlugin::Returned { .. });
            host.received.retain(is_answer);
            host.received
                .drain(..host.received.len().saturating_sub(64));
        }
        // all answers that it owes, too
        assert_eq!(ends.host.ask(|token| ToPlugin::Stop { token }).status, 0);
        assert_eq!(ends.host.ended(), 0, "seed {seed}");
    }
}
