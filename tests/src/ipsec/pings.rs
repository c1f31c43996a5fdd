// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pings from a machine itself, for tunnels that end at the machine (transport mode).

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Result;
use crate::clock::poll;
use crate::machine::Machine;
use crate::probe::Outage;

/// A running `ping` and its output.
pub struct OwnPings<'m> {
    machine: &'m Machine,
    pid: u32,
    log: PathBuf,
}

/// An answer: the number of its request, and its time in seconds of the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Answer {
    number: u32,
    at_s: f64,
}

impl<'m> OwnPings<'m> {
    /// Starts pings, and waits for the first answer.
    pub fn start(machine: &'m Machine, to: IpAddr, spacing: Duration) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let program = format!("ping-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let line = format!("ping -D -n -i {} {to}", spacing.as_secs_f64());
        let pings = Self {
            machine,
            log: machine.log_of(&program),
            pid: machine.spawn(&program, &line)?,
        };
        if pings.wait_answers(1, Duration::from_secs(10)) {
            Ok(pings)
        } else {
            Err(format!("{}: {to} does not answer", machine.name).into())
        }
    }

    /// Number of answers so far.
    pub fn answered(&self) -> usize {
        self.answers().len()
    }

    /// Waits for `more` further answers.
    pub fn wait_answers(&self, more: usize, limit: Duration) -> bool {
        let wanted = self.answered() + more;
        let step = Duration::from_millis(20);
        poll(limit, step, || self.answered() >= wanted)
    }

    /// Returns the losses between the first and the last answer. At most 65535 pings are possible.
    pub fn outage(&self) -> Outage {
        outage(&self.answers())
    }

    /// Stops the pings. Returns the losses.
    pub fn stop(self) -> Result<Outage> {
        self.machine.ok(&format!("kill -INT {}", self.pid))?;
        Ok(self.outage())
    }

    fn answers(&self) -> Vec<Answer> {
        answers(&fs::read_to_string(&self.log).unwrap_or_default())
    }
}

/// Parses answers, in the order of their requests: one that was overtaken is not lost.
fn answers(text: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = text.lines().filter_map(parse).collect();
    answers.sort_by_key(|it| it.number);
    answers.dedup_by_key(|it| it.number);
    answers
}

/// Parses "[1795209853.123456] 64 bytes from 10.2.0.1: icmp_seq=1 ttl=64 time=0.3 ms".
fn parse(line: &str) -> Option<Answer> {
    let (at, rest) = line.strip_prefix('[')?.split_once(']')?;
    let number = rest.split_once("icmp_seq=")?.1.split(' ').next()?;
    rest.contains(" time=").then_some(())?;
    Some(Answer {
        number: number.parse().ok()?,
        at_s: at.parse().ok()?,
    })
}

fn outage(answers: &[Answer]) -> Outage {
    let mut outage = Outage::default();
    for pair in answers.windows(2) {
        let missing = pair[1].number.saturating_sub(pair[0].number + 1);
        if missing > 0 {
            let gap = Duration::from_secs_f64((pair[1].at_s - pair[0].at_s).max(0.0));
            outage.gaps += 1;
            outage.lost += missing as usize;
            outage.total += gap;
            outage.longest = outage.longest.max(gap);
        }
    }
    outage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_missing_are_one_gap() {
        let text = "PING 10.2.0.1 (10.2.0.1) 56(84) bytes of data.\n\
            [100.000] 64 bytes from 10.2.0.1: icmp_seq=1 ttl=64 time=0.3 ms\n\
            [100.010] From 10.2.0.1 icmp_seq=2 Destination Host Unreachable\n\
            [100.030] 64 bytes from 10.2.0.1: icmp_seq=4 ttl=64 time=0.3 ms\n\
            [100.040] 64 bytes from 10.2.0.1: icmp_seq=6 ttl=64 time=0.3 ms\n\
            [100.041] 64 bytes from 10.2.0.1: icmp_seq=5 ttl=64 time=0.3 ms\n\
            [100.042] 64 bytes from 10.2.0.1: icmp_seq=5 ttl=64 time=0.3 ms (DUP!)\n\
            [100.060] 64 bytes from 10.2.0.1: icmp_seq=7 ttl=64 time=0.3 ms\n";
        let outage = outage(&answers(text));
        assert_eq!((outage.gaps, outage.lost), (1, 2));
        assert_eq!(outage.longest.as_millis(), 30);
    }
}
