//! `ping` in a script as `[[ping]]`: the plugin's programs get no file capabilities, so that ping does not start there.

use std::net::IpAddr;

use super::address::is_device;

/// Programs with file capabilities.
const CAPABLE: [&str; 5] = ["ping", "ping4", "ping6", "fping", "arping"];

/// Echoes of a run, of which one has to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echoes {
    pub target: IpAddr,
    pub interface: Option<String>,
    pub count: u64,
    /// Longest wait for an answer; None if only the script's timeout ends it.
    pub wait_ms: Option<u64>,
}

impl Echoes {
    /// The echoes of a command; None if an option has no counterpart.
    pub fn of(program: &str, words: &[&str]) -> Option<Self> {
        if !matches!(program, "ping" | "ping4" | "ping6") {
            return None;
        }
        let (mut target, mut interface) = (None, None);
        let [mut count, mut wait, mut deadline] = [None::<f64>; 3];
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let Some(options) = word.strip_prefix('-') else {
                if target.replace(word).is_some() {
                    return None;
                }
                continue;
            };
            let options = options.trim_start_matches(['q', 'n', '4', '6']);
            let Some(option) = options.chars().next() else {
                continue;
            };
            let value = Some(&options[1..]).filter(|it| !it.is_empty());
            let value = value.or_else(|| words.next())?;
            match option {
                'c' => count = Some(value.parse().ok()?),
                'W' => wait = Some(value.parse().ok()?),
                'w' => deadline = Some(value.parse().ok()?),
                'I' if is_device(value) => interface = Some(value.to_owned()),
                _ => return None,
            }
        }
        let count = match (count, deadline) {
            (Some(count), None) => count,
            // an echo each second until one is answered
            (None | Some(1.0), Some(seconds)) => {
                wait = wait.or(Some(1.0));
                seconds.ceil()
            }
            _ => return None,
        };
        let is_sane = |it: f64| (0.01..=100.0).contains(&it);
        if !is_sane(count) || !wait.is_none_or(is_sane) {
            return None;
        }
        Some(Self {
            target: target?.parse().ok()?,
            interface,
            count: count.max(1.0) as u64,
            wait_ms: wait.map(|it| (it * 1000.0) as u64),
        })
    }
}

/// True if a command names a program that has file capabilities.
pub fn is_capable(argv: &[String]) -> bool {
    let mut words = argv
        .iter()
        .flat_map(|it| it.split(|it: char| it.is_whitespace() || "/;|&()`".contains(it)));
    words.any(|it| CAPABLE.contains(&it))
}
