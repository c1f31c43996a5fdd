//! Calls of plugins about several groups. The answer is sent once the status of each element is known.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_contract::ToPlugin;
use spared_group::Ticket;

use super::Supervisor;

/// Statuses that are known so far, by plugin and number of the call.
#[derive(Debug, Default)]
pub struct Calls(BTreeMap<(String, u64), Vec<Option<i32>>>);

impl Calls {
    fn begin(&mut self, plugin: &str, number: u64, count: usize) {
        let call = (plugin.to_owned(), number);
        self.0.insert(call, vec![None; count]);
    }

    /// Stores the status of one element. Returns all statuses once the last one is known.
    fn answer(&mut self, ticket: &Ticket, status: i32) -> Option<Vec<i32>> {
        let call = (ticket.plugin.clone(), ticket.number);
        let Some(statuses) = self.0.get_mut(&call) else {
            return Some(vec![status]);
        };
        if let Some(known) = statuses.get_mut(ticket.part) {
            *known = Some(status);
        }
        let all: Option<Vec<i32>> = statuses.iter().copied().collect();
        if all.is_some() {
            self.0.remove(&call);
        }
        all
    }

    fn forget(&mut self, plugin: &str) {
        self.0.retain(|(of, _), _| of != plugin);
    }
}

impl Supervisor {
    /// Begins to collect the status of each element of a call.
    pub fn begin_call(&mut self, plugin: &str, number: u64, count: usize) {
        self.calls.begin(plugin, number, count);
    }

    /// Forgets the calls of a worker that has ended.
    pub fn forget_calls(&mut self, plugin: &str) {
        self.calls.forget(plugin);
    }

    /// Answers each element of a call with the same status.
    pub fn end_call(&mut self, now: Instant, plugin: &str, number: u64, count: usize, status: i32) {
        for part in 0..count.max(1) {
            let plugin = plugin.to_owned();
            let ticket = Ticket {
                plugin,
                number,
                part,
            };
            self.answer_call(now, &ticket, status);
        }
    }

    /// Stores the status of one element. Answers the call once the status of each element is known.
    pub fn answer_call(&mut self, now: Instant, ticket: &Ticket, status: i32) {
        let Some(statuses) = self.calls.answer(ticket, status) else {
            return;
        };
        let number = ticket.number;
        let message = ToPlugin::Answer { number, statuses };
        self.send(now, &ticket.plugin, &message, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_answered_when_its_last_element_is() {
        let mut calls = Calls::default();
        let ticket = |number, part| Ticket {
            plugin: "vrrp".to_owned(),
            number,
            part,
        };
        calls.begin("vrrp", 7, 3);
        assert_eq!(calls.answer(&ticket(7, 2), -5), None);
        assert_eq!(calls.answer(&ticket(7, 0), 0), None);
        assert_eq!(
            calls.answer(&ticket(8, 0), -1),
            Some(vec![-1]),
            "another call"
        );
        assert_eq!(calls.answer(&ticket(7, 99), 0), None, "no such element");
        assert_eq!(calls.answer(&ticket(7, 1), 0), Some(vec![0, 0, -5]));
        calls.begin("vrrp", 9, 2);
        calls.forget("vrrp");
        assert_eq!(calls.answer(&ticket(9, 1), 0), Some(vec![0]));
    }
}
