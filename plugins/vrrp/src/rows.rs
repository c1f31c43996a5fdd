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
        Verb::asks(
            c"metrics",
            c"[GROUP]",
            c"lists the rows behind sparectl metrics, from the group of this number on",
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
        if let ["metrics", from @ ..] = argv {
            let from = match from {
                [] => Some(0),
                [from] => from.parse().ok(),
                _ => None,
            };
            let from = from.ok_or_else(|| Verb::usage("vrrp", Self::VERBS))?;
            let links = links.rows(now_ns, Table::Status).into_iter();
            let links = links.filter(|_| from == 0);
            answer.rows_that_fit(links.chain(engine.metrics(now_ns, from)));
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
