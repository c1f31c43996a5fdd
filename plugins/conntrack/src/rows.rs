//! Implements the verbs and rows of `sparectl conntrack`.

use std::ffi::CStr;

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::Conntrack;
use crate::engine::{Engine, Fault, ListKind, Listed, Rows};
use crate::filter::Selection;

/// Options as in conntrack(8).
const FILTER: &CStr = c"[--src ADDRESS] [--dst ADDRESS] [--proto PROTOCOL] [--sport PORT] [--dport PORT] [--zone ZONE] \
                        [--state STATE] [--mark MARK]";
/// Options about attributes that are equal on both nodes.
const ENDS: &CStr = c"[--src ADDRESS] [--dst ADDRESS] [--proto PROTOCOL] [--sport PORT] [--dport PORT] [--zone ZONE]";

/// Answers that wait for a walk to end.
#[derive(Default)]
pub struct Waiting {
    comparison: Option<Answer>,
    list: Option<Answer>,
}

const NO_RESYNC: &str =
    "no resync: the peer is not connected, or this node is backup (the active one resyncs)";

impl Commands for Conntrack {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::METRICS,
        Verb::asks(
            c"flows",
            FILTER,
            c"lists flows, and whether each is replicated",
        ),
        Verb::asks(c"stats", FILTER, c"counts flows by protocol"),
        Verb::asks(c"diff", ENDS, c"compares the flows of both nodes"),
        Verb::changes(c"resync", c"", c"sends the peer every flow again"),
    ];

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        if let Some((flows, limit)) = self.kernel.counts(now_ns, engine) {
            engine.counters.kernel.flows = Some(flows);
            engine.counters.kernel.limit = limit;
        }
        match argv {
            ["status"] => answer.text("summary", &engine.summary())?,
            [] | ["metrics"] => {
                engine.counters.measure(now_ns);
                answer.rows(engine.rows(now_ns))?;
            }
            ["resync"] => {
                if !engine.request_resync(now_ns) {
                    return Err(Error::Plugin(NO_RESYNC.to_owned()));
                }
                engine.handle_timeout(now_ns);
                let flows = engine.counters.kernel.flows.unwrap_or(0);
                answer.text(
                    "resync",
                    &format!("started: {flows} flows in the kernel's table"),
                )?;
            }
            ["diff", filter @ ..] => {
                let selection = Selection::parse_ends(filter).map_err(Error::Usage)?;
                begun(engine.compare(now_ns, selection))?;
                self.waiting.comparison = Some(answer.later());
                return Ok(Progress::Pending);
            }
            [word @ ("flows" | "stats"), filter @ ..] => {
                let kind = match *word {
                    "flows" => ListKind::Flows,
                    _ => ListKind::Stats,
                };
                let selection = Selection::parse(filter).map_err(Error::Usage)?;
                begun(engine.list(kind, selection))?;
                self.waiting.list = Some(answer.later());
                return Ok(Progress::Pending);
            }
            _ => return Err(Verb::usage("conntrack", Self::VERBS)),
        }
        Ok(Progress::Done)
    }
}

fn begun(result: Result<(), &'static str>) -> Result<(), Error> {
    result.map_err(|why| Error::Plugin(why.to_owned()))
}

impl Waiting {
    /// Answers a comparison, with a row for each flow that differs.
    pub fn end_comparison(&mut self, rows: Result<Rows, Fault>) {
        if let Some(answer) = self.comparison.take() {
            end_comparison(answer, rows);
        }
    }

    pub fn end_list(&mut self, rows: Listed) {
        if let Some(mut answer) = self.list.take() {
            answer.rows_that_fit(rows);
            answer.done(Ok(()));
        }
    }
}

fn end_comparison(mut answer: Answer, rows: Result<Rows, Fault>) {
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
            break; // the answer is full: further rows would not fit either
        }
    }
    answer.done(Ok(()));
}
