//! Reads a server's configuration except its paths: whether it is readable, and its pools.

use super::{Event, Thread};
use crate::codec::Format;
use crate::config;
use crate::discover::{self, Places};

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
    fn read(settings: &config::Server, was_known: bool) -> Self {
        match discover::read(settings.format, &settings.config) {
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
        }
    }

    pub fn into_event(self) -> Event {
        let Self { fault, pools, .. } = self;
        Event::Setup { fault, pools }
    }
}

impl Thread {
    /// Reports whether the server could be started with its configuration, as far as this plugin reads it.
    pub(super) fn tell_setup(&mut self) {
        let was_known = self.told.setup().is_some_and(|setup| setup.is_known);
        let setup = Setup::read(&self.settings, was_known);
        let event = self.told.handle_setup(setup);
        self.emit_if(event);
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
