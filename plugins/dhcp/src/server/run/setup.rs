//! What a server's configuration says beside its paths: whether it can be read, and its pools.

use super::{Event, Thread};
use crate::codec::Format;
use crate::config;
use crate::discover::{self, Places};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    fault: Option<String>,
    pools: Option<Vec<String>>,
    /// It could be read once.
    is_known: bool,
}

impl Setup {
    /// A configuration that could never be read may be where this plugin may not look, or in arguments, if dhcp.toml
    /// has what it would say.
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
}

impl Thread {
    /// Whether the server could be started with its configuration, as far as this plugin reads that.
    pub(super) fn tell_setup(&mut self) {
        let was_known = self.setup.as_ref().is_some_and(|setup| setup.is_known);
        let setup = Setup::read(&self.settings, was_known);
        if self.setup.as_ref() != Some(&setup) {
            self.setup = Some(setup.clone());
            let Setup { fault, pools, .. } = setup;
            self.emit(Event::Setup { fault, pools });
        }
    }
}

/// That the configuration of Kea, which no argument overrides, has another lease file than dhcp.toml.
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
