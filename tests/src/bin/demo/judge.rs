// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares outages with what spared promises, with room for a busy machine.

use std::time::Duration;

use spared_tests::clock::ms;
use spared_tests::pair::Fault;

use crate::screen::{Column, sentence};

/// Delay that scheduling on two shared processors may add.
const NOISE: Duration = Duration::from_millis(80);

#[derive(Default)]
pub struct Verdicts {
    /// A sentence for each broken promise.
    pub broken: Vec<String>,
}

impl Verdicts {
    pub fn judge(&mut self, fault: Fault, columns: &[Column; 2]) {
        let [ours, theirs] = columns.each_ref().map(|column| column.damage(fault));
        let Some(ours) = ours else { return };
        let failover = columns[0].pair.failover();
        let bound = match fault {
            // Silence is noticed only after the failover time; other faults are reported at once.
            Fault::SilentCut | Fault::Death | Fault::Hang | Fault::Kill => failover + NOISE,
            Fault::CarrierLost | Fault::Shutdown => failover / 3 + NOISE,
            Fault::Switch => Duration::ZERO,
        };
        self.expect(ours.outage.total <= bound, fault, || {
            format!("{:.1} ms, promised {:.1}", ms(ours.outage.total), ms(bound))
        });
        if let Some(theirs) = theirs.filter(|_| fault != Fault::Hang) {
            let theirs = theirs.outage.total;
            self.expect(ours.outage.total <= theirs + NOISE, fault, || {
                format!(
                    "{:.1} ms, keepalived {:.1}",
                    ms(ours.outage.total),
                    ms(theirs)
                )
            });
        }
        self.expect(ours.both_answered.is_zero(), fault, || {
            format!("both routers answered for {:.1} ms", ms(ours.both_answered))
        });
    }

    pub fn judge_downloads(&mut self, columns: &[Column; 2]) {
        if columns[0].download.is_broken() {
            self.broken
                .push("the download through spared broke".to_owned());
        }
    }

    fn expect(&mut self, kept: bool, fault: Fault, why: impl Fn() -> String) {
        if !kept {
            self.broken.push(format!("{}: {}", sentence(fault), why()));
        }
    }
}
