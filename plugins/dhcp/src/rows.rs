//! Implements the verbs and rows of `sparectl dhcp`.

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::Servers;
use crate::engine::{Difference, Engine};

impl Commands for Servers {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::METRICS,
        Verb::asks(c"check", c"", c"names servers that cannot be replicated"),
        Verb::asks(c"diff", c"", c"compares the leases of both nodes"),
        Verb::asks(
            c"conflicts",
            c"",
            c"lists addresses that both nodes had leased",
        ),
    ];

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match argv {
            [] | ["metrics"] => answer.rows(engine.rows(now_ns))?,
            ["status"] => answer.rows(engine.summary(now_ns))?,
            ["check"] => {
                let faults = engine.faults();
                if !faults.is_empty() {
                    answer.attention();
                }
                answer.rows(faults)?;
            }
            ["conflicts"] => answer.rows(engine.conflicts(now_ns))?,
            ["diff"] => {
                self.answers.push(answer.later());
                engine.handle_diff(now_ns);
                return Ok(Progress::Pending);
            }
            _ => return Err(Verb::usage("dhcp", Self::VERBS)),
        }
        Ok(Progress::Done)
    }
}

impl Servers {
    /// Ends the answers that wait for a comparison.
    pub(super) fn end_answers(&mut self, found: &Result<Difference, String>) {
        for mut answer in self.answers.drain(..) {
            if found.as_ref().is_ok_and(|found| found.is_any) {
                answer.attention();
            }
            let rows = found.clone().map(|found| found.rows).map_err(Error::Peer);
            let put = rows.and_then(|rows| answer.rows(rows));
            answer.done(put);
        }
    }
}
