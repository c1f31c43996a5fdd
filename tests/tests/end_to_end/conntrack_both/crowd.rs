// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections and questions that go on through all faults.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{self, Ends, Entry, Questions, Session};
use spared_tests::lab::{CLIENT, Lab, Wire};
use spared_tests::router::Ruleset;

use super::{LIMIT, STEP};

/// TCP has backed off for as long as nobody served.
pub const ANSWER: Duration = Duration::from_secs(8);
const SESSIONS: u16 = 6;
const QUESTIONS: u16 = 2;
const FIRST_QUESTION: u16 = 5300;
const UDP: u8 = 17;
/// A bit of an entry's status.
const SEEN_REPLY: u32 = 2;

enum Talk {
    Tcp(Session),
    Udp(Questions),
}

pub struct Crowd {
    talks: Vec<(String, Talk)>,
    /// Names of those that had no answer any more, when and why. They say nothing further.
    pub lost: Vec<String>,
}

pub fn server(port: u16) -> SocketAddr {
    (Wire::Wan.ipv4(CLIENT), port).into()
}

impl Crowd {
    pub fn open(lab: &Lab, rules: &Ruleset) -> Result<Self> {
        let to = |port| Ends::plain(&lab.lan, &lab.wan, server(port));
        let mut talks = Vec::new();
        for number in 0..SESSIONS {
            let session = Session::open(to(2200 + number))?;
            talks.push((format!("connection {number}"), Talk::Tcp(session)));
        }
        for number in 0..QUESTIONS {
            let questions = Questions::open(to(FIRST_QUESTION + number))?;
            talks.push((format!("question {number}"), Talk::Udp(questions)));
        }
        let lost = Vec::new();
        let mut crowd = Self { talks, lost };
        crowd.talk("at first");
        if !crowd.lost.is_empty() {
            return Err(crowd.lost.join("\n").into());
        }
        wait_answered(lab)?;
        // from now on no new flow of UDP begins
        let strict = Ruleset {
            forward: format!(
                "{}\nmeta l4proto udp ct state new counter drop",
                rules.forward
            ),
            ..rules.clone()
        };
        for site in &lab.sites {
            strict.load(site)?;
        }
        Ok(crowd)
    }

    /// Everybody says something and hears the answer.
    pub fn talk(&mut self, when: &str) {
        let lost = &mut self.lost;
        self.talks.retain_mut(|(name, talk)| {
            let said = match talk {
                Talk::Tcp(session) => session.say(ANSWER),
                Talk::Udp(questions) => questions.ask(ANSWER),
            };
            match said {
                Ok(_) => true,
                Err(why) => {
                    lost.push(format!("{name} is lost {when}: {why}"));
                    false
                }
            }
        });
    }

    /// For so long, a round each second.
    pub fn talk_for(&mut self, seconds: u64, when: &str) {
        for _ in 0..seconds {
            let begun = Instant::now();
            self.talk(when);
            thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
        }
    }
}

/// Both kernels know that the questions were answered: else their packets are new ones.
fn wait_answered(lab: &Lab) -> Result<()> {
    let seen = |entry: &&Entry| {
        let to = entry.original;
        let is_ours = to.protocol == UDP && to.destination_port >= FIRST_QUESTION;
        is_ours && entry.status & SEEN_REPLY != 0
    };
    let answered = || {
        let tables = lab.sites.iter().map(|site| flows::read(&site.ns));
        tables.into_iter().all(|table| {
            let table = table.unwrap_or_default();
            table.iter().filter(seen).count() >= usize::from(QUESTIONS)
        })
    };
    if poll(LIMIT, STEP, answered) {
        Ok(())
    } else {
        Err("questions are new ones to a node".into())
    }
}
