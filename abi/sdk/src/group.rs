//! `spared.group/1`: for the elector, the plugin that decides roles.

use spared_abi as abi;

use spared_contract::{
    AddressClaim, Call, Cause, Claims, Directive, Publication, Role, RouteClaim,
};

use crate::claims::RawClaims;
use crate::error::check;
use crate::host::{Host, c_text};
use crate::interface::call_ctx;
use crate::{Error, Plugin, text};

/// The part `groups`: the plugin decides roles.
pub trait Groups: Plugin {
    /// The host's directive for a group; the newest replaces all earlier ones.
    fn directive(&mut self, directive: &Directive);
}

/// # Safety
/// `cause` is NULL, or lent for the call with its texts, and as long as its size says.
pub(crate) unsafe fn cause(cause: *const abi::Cause) -> Cause {
    // SAFETY: the caller's promise; no field of a shorter one is read.
    unsafe {
        if cause.is_null() || !crate::has!((*cause), abi::Cause, text) {
            return Cause::default();
        }
        let raw = &*cause;
        let (peer, interface) = (text::owned(raw.peer), text::owned(raw.interface));
        Cause::from_raw(raw, peer, interface, text::owned(raw.text))
    }
}

/// Declares groups and sets their roles; from [`Host::groups`].
#[derive(Clone, Copy, Debug)]
pub struct GroupHandle {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Group,
}

impl GroupHandle {
    /// Declares a group, or replaces all its claims. While it is active only the difference is
    /// applied.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn claim(&self, group: &str, claims: &Claims) -> Result<(), Error> {
        only(self.claim_all(&[(group, Some(claims))]))
    }

    /// Declares groups, replaces their claims, or withdraws those with None, in one call. One result
    /// for each.
    pub fn claim_all(&self, groups: &[(&str, Option<&Claims>)]) -> Vec<Result<(), Error>> {
        if let Some(core) = self.host.core() {
            let what = |index: usize| format!("claim group {}", groups[index].0);
            return results(core.claim(groups), what);
        }
        let kept: Vec<_> = groups
            .iter()
            .map(|(_, it)| it.map(RawClaims::new))
            .collect();
        let claims: Vec<_> = kept
            .iter()
            .map(|it| it.as_ref().map(RawClaims::raw))
            .collect();
        let elements = groups.iter().zip(&claims);
        let elements = elements.map(|((group, _), claims)| abi::GroupClaim {
            size: size::<abi::GroupClaim>(),
            flags: 0,
            group: abi::Str::of(group),
            claims: claims.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        });
        let elements: Vec<_> = elements.collect();
        self.each(
            &elements,
            |index| format!("claim group {}", groups[index].0),
            |first, count, statuses| {
                // SAFETY: the table is valid as long as the instance; the elements live through the call.
                unsafe { call_ctx!(self.table, claim, self.host.ctx(), first, count, statuses) }
            },
        )
    }

    /// Withdraws a group.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn withdraw(&self, group: &str) -> Result<(), Error> {
        only(self.claim_all(&[(group, None)]))
    }

    /// Sets a group's role. Active returns when the fence is passing: advertise then. Backup returns
    /// when it is blocking: send priority 0 then. The same role with another cause only replaces the
    /// cause.
    ///
    /// # Errors
    /// The host refused, or did not answer within 100 ms: the role is then backup.
    pub fn publish(&self, group: &str, role: Role, cause: &Cause) -> Result<(), Error> {
        let publication = Publication::new(role, cause.clone());
        only(self.publish_all(&[(group, &publication)]))
    }

    /// Sets the roles of groups in one call, each as [`publish`](Self::publish). One result for each.
    pub fn publish_all(&self, groups: &[(&str, &Publication)]) -> Vec<Result<(), Error>> {
        let what = |index: usize| {
            let (group, it) = groups[index];
            format!("publish {} for group {group}", it.role)
        };
        if let Some(core) = self.host.core() {
            return results(core.publish(groups), what);
        }
        let causes: Vec<_> = groups.iter().map(|(_, it)| it.cause.to_raw()).collect();
        let elements = groups.iter().zip(&causes);
        let elements = elements.map(|((group, it), cause)| abi::Publication {
            size: size::<abi::Publication>(),
            flags: if it.reopens { abi::PUBLISH_REOPEN } else { 0 },
            group: abi::Str::of(group),
            role: it.role.to_raw(),
            reserved: 0,
            cause,
        });
        let elements: Vec<_> = elements.collect();
        self.each(&elements, what, |first, count, statuses| {
            // SAFETY: as above.
            unsafe { call_ctx!(self.table, publish, self.host.ctx(), first, count, statuses) }
        })
    }

    /// Publishes active once more, so that every fence lease is granted anew, also those that lapsed.
    /// Read your sockets empty first: nobody else may be active.
    ///
    /// # Errors
    /// As of [`publish`](Self::publish).
    pub fn reopen(&self, group: &str, cause: &Cause) -> Result<(), Error> {
        let publication = Publication {
            reopens: true,
            ..Publication::new(Role::Active, cause.clone())
        };
        only(self.publish_all(&[(group, &publication)]))
    }

    /// Replaces the cause of a published role, as long as the group has that role. Does not wait for
    /// the host.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn explain(&self, group: &str, role: Role, cause: &Cause) -> Result<(), Error> {
        if let Some(core) = self.host.core() {
            let status = core.explain(group, role, cause.clone());
            return check(&format!("explain group {group}"), status);
        }
        let (c_group, cause) = (c_text(group)?, cause.to_raw());
        // SAFETY: as above.
        let status = unsafe {
            call_ctx!(
                self.table,
                explain,
                self.host.ctx(),
                c_group.as_ptr(),
                role.to_raw(),
                &raw const cause
            )
        };
        check(&format!("explain group {group}"), status)
    }

    /// Announces the addresses again: at once, after 1 s and after 5 s.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn announce(&self, group: &str) -> Result<(), Error> {
        only(self.announce_all(&[group]))
    }

    /// The same for several groups, in one call. One result for each.
    pub fn announce_all(&self, groups: &[&str]) -> Vec<Result<(), Error>> {
        if let Some(core) = self.host.core() {
            let what = |index: usize| format!("announce group {}", groups[index]);
            return results(core.announce(groups), what);
        }
        let elements: Vec<_> = groups.iter().map(|group| abi::Str::of(group)).collect();
        self.each(
            &elements,
            |index| format!("announce group {}", groups[index]),
            |first, count, statuses| {
                // SAFETY: as above.
                unsafe {
                    call_ctx!(
                        self.table,
                        announce,
                        self.host.ctx(),
                        first,
                        count,
                        statuses
                    )
                }
            },
        )
    }

    /// On the active node: requests a switchover to the peer, which is fitter. When followers have
    /// drained and the peer is prepared, [`Directive::release`] is set.
    ///
    /// # Errors
    /// One is under way, there is no link, or the host has logged why not: ask again some seconds
    /// later.
    pub fn switch_over(&self, group: &str, cause: &Cause) -> Result<(), Error> {
        if let Some(core) = self.host.core() {
            let call = Call::SwitchOver {
                group: group.to_owned(),
                cause: cause.clone(),
            };
            return check(&format!("switch over group {group}"), core.call(call));
        }
        let (c_group, cause) = (c_text(group)?, cause.to_raw());
        // SAFETY: as above; an older host's table may end before the function.
        let status = unsafe {
            if !crate::has!(*self.table, abi::Group, switch_over) {
                return check(&format!("switch over group {group}"), -crate::error::ENOSYS);
            }
            call_ctx!(
                self.table,
                switch_over,
                self.host.ctx(),
                c_group.as_ptr(),
                &raw const cause
            )
        };
        check(&format!("switch over group {group}"), status)
    }

    /// Calls a function that takes an array, as often as its longest array requires.
    fn each<T>(
        &self,
        elements: &[T],
        what: impl Fn(usize) -> String,
        call: impl Fn(*const T, u32, *mut abi::Status) -> abi::Status,
    ) -> Vec<Result<(), Error>> {
        let mut statuses = Vec::with_capacity(elements.len());
        for some in elements.chunks(abi::GROUPS_MAX as usize) {
            // Left as it is if the host refuses the array as a whole.
            let mut of_some = vec![1; some.len()];
            let status = call(some.as_ptr(), some.len() as u32, of_some.as_mut_ptr());
            statuses.extend(
                of_some
                    .into_iter()
                    .map(|it| if it > 0 { status } else { it }),
            );
        }
        results(statuses, what)
    }
}

