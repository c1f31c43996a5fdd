//! Groups: functions for the plugin that decides roles, and additions by other plugins.

use spared_abi as abi;

use spared_contract::{
    AddressClaim, Call, Cause, Claims, Directive, Publication, Role, RouteClaim,
};

use crate::error::check;
use crate::host::Host;
use crate::{Error, Plugin};

/// The part `groups`: the plugin decides roles.
pub trait Groups: Plugin {
    /// Handles the daemon's directive for a group; the newest one replaces all earlier ones.
    fn directive(&mut self, directive: &Directive);
}

/// Handle that declares groups and sets their roles; from [`Host::groups`].
#[derive(Clone, Copy, Debug)]
pub struct GroupHandle(pub(crate) Host);

impl GroupHandle {
    /// Declares a group, or replaces all its claims. While the group is active, only the difference is applied.
    ///
    /// # Errors
    /// The daemon's, which has logged the reason.
    pub fn claim(&self, group: &str, claims: &Claims) -> Result<(), Error> {
        only(self.claim_all(&[(group, Some(claims))]))
    }

    /// Declares groups, replaces their claims, or withdraws those with None, in one call. Returns one result for each.
    pub fn claim_all(&self, groups: &[(&str, Option<&Claims>)]) -> Vec<Result<(), Error>> {
        let what = |index: usize| format!("claim group {}", groups[index].0);
        results(self.0.core().claim(groups), what)
    }

    /// Withdraws a group.
    ///
    /// # Errors
    /// The daemon's, which has logged the reason.
    pub fn withdraw(&self, group: &str) -> Result<(), Error> {
        only(self.claim_all(&[(group, None)]))
    }

    /// Sets a group's role. Active returns when the fence is passing: send adverts then. Backup returns when it is
    /// blocking: send priority 0 then. The same role with another cause only replaces the cause.
    ///
    /// # Errors
    /// The daemon refused, or did not answer within 100 ms (1 s until the plugin has started): the role is then backup.
    pub fn publish(&self, group: &str, role: Role, cause: &Cause) -> Result<(), Error> {
        let publication = Publication::new(role, cause.clone());
        only(self.publish_all(&[(group, &publication)]))
    }

    /// Sets the roles of groups in one call, each like [`publish`](Self::publish). Returns one result for each.
    pub fn publish_all(&self, groups: &[(&str, &Publication)]) -> Vec<Result<(), Error>> {
        let what = |index: usize| {
            let (group, it) = groups[index];
            format!("publish {} for group {group}", it.role)
        };
        results(self.0.core().publish(groups), what)
    }

    /// Publishes active once more, so that every fence lease is granted again, including leases that lapsed. Read your
    /// sockets until they are empty before: no other router may be active.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn reopen(&self, group: &str, cause: &Cause) -> Result<(), Error> {
        let publication = Publication {
            reopens: true,
            ..Publication::new(Role::Active, cause.clone())
        };
        only(self.publish_all(&[(group, &publication)]))
    }

    /// Replaces the cause of a published role, as long as the group has that role. Does not wait for
    /// the daemon.
    ///
    /// # Errors
    /// The group has no name.
    pub fn explain(&self, group: &str, role: Role, cause: &Cause) -> Result<(), Error> {
        let status = self.0.core().explain(group, role, cause.clone());
        check(&format!("explain group {group}"), status)
    }

    /// Announces the addresses again: at once, after 1 s and after 5 s.
    ///
    /// # Errors
    /// The daemon's, which has logged the reason.
    pub fn announce(&self, group: &str) -> Result<(), Error> {
        only(self.announce_all(&[group]))
    }

    /// Announces the addresses of several groups, in one call. Returns one result for each.
    pub fn announce_all(&self, groups: &[&str]) -> Vec<Result<(), Error>> {
        let what = |index: usize| format!("announce group {}", groups[index]);
        results(self.0.core().announce(groups), what)
    }

    /// Requests a switchover to the peer, which is fitter; for the active node. When followers have drained and the
    /// peer is prepared, [`Directive::release`] is set.
    ///
    /// # Errors
    /// A switchover is under way, there is no link, or the daemon has logged another reason. Retry some seconds later.
    pub fn switch_over(&self, group: &str, cause: &Cause) -> Result<(), Error> {
        let call = Call::SwitchOver {
            group: group.to_owned(),
            cause: cause.clone(),
        };
        check(
            &format!("switch over group {group}"),
            self.0.core().call(call),
        )
    }
}

/// Handle that adds addresses and routes to groups of the elector; from [`Host::additions`].
#[derive(Clone, Copy, Debug)]
pub struct Additions(pub(crate) Host);

impl Additions {
    /// Adds addresses and routes to a group, in place of those that this plugin added before. They are installed while
    /// the group is active, behind its fence; their [`AddressClaim::router`] is None. With empty lists, earlier
    /// additions are removed.
    ///
    /// # Errors
    /// The plugin does not have CAP_NET_ADMIN, or the daemon has logged another reason.
    pub fn add(
        &self,
        group: &str,
        addresses: &[AddressClaim],
        routes: &[RouteClaim],
    ) -> Result<(), Error> {
        let claims = Claims {
            addresses: addresses.to_vec(),
            routes: routes.to_vec(),
            ..Claims::default()
        };
        let call = Call::Add {
            group: group.to_owned(),
            claims: Some(claims).filter(|it| *it != Claims::default()),
        };
        check(&format!("add to group {group}"), self.0.core().call(call))
    }
}

/// Results for the elements of an array.
fn results(statuses: Vec<abi::Status>, what: impl Fn(usize) -> String) -> Vec<Result<(), Error>> {
    let statuses = statuses.into_iter().enumerate();
    statuses
        .map(|(index, status)| check(&what(index), status))
        .collect()
}

/// Result for an array of one element.
fn only(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
}
