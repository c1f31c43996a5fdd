//! Checks of the interfaces, one for each, which make up this node's quality.

use super::{Action, Engine};

/// A check as it was last reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    weight: u32,
    state: u32,
    why: &'static str,
}

const GOOD: u32 = 100;

impl Engine {
    /// Reports the checks that have changed.
    pub(super) fn report_checks(&mut self) {
        for index in 0..self.interfaces.len() {
            let now = self.check(index);
            let interface = self.interfaces.get_mut(index);
            let Some(interface) = interface.filter(|it| it.check != now) else {
                continue;
            };
            interface.check = now;
            let name = interface.name.clone();
            self.actions.push(match now {
                Some(Check { weight, state, why }) => Action::Check {
                    name,
                    weight,
                    state,
                    why,
                },
                None => Action::ForgetCheck(name),
            });
        }
    }

    /// Check of an interface; None if no group uses it, or before the host has reported it.
    fn check(&self, index: usize) -> Option<Check> {
        let interface = self.interfaces.get(index).filter(|i| i.known)?;
        let mut weight = None;
        let mut why = None;
        for group in &self.groups {
            let Some(port) = group.networks.port_on(index) else {
                continue;
            };
            why = why.or(interface.fault()).or(interface.mtu_fault());
            let routers = || group.networks.routers_on(port);
            weight = weight.max(routers().map(|router| router.config.weight).max());
            if why.is_none() && routers().any(|router| router.source.is_none()) {
                why = Some("has no source address");
            }
            if why.is_none() && routers().any(|router| router.muting.is_muted()) {
                why = Some("cannot send adverts");
            }
            if why.is_none() && port.is_rated_bad() {
                why = Some("reaches no other station");
            }
        }
        // an interface with adverts takes its weight from its virtual routers alone
        let tracked = self.groups.iter().filter_map(|group| group.tracks(index));
        let weight = weight.or(tracked.map(|it| it.weight).max());
        let why = why.or(interface.known_fault());
        Some(Check {
            weight: weight?,
            state: if why.is_none() { GOOD } else { 0 },
            why: why.map_or("", without_verb),
        })
    }
}

/// Shortens "has no carrier" to "no carrier".
fn without_verb(fault: &'static str) -> &'static str {
    let fault = fault.strip_prefix("has ").unwrap_or(fault);
    fault.strip_prefix("is ").unwrap_or(fault)
}
