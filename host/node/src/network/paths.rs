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
    /// State of each path as last sent to the link's process.
    sent: Vec<PathState>,
}

/// State of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PathState {
    usable: bool,
    /// Reason why it is not usable, which is shown but not sent.
    lack: Option<&'static str>,
    /// MTU of its interface.
    mtu: u32,
    /// Index of its interface, to which the sockets of the link's process are bound.
    index: u32,
}

impl PathState {
    /// Returns the states to send, in order. An interface that was created again is first reported as not usable, so
    /// that no socket stays bound to the one that is gone.
    fn news_since(self, sent: Option<Self>) -> Vec<Self> {
        let is_other = |sent: Self| sent.usable && self.usable && sent.index != self.index;
        let is_same = |sent: Self| {
            let lack = self.lack;
            Self { lack, ..sent } == self
        };
        let gone = Self {
            usable: false,
            ..self
        };
        match sent {
            Some(sent) if is_same(sent) => Vec::new(),
            Some(sent) if is_other(sent) => vec![gone, self],
            _ => vec![self],
        }
    }
}

impl Network {
    /// Forgets the path states that were sent, as the link's process is a new one.
    pub fn forget_usable_paths(&mut self) {
        self.paths.sent.clear();
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
        let paths = setup.paths.iter();
        let states = paths.map(|path| PathState {
            usable: kernel.is_link_usable(path),
            lack: kernel.link_lacks(path),
            mtu: kernel.mtu(&path.interface),
            index: kernel.index(&path.interface),
        });
        let states: Vec<PathState> = states.collect();
        if states == self.paths.sent {
            return false;
        }
        let sent = std::mem::replace(&mut self.paths.sent, states.clone());
        for (index, (path, state)) in setup.paths.iter().zip(states).enumerate() {
            link.set_obstacle(index, state.lack);
            for PathState { usable, mtu, .. } in state.news_since(sent.get(index).copied()) {
                let echo = kernel.echo_socket_on(path).filter(|_| usable);
                let echo: Vec<_> = echo.iter().map(AsFd::as_fd).collect();
                let message = ToLink::Path { index, usable, mtu };
                if !link.send(now, &message, &echo) {
                    return true;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: PathState = PathState {
        usable: true,
        lack: None,
        mtu: 1500,
        index: 7,
    };
    const DOWN: PathState = PathState {
        usable: false,
        lack: Some("no carrier"),
        ..UP
    };

    #[test]
    fn a_path_is_told_when_it_changes() {
        assert_eq!(UP.news_since(None), [UP]);
        assert_eq!(UP.news_since(Some(UP)), [UP; 0]);
        assert_eq!(UP.news_since(Some(DOWN)), [UP]);
        assert_eq!(DOWN.news_since(Some(UP)), [DOWN]);
        let narrow = PathState { mtu: 1280, ..UP };
        assert_eq!(narrow.news_since(Some(UP)), [narrow], "the session stays");
    }

    #[test]
    fn another_reason_why_a_path_is_down_is_a_change_that_is_not_sent() {
        let lack = Some("its interface is down");
        let other = PathState { lack, ..DOWN };
        assert_ne!(other, DOWN);
        assert_eq!(other.news_since(Some(DOWN)), [DOWN; 0]);
    }

    #[test]
    fn an_interface_that_was_created_again_between_two_looks_was_not_usable() {
        let new = PathState { index: 8, ..UP };
        let usable = false;
        let gone = PathState { usable, ..new };
        assert_eq!(new.news_since(Some(UP)), [gone, new]);
        assert_eq!(new.news_since(Some(DOWN)), [new]);
    }
}
