//! Runs callbacks: their durations, answers and failures, and the texts lent to them.

use std::ffi::c_void;

use rustix::io::Errno;
use spared_abi as abi;
use spared_contract::{FromPlugin, LogLevel, Value};
use spared_records::monotonic::now_ns;
use spared_sdk::run::To;

use super::host::errno;
use super::{CALLBACK_NS_MAX, Driver, End};
use crate::status::{self, INVALID, Invalid};

const ENOTRECOVERABLE: abi::Status = errno(Errno::NOTRECOVERABLE);

impl Driver {
    /// Runs a callback that may stay pending under a token.
    pub(super) fn begin(
        &self,
        token: u64,
        callback: &'static str,
        to: To,
        call: impl FnOnce(*mut c_void) -> abi::Status,
    ) {
        self.expect(token, callback, to);
        let status = if self.instance.get().is_null() {
            errno(Errno::INVAL)
        } else {
            self.enter(callback, call)
        };
        if status != abi::PENDING {
            self.finish(token, status);
        }
        self.drop_failures(callback);
    }

    /// Ends a pending role of the group, which a newer one replaces.
    pub(super) fn supersede(&self, group: &str) {
        let old = self.pending.borrow().role_of(group);
        if let Some(token) = old {
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    /// Makes room for one more query.
    pub(super) fn limit_queries(&self) {
        let oldest = self.pending.borrow().query_too_many();
        if let Some(token) = oldest {
            self.note_failure("", "too many newer questions");
            self.finish(token, errno(Errno::CANCELED));
        }
    }

    /// Runs a callback whose failure is logged, and a state that the host knows.
    pub(super) fn tell(
        &self,
        callback: &'static str,
        call: impl FnOnce(*mut c_void) -> abi::Status,
    ) {
        if self.instance.get().is_null() {
            return;
        }
        let status = self.enter(callback, call);
        self.note_result(callback, status);
        self.report(callback, status);
    }

    fn note_result(&self, callback: &'static str, status: abi::Status) {
        let mut failing = self.failing.borrow_mut();
        let is_told = match status < 0 {
            true => failing.note(now_ns(), callback),
            false => !failing.is_empty() && failing.end(now_ns(), callback),
        };
        if is_told {
            let why = (status < 0).then(|| self.reason(status));
            self.outbound.send(&FromPlugin::Callback {
                name: callback.to_owned(),
                why,
            });
        }
    }

    /// What the plugin said of its failure, or what its status says.
    fn reason(&self, status: abi::Status) -> String {
        let said = self.failures.borrow();
        let said = said.all().iter().find(|it| !it.why.is_empty());
        said.map_or_else(|| text_of(status), |failure| failure.why.clone())
    }

    pub(super) fn report(&self, callback: &str, status: abi::Status) {
        if status < 0 && self.failures.borrow().all().is_empty() {
            self.note_failure("", &text_of(status));
        }
        self.drop_failures(callback);
    }

    pub(super) fn drop_failures(&self, callback: &str) {
        for line in self.failures.borrow_mut().lines(callback) {
            self.outbound.log(LogLevel::Warn, &line);
        }
    }

    /// Calls the plugin, and checks the duration and the status.
    pub(super) fn enter(
        &self,
        callback: &str,
        call: impl FnOnce(*mut c_void) -> abi::Status,
    ) -> abi::Status {
        let begin_ns = now_ns();
        let status = call(self.instance.get());
        let took_ns = now_ns() - begin_ns;
        self.lent.borrow_mut().clear();
        if took_ns > CALLBACK_NS_MAX && !self.check_only {
            let line = self.slow.borrow_mut().note(begin_ns, callback, took_ns);
            if let Some(line) = line {
                self.outbound.log(LogLevel::Debug, &line);
            }
        }
        if status == ENOTRECOVERABLE {
            self.end_with(End::Broken);
        }
        status::returned(callback, status).unwrap_or_else(|why| self.distrust(&why))
    }

    /// Logs an invalid status, and reports it as a failure.
    fn distrust(&self, invalid: &Invalid) -> abi::Status {
        let why = invalid.to_string();
        self.outbound.log(LogLevel::Error, &why);
        self.note_failure("", &why);
        INVALID
    }

    pub(super) fn answer_now(&self, callback: &'static str, token: u64, status: abi::Status) {
        self.expect(token, callback, To::Other);
        self.finish(token, status);
    }

    pub(super) fn expect(&self, token: u64, callback: &'static str, to: To) {
        self.pending.borrow_mut().expect(token, callback, to);
    }

    /// Handles done() of the plugin for a callback.
    pub(super) fn done(&self, token: u64, status: abi::Status) {
        let callback = self.pending.borrow().get(token).map(|it| it.callback);
        let Some(callback) = callback else {
            // what it says of a call that was ended before is not of the next one
            self.failures.borrow_mut().take();
            return;
        };
        let status = status::ended(callback, status).unwrap_or_else(|why| self.distrust(&why));
        match callback {
            // nothing is destroyed within a callback
            "stop" => self.stopped.set(Some((token, status))),
            _ => self.finish(token, status),
        }
    }

    /// Tells the host that a start or a stop is pending.
    pub(super) fn wait_longer(&self, callback: &str, token: u64) {
        if self.pending.borrow().get(token).is_some() {
            self.outbound.send(&FromPlugin::Pending { token });
        }
        self.drop_failures(callback);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.pending.borrow().is_stopping()
    }

    /// Tells the host that a callback has ended. An unknown token is ignored.
    pub(super) fn finish(&self, token: u64, status: abi::Status) {
        let answer = self.pending.borrow_mut().remove(token);
        if let Some(answer) = answer {
            if answer.to == To::Start {
                self.handle_started(status);
            }
            let failures = self.failures.borrow_mut().take();
            self.outbound.send(&FromPlugin::Returned {
                token,
                status,
                failures,
                rows: answer.rows,
                missing: answer.missing,
            });
        }
    }

    pub(super) fn put(&self, token: u64, key: &str, value: Value) -> abi::Status {
        let put = self.pending.borrow_mut().put(token, key, value);
        put.map_or_else(errno, |()| 0)
    }

    pub(super) fn note_failure(&self, key: &str, why: &str) {
        self.failures.borrow_mut().note(key, why);
    }

    /// Refuses a wrong call of a host function with -EINVAL, and logs the reason.
    pub(super) fn refuse(&self, function: &str, why: &str) -> abi::Status {
        self.outbound
            .log(LogLevel::Error, &format!("{function}(): {why}"));
        errno(Errno::INVAL)
    }

    /// Keeps a text until the running callback returns.
    pub(super) fn lend(&self, text: String) -> abi::Str {
        let text = text.into_boxed_str();
        let lent = abi::Str::of(&text);
        self.lent.borrow_mut().push(text);
        lent
    }
}

fn text_of(status: abi::Status) -> String {
    std::io::Error::from_raw_os_error(status.saturating_neg()).to_string()
}
