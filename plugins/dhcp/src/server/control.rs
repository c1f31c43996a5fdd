//! Control channel of a running server, which accepts leases.

use std::collections::VecDeque;

use crate::codec::Format;
use crate::config;
use crate::discover::Places;
use crate::lease::{Change, Key, Set};

use super::End;
use super::dnsmasq::{self, Dnsmasq};
use super::kea::Kea;

#[derive(Debug)]
pub enum Control {
    None,
    /// Kea. `takes_leases` is true if its configuration loads the hook for it.
    Kea {
        kea: Kea,
        takes_leases: bool,
    },
    Dnsmasq(Dnsmasq),
}

impl Control {
    pub fn new(settings: &config::Server, places: &Places, end: &End) -> Self {
        match settings.format {
            Format::Kea4 | Format::Kea6 => {
                places
                    .socket
                    .as_deref()
                    .map_or(Self::None, |socket| Self::Kea {
                        kea: Kea::new(settings.format, socket, end),
                        takes_leases: places.has_lease_commands,
                    })
            }
            Format::Dnsmasq => places.bus_name.as_deref().map_or(Self::None, |name| {
                let (address, max) = (settings.bus.as_deref(), places.leases_max);
                Self::Dnsmasq(Dnsmasq::new(name, address, max, end))
            }),
            Format::Dhcpd4 | Format::Dhcpd6 => Self::None,
        }
    }

    /// Returns true if the server may accept leases.
    pub fn may_be_live(&self) -> bool {
        match self {
            Self::None => false,
            Self::Kea { takes_leases, .. } => *takes_leases,
            Self::Dnsmasq(_) => true,
        }
    }

    pub fn is_live(&mut self) -> Result<bool, String> {
        match self {
            Self::None => Ok(false),
            Self::Kea { kea, .. } => kea.is_live(),
            Self::Dnsmasq(dnsmasq) => dnsmasq.is_live(),
        }
    }

    pub fn can_be_silent(&self) -> bool {
        matches!(self, Self::Kea { .. })
    }

    pub fn silence(&self, silent: bool) -> Result<(), String> {
        match self {
            Self::Kea { kea, .. } => kea.silence(silent),
            _ if silent => Err("it cannot be silenced while it runs".to_owned()),
            _ => Ok(()),
        }
    }

    /// Passes on the present contents of the server's file, if they are kept.
    pub fn note(&mut self, known: Option<&Set>) {
        if let (Self::Dnsmasq(dnsmasq), Some(known)) = (self, known) {
            dnsmasq.note(known);
        }
    }

    /// Returns a change as the server can take it, which it will write into its file.
    pub fn as_taken(&self, change: Change) -> Change {
        match self {
            Self::Dnsmasq(_) => dnsmasq::as_taken(change),
            _ => change,
        }
    }

    /// Applies some of `changes` from the front and removes them; appends leases that the server
    /// refused to `refused`. `known` is what the server has, if its file shows that.
    ///
    /// # Errors
    /// The server cannot be reached; removed changes may have been applied or not.
    pub fn apply(
        &mut self,
        known: Option<&Set>,
        changes: &mut VecDeque<Change>,
        refused: &mut Vec<(Key, String)>,
    ) -> Result<(), String> {
        match self {
            Self::None => Err("it takes no leases while it runs".to_owned()),
            Self::Kea { kea, .. } => kea.apply(changes, refused),
            Self::Dnsmasq(dnsmasq) => dnsmasq.apply(known, changes, refused),
        }
    }
}
