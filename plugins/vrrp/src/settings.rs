//! A configuration, brought to claims, links, engine and interfaces.

use std::time::Duration;

use rustix::time::{ClockId, clock_getres};
use spared_sdk::Error;

use crate::Vrrp;
use crate::claims;
use crate::config::Settings;
use crate::engine::Engine;
use crate::wire::heartbeat::group_id;

impl Vrrp {
    /// Brings claims, interfaces and engine to a new configuration; only differences are told.
    pub(crate) fn apply(&mut self, settings: Settings) -> Result<(), Error> {
        // the host may take its time over the claims: that must delay no advert
        self.tell(Engine::advertise_now);
        let old = std::mem::replace(&mut self.settings, settings);
        for group in &self.settings.groups {
            let claims = claims::claims(group);
            let was = old.groups.iter().find(|was| was.name == group.name);
            if was.is_none_or(|was| claims::claims(was) != claims) {
                self.groups.claim(&group.name, &claims)?;
            }
        }
        let settings = self.settings.clone();
        self.configure_links(&settings);
        let peer = self.identity.and_then(|_| self.host.peer_with_keys());
        if let Some(engine) = &mut self.engine {
            engine.set_keys(peer.is_some());
        }
        self.tell(|engine, now_ns| engine.configure(now_ns, &settings));
        if let (Some(links), Some(engine)) = (&mut self.links, &self.engine) {
            links.configure_networks(engine.networks());
            links.set_peer(peer.as_deref());
        }
        self.act();
        for gone in old
            .groups
            .iter()
            .filter(|was| !settings.groups.iter().any(|g| g.name == was.name))
        {
            self.groups.withdraw(&gone.name)?;
        }
        self.follow(&settings)
    }

    /// The links as they are now: the host configures again whenever they change.
    fn configure_links(&mut self, settings: &Settings) {
        let Some(links) = &mut self.links else { return };
        let interfaces = self.host.links();
        let is_new = !links.interfaces().eq(&interfaces);
        let groups = settings.groups.iter();
        let gone = links.configure(&interfaces, groups.map(|group| group_id(&group.name)));
        self.unwatch(gone);
        if is_new {
            self.tell(|engine, now_ns| engine.set_links(now_ns, &interfaces));
        }
    }
}

/// The kernel's tick, to which set timeouts are good.
pub(crate) fn tick() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(ns(tick.tv_sec)) + Duration::from_nanos(ns(tick.tv_nsec))
}
