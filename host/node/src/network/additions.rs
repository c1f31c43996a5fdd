//! Manages addresses and routes that plugins add to the elector's groups.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_abi::{ADDITIONS_MAX, GROUPS_MAX};
use spared_contract::Claims;
use spared_group::{Groups, Ticket};
use spared_supervisor::Supervisor;

use super::Network;

/// Additions, by group and plugin.
#[derive(Debug, Default)]
pub struct Additions(BTreeMap<(String, String), Addition>);

#[derive(Clone, Debug)]
struct Addition {
    claims: Claims,
    /// True if the worker that added the claims has ended.
    is_stale: bool,
}

impl Additions {
    /// Returns the elector's claims of a group, with all additions.
    fn merged(&self, group: &str, mut claims: Claims) -> Claims {
        for ((of, _), added) in &self.0 {
            if of == group {
                claims.addresses.extend(added.claims.addresses.clone());
                claims.routes.extend(added.claims.routes.clone());
                claims.rules.extend(added.claims.rules.clone());
            }
        }
        claims
    }

    /// Returns true if a plugin may add to this group. The number of groups is limited, as additions to groups that do
    /// not exist are kept, too.
    fn has_room(&self, plugin: &str, group: &str) -> bool {
        let others = self.0.keys().filter(|(to, of)| of == plugin && to != group);
        others.count() < GROUPS_MAX as usize
    }

    /// Marks the additions of a plugin whose worker has ended.
    fn note_down(&mut self, plugin: &str) {
        for ((_, of), added) in &mut self.0 {
            added.is_stale |= of == plugin;
        }
    }

    /// Removes the additions of a plugin, or only those that its present worker has not added again. Returns the
    /// groups.
    fn remove(&mut self, plugin: &str, only_stale: bool) -> Vec<String> {
        let mut groups = Vec::new();
        self.0.retain(|(group, of), added| {
            let goes = of == plugin && (added.is_stale || !only_stale);
            if goes {
                groups.push(group.clone());
            }
            !goes
        });
        groups
    }
}

/// # Errors
/// A sentence about what is wrong with the addition.
fn check(claims: &Claims) -> Result<(), String> {
    let most = ADDITIONS_MAX as usize;
    if !claims.routers.is_empty() || claims.addresses.iter().any(|it| it.router.is_some()) {
        return Err("only the vrrp plugin claims virtual routers".to_owned());
    }
    if claims.addresses.len() > most || claims.routes.len() > most {
        Err(format!("more than {most} addresses or routes"))
    } else {
        Ok(())
    }
}

impl Network {
    /// Handles a call of a plugin that adds to a group. With None it removes its additions.
    pub fn handle_addition(
        &mut self,
        now: Instant,
        supervisor: &mut Supervisor,
        groups: &Groups,
        ticket: &Ticket,
        group: String,
        claims: Option<Claims>,
    ) {
        let plugin = &ticket.plugin;
        if !supervisor.has_net_admin(plugin) {
            return supervisor.answer_call(now, ticket, -libc::EPERM);
        }
        let key = (group.clone(), plugin.clone());
        let old = self.additions.0.remove(&key);
        let result = claims.map_or(Ok(()), |claims| {
            check(&claims)?;
            if !self.additions.has_room(plugin, &group) {
                return Err(format!("to more than {GROUPS_MAX} groups"));
            }
            let is_stale = false;
            self.additions
                .0
                .insert(key.clone(), Addition { claims, is_stale });
            self.check_additions(groups, &group)
        });
        let status = match result {
            Ok(()) => 0,
            Err(why) => {
                self.additions.0.remove(&key);
                self.additions.0.extend(old.map(|old| (key, old)));
                if supervisor.may_log(now, plugin) {
                    log::warn!("{plugin}: adds to {group}: {why}");
                }
                -libc::EINVAL
            }
        };
        // The plugin waits for the answer, so slow work is done afterwards.
        supervisor.answer_call(now, ticket, status);
        if status == 0 {
            self.claim_again(groups, &group);
        }
    }

    /// Handles the end of a plugin's worker, which no longer follows interfaces. Its additions stay until the next
    /// worker has started.
    pub fn handle_plugin_down(&mut self, plugin: &str) {
        self.additions.note_down(plugin);
        self.unfollow_all(plugin);
    }

    /// Returns the claims of a group for the kernel: with all additions, unless they contradict the elector, which
    /// takes precedence.
    pub(super) fn with_additions(&self, group: &str, claims: Claims) -> Claims {
        let merged = self.additions.merged(group, claims.clone());
        if merged == claims {
            return claims;
        }
        match self.kernel.check_claim(group, &merged) {
            Ok(()) => merged,
            Err(error) => {
                log::warn!(
                    "{group}: addresses and routes that plugins added are left out: {error}"
                );
                claims
            }
        }
    }

    fn check_additions(&self, groups: &Groups, group: &str) -> Result<(), String> {
        let Some(known) = groups.get(group) else {
            return Ok(());
        };
        let merged = self.additions.merged(group, known.claims.clone());
        let checked = self.kernel.check_claim(group, &merged);
        checked.map_err(|error| error.to_string())
    }

    fn claim_again(&mut self, groups: &Groups, group: &str) {
        let Some(known) = groups.get(group) else {
            return;
        };
        let claims = self.with_additions(group, known.claims.clone());
        if let Err(error) = self.kernel_mut().claim(group, claims) {
            log::warn!("{group}: {error}");
        }
    }

    /// Removes the additions of earlier workers of a plugin that has started.
    pub fn remove_stale_additions(&mut self, groups: &Groups, plugin: &str) {
        for group in self.additions.remove(plugin, true) {
            self.claim_again(groups, &group);
        }
    }

    /// Removes the followed interfaces and additions of a plugin that is no longer configured.
    pub fn handle_plugin_removed(&mut self, groups: &Groups, plugin: &str) {
        for group in self.additions.remove(plugin, false) {
            self.claim_again(groups, &group);
        }
        self.unfollow_all(plugin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_adds_to_a_bounded_number_of_groups() {
        let mut additions = Additions::default();
        for number in 0..GROUPS_MAX {
            let group = format!("group{number}");
            assert!(additions.has_room("acme-vpn", &group));
            let claims = Claims::default();
            let is_stale = false;
            additions.0.insert(
                (group, "acme-vpn".to_owned()),
                Addition { claims, is_stale },
            );
        }
        assert!(!additions.has_room("acme-vpn", "another"));
        assert!(additions.has_room("acme-vpn", "group0"));
        assert!(additions.has_room("acme-lamp", "another"));
    }
}
