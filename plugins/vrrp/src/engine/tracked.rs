//! E2: interfaces of `[[group.address]]` and `[[group.route]]`. No advert leaves there, so only their state counts:
//! they need no socket and no address of the node's own.

use super::Context;
use super::group::Group;

#[derive(Clone, Copy, Debug)]
pub(super) struct Tracked {
    /// Index into the engine's interfaces.
    pub interface: usize,
    /// Weight of the interface's check, never 0.
    pub weight: u32,
    pub is_hurt: bool,
}

impl Tracked {
    pub fn update(&mut self, cx: &Context<'_>) {
        let interface = cx.interface(self.interface);
        self.is_hurt = interface.is_some_and(|it| it.known_fault().is_some());
    }

    pub fn fault(&self, cx: &Context<'_>) -> Option<(&'static str, String)> {
        let interface = cx.interface(self.interface)?;
        Some((interface.known_fault()?, interface.name.clone()))
    }
}

impl Group {
    pub(super) fn tracks(&self, interface: usize) -> Option<&Tracked> {
        self.networks
            .tracked()
            .iter()
            .find(|it| it.interface == interface)
    }
}
