// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures of both pairs so far, and their picture.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use spared_tests::clock::Stamp;

use crate::faults::Fault;
use crate::measures::Loss;
use crate::pairs::Camp;
use crate::scene::Sights;
use crate::screen::Screen;
use crate::table;
use crate::users::Loading;

/// Characters of a line that fit on every terminal.
pub const WIDTH: usize = 79;

#[derive(Default)]
pub struct Progress {
    /// Roles, packets and download.
    live: String,
    now: String,
    pub losses: Vec<(Fault, Loss)>,
    /// Why the pair takes no further part.
    pub out: Option<String>,
}

pub struct Board<'s> {
    pub faults: Vec<Fault>,
    pub screen: &'s Screen,
    /// Sentences about the tunnel, and about what is not shown.
    remark: Mutex<String>,
    /// Where spared's pages are while its pair runs.
    pages: OnceLock<String>,
    progress: [Mutex<Progress>; 2],
}

impl<'s> Board<'s> {
    pub fn new(faults: Vec<Fault>, screen: &'s Screen) -> Self {
        Self {
            faults,
            screen,
            remark: Mutex::default(),
            pages: OnceLock::new(),
            progress: Default::default(),
        }
    }

    pub fn of(&self, camp: Camp) -> MutexGuard<'_, Progress> {
        let progress = &self.progress[camp as usize];
        progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn say(&self, camp: Camp, what: String) {
        self.screen.log(&format!("{}: {what}", camp.name()));
        self.of(camp).now = what;
    }

    pub fn remark(&self, sentence: &str) {
        self.screen.log(sentence);
        let mut remark = self.remark.lock().unwrap_or_else(PoisonError::into_inner);
        if !remark.is_empty() {
            *remark += "; ";
        }
        *remark += sentence;
    }

    /// Shows where the pages of spared's nodes are.
    pub fn show_pages(&self, pages: [SocketAddr; 2]) {
        let [r1, r2] = pages;
        let text = format!("pages of spared's nodes meanwhile: http://{r1} and http://{r2}");
        self.screen.log(&text);
        // there is one such pair
        let _ = self.pages.set(text);
    }

    pub fn remark_so_far(&self) -> String {
        let remark = self.remark.lock().unwrap_or_else(PoisonError::into_inner);
        remark.clone()
    }

    pub fn note(&self, camp: Camp, fault: Fault, loss: Loss) {
        self.of(camp).losses.push((fault, loss));
        self.screen.log(&table::row(fault, camp, Some(&loss)));
    }

    pub fn give_up(&self, camp: Camp, why: &str) {
        let first = why.lines().next().unwrap_or_default();
        self.say(camp, format!("out: {first}"));
        self.of(camp).out = Some(why.to_owned());
    }

    pub fn look(&self, camp: Camp, sights: &Sights) {
        let active = sights.active();
        let role = |site| {
            if active.contains(&site) {
                "active"
            } else {
                "-"
            }
        };
        let (sent, answered) = sights.echo.counts(sights.since);
        self.of(camp).live = format!(
            "{:<11}r1 {:<8}r2 {:<8}{:>6.1} MB loaded  {} packets, {} lost",
            camp.name(),
            role(0),
            role(1),
            sights.loading.as_ref().map_or(0, Loading::bytes) as f64 / 1e6,
            sent,
            sent - answered
        );
    }

    /// Rows of the table so far; blank where a fault has not been measured.
    pub fn rows(&self) -> Vec<String> {
        let mut rows = vec![table::head()];
        for fault in &self.faults {
            for camp in Camp::BOTH {
                let progress = self.of(camp);
                let loss = progress.losses.iter().find(|(of, _)| of == fault);
                rows.push(match (loss, &progress.out) {
                    (None, None) => String::new(),
                    (loss, _) => table::row(*fault, camp, loss.map(|(_, loss)| loss)),
                });
            }
        }
        rows
    }

    pub fn picture(&self) -> Vec<String> {
        let seconds = self.screen.elapsed().as_secs();
        let clock = format!("{}:{:02}", seconds / 60, seconds % 60);
        let title =
            "two pairs of routers, with the same faults: spared; keepalived + conntrackd + scripts";
        let pages = self.pages.get().cloned().unwrap_or_default();
        let mut lines = vec![title.to_owned(), pages];
        lines.extend(Camp::BOTH.map(|camp| self.of(camp).live.clone()));
        lines.push(String::new());
        lines.extend(self.rows());
        lines.push(self.remark_so_far());
        for camp in Camp::BOTH {
            let now = &self.of(camp).now;
            lines.push(format!("{clock}  {:<11}{now}", camp.name()));
        }
        lines
            .into_iter()
            .map(|line| line.chars().take(WIDTH).collect())
            .collect()
    }
}

/// Date, kernel and processors of this run.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let about = read("/proc/cpuinfo");
    let model = about
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |text| text.trim_start_matches([':', ' ', '\t']));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let date = jiff::ZonedDateTime::now().strftime("%Y-%m-%d").to_string();
    format!(
        "{date}, Linux {}, {count} processors {model}",
        kernel.trim()
    )
}

/// The longest time for which the machine itself stood still during a fault.
pub fn late(control: &spared_tests::probe::Control, loss: &Loss) -> std::time::Duration {
    let (from, to): (Stamp, Stamp) = (loss.began, loss.ended);
    control.worst(from, to)
}
