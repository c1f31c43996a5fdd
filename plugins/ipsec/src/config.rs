//! Reads the plugin's file; *spared-ipsec*(5) describes every key.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use spared_sdk::config::{Config, Section, node};

/// Treatment, in a failover, of numbers that the failed node may have received after its last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inbound {
    /// Counts them as received: no replay is accepted, and at most a threshold of packets is refused.
    #[default]
    Refuse,
    /// Counts them as not received: no packet is refused, and as many replays are accepted.
    Accept,
}

impl Inbound {
    const ALL: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("accept", Self::Accept)];
}

/// Cooperation with the IKE daemon after a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// Path of the control socket of strongSwan's charon; None if it is not used.
    pub socket: Option<PathBuf>,
}

/// Settings of the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub inbound: Inbound,
    /// Maximum age of a busy SA's replicated counters.
    pub exposure_ns: u64,
    /// Least number by which outbound numbers jump in a failover.
    pub jump: u64,
    /// Local ends whose tunnels are replicated, besides the addresses that spared moves.
    pub endpoints: Vec<IpAddr>,
    pub adopt: Adopt,
    /// Table of the IKE daemon's routes, and of this plugin's routes into replicated tunnels; 0 for no routes.
    pub routing_table: u32,
}

/// Path of the socket of Debian's charon.
pub const VICI_SOCKET: &str = "/run/charon.vici";
const EXPOSURE: Duration = Duration::from_millis(20);
const JUMP: u64 = 65_536;
/// charon's default.
const ROUTING_TABLE: u32 = 220;

impl Default for Settings {
    fn default() -> Self {
        Self {
            inbound: Inbound::default(),
            exposure_ns: EXPOSURE.as_nanos() as u64,
            jump: JUMP,
            endpoints: Vec::new(),
            adopt: Adopt {
                socket: Some(VICI_SOCKET.into()),
            },
            routing_table: ROUTING_TABLE,
        }
    }
}

impl Settings {
    /// Returns the interval of a busy SA's reports: half of the exposure.
    pub fn interval_ns(&self) -> u64 {
        self.exposure_ns / 2
    }

    /// Returns the time for the transfer to the peer: the other half.
    pub fn under_way_ns(&self) -> u64 {
        self.interval_ns()
    }
}

/// Reads the file; its faults are recorded in `config`.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let defaults = Settings::default();
    let exposure = Duration::from_millis(1)..=Duration::from_secs(1);
    let exposure = root.duration("exposure", exposure).unwrap_or(EXPOSURE);
    Some(Settings {
        inbound: root.choice("inbound", &Inbound::ALL).unwrap_or_default(),
        exposure_ns: exposure.as_nanos() as u64,
        jump: root.integer("jump", 1..=1 << 24).unwrap_or(JUMP),
        endpoints: root
            .list("endpoints", "IP addresses")
            .unwrap_or(defaults.endpoints),
        adopt: root
            .section("adopt")
            .map_or(defaults.adopt, |section| adopt(&section)),
        routing_table: root
            .integer("routing_table", 0..=u64::from(u32::MAX))
            .and_then(|table| u32::try_from(table).ok())
            .unwrap_or(ROUTING_TABLE),
    })
}

fn adopt(section: &Section<'_>) -> Adopt {
    const DAEMONS: [(&str, bool); 2] = [("strongswan", true), ("none", false)];
    let daemon = section.choice("daemon", &DAEMONS).unwrap_or(true);
    let socket = section.text(node("socket"));
    let socket = socket.filter(|path| section.fits_path("socket", path));
    let socket = socket.map_or_else(|| VICI_SOCKET.into(), PathBuf::from);
    Adopt {
        socket: daemon.then_some(socket),
    }
}
