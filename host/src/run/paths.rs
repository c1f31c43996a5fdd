//! Paths of the link, as far as the host looks after them: their interfaces.

use std::os::fd::AsFd;
use std::time::Instant;

use spared_link::message::ToLink;
use spared_link_process::Link;
use spared_network::Network;

use spared_node::Here;

/// Paths of the link.
#[derive(Default)]
pub struct Paths {
    /// Interfaces of the paths, which the host follows itself.
    interfaces: Vec<String>,
    /// For each path, the state that the link's process was last sent.
    usable: Vec<bool>,
}

impl Paths {
    /// Forgets what the link's process was told: it is a new one.
    pub fn forget_usable(&mut self) {
        self.usable.clear();
    }

    /// Takes the configuration at the start and after a reload: the host follows these itself, in case no plugin does.
    pub fn configure(&mut self, here: &Here, network: &mut Network) {
        let link = here.linked();
        let paths = link.map(|link| link.paths.clone()).unwrap_or_default();
        let port = link.map_or(0, |link| link.port);
        let new: Vec<String> = paths.iter().map(|path| path.interface.clone()).collect();
        let kernel = network.kernel_mut();
        for interface in &new {
            if let Err(error) = kernel.follow(interface, 0) {
                log::error!("link {interface}: {error}");
            }
        }
        for interface in std::mem::replace(&mut self.interfaces, new) {
            kernel.unfollow(&interface);
        }
        kernel.set_links(paths, port);
    }

    /// Tells the link's process which paths are usable; false if nothing changed.
    pub fn tell(&mut self, now: Instant, here: &Here, network: &Network, link: &mut Link) -> bool {
        let Some(setup) = here.host().link.as_ref().filter(|_| link.is_running()) else {
            return false;
        };
        let kernel = network.kernel();
        let usable = setup.paths.iter();
        let usable: Vec<bool> = usable.map(|path| kernel.is_link_usable(path)).collect();
        if usable == self.usable {
            return false;
        }
        let old = std::mem::replace(&mut self.usable, usable.clone());
        for (index, (path, usable)) in setup.paths.iter().zip(usable).enumerate() {
            if old.get(index) == Some(&usable) {
                continue;
            }
            let echo = kernel.echo_socket_on(path).filter(|_| usable);
            let echo: Vec<_> = echo.iter().map(AsFd::as_fd).collect();
            let message = ToLink::Path { index, usable };
            link.lacks(index, kernel.link_lacks(path));
            if !link.send(now, &message, &echo) {
                break;
            }
        }
        true
    }
}
