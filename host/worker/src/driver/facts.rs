//! What the plugin reports of itself: checks, whether it is in sync, and the scopes of its keys.

use spared_abi as abi;

use super::Driver;
use crate::message::{FromWorker, Scope};

const NAME_MAX: usize = 64;
const WEIGHT_MAX: u32 = 9999;
const STATE_MAX: u32 = 100;
/// Longer keys, and more of them, are a mistake of the plugin.
const KEY_MAX: usize = 256;
const SCOPES_MAX: usize = 4096;

impl Driver {
    pub(super) fn report_check(
        &self,
        name: &str,
        weight: u32,
        state: u32,
        why: &str,
    ) -> abi::Status {
        if let Err(why) = check_name(name) {
            return self.refuse("report", why);
        }
        if weight > WEIGHT_MAX {
            let why = format!("check {name}: weight {weight}, allowed 0-{WEIGHT_MAX}");
            return self.refuse("report", &why);
        }
        let is_word = matches!(state, abi::CHECK_UNKNOWN | abi::CHECK_LOSES);
        if state > STATE_MAX && !is_word {
            let why = format!("check {name}: state {state}, allowed 0-{STATE_MAX}");
            return self.refuse("report", &why);
        }
        self.say(&FromWorker::Check {
            name: name.to_owned(),
            weight,
            state,
            why: why.to_owned(),
        })
    }

    pub(super) fn forget_check(&self, name: &str) -> abi::Status {
        match check_name(name) {
            Ok(()) => self.say(&FromWorker::ForgetCheck {
                name: name.to_owned(),
            }),
            Err(why) => self.refuse("forget", why),
        }
    }

    pub(super) fn report_synchrony(&self, yes: bool, why: &str) -> abi::Status {
        self.say(&FromWorker::InSync {
            yes,
            why: why.to_owned(),
        })
    }

    /// Keeps the scope of a key until `configure` has succeeded.
    pub(super) fn declare_scope(&self, key: &str, scope: u32) -> abi::Status {
        let scope = match scope {
            abi::SCOPE_PAIR => Scope::Pair,
            abi::SCOPE_NODE => Scope::Node,
            abi::SCOPE_LOCAL => Scope::Local,
            abi::SCOPE_SECRET => Scope::Secret,
            other => return self.refuse("declare", &format!("unknown scope {other}")),
        };
        if !(1..=KEY_MAX).contains(&key.len()) {
            return self.refuse("declare", &format!("a key of {} bytes", key.len()));
        }
        let mut declared = self.scopes.borrow_mut();
        let Some(scopes) = declared.as_mut() else {
            return self.refuse("declare", "may only be called in configure");
        };
        if scopes.len() >= SCOPES_MAX {
            return self.refuse("declare", &format!("more than {SCOPES_MAX} keys"));
        }
        scopes.push((key.to_owned(), scope));
        0
    }

    /// Sends a message, unless this is only a check of a configuration.
    fn say(&self, message: &FromWorker) -> abi::Status {
        if !self.check_only {
            self.outbound.send(message);
        }
        0
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if !(1..=NAME_MAX).contains(&name.len()) {
        return Err("a check's name has 1-64 bytes of UTF-8");
    }
    if name.chars().any(char::is_control) {
        return Err("a check's name is printable");
    }
    Ok(())
}
