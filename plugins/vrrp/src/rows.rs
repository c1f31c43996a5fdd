//! Implements the verbs and rows of `sparectl vrrp`.

use spared_sdk::{Answer, Error, Progress, Query, Verb};

use crate::Vrrp;
use crate::engine::Table;

impl Query for Vrrp {
    const VERBS: &'static [Verb] = &[
        Verb::STATUS,
        Verb::asks(
            c"virtual-routers",
            c"",
            c"lists the virtual routers and their state",
        ),
        Verb::asks(
            c"counters",
            c"",
            c"lists what was sent, heard and discarded",
        ),
        Verb::asks(c"totals", c"", c"sums the counters of all groups"),
        Verb::changes(c"retry", c"", c"tries at once to send refused adverts"),
    ];

    fn query(&mut self, argv: &[&str], answer: &mut Answer) -> Result<Progress, Error> {
        if argv == ["retry"] {
            let mut tried = 0;
            self.with_engine(|engine, now_ns| tried = engine.retry(now_ns));
            answer.number("tried_again", tried)?;
            return Ok(Progress::Done);
        }
        let (Some(engine), Some(links)) = (&self.engine, &self.links) else {
            return Ok(Progress::Done);
        };
        let now_ns = self.host.now();
        if argv == ["totals"] {
            let rows = engine.totals(now_ns).into_iter();
            answer.rows(rows.chain(links.totals(now_ns)))?;
            return Ok(Progress::Done);
        }
        let Some(table) = Table::named(argv) else {
            return Err(Verb::usage("vrrp", Self::VERBS));
        };
        // rows of hundreds of routers fill an answer, and those of links are few
        let rows = links.rows(now_ns, table).into_iter();
        answer.rows_that_fit(rows.chain(engine.rows(now_ns, table)));
        Ok(Progress::Done)
    }
}
