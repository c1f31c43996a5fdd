//! Answers to `sparectl conntrack`.

use spared_sdk::{Answer, Error};

use crate::engine::Value;

pub const USAGE: &str = "usage: sparectl conntrack [status | diff | sweep]";

pub fn put(rows: &[(&'static str, Value)], answer: &mut Answer) -> Result<(), Error> {
    for (key, value) in rows {
        match value {
            Value::Number(number) => answer.number(key, *number)?,
            Value::Text(text) => answer.text(key, text)?,
        }
    }
    Ok(())
}

/// What differs, a row for each flow; none where the twin went meanwhile.
pub fn end_comparison(mut answer: Answer, rows: Option<Vec<(String, String)>>) {
    let Some(rows) = rows else {
        return answer.done(Err(Error::Peer("the twin is gone".to_owned())));
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
