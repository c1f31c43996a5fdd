//! Verbs and rows of `sparectl conntrack`.

use spared_sdk::{Answer, Error, Progress, Verb};

use crate::Conntrack;
use crate::engine::{Engine, Fault, Rows};

pub const VERBS: &[Verb] = &[
    Verb::ROWS,
    Verb::STATUS,
    Verb::asks(c"diff", c"", c"compares the flows of both nodes"),
    Verb::changes(c"resync", c"", c"sends the peer every flow again"),
];

const NO_RESYNC: &str =
    "no resync: the peer is not connected, or this node is backup (the active one resyncs)";

impl Conntrack {
    /// Answers a verb.
    pub(super) fn answer(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        if let Some((flows, limit)) = self.kernel.counts(now_ns, engine) {
            engine.counters.kernel_flows = Some(flows);
            engine.counters.kernel_limit = limit;
        }
        match argv {
            ["status"] => answer.text("summary", &engine.summary())?,
            [] => {
                engine.counters.measure(now_ns);
                answer.rows(engine.rows(now_ns))?;
            }
            ["resync"] => {
                if !engine.request_resync(now_ns) {
                    return Err(Error::Plugin(NO_RESYNC.to_owned()));
                }
                engine.handle_timeout(now_ns);
                let flows = engine.counters.kernel_flows.unwrap_or(0);
                answer.text(
                    "resync",
                    &format!("started: {flows} flows in the kernel's table"),
                )?;
            }
            ["diff"] => {
                let begun = engine.compare(now_ns);
                begun.map_err(|why| Error::Plugin(why.to_owned()))?;
                self.comparing = Some(answer.later());
                return Ok(Progress::Pending);
            }
            _ => return Err(Verb::usage("conntrack", VERBS)),
        }
        Ok(Progress::Done)
    }
}

/// Differences, a row for each flow.
pub fn end_comparison(mut answer: Answer, rows: Result<Rows, Fault>) {
    let rows = match rows {
        Ok(rows) => rows,
        Err(fault @ Fault::Gone) => return answer.done(Err(Error::Peer(fault.to_string()))),
        Err(fault @ Fault::TooMany) => return answer.done(Err(Error::Plugin(fault.to_string()))),
    };
    if !rows.is_empty() {
        answer.attention();
    }
    for (flow, how) in &rows {
        if answer.text(flow, how).is_err() {
            break; // full: the rest is as bad
        }
    }
    answer.done(Ok(()));
}
