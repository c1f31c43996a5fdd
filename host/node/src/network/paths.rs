//! Manages the interfaces of the link's paths.

use std::os::fd::AsFd;
use std::time::Instant;

use spared_config::Link as Setup;
use spared_link::host_end::Link;
use spared_message::link::ToLink;

use super::Network;

/// Paths of the link.
#[derive(Debug, Default)]
pub struct Paths {
    /// Interfaces of the paths, which the host follows itself.
    interfaces: Vec<String>,
    /// State of each path as last sent to the link's process: true if it is usable, and the MTU of its interface.
    usable: Vec<(bool, u32)>,
}

impl Network {
    /// Forgets the path states that were sent, as the link's process is a new one.
    pub fn forget_usable_paths(&mut self) {
        self.paths.usable.clear();
    }

    /// Sets the configuration at the start and after a reload. The host follows these interfaces itself, in case no
    /// plugin does.
    pub fn configure_paths(&mut self, setup: Option<&Setup>) {
        let paths = setup.map(|setup| setup.paths.clone()).unwrap_or_default();
        let port = setup.map_or(0, |setup| setup.port);
        let new: Vec<String> = paths.iter().map(|path| path.interface.clone()).collect();
        let old = std::mem::replace(&mut self.paths.interfaces, new.clone());
        let kernel = self.kernel_mut();
        for interface in &new {
            if let Err(error) = kernel.follow(interface, 0) {
                log::error!("link {interface}: {error}");
            }
        }
        for interface in old {
            kernel.unfollow(&interface);
        }
        kernel.set_links(paths, port);
    }

    /// Tells the link's process which paths are usable. Returns false if nothing has changed.
    pub fn tell_paths(&mut self, now: Instant, setup: Option<&Setup>, link: &mut Link) -> bool {
        let Some(setup) = setup.filter(|_| link.is_running()) else {
            return false;
        };
        let kernel = &self.kernel;
        let usable = setup.paths.iter();
        let usable = usable.map(|path| (kernel.is_link_usable(path), kernel.mtu(&path.interface)));
        let usable: Vec<(bool, u32)> = usable.collect();
        if usable == self.paths.usable {
            return false;
        }
        let old = std::mem::replace(&mut self.paths.usable, usable.clone());
        for (index, (path, (usable, mtu))) in setup.paths.iter().zip(usable).enumerate() {
            if old.get(index) == Some(&(usable, mtu)) {
                continue;
            }
            let echo = kernel.echo_socket_on(path).filter(|_| usable);
            let echo: Vec<_> = echo.iter().map(AsFd::as_fd).collect();
            let message = ToLink::Path { index, usable, mtu };
            link.set_obstacle(index, kernel.link_lacks(path));
            if !link.send(now, &message, &echo) {
                break;
            }
        }
        true
    }
}
