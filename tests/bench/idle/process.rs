// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processor time, memory and wake-ups of each process in a while, from /proc.

use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::lab::{usage, wakeups};

#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Milliseconds of processor a second.
    pub processor: f64,
    /// Times a second that one of its threads waited and was woken.
    pub wakeups: f64,
    /// KiB, with a share of the pages that several processes have.
    pub pss: f64,
    /// KiB of that which no other process has or a file holds.
    pub anonymous: f64,
    pub locked: f64,
    pub threads: usize,
}

pub struct Process {
    pub site: usize,
    pub name: String,
    pub cost: Cost,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = &self.cost;
        write!(
            f,
            "{:<18}{:>7.2} ms/s {:>6.1} wake-ups/s {:>7.0} KiB Pss, {:>6.0} anonymous, {:>6.0} locked, {} threads",
            self.name,
            cost.processor,
            cost.wakeups,
            cost.pss,
            cost.anonymous,
            cost.locked,
            cost.threads
        )
    }
}

/// The processes of both nodes, over this time.
pub fn measure(nodes: &[Vec<u32>; 2], span: Duration) -> Result<Vec<Process>> {
    let all = || nodes.iter().enumerate();
    let pids: Vec<(usize, u32)> = all()
        .flat_map(|(site, pids)| pids.iter().map(move |pid| (site, *pid)))
        .collect();
    let before: Vec<_> = pids
        .iter()
        .map(|(_, pid)| (usage(*pid).0, wakeups(*pid)))
        .collect();
    thread::sleep(span);
    let seconds = span.as_secs_f64();
    let process = |((site, pid), (used, woken)): (&(usize, u32), (Duration, u64))| {
        let memory = |key| memory(*pid, key);
        let cost = Cost {
            processor: ms(usage(*pid).0.saturating_sub(used)) / seconds,
            wakeups: wakeups(*pid).saturating_sub(woken) as f64 / seconds,
            pss: memory("Pss:"),
            anonymous: memory("Pss_Anon:"),
            locked: memory("Locked:"),
            threads: tasks(*pid).count(),
        };
        Process {
            site: *site,
            name: name(*pid),
            cost,
        }
    };
    Ok(pids.iter().zip(before).map(process).collect())
}

fn tasks(pid: u32) -> impl Iterator<Item = fs::DirEntry> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    tasks.into_iter().flatten().flatten()
}

fn memory(pid: u32, key: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    number(&text, key).unwrap_or_default() as f64
}

fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// "worker vrrp" and such for ours, else the program.
pub fn name(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut words = line.split('\0');
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    match (program, words.next(), words.next()) {
        (_, Some("worker"), Some(plugin)) => format!("worker {plugin}"),
        (_, Some(word @ ("link" | "run" | "starter" | "firewall")), _) => format!("spared {word}"),
        _ => program.to_owned(),
    }
}
