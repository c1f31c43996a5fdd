//! Commands and rows of `sparectl alarm`.

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::engine::{Engine, Results};
use crate::{Alarms, clock_ms};

impl Commands for Alarms {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(
            c"test",
            c"[NAME]",
            c"sends a test to one alarm of the file, or to all, and says what became of it",
        ),
    ];

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        let name = match *argv {
            [] | ["status"] => {
                answer.rows_that_fit(engine.rows());
                return Ok(Progress::Done);
            }
            ["test"] => None,
            ["test", name] => Some(name),
            _ => return Err(Verb::usage("alarm", Self::VERBS)),
        };
        engine.set_clock(now_ns, clock_ms());
        let token = self.answers.keep(answer);
        match engine.test(now_ns, token, name) {
            Ok(()) => Ok(Progress::Pending),
            Err(why) => {
                self.answers.take(token);
                Err(Error::Usage(why))
            }
        }
    }
}

/// Writes the results of a test.
pub fn answer(mut answer: Answer, results: &Results) {
    let mut written = Ok(());
    for (name, result) in results {
        let text = match result {
            Some(Ok(())) => "sent".to_owned(),
            Some(Err(why)) => format!("failed: {why}"),
            None => "has not answered within 11 s".to_owned(),
        };
        if !matches!(result, Some(Ok(()))) {
            answer.attention();
        }
        written = written.and(answer.text(name, &text));
    }
    answer.done(written);
}
