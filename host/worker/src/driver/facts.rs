//! What the plugin reports of itself: checks, whether it is in sync, and the scopes of its keys.

use spared_abi as abi;
use spared_contract::check::{check_name, fits};
use spared_contract::{FromPlugin, Scope};

use super::Driver;

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
        if let Err(why) = fits(name, weight, state) {
            return self.refuse("report", &why);
        }
        self.say(&FromPlugin::Check {
            name: name.to_owned(),
            weight,
            state,
            why: why.to_owned(),
        })
    }

    pub(super) fn forget_check(&self, name: &str) -> abi::Status {
        match check_name(name) {
            Ok(()) => self.say(&FromPlugin::ForgetCheck {
                name: name.to_owned(),
            }),
            Err(why) => self.refuse("forget", why),
        }
    }

    pub(super) fn report_synchrony(&self, yes: bool, why: &str) -> abi::Status {
        self.say(&FromPlugin::InSync {
            yes,
            why: why.to_owned(),
        })
    }

    /// Keeps the scope of a key until `configure` has succeeded.
    pub(super) fn declare_scope(&self, key: &str, scope: u32) -> abi::Status {
        let Some(scope) = Scope::from_raw(scope) else {
            return self.refuse("declare", &format!("unknown scope {scope}"));
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
    fn say(&self, message: &FromPlugin) -> abi::Status {
        if !self.check_only {
            self.outbound.send(message);
        }
        0
    }
}
