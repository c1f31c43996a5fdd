//! Reads a server's configuration except its paths: whether it is readable, its pools, and its files, which are watched.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Event, READ_AGAIN, Thread};
use crate::codec::Format;
use crate::config;
use crate::discover::{self, Places, Source};

/// Limit of readings in a row. A file that is newly watched may have changed since it was read.
const READINGS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    fault: Option<String>,
    pools: Option<Vec<String>>,
    /// The configuration was readable once.
    is_known: bool,
}

impl Setup {
    /// Reads the configuration. One that was never readable is no fault if dhcp.toml has the settings that it would
    /// provide: it may be where this plugin has no access, or in arguments.
    fn read(settings: &config::Server, was_known: bool) -> (Self, BTreeSet<Source>) {
        let read = discover::read(settings.format, &settings.config);
        let setup = match read.places {
            Ok(found) => Self {
                fault: elsewhere(settings, &found),
                pools: Some(found.pools),
                is_known: true,
            },
            Err(why) => Self {
                fault: Some(why).filter(|_| was_known || settings.leases.is_none()),
                pools: None,
                is_known: was_known,
            },
        };
        (setup, read.sources)
    }

    pub fn into_event(self) -> Event {
        let Self { fault, pools, .. } = self;
        Event::Setup { fault, pools }
    }
}

impl Thread {
    /// Reports whether the server could be started with its configuration, as far as this plugin reads it, and watches
    /// what that consists of.
    pub(super) fn tell_setup(&mut self) {
        for _ in 0..READINGS {
            let was_known = self.told.setup().is_some_and(|setup| setup.is_known);
            let (setup, sources) = Setup::read(&self.settings, was_known);
            let event = self.told.handle_setup(setup);
            self.emit_if(event);
            let files = self.files.as_mut();
            if !files.is_some_and(|files| files.watch.set_sources(&sources)) {
                return;
            }
        }
    }

    /// Reads the configuration again, and follows the server to where that moves its leases.
    pub(super) fn read_setup(&mut self) {
        self.due.setup = Some(Instant::now() + READ_AGAIN);
        self.tell_setup();
        if self.has_moved() {
            self.open();
        }
    }
}

/// Returns a fault if Kea's configuration, which no argument overrides, names another lease file than dhcp.toml.
fn elsewhere(settings: &config::Server, found: &Places) -> Option<String> {
    let (leases, other) = (settings.leases.as_ref()?, &found.leases);
    let is_kea = matches!(settings.format, Format::Kea4 | Format::Kea6);
    (is_kea && leases != other).then(|| {
        format!(
            "its leases are in {}, and dhcp.toml says {}: correct one of them",
            other.display(),
            leases.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel, sync_channel};

    use rustix::event::{EventfdFlags, eventfd};

    use super::super::Channel;
    use super::*;
    use crate::server::scratch::Folder;
    use crate::server::{End, clock};

    fn thread(settings: config::Server) -> (Thread, Receiver<Event>) {
        let (events, told) = sync_channel(100);
        let channel = Channel {
            commands: channel().1,
            events,
            wake: Box::new(|| ()),
            bell: Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap()),
            end: End::new().unwrap(),
            clock: clock::Steps::new().unwrap(),
        };
        (Thread::new(settings, channel), told)
    }

    #[test]
    fn a_change_that_nobody_tells_of_is_found_after_a_while() {
        let (folder, other) = (Folder::new("setup"), Folder::new("target"));
        let (config, target) = (folder.path("dnsmasq.conf"), other.path("dnsmasq.conf"));
        fs::write(&target, "dhcp-range=1\n").unwrap();
        symlink(&target, &config).unwrap();
        let (mut thread, told) = thread(config::Server {
            name: "test".to_owned(),
            format: Format::Dnsmasq,
            config,
            leases: Some(folder.path("leases")),
            socket: None,
            server_id: None,
            bus_name: None,
            bus: None,
            service: String::new(),
            warm: false,
            allow_empty: false,
        });
        let pools = || {
            let setups = told.try_iter().filter_map(|event| match event {
                Event::Setup { pools, .. } => pools,
                _ => None,
            });
            setups.last().unwrap_or_default()
        };
        thread.open();
        thread.handle_due(Instant::now());
        assert_eq!(pools(), ["1"]);
        fs::write(&target, "dhcp-range=2\n").unwrap();
        thread.handle_files();
        thread.handle_due(Instant::now());
        assert_eq!(pools(), [""; 0]);
        thread.handle_due(Instant::now() + READ_AGAIN);
        assert_eq!(pools(), ["2"]);
    }
}
