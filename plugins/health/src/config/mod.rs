//! The plugin's file in the form that the engine uses: one [`Check`] for each table, of any kind.
//!
//! [`read`] asks for every key; *spared-health*(5) is the manual of the keys.

mod common;
mod kinds;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use spared_sdk::Checks;

/// Names of all tables of the file.
#[cfg(test)]
pub fn tables() -> Vec<&'static str> {
    let tables = kinds::READERS.iter();
    tables.map(|(table, _)| *table).collect()
}

pub(crate) use read::CHECKS_MAX;
pub use read::{Settings, read};

/// Greatest number of points that a check takes off.
pub(crate) const POINTS_MAX: u32 = Checks::POINTS_MAX;

/// A check: its object, schedule and weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Name, unique in the file.
    pub name: String,
    pub weight: Weight,
    /// The check is good while its object has failed, and the other way round.
    pub reverse: bool,
    pub timing: Timing,
    pub only: Option<Only>,
    pub kind: Kind,
}

/// Weight of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Weight in the mean of all checks, 0-9999.
    Share(u32),
    /// Points that a failed check takes off, 1-253: a negative weight of the file.
    Points(u32),
}

impl Weight {
    /// Weight for the daemon.
    pub fn share(self) -> u32 {
        match self {
            Self::Share(weight) => weight,
            Self::Points(_) => 0,
        }
    }

    /// Points for the daemon of a check with this state; `excess` is that of a number.
    pub fn points(self, state: u8, excess: Option<u32>) -> u32 {
        let Self::Points(points) = self else { return 0 };
        let lost = match excess {
            Some(excess) => points.saturating_mul(excess),
            None => points * u32::from(100 - state.min(100)) / 100,
        };
        lost.min(POINTS_MAX)
    }
}

/// Schedule of runs, and rules for when results count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub interval_ns: u64,
    /// Timeout, at most the interval: a check has one run at a time.
    pub timeout_ns: u64,
    /// Number of better results in a row before they count.
    pub rise: u32,
    /// Number of worse results in a row before they count.
    pub fall: u32,
    pub up_delay_ns: u64,
    pub down_delay_ns: u64,
}

/// Condition that the check runs only while this node is active, for this group or for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    pub group: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Interface {
        interface: String,
        members: Option<Members>,
    },
    Ping(Ping),
    Tcp {
        to: SocketAddr,
    },
    Unit {
        unit: String,
    },
    Process(Process),
    Script {
        argv: Vec<String>,
        /// True if the state is the number in the first line of the output.
        output: bool,
    },
    File(File),
    Disk {
        path: PathBuf,
        min_free: Amount,
    },
    ReadOnly {
        path: PathBuf,
    },
    Sensor(Sensor),
    Smart {
        path: PathBuf,
        max_age_ns: Option<u64>,
    },
    /// Used percentage of the connection table.
    Conntrack {
        max_used: u64,
    },
    Pressure(Pressure),
    Route(Route),
    Number(Number),
}

/// Treatment of the members of a bond or bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Each member is a check of its own.
    Each,
    /// All members are one check, which fails when the last one fails.
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    pub targets: Vec<IpAddr>,
    /// Percentage of `window` that may be lost; None: each round counts alone.
    pub loss: Option<u8>,
    /// Number of recent echoes per target that are evaluated.
    pub window: usize,
    pub need: Need,
    pub interface: Option<String>,
    /// Size of the payload in bytes.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Any,
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    Name(String),
    PidFile(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    pub exists: bool,
    pub contains: Option<String>,
    pub equals: Option<String>,
    pub max_age_ns: Option<u64>,
}

/// Amount, such as "10%", "500M", "2G".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Percent(u64),
    Bytes(u64),
}

impl FromStr for Amount {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| ())?;
        let factor: u64 = match unit {
            "%" if number <= 100 => return Ok(Self::Percent(number)),
            "" => 1,
            "k" | "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            "T" => 1 << 40,
            _ => return Err(()),
        };
        number.checked_mul(factor).map(Self::Bytes).ok_or(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    pub measured: Measured,
    /// Name of the chips that count; None: all chips.
    pub chip: Option<String>,
    /// Maximum in degrees Celsius.
    pub max: Option<u64>,
    /// Minimum in revolutions per minute.
    pub min: Option<u64>,
}

/// Limit of the share of the last minute in which a process waited for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    pub resource: Resource,
    /// Limit in percent.
    pub max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Cpu,
    Memory,
}

/// Condition that the kernel has a route to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: IpAddr,
    /// Protocol of the routes that count; None: all routes.
    pub protocol: Option<Protocol>,
}

/// Whole number in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    pub path: PathBuf,
    /// Number up to which, or from which on, nothing is lost.
    pub best: i64,
    pub worse: Worse,
}

/// Direction in which numbers are worse than the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    Above,
    Below,
}

/// Origin of a route, by its number in rtnetlink(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol(pub u8);

/// Names and numbers of origins, learned and configured.
const PROTOCOLS: [(&str, u8); 12] = [
    ("kernel", 2),
    ("boot", 3),
    ("static", 4),
    ("ra", 9),
    ("zebra", 11),
    ("bird", 12),
    ("dhcp", 16),
    ("babel", 42),
    ("bgp", 186),
    ("isis", 187),
    ("ospf", 188),
    ("rip", 189),
];

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = PROTOCOLS.iter().find(|(name, _)| *name == text);
        let number = named.map(|(_, number)| *number);
        number.or_else(|| text.parse().ok()).map(Self).ok_or(())
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PROTOCOLS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    Temperature,
    Fan,
    Power,
}
