//! Functions of the daemon. If the plugin needs a result at once, the function waits for the answer, by `abi/RULES.md`
//! at most [`CALL_TIMEOUT_MS`], or [`CALL_TIMEOUT_AT_START_MS`] until the plugin has started. Messages that come meanwhile are handled afterwards, in order.

use std::collections::BTreeSet;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{
    CALL_TIMEOUT_AT_START_MS, CALL_TIMEOUT_MS, Call, Cause, Claims, FromPlugin, Publication, Role,
    ToPlugin,
};
use spared_records::SendError;
use spared_records::monotonic::now_ns;

use super::core::{Core, errno, timespec};

impl Core {
    /// Calls the daemon and waits for its answer.
    pub(crate) fn call(&self, call: Call) -> abi::Status {
        let number = self.next_call();
        let record = spared_records::encode(&FromPlugin::Call { number, call });
        let record = record.map_err(|_| Errno::MSGSIZE);
        let answers =
            record.and_then(|record| self.wait_for_answer(number, record, self.answer_until_ns()));
        let first = |statuses: Vec<abi::Status>| statuses.first().copied();
        answers.map_or_else(errno, |it| first(it).unwrap_or(errno(Errno::PROTO)))
    }

    /// Declares groups, replaces their claims, or withdraws those with None. Returns a status for each.
    pub(crate) fn claim(&self, groups: &[(&str, Option<&Claims>)]) -> Vec<abi::Status> {
        self.call_each(
            "claim",
            groups,
            |it| it.0,
            |groups| {
                let owned = groups
                    .iter()
                    .map(|(group, it)| ((*group).to_owned(), it.cloned()));
                Call::Claim {
                    groups: owned.collect(),
                }
            },
        )
    }

    /// Sets the roles of groups. Returns a status for each.
    pub(crate) fn publish(&self, groups: &[(&str, &Publication)]) -> Vec<abi::Status> {
        let sent_ns = now_ns();
        self.call_each(
            "publish",
            groups,
            |it| it.0,
            |groups| {
                let dated = |it: &Publication| Publication {
                    sent_ns,
                    ..it.clone()
                };
                let owned = groups
                    .iter()
                    .map(|(group, it)| ((*group).to_owned(), dated(it)));
                Call::Publish {
                    groups: owned.collect(),
                }
            },
        )
    }

    /// Announces the addresses of groups again. Returns a status for each.
    pub(crate) fn announce(&self, groups: &[&str]) -> Vec<abi::Status> {
        self.call_each(
            "announce",
            groups,
            |it| it,
            |groups| Call::Announce {
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            },
        )
    }

    /// Replaces the cause of a role. Does not wait: a late answer is ignored.
    pub(crate) fn explain(&self, group: &str, role: Role, cause: Cause) -> abi::Status {
        if group.is_empty() {
            return self.refuse("explain", "empty group name");
        }
        let (number, group) = (self.next_call(), group.to_owned());
        let call = Call::Explain { group, role, cause };
        self.outbound.send(&FromPlugin::Call { number, call });
        0
    }

    fn next_call(&self) -> u64 {
        self.calls.set(self.calls.get() + 1);
        self.calls.get()
    }

    /// Sends all valid elements to the daemon in one call, and returns the status of each element.
    fn call_each<T: Copy>(
        &self,
        function: &str,
        elements: &[T],
        group: impl Fn(&T) -> &str,
        call: impl Fn(&[T]) -> Call,
    ) -> Vec<abi::Status> {
        let (mut wanted, mut groups) = (Vec::with_capacity(elements.len()), BTreeSet::new());
        let refused: Vec<Option<abi::Status>> = elements
            .iter()
            .map(|element| {
                let name = group(element);
                let why = match name {
                    "" => "empty group name".to_owned(),
                    _ if groups.insert(name.to_owned()) => {
                        wanted.push(*element);
                        return None;
                    }
                    _ => format!("group {name} stands twice in the array"),
                };
                Some(self.refuse(function, &why))
            })
            .collect();
        let mut answers = self
            .call_until(&wanted, &call, self.answer_until_ns())
            .into_iter();
        let status = |refused: Option<abi::Status>| refused.or_else(|| answers.next());
        let statuses = refused.into_iter().map(status);
        statuses
            .map(|it| it.unwrap_or(errno(Errno::PROTO)))
            .collect()
    }

    /// Calls the daemon. If the elements do not fit into one record, several calls are made.
    fn call_until<T: Copy>(
        &self,
        wanted: &[T],
        call: &impl Fn(&[T]) -> Call,
        until_ns: u64,
    ) -> Vec<abi::Status> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let number = self.next_call();
        let message = FromPlugin::Call {
            number,
            call: call(wanted),
        };
        let record = match spared_records::encode(&message) {
            Err(SendError::TooLong(_)) if wanted.len() > 1 => {
                let (first, second) = wanted.split_at(wanted.len() / 2);
                let mut statuses = self.call_until(first, call, until_ns);
                statuses.extend(self.call_until(second, call, until_ns));
                return statuses;
            }
            record => record.map_err(|_| Errno::MSGSIZE),
        };
        let answers = record.and_then(|record| self.wait_for_answer(number, record, until_ns));
        let mut statuses = answers.unwrap_or_else(|why| vec![errno(why); wanted.len()]);
        statuses.resize(wanted.len(), errno(Errno::PROTO));
        statuses
    }

    /// Sends a call and waits for its answer.
    fn wait_for_answer(
        &self,
        number: u64,
        record: Vec<u8>,
        until_ns: u64,
    ) -> Result<Vec<abi::Status>, Errno> {
        // Messages would accumulate if a plugin only called and never returned to the loop.
        if self.is_inbox_full() {
            return Err(Errno::BUSY);
        }
        self.outbound.send_call(record);
        loop {
            self.outbound.flush();
            match self.receive() {
                Ok(Some((
                    ToPlugin::Answer {
                        number: of,
                        statuses,
                    },
                    _,
                ))) => {
                    if of == number {
                        return Ok(statuses);
                    }
                    // this is the answer to an earlier call, which timed out
                    continue;
                }
                Ok(Some(other)) => {
                    self.put_off(other);
                    continue;
                }
                Ok(None) => {}
                // the loop gets the same error and handles it
                Err(_) => return Err(Errno::PIPE),
            }
            let left_ns = until_ns.saturating_sub(now_ns());
            if left_ns == 0 {
                return Err(Errno::TIMEDOUT);
            }
            self.wait_for_socket(left_ns);
        }
    }

    fn wait_for_socket(&self, timeout_ns: u64) {
        let mut interest = PollFlags::IN;
        if !self.outbound.flush() {
            interest |= PollFlags::OUT;
        }
        let socket = self.outbound.socket();
        let _ = poll(
            &mut [PollFd::new(&socket, interest)],
            Some(&timespec(timeout_ns)),
        );
    }

    /// Time until which a call that begins now waits for its answer.
    fn answer_until_ns(&self) -> u64 {
        let timeout_ms = if self.started.get() {
            CALL_TIMEOUT_MS
        } else {
            CALL_TIMEOUT_AT_START_MS
        };
        now_ns() + timeout_ms * 1_000_000
    }
}
