//! Ends of callbacks: at once, later, or because a newer callback replaces them.

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{FromPlugin, Value};

use super::core::{Core, errno};
use super::pending::To;

impl Core {
    pub(super) fn expect(&self, token: u64, to: To) {
        self.pending.borrow_mut().expect(token, to);
    }

    /// Ends a pending role of the group because a newer one replaces it.
    pub(super) fn supersede(&self, group: &str) {
        let old = self.pending.borrow().role_of(group);
        if let Some(token) = old {
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    /// Makes room for one more query by ending the oldest one.
    pub(super) fn limit_queries(&self) {
        let oldest = self.pending.borrow().query_too_many();
        if let Some(token) = oldest {
            self.note_failure("", "too many newer questions");
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.pending.borrow().is_stopping()
    }

    /// Handles that the plugin ends a pending callback. An unknown token is ignored.
    pub(crate) fn done(&self, token: u64, status: abi::Status) {
        let is_stop = self.pending.borrow().get(token).map(|it| it.to == To::Stop);
        match is_stop {
            // a stop takes effect only after the present callback
            Some(true) => self.stopped.set(Some((token, status))),
            Some(false) => self.finish(token, status),
            // failures reported for a call that had ended before must not count for the next one
            None => drop(self.failures.borrow_mut().take()),
        }
    }

    /// Reports to the daemon that a start or a stop is pending, unless it has ended meanwhile.
    pub(super) fn wait_longer(&self, token: u64) {
        if self.pending.borrow().get(token).is_some() {
            self.outbound.send(&FromPlugin::Pending { token });
        }
    }

    /// Reports to the daemon that a callback has ended. An unknown token is ignored.
    pub(super) fn finish(&self, token: u64, status: abi::Status) {
        let Some(answer) = self.pending.borrow_mut().remove(token) else {
            return;
        };
        if answer.to == To::Start {
            self.handle_started(status);
        }
        self.outbound.send(&FromPlugin::Returned {
            token,
            status,
            failures: self.failures.borrow_mut().take(),
            rows: answer.rows,
            missing: answer.missing,
        });
    }

    /// Adds a row to the answer of a query.
    pub(crate) fn put(&self, token: u64, key: &str, value: Value) -> abi::Status {
        let put = self.pending.borrow_mut().put(token, key, value);
        put.map_or_else(errno, |()| 0)
    }
}
