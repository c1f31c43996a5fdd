//! E2: interfaces of `[[group.address]]` and `[[group.route]]`. No advert leaves there, so that only their state counts: they
//! need no socket and no address of the node's own.

use super::Context;
use super::group::Group;
use super::interface::Interface;

#[derive(Clone, Copy, Debug)]
pub(super) struct Tracked {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// Weight of its check, never 0.
    pub weight: u32,
    pub is_hurt: bool,
}

impl Tracked {
    pub fn fault(&self, cx: &Context<'_>) -> Option<(&'static str, String)> {
        let interface = cx.interface(self.interface)?;
        Some((interface.known_fault()?, interface.name.clone()))
    }
}

impl Group {
    /// Those of the configuration on which no adverts are sent: with adverts it is a port.
    pub(super) fn take_tracked(&mut self, cx: &Context<'_>) {
        self.tracked.clear();
        for (name, weight) in self.config.tracked() {
            let named = |interface: &Interface| interface.name == name;
            let Some(index) = cx.interfaces.iter().position(named) else {
                continue;
            };
            if self.ports.iter().any(|port| port.interface == index) {
                continue;
            }
            match self.tracked.iter_mut().find(|it| it.interface == index) {
                Some(tracked) => tracked.weight = tracked.weight.max(weight),
                None => self.tracked.push(Tracked {
                    interface: index,
                    weight,
                    is_hurt: false,
                }),
            }
        }
    }

    pub(super) fn update_tracked(&mut self, cx: &Context<'_>) {
        for tracked in &mut self.tracked {
            let interface = cx.interface(tracked.interface);
            tracked.is_hurt = interface.is_some_and(|it| it.known_fault().is_some());
        }
    }

    pub(super) fn tracks(&self, interface: usize) -> Option<&Tracked> {
        self.tracked.iter().find(|it| it.interface == interface)
    }
}
