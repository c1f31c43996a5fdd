//! Implements the verbs and rows of `sparectl ipsec`.

use spared_sdk::{Answer, Commands, Error, Progress, Value, Verb};

use crate::Ipsec;
use crate::engine::Engine;
use crate::node::Node;

impl Commands for Ipsec {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::METRICS,
        Verb::asks(
            c"check",
            c"",
            c"lists settings of the IKE daemon that break a failover",
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
            _ if self.node.is_none() => return Ok(Progress::Done),
            [] => {}
            ["status"] => answer.text("summary", &engine.summary())?,
            ["metrics"] => {
                answer.rows(engine.totals(now_ns))?;
                return Ok(Progress::Done);
            }
            ["check"] => {
                self.answers.push(answer.later());
                if !self.node.as_ref().is_some_and(|it| it.daemon.list()) {
                    self.end_answers(engine, false);
                }
                return Ok(Progress::Pending);
            }
            _ => return Err(Verb::usage("ipsec", Self::VERBS)),
        }
        let mut rows = engine.rows(now_ns);
        let room = self.node.as_ref().map(Node::hold_capacity);
        rows.extend(room.map(|it| ("all.switchover_keeps".to_owned(), Value::Text(it))));
        // names of children may be long
        answer.rows_that_fit(rows);
        Ok(Progress::Done)
    }
}

impl Ipsec {
    /// Answers `check` with the connections that charon reported last.
    pub(super) fn end_answers(&mut self, engine: &Engine, was_asked: bool) {
        for mut answer in self.answers.drain(..) {
            let (rows, is_fault) = engine.check_rows(was_asked);
            if is_fault {
                answer.attention();
            }
            let put = answer.rows(rows);
            answer.done(put);
        }
    }
}
