//! Steps that wait for a scan.

use super::scan::AfterScan;

/// Maximum number of waiting steps.
pub(super) const WAITING_MAX: usize = 16;

#[derive(Debug)]
struct Step {
    tree: String,
    /// True if the scan has begun for which the step waits.
    is_read: bool,
    then: AfterScan,
}

#[derive(Debug, Default)]
pub(super) struct Steps {
    waiting: Vec<Step>,
    /// Ticket and tree of an offer that the peer announced, once the tree has been scanned since.
    ahead: Option<(u64, String)>,
}

impl Steps {
    /// Lets a step wait; `is_read` is true if the next result counts.
    pub fn push(&mut self, tree: &str, is_read: bool, then: AfterScan) {
        let tree = tree.to_owned();
        self.waiting.push(Step {
            tree,
            is_read,
            then,
        });
    }

    /// Handles the result of a scan; returns the steps that continue.
    pub fn handle_scanned(&mut self, tree: &str) -> Vec<AfterScan> {
        let mut ready = Vec::new();
        self.waiting.retain_mut(|step| {
            let is_ready = step.tree == tree && step.is_read;
            if is_ready {
                ready.push(step.then);
            }
            step.is_read |= step.tree == tree;
            !is_ready
        });
        ready
    }

    /// Takes the waiting steps for which `which` is true.
    pub fn take(&mut self, which: impl Fn(&AfterScan) -> bool) -> Vec<AfterScan> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = waiting.partition(|step| which(&step.then));
        self.waiting = left;
        taken.into_iter().map(|step| step.then).collect()
    }

    /// Takes the tokens of commands that have waited too long, with true if their step goes on: it changes a tree.
    pub fn take_late_commands(&mut self, now_ns: u64) -> Vec<(u64, bool)> {
        let mut late = Vec::new();
        self.waiting.retain_mut(|step| {
            let goes_on = step.then.can_change();
            let caller = step.then.caller_mut();
            let token = caller.and_then(|it| it.take_late(now_ns));
            late.extend(token.map(|it| (it, goes_on)));
            goes_on || token.is_none()
        });
        late
    }

    /// Tree of a command that waits to change it.
    pub fn waiting_change(&self) -> Option<&str> {
        let mut steps = self.waiting.iter();
        let step = steps.find(|it| it.then.caller().is_some() && it.then.can_change())?;
        Some(&step.tree)
    }

    /// Time when the next command has waited too long.
    pub fn due_ns(&self) -> Option<u64> {
        let steps = self.waiting.iter();
        steps.filter_map(|it| it.then.caller()?.due_ns()).min()
    }

    /// Takes all waiting steps.
    pub fn into_all(self) -> impl Iterator<Item = AfterScan> {
        self.waiting.into_iter().map(|step| step.then)
    }

    /// Forgets an announced offer, since another one was announced.
    pub fn forget_announced(&mut self) {
        let is_announced = |then: &AfterScan| matches!(then, AfterScan::Announced { .. });
        self.waiting.retain(|step| !is_announced(&step.then));
        self.ahead = None;
    }

    /// Handles that a tree was scanned for an announced offer.
    pub fn handle_ahead(&mut self, ticket: u64, tree: &str) {
        self.ahead = Some((ticket, tree.to_owned()));
    }

    /// True once if a tree was scanned since this offer of it was announced.
    pub fn take_ahead(&mut self, ticket: u64, tree: &str) -> bool {
        let is_it = |it: &mut (u64, String)| it.0 == ticket && it.1 == tree;
        self.ahead.take_if(is_it).is_some()
    }

    /// Lets a step wait in the place of the announcement of its offer; false if that waits no more.
    pub fn replace_announced(&mut self, ticket: u64, tree: &str, then: AfterScan) -> bool {
        let is_it = |step: &&mut Step| {
            let is_offer = matches!(step.then, AfterScan::Announced { ticket: of } if of == ticket);
            step.tree == tree && is_offer
        };
        let Some(step) = self.waiting.iter_mut().find(is_it) else {
            return false;
        };
        step.then = then;
        true
    }

    /// Handles the end of the session with the peer: steps for a command here fail later, when they continue.
    pub fn handle_down(&mut self) {
        self.ahead = None;
        let is_own =
            |then: &AfterScan| matches!(then, AfterScan::Receive { .. } | AfterScan::Push { .. });
        self.waiting.retain(|step| is_own(&step.then));
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// True if a step waits for another scan of the tree.
    pub fn wait_for(&self, tree: &str) -> bool {
        self.waiting.iter().any(|step| step.tree == tree)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
