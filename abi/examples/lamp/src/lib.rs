//! Shows the state of the pair elsewhere, as a lamp on the front or an agent of a monitoring system does:
//! here, in two files of its own folder.
//!
//!     STATE/verdict    "OK", then a headline for each group and the findings
//!     STATE/events     the newest events, one in a line
//!
//! A lamp would set `/sys/class/leds/.../brightness`, named in `paths`, in place of the first file.

use std::collections::VecDeque;
use std::fmt::Write;

use spared_sdk::config::Config;
use spared_sdk::*;

const EVENTS_MAX: usize = 100;

struct Lamp {
    host: Host,
    verdict: String,
    changes: u64,
    events: VecDeque<String>,
    lost: u64,
}

impl Plugin for Lamp {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            verdict: "not told yet".to_owned(),
            changes: 0,
            events: VecDeque::new(),
            lost: 0,
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        let watch = self.host.status();
        watch.watch(Watched::STATUS | Watched::EVENTS)?;
        Ok(Progress::Done)
    }
}

impl Lamp {
    fn write(&self, name: &str, text: &str) {
        let Some(folder) = self.host.state_folder() else {
            return;
        };
        let path = folder.join(name);
        if let Err(error) = std::fs::write(&path, text) {
            log::warn!("{}: {error}", path.display());
        }
    }
}

impl Watch for Lamp {
    fn status(&mut self, status: &PairStatus) {
        self.verdict = status.verdict.to_string();
        self.changes += 1;
        let mut text = format!("{}\n", status.verdict);
        for group in &status.groups {
            let _ = writeln!(text, "{} {}", group.verdict, group.headline);
        }
        for finding in &status.findings {
            let (id, node) = (&finding.id, &finding.node);
            let _ = writeln!(
                text,
                "{id} {node}: {} since {}",
                finding.text, finding.since
            );
        }
        self.write("verdict", &text);
    }

    fn event(&mut self, event: &EventRecord) {
        self.lost = self.lost.saturating_add(event.lost);
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let line = format!(
            "{} {} {}: {}",
            event.at, event.kind, event.group, event.text
        );
        self.events.push_back(line);
        let lines: Vec<&str> = self.events.iter().map(String::as_str).collect();
        self.write("events", &lines.join("\n"));
    }
}

impl Query for Lamp {
    fn query(&mut self, _argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        answer.text("verdict", &self.verdict)?;
        answer.row("changes", &Value::Counter(self.changes))?;
        answer.row("events", &Value::Number(self.events.len() as u64))?;
        answer.row("lost", &Value::Counter(self.lost))?;
        Ok(Progress::Done)
    }
}

plugin!(Lamp {
    name: "lamp",
    summary: "shows the state of the pair",
    parts: [query, watch],
});
