//! The channel by which a running server takes leases.

use std::collections::VecDeque;

use crate::codec::Format;
use crate::config;
use crate::discover::Places;
use crate::lease::{Change, Key, Set};

use super::End;
use super::dnsmasq::Dnsmasq;
use super::kea::Kea;

#[derive(Debug)]
pub enum Control {
    None,
    /// `takes_leases`: its configuration loads the hook for it.
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

    /// Whether the server may support taking leases.
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

    /// Present contents of the server's file, if kept.
    pub fn note(&mut self, known: Option<&Set>) {
        if let (Self::Dnsmasq(dnsmasq), Some(known)) = (self, known) {
            dnsmasq.note(known);
        }
    }

    /// Takes some off the front of `changes`; what the server refused is appended to `refused`.
    /// `known` is what it has, where its file says that.
    ///
    /// # Errors
    /// It cannot be spoken with; what was taken off may be with it or not.
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
