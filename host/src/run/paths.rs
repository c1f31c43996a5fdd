//! Paths of the link, as far as the host looks after them: their interfaces, and the rule in a firewall.

use std::os::fd::AsFd;
use std::time::Instant;

use spared_firewall::{Firewall, RuleState};
use spared_link::message::ToLink;

use super::here::Here;
use super::network::Network;
use crate::events::{Kind, Notice};
use crate::link::Link;

/// Paths of the link, and what filters them.
#[derive(Default)]
pub struct Paths {
    /// Interfaces of the paths, which the host follows itself.
    interfaces: Vec<String>,
    /// For each path, the state that the link's process was last sent.
    usable: Vec<bool>,
    firewall: Option<Firewall>,
    /// What filters the link, and what to do about it.
    kept: Option<String>,
}

impl Paths {
    /// Takes the configuration at the start and after a reload.
    pub fn configure(&mut self, here: &Here, network: &mut Network) {
        self.follow(here, network);
        self.open_firewall(here);
    }

    /// What filters the link, if anything.
    pub fn filtered(&self) -> Option<String> {
        self.kept.clone()
    }

    /// Forgets what the link's process was told: it is a new one.
    pub fn forget_usable(&mut self) {
        self.usable.clear();
    }

    pub fn close(self) {
        if let Some(firewall) = self.firewall {
            firewall.end();
        }
    }

    // The firewall's thread starts if there is a link, or if an earlier run may have left a rule.
    fn open_firewall(&mut self, here: &Here) {
        let link = here.linked();
        let marker = here.options().runtime_dir.join("firewall");
        if self.firewall.is_none() && (link.is_some() || marker.exists()) {
            match Firewall::start(marker) {
                Ok(firewall) => self.firewall = Some(firewall),
                Err(error) => log::warn!("cannot watch the firewall: {error}"),
            }
        }
        if let Some(firewall) = &self.firewall {
            firewall.keep(here.node(), link);
        }
    }

    /// Runs once a second: takes the states of the firewall rule. Returns events about changes.
    pub fn handle_firewall(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(told) = self.firewall.as_ref().and_then(Firewall::poll) {
            let kept = match told {
                RuleState::Kept(why) => Some(why),
                RuleState::PutBack => {
                    let text =
                        "the link's rule in the firewall was removed by another program; restored";
                    notices.push(Notice::warn(Kind::Link, text));
                    None
                }
                RuleState::Passes | RuleState::Ended => None,
            };
            if let Some(why) = kept.as_ref().filter(|_| kept != self.kept) {
                notices.push(Notice::warn(Kind::Link, why.as_str()));
            }
            self.kept = kept;
        }
        let notices = notices.into_iter();
        notices.map(|it| it.because("firewall")).collect()
    }

    // The host follows these itself, in case no plugin does.
    fn follow(&mut self, here: &Here, network: &mut Network) {
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
