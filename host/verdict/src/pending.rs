//! Makes one finding of all checks of a plugin that have no result yet for the same reason, such as services that all
//! start.

use crate::facts::{CheckStatus, STATE_UNKNOWN};
use crate::finding::{Finding, Id};
use crate::node::{bare, object};

/// Smallest number of checks that are combined. Fewer have a finding each.
const FEWEST: usize = 4;
/// Number of objects that the finding names.
const NAMED: usize = 3;

/// Checks of a plugin with the same reason.
pub(crate) struct Pending {
    plugin: String,
    why: String,
    since: String,
    objects: Vec<String>,
}

/// Separates the checks that are combined from the others.
pub(crate) fn split(checks: Vec<CheckStatus>) -> (Vec<Pending>, Vec<CheckStatus>) {
    let mut all: Vec<Pending> = Vec::new();
    for check in checks.iter().filter(|it| it.state == STATE_UNKNOWN) {
        match all.iter_mut().find(|it| it.has(check)) {
            Some(pending) => pending.add(check),
            None => all.push(Pending::new(check)),
        }
    }
    all.retain(|it| it.objects.len() >= FEWEST);
    let is_other = |check: &CheckStatus| {
        check.state != STATE_UNKNOWN || !all.iter().any(|pending| pending.has(check))
    };
    let others = checks.into_iter().filter(|check| is_other(check)).collect();
    (all, others)
}

impl Pending {
    fn new(check: &CheckStatus) -> Self {
        Self {
            plugin: check.plugin.clone(),
            why: check.why.clone(),
            since: check.since.clone(),
            objects: vec![object(check).to_owned()],
        }
    }

    fn has(&self, check: &CheckStatus) -> bool {
        check.plugin == self.plugin && check.why == self.why
    }

    fn add(&mut self, check: &CheckStatus) {
        self.objects.push(object(check).to_owned());
        self.since = std::mem::take(&mut self.since).min(check.since.clone());
    }

    pub(crate) fn finding(&self, node: &str) -> Finding {
        let count = self.objects.len();
        let named: Vec<&str> = self
            .objects
            .iter()
            .take(NAMED)
            .map(String::as_str)
            .collect();
        let more = count.saturating_sub(NAMED);
        let why = match self.why.as_str() {
            "" => String::new(),
            why => format!(" ({})", bare(why)),
        };
        let plugin = &self.plugin;
        let text = format!(
            "{node}: {count} checks of {plugin} are not known yet{why}: {} and {more} more",
            named.join(", ")
        );
        let finding = Finding::new(Id::CheckUnknown, node, plugin, text).since(&self.since);
        finding.todo_there(format!("See `sparectl {plugin}`."))
    }
}
