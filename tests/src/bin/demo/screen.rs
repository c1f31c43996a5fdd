// SPDX-License-Identifier: MIT OR Apache-2.0
//! The screen, redrawn in place; plain lines if the output is no terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::Wire;
use spared_tests::pair::{Damage, Fault, Pair};
use spared_tests::probe::Download;

use crate::FAULTS;

/// A pair of one make, with its measurements.
pub struct Column {
    pub pair: Pair,
    pub download: Download,
    /// Time at which both routers were ready.
    since: Stamp,
    damages: Mutex<Vec<(Fault, Damage)>>,
    given_up: AtomicBool,
}

impl Column {
    pub fn new(pair: Pair, download: Download) -> Self {
        Self {
            pair,
            download,
            since: Stamp::now(),
            damages: Mutex::default(),
            given_up: AtomicBool::new(false),
        }
    }

    pub fn note(&self, fault: Fault, damage: Damage) {
        self.damages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((fault, damage));
    }

    /// Damage of a fault; None if it has not struck yet.
    pub fn damage(&self, fault: Fault) -> Option<Damage> {
        let damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        damages
            .iter()
            .find(|(of, _)| *of == fault)
            .map(|(_, damage)| *damage)
    }

    /// Ends the faults of a pair that did not come back from the last one.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub fn given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    // Role as neighbours see it: a router that advertised lately is active.
    fn role(&self, site: usize) -> &'static str {
        let lately = Stamp(Stamp::now().0 - Duration::from_millis(250).as_nanos() as u64);
        let adverts = self.pair.watch.adverts(lately, site, Wire::Lan);
        match adverts.last() {
            Some((_, advert)) if advert.priority > 0 => "active",
            _ => "backup",
        }
    }

    fn packets(&self) -> String {
        let (sent, answered) = self.pair.through.counts(self.since);
        format!("{sent} sent, {} lost", sent - answered)
    }

    fn loaded(&self) -> String {
        let state = if self.download.is_broken() {
            ", broken"
        } else {
            ""
        };
        format!("{:.1} MB{state}", self.download.bytes() as f64 / 1e6)
    }

    fn cost(&self, fault: Fault) -> String {
        let Some(damage) = self.damage(fault) else {
            return if self.given_up() {
                "did not come back"
            } else {
                "-"
            }
            .to_owned();
        };
        let outage = format!("{:.1} ms", ms(damage.outage.total));
        match fault {
            Fault::Hang if damage.both_answered.is_zero() => format!("{outage}, never two answer"),
            Fault::Hang => format!("{outage}, two answer {:.0} ms", ms(damage.both_answered)),
            Fault::Switch => format!("{} packets lost", damage.outage.lost),
            _ => outage,
        }
    }
}

pub fn sentence(fault: Fault) -> &'static str {
    match fault {
        Fault::SilentCut => "silent cable cut",
        Fault::Death => "machine dead",
        Fault::CarrierLost => "carrier lost",
        Fault::Hang => "hang (SIGSTOP)",
        Fault::Shutdown => "shutdown",
        Fault::Kill => "kill (SIGKILL)",
        Fault::Switch => "planned switch",
    }
}

pub struct Screen {
    start: Instant,
    terminal: bool,
    now: Mutex<String>,
    /// Lines of the picture on the terminal.
    drawn: Mutex<usize>,
}

impl Screen {
    pub fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        if terminal {
            // Hides the cursor while the picture is redrawn.
            print!("\x1b[?25l");
        }
        Self {
            start: Instant::now(),
            terminal,
            now: Mutex::default(),
            drawn: Mutex::new(0),
        }
    }

    /// Shows the cursor again.
    pub fn restore() {
        if io::stdout().is_terminal() {
            println!("\x1b[?25h");
            let _ = io::stdout().flush();
        }
    }

    /// Shows what is happening now.
    pub fn say(&self, sentence: &str) {
        sentence.clone_into(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
        let nothing_drawn = *self.drawn.lock().unwrap_or_else(PoisonError::into_inner) == 0;
        if !self.terminal || nothing_drawn {
            println!("{:6.1} s  {sentence}", self.start.elapsed().as_secs_f64());
        }
    }

    /// Draws the picture over the last one.
    pub fn show(&self, columns: &[Column; 2]) {
        if !self.terminal {
            return;
        }
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = self.picture(columns);
        let mut text = String::new();
        if *drawn > 0 {
            let _ = write!(text, "\x1b[{drawn}F");
        }
        for line in picture.lines() {
            let _ = writeln!(text, "{line}\x1b[K");
        }
        *drawn = picture.lines().count();
        print!("{text}");
        let _ = io::stdout().flush();
    }

    /// Leaves the last picture on the screen.
    pub fn finish(&self, columns: &[Column; 2]) {
        if self.terminal {
            print!("\x1b[?25h");
        } else {
            print!("{}", self.picture(columns));
        }
    }

    fn picture(&self, columns: &[Column; 2]) -> String {
        let mut text = String::new();
        let mut row = |name: &str, cell: &dyn Fn(&Column) -> String| {
            let [ours, theirs] = columns.each_ref().map(cell);
            let line = format!("{name:<20}{ours:<30}{theirs}");
            let _ = writeln!(text, "{}", line.trim_end());
        };
        row("", &|column| column.pair.kind.name().to_owned());
        row("r1", &|column| column.role(0).to_owned());
        row("r2", &|column| column.role(1).to_owned());
        row("2 kHz UDP", &Column::packets);
        row("download", &Column::loaded);
        row("", &|_| String::new());
        row("fault of r1", &|_| "without service".to_owned());
        for fault in FAULTS {
            row(sentence(fault), &|column| column.cost(fault));
        }
        row("", &|_| String::new());
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(text, "{:5.1} s  {now}", self.start.elapsed().as_secs_f64());
        text
    }
}