/// Adds addresses and routes to groups of the elector's; from [`Host::additions`].
#[derive(Clone, Copy, Debug)]
pub struct Additions {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Addition,
}

impl Additions {
    /// Adds addresses and routes to a group, in place of those that this plugin added before. They are
    /// installed while the group is active, behind its fence; their [`AddressClaim::router`] is None.
    /// Without any, what was added before is taken away.
    ///
    /// # Errors
    /// The plugin has not CAP_NET_ADMIN, or the host has logged why.
    pub fn add(
        &self,
        group: &str,
        addresses: &[AddressClaim],
        routes: &[RouteClaim],
    ) -> Result<(), Error> {
        if let Some(core) = self.host.core() {
            let claims = Claims {
                addresses: addresses.to_vec(),
                routes: routes.to_vec(),
                ..Claims::default()
            };
            let call = Call::Add {
                group: group.to_owned(),
                claims: Some(claims).filter(|it| *it != Claims::default()),
            };
            return check(&format!("add to group {group}"), core.call(call));
        }
        let c_group = c_text(group)?;
        let kept = RawClaims::added(addresses, routes);
        let raw = kept.raw();
        let claims = match addresses.is_empty() && routes.is_empty() {
            true => std::ptr::null(),
            false => &raw const raw,
        };
        let ctx = self.host.ctx();
        // SAFETY: the table is valid as long as the instance; group and claims live through the call.
        let status = unsafe { call_ctx!(self.table, add, ctx, c_group.as_ptr(), claims) };
        check(&format!("add to group {group}"), status)
    }
}

/// Results of an array of elements.
fn results(statuses: Vec<abi::Status>, what: impl Fn(usize) -> String) -> Vec<Result<(), Error>> {
    let statuses = statuses.into_iter().enumerate();
    statuses
        .map(|(index, status)| check(&what(index), status))
        .collect()
}

/// The result of an array of one element.
fn only(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    results.into_iter().collect()
}

/// More than the host accepts stays more.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(crate) const fn size<T>() -> u32 {
    size_of::<T>() as u32
}
