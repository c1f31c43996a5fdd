//! Performs actions of the groups that are calls to the kernel. Equal actions of several groups are performed in one
//! step.

use spared_contract::{Claims, Publication};
use spared_group::{Groups, KernelStep, Ticket};
use spared_kernel::{Installed, KernelError};
use spared_message::notice::{Kind, Notice};
use spared_process::clock;

use super::Network;

/// Actions that the kernel performs together. Only the list of one kind is not empty.
#[derive(Default)]
struct Batch {
    checks: Vec<(Ticket, String, Claims)>,
    claims: Vec<(String, Claims)>,
    released: Vec<String>,
    grants: Vec<(Ticket, String, Publication)>,
    revoked: Vec<String>,
    carried: Vec<String>,
    ended: Vec<String>,
    prepared: Vec<String>,
    unprepared: Vec<String>,
    installed: Vec<String>,
    removed: Vec<String>,
    announced: Vec<String>,
}

impl Batch {
    fn new(steps: Vec<(String, KernelStep)>) -> Self {
        let mut batch = Self::default();
        for (group, step) in steps {
            match step {
                KernelStep::CheckClaim { ticket, claims } => {
                    batch.checks.push((ticket, group, claims));
                }
                KernelStep::Claim(claims) => batch.claims.push((group, claims)),
                KernelStep::Release => batch.released.push(group),
                KernelStep::GrantLease {
                    ticket,
                    publication,
                } => batch.grants.push((ticket, group, publication)),
                KernelStep::RevokeLease => batch.revoked.push(group),
                KernelStep::CarryLease => batch.carried.push(group),
                KernelStep::EndCarry => batch.ended.push(group),
                KernelStep::Prepare => batch.prepared.push(group),
                KernelStep::Unprepare => batch.unprepared.push(group),
                KernelStep::Install => batch.installed.push(group),
                KernelStep::Remove => batch.removed.push(group),
                KernelStep::Announce => batch.announced.push(group),
            }
        }
        batch
    }
}

impl Network {
    /// Performs a step of a group, and equal steps of other groups that follow directly. The groups get the results.
    /// Returns the events.
    pub fn perform(&mut self, groups: &mut Groups, group: String, step: KernelStep) -> Vec<Notice> {
        let batch = Batch::new(groups.poll_batch(group, step));
        self.check(groups, batch.checks);
        self.claim(groups, batch.claims);
        self.grant(groups, batch.grants);
        let mut notices = self.revoke(&batch.revoked);
        notices.extend(self.carry(&batch.carried));
        self.end_carries(&batch.ended);
        self.prepare(groups, &batch.prepared);
        self.unprepare(&batch.unprepared);
        self.install(groups, &batch.installed);
        self.remove(&batch.removed);
        self.announce(&batch.announced);
        self.release(&batch.released);
        notices
    }

    fn check(&mut self, groups: &mut Groups, checks: Vec<(Ticket, String, Claims)>) {
        if checks.is_empty() {
            return;
        }
        let wanted = checks.iter().map(|(_, name, it)| (name.as_str(), it));
        let results = self.kernel.check_claims(&wanted.collect::<Vec<_>>());
        let checks = checks.into_iter().zip(results);
        let checks = checks.map(|((ticket, name, claims), result)| {
            let result = result.map_err(|error| error.to_string());
            (ticket, name, claims, result)
        });
        groups.handle_checks(checks.collect());
    }

    fn claim(&mut self, groups: &mut Groups, claims: Vec<(String, Claims)>) {
        if claims.is_empty() {
            return;
        }
        let claims = claims.into_iter().map(|(group, claims)| {
            let all = self.with_additions(&group, claims);
            (group, all)
        });
        let claims = claims.collect();
        let results = self.kernel_mut().claim_all(claims);
        let now_ns = clock::monotonic_ns();
        for (name, result) in results {
            groups.handle_claimed(now_ns, &name, result);
        }
    }

