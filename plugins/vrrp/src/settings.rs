//! Applies a configuration to claims, links, engine and interfaces.

use std::time::Duration;

use rustix::time::{ClockId, clock_getres};
use spared_sdk::Error;

use crate::Vrrp;
use crate::claims;
use crate::config::{Group, Settings};
use crate::engine::Engine;
use crate::wire::heartbeat::group_id;

/// Settings of the file, and the name of the node for which it was read.
pub struct NodeSettings {
    pub(crate) settings: Settings,
    pub(crate) node: String,
}

impl Vrrp {
    /// Applies a new configuration to claims, interfaces and engine; only differences are passed on.
    pub(crate) fn apply(&mut self, settings: Settings) -> Result<(), Error> {
        // the host may take long for the claims: that must not delay an advert
        self.with_engine(Engine::advertise_now);
        let old = self.settings.clone();
        let withdrawn = self.withdraw_gone(&settings);
        let left = std::mem::replace(&mut self.settings, settings);
        if let Err(error) = withdrawn.and_then(|()| self.claim(&left)) {
            self.restore_claims(old);
            return Err(error);
        }
        let settings = self.settings.clone();
        self.configure_links(&settings);
        let peer = self.host.peer_with_keys();
        if let Some(engine) = &mut self.engine {
            engine.set_keys(peer.is_some());
        }
        self.with_engine(|engine, now_ns| engine.configure(now_ns, &settings));
        if let (Some(links), Some(engine)) = (&mut self.links, &self.engine) {
            links.configure_networks(engine.networks());
            links.set_peer(peer.as_deref());
        }
        self.execute_actions();
        self.follow_interfaces(&settings)
    }

    /// Withdraws groups that are no longer configured before other groups claim their addresses, as a renamed group
    /// does.
    fn withdraw_gone(&mut self, settings: &Settings) -> Result<(), Error> {
        let is_kept = |was: &Group| settings.groups.iter().any(|group| group.name == was.name);
        let groups = std::mem::take(&mut self.settings.groups);
        let (kept, gone): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_kept);
        self.settings.groups = kept;
        if gone.is_empty() {
            return Ok(());
        }
        let remaining = self.settings.clone();
        self.with_engine(|engine, now_ns| engine.configure(now_ns, &remaining));
        let gone: Vec<_> = gone.iter().map(|was| (&*was.name, None)).collect();
        let results = self.groups.claim_all(&gone);
        results.into_iter().collect()
    }

    /// Restores the old claims after a refusal: the engine continues with all its earlier groups. The host may have
    /// accepted other groups meanwhile, whose leases would not match the adverts that continue.
    fn restore_claims(&mut self, old: Settings) {
        let refused = std::mem::replace(&mut self.settings, old);
        let groups = &self.settings.groups;
        let is_new = |new: &&Group| !groups.iter().any(|old| old.name == new.name);
        let new = refused.groups.iter().filter(is_new);
        let new: Vec<_> = new.map(|group| (&*group.name, None)).collect();
        // the host has logged what it refuses of these
        if !new.is_empty() {
            self.groups.claim_all(&new);
        }
        let _ = self.claim(&refused);
        // it may execute late what it was too slow to answer
        self.are_claims_unsure = true;
        let old = self.settings.clone();
        self.with_engine(|engine, now_ns| engine.configure(now_ns, &old));
    }

    /// Claims what is new or has changed; after a refusal, everything.
    fn claim(&mut self, old: &Settings) -> Result<(), Error> {
        let are_all = std::mem::replace(&mut self.are_claims_unsure, true);
        let claimed = self.settings.groups.iter().filter_map(|group| {
            let claims = claims::claims(group);
            let was = old.groups.iter().find(|was| was.name == group.name);
            let is_new = are_all || was.is_none_or(|was| claims::claims(was) != claims);
            is_new.then_some((&*group.name, claims))
        });
        let claimed: Vec<_> = claimed.collect();
        let claims = claimed.iter().map(|(name, claims)| (*name, Some(claims)));
        let results = self.groups.claim_all(&claims.collect::<Vec<_>>());
        results.into_iter().collect::<Result<(), Error>>()?;
        self.are_claims_unsure = false;
        Ok(())
    }

    /// Applies the present links: the host configures again whenever they change.
    fn configure_links(&mut self, settings: &Settings) {
        let Some(links) = &mut self.links else { return };
        let interfaces = self.host.links();
        let is_new = !links.interfaces().eq(&interfaces);
        let groups = settings.groups.iter();
        let gone = links.configure(&interfaces, groups.map(|group| group_id(&group.name)));
        self.unwatch(gone);
        if is_new {
            self.with_engine(|engine, now_ns| engine.set_links(now_ns, &interfaces));
        }
    }
}

/// Returns the kernel's tick, which is the precision of set timeouts.
pub(crate) fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(ns(tick.tv_sec)) + Duration::from_nanos(ns(tick.tv_nsec))
}
