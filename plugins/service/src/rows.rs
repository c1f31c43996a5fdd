//! Commands and rows of `sparectl service`.

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::Service;
use crate::engine::Engine;

impl Commands for Service {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::METRICS,
        Verb::asks(c"check", c"", c"names services that would not start"),
        Verb::changes(c"retry", c"[NAME]", c"retries what has failed"),
        Verb::changes(
            c"forget",
            c"NAME",
            c"forgets a service that left the file, which keeps running",
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
            ["status"] => answer.text("summary", &engine.summary())?,
            [] => {
                answer.rows_that_fit(engine.rows(now_ns));
                if engine.wants_attention() {
                    answer.attention();
                }
            }
            ["metrics"] => answer.rows_that_fit(engine.metrics()),
            ["check"] => {
                let missing = engine.unstartable();
                if !missing.is_empty() {
                    answer.attention();
                }
                answer.rows(missing)?;
            }
            ["retry", names @ ..] if names.len() < 2 => {
                let retried = engine.retry(now_ns, names.first().copied());
                let count = retried.map_err(Error::Usage)?;
                answer.number("tried_again", u64::try_from(count).unwrap_or(u64::MAX))?;
            }
            ["forget", name] => {
                engine.forget(now_ns, name).map_err(Error::Usage)?;
                answer.text("forgotten", name)?;
            }
            _ => return Err(Verb::usage("service", Self::VERBS)),
        }
        Ok(Progress::Done)
    }
}