    fn grant(&mut self, groups: &mut Groups, grants: Vec<(Ticket, String, Publication)>) {
        if grants.is_empty() {
            return;
        }
        let wanted = grants.iter();
        let wanted = wanted.map(|(_, name, it)| (name.as_str(), it.reopens));
        let wanted: Vec<_> = wanted.collect();
        let results = self.kernel_mut().grant_leases(&wanted);
        // The time is read after the call, as this process may have been suspended before or during it.
        let now_ns = clock::monotonic_ns();
        let granted = grants.into_iter().zip(results);
        let granted = granted.map(|((ticket, name, it), result)| (ticket, name, it, result));
        groups.handle_leases(now_ns, granted.collect());
    }

    /// Revokes leases. If that fails, the addresses are removed at once, and the leases expire by themselves.
    fn revoke(&mut self, groups: &[String]) -> Vec<Notice> {
        let Err(error) = self.kernel_mut().revoke_leases(&refs(groups)) else {
            return Vec::new();
        };
        self.remove(groups);
        let text = format!("the fence cannot block, so the addresses are removed at once: {error}");
        of_fence(groups, &text)
    }

    // Carries leases. If that fails, they are revoked: packets are lost for a moment, but this node no longer answers
    // for the addresses.
    fn carry(&mut self, groups: &[String]) -> Vec<Notice> {
        let Err(error) = self.kernel_mut().carry_leases(&refs(groups)) else {
            return Vec::new();
        };
        let text = format!("packets that arrive here during the switchover are dropped: {error}");
        let mut notices = of_fence(groups, &text);
        notices.extend(self.revoke(groups));
        notices
    }

    fn end_carries(&mut self, groups: &[String]) {
        if let Err(error) = self.kernel_mut().end_carries(&refs(groups)) {
            let groups = groups.join(", ");
            log::warn!(
                "{groups}: {error}; packets of the switchover still pass the fence for up to 3 s"
            );
        }
    }

    fn prepare(&mut self, groups: &mut Groups, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let results = self.kernel_mut().prepare_all(&refs(names)).into_iter();
        let results = results.map(|it| it.map_err(|error| error.to_string()));
        let results = names.iter().cloned().zip(results);
        groups.handle_all_prepared(clock::monotonic_ns(), results.collect());
    }

    fn unprepare(&mut self, groups: &[String]) {
        for group in groups {
            for failure in self.kernel_mut().unprepare(group) {
                log::warn!("{group}: {failure}");
            }
        }
    }

    fn install(&mut self, groups: &mut Groups, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let results = self.kernel_mut().install_all(&refs(names)).into_iter();
        let results = names.iter().cloned().zip(results.map(said));
        groups.handle_all_installed(clock::monotonic_ns(), results.collect());
    }

    fn remove(&mut self, groups: &[String]) {
        for failure in self.kernel_mut().remove_all(&refs(groups)) {
            log::warn!("{failure}");
        }
    }

    fn release(&mut self, groups: &[String]) {
        if !groups.is_empty() {
            self.kernel_mut().release_all(&refs(groups));
        }
    }

    fn announce(&mut self, groups: &[String]) {
        if !groups.is_empty() {
            let groups = groups.iter().map(String::as_str);
            self.kernel_mut().announce_all(groups);
        }
    }
}

fn refs(groups: &[String]) -> Vec<&str> {
    groups.iter().map(String::as_str).collect()
}

fn of_fence(groups: &[String], text: &str) -> Vec<Notice> {
    let notice = |group: &String| {
        let notice = Notice::warn(Kind::Fence, text).of_group(group);
        notice.because("kernel")
    };
    groups.iter().map(notice).collect()
}

// Converts the result of an installation. It is a failure only if the kernel refused all addresses. A refused route is
// no reason to give up the role: the peer may not reach its gateway either.
fn said(result: Result<Installed, KernelError>) -> Result<String, String> {
    let installed = result.map_err(|error| error.to_string())?;
    for failure in installed.failures.iter().chain(&installed.route_failures) {
        log::error!("{failure}");
    }
    if installed.addresses.is_empty() {
        return Ok("no addresses".to_owned());
    }
    let failed = installed.failures.first().map(ToString::to_string);
    match failed {
        Some(failed) if installed.failures.len() >= installed.addresses.len() => Err(failed),
        _ => Ok(format!("{}, announced", installed.addresses.join(", "))),
    }
}
