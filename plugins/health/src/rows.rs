//! Commands and rows of `sparectl health`.

use spared_sdk::{Answer, Commands, Error, Progress, Verb};

use crate::Health;
use crate::engine::Engine;

impl Commands for Health {
    const VERBS: &'static [Verb] = &[
        Verb::ROWS,
        Verb::STATUS,
        Verb::changes(c"probe", c"NAME", c"runs a check now"),
    ];

    fn query(
        &mut self,
        engine: &mut Engine,
        now_ns: u64,
        argv: &[&str],
        answer: &mut Answer,
    ) -> Result<Progress, Error> {
        match argv {
            [] | ["status"] => answer.rows_that_fit(engine.rows(now_ns)),
            ["probe", name] => {
                engine.probe(now_ns, name).map_err(Error::Usage)?;
                answer.text(name, "runs now; `sparectl health` shows the result")?;
            }
            _ => return Err(Verb::usage("health", Self::VERBS)),
        }
        Ok(Progress::Done)
    }
}
