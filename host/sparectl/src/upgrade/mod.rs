//! `sparectl upgrade`: starts both nodes again in the versions that are installed, one after the other, and waits until
//! the pair is OK after each step.
//!
//! It keeps nothing between two steps: what is next follows from what both nodes report. So it goes on where an earlier
//! run has stopped. A freeze keeps the role from moving back to a preferred node meanwhile. It ends by itself if this
//! program dies.

mod plan;
mod run;
#[cfg(test)]
mod tests;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use spared_message::control::{Answer, Request};

use crate::args::Args;
use crate::refusal::Refusal;
use crate::{as_root, ask, output};
use run::Run;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub dry_run: bool,
    /// True to boot the machines again instead of the daemons.
    pub reboot: bool,
    /// True if findings from before are no obstacle.
    pub anyway: bool,
}

/// Prints each step, and returns the exit code.
pub fn run(args: &Args, upgrade: Upgrade) -> u8 {
    as_root::run("only root may upgrade the pair", || {
        let daemon = Daemon {
            args,
            begun: Instant::now(),
        };
        Run::new(daemon, upgrade).run()
    })
}

/// The pair that is upgraded: questions, orders, and a place for progress.
trait Pair {
    /// Asks the daemon of this node.
    fn ask(&self, request: &Request) -> Result<Answer, Refusal>;

    /// Boots this machine again.
    fn boot(&self) -> Result<(), String>;

    fn say(&self, line: &str);

    fn sleep(&self, time: Duration);

    /// Returns the time since the command began.
    fn now(&self) -> Duration;
}

struct Daemon<'a> {
    args: &'a Args,
    begun: Instant,
}

impl Pair for Daemon<'_> {
    fn ask(&self, request: &Request) -> Result<Answer, Refusal> {
        Ok(ask(self.args, request)?)
    }

    fn boot(&self) -> Result<(), String> {
        match Command::new("systemctl").arg("reboot").status() {
            Ok(code) if code.success() => Ok(()),
            Ok(code) => Err(format!("systemctl reboot: {code}")),
            Err(error) => Err(format!("systemctl reboot: {error}")),
        }
    }

    fn say(&self, line: &str) {
        output::say(line);
    }

    fn sleep(&self, time: Duration) {
        sleep(time);
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}
