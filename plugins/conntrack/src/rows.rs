//! Answers to `sparectl conntrack`.

use spared_sdk::{Answer, Error};

use crate::engine::{Fault, Rows};

pub const USAGE: &str = "usage: sparectl conntrack [status | diff | resync]";

pub const NO_RESYNC: &str =
    "no resync: the peer is not connected, or this node is backup (the active one resyncs)";

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
