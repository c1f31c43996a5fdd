//! Rows of VRRPV3-MIB from a status. The names of the columns are those of RFC 6527, without `vrrpv3`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use spared_metrics::sources::{RouterRows, number, seconds, virtual_routers};
use spared_metrics::{GroupStatus, Status};

use super::oid::Oid;

/// vrrpv3Objects of VRRPV3-MIB.
const OBJECTS: [u32; 8] = [1, 3, 6, 1, 2, 1, 207, 1];
const OPERATIONS_ENTRY: [u32; 3] = [1, 1, 1];
const ASSOCIATED_ADDRESS_STATUS: [u32; 4] = [1, 2, 1, 2];
const STATISTICS: u32 = 2;
const STATISTICS_ENTRY: [u32; 3] = [2, 5, 1];

/// TruthValue and RowStatus.
const TRUE: i64 = 1;
const ACTIVE: i64 = 1;
/// Time in ms in which counters are read again.
const REFRESH_MS: u64 = 1000;
/// Causes of a role that was taken from a router that had it, and of one whose router fell silent.
const PREEMPTED: [&str; 5] = [
    "forced",
    "not-in-sync",
    "stands-aside",
    "switchover",
    "unheard-interface",
];
const NO_RESPONSE: [&str; 2] = ["nobody-heard", "peer-silent"];

/// All instances of a node, in the order of GETNEXT.
pub type Rows = BTreeMap<Oid, Value>;

/// Value of an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    Unsigned(u64),
    Counter32(u64),
    Counter64(u64),
    /// Time in s.
    Ticks(f64),
    Octets(Vec<u8>),
}

/// Facts that a status does not have.
pub struct Facts<'a> {
    /// Present time, and start of this agent, in seconds since 1970.
    pub now: f64,
    pub started: f64,
    /// Reason of the last protocol error.
    pub error: i64,
    /// Number of an interface.
    pub index: &'a dyn Fn(&str) -> Option<u32>,
}

/// A virtual router with its index in the tables.
struct Router<'s> {
    rows: RouterRows<'s>,
    index: [u32; 3],
    is_first: bool,
}

pub fn of(status: &Status, facts: &Facts<'_>) -> Rows {
    let mut routers: Vec<Router<'_>> = virtual_routers(status)
        .filter_map(|rows| {
            let (interface, vrid, family) = rows.place();
            let family = if family == "ipv4" { 1 } else { 2 };
            let index = [(facts.index)(interface)?, vrid.parse().ok()?, family];
            Some(Router {
                rows,
                index,
                is_first: false,
            })
        })
        .collect();
    // frames that are dropped belong to no virtual router: the first row has them
    if let Some(first) = routers.iter_mut().min_by_key(|it| it.index) {
        first.is_first = true;
    }
    // the time of sysUpTime at which a daemon that is younger than this agent began to count
    let began = seconds(&status.run.started).map_or(0.0, |it| (it - facts.started).max(0.0));
    let mut rows = globals(status, began);
    for router in &routers {
        rows.extend(router.operations(status, facts));
        rows.extend(router.statistics(status, facts, began));
    }
    rows
}

fn globals(status: &Status, began: f64) -> Rows {
    let counts = ["checksum", "version", "unknown_vrid"].map(|it| dropped(status, it));
    let counts = counts.map(Value::Counter64).into_iter();
    let values = counts.chain([Value::Ticks(began)]);
    let places = (1..).map(|column| object(&[STATISTICS]).with(&[column, 0]));
    places.zip(values).collect()
}

/// Number of frames that were dropped for this reason.
pub fn dropped(status: &Status, reason: &str) -> u64 {
    let key = format!("dropped.{reason}");
    let counts = status.rows.values().filter_map(|rows| number(rows, &key));
    counts.sum::<f64>() as u64
}

fn object(numbers: &[u32]) -> Oid {
    Oid::from(OBJECTS.as_slice()).with(numbers)
}

impl Router<'_> {
    fn operations(&self, status: &Status, facts: &Facts<'_>) -> Rows {
        let (group, [_, vrid, family]) = (self.rows.group(), self.index);
        let details = |key| number(&group.details, key).unwrap_or(0.0);
        let own = self.rows.text("source").and_then(|it| it.parse().ok());
        let heard = self.rows.text("heard").and_then(|it| it.parse().ok());
        let active = if group.role == "active" { own } else { heard };
        let mac = [0, 0, 0x5e, 0, family as u8, vrid as u8];
        let addresses = self.addresses();
        let centiseconds = (details("advert_interval_us") / 1e4).round();
        let up_s = match (group.role.as_str(), seconds(&status.run.started)) {
            ("active" | "backup", Some(started)) => (facts.now - started).max(0.0),
            _ => 0.0,
        };
        let role = match group.role.as_str() {
            "backup" => 2,
            "active" => 3,
            _ => 1,
        };
        let columns = [
            self.octets(active),                          // MasterIpAddr
            self.octets(own),                             // PrimaryIpAddr
            Value::Octets(mac.to_vec()),                  // VirtualMacAddr
            Value::Integer(role),                         // Status
            Value::Unsigned(details("priority") as u64),  // Priority
            Value::Integer(addresses.len() as i64),       // AddrCount
            Value::Integer(centiseconds.max(1.0) as i64), // AdvInterval
            Value::Integer(TRUE),                         // PreemptMode
            Value::Integer(TRUE),                         // AcceptMode
            Value::Ticks(up_s),                           // UpTime
            Value::Integer(ACTIVE),                       // RowStatus
        ];
        // the first two columns are indices
        let mut rows = self.table(&OPERATIONS_ENTRY, 3, columns);
        let associated = object(&ASSOCIATED_ADDRESS_STATUS).with(&self.index);
        rows.extend(addresses.into_iter().map(|address| {
            let octets = octets(address);
            let octets: Vec<u32> = octets.into_iter().map(u32::from).collect();
            let place = associated.with(&[octets.len() as u32]).with(&octets);
            (place, Value::Integer(ACTIVE))
        }));
        rows
    }

    fn statistics(&self, status: &Status, facts: &Facts<'_>, began: f64) -> Rows {
        let group = self.rows.group();
        let count = |key| Value::Counter64(self.rows.count(key) as u64);
        let of_node = |reason| {
            let count = if self.is_first {
                dropped(status, reason)
            } else {
                0
            };
            Value::Counter64(count)
        };
        let became_active = number(&group.details, "became_active").unwrap_or(0.0);
        let error = if self.is_first { facts.error } else { 0 };
        let columns = [
            Value::Counter32(became_active as u64), // MasterTransitions
            Value::Integer(reason(group)),          // NewMasterReason
            count("received"),                      // RcvdAdvertisements
            count("interval_mismatch"),             // AdvIntervalErrors
            of_node("ttl"),                         // IpTtlErrors
            Value::Integer(error),                  // ProtoErrReason
            count("received_priority_zero"),        // RcvdPriZeroPackets
            count("sent_priority_zero"),            // SentPriZeroPackets
            of_node("type"),                        // RcvdInvalidTypePackets
            count("address_list_mismatch"),         // AddressListErrors
            of_node("truncated"),                   // PacketLengthErrors
            Value::Ticks(began),                    // RowDiscontinuityTime
            Value::Unsigned(REFRESH_MS),            // RefreshRate
        ];
        self.table(&STATISTICS_ENTRY, 1, columns)
    }

    /// Columns of this row, from the first one on.
    fn table<const N: usize>(&self, entry: &[u32], first: u32, columns: [Value; N]) -> Rows {
        let entry = object(entry);
        let places = (first..).map(|column| entry.with(&[column]).with(&self.index));
        places.zip(columns).collect()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let (interface, _, _) = self.rows.place();
        let group = self.rows.group();
        let on_it = group
            .addresses
            .iter()
            .filter(|it| it.interface == interface);
        let addresses = on_it.filter_map(|it| it.address.split('/').next()?.parse().ok());
        addresses.filter(|it| self.is_of_family(*it)).collect()
    }

    fn octets(&self, address: Option<IpAddr>) -> Value {
        let address = address.filter(|it| self.is_of_family(*it));
        let length = if self.index[2] == 1 { 4 } else { 16 };
        Value::Octets(address.map_or_else(|| vec![0; length], octets))
    }

    fn is_of_family(&self, address: IpAddr) -> bool {
        address.is_ipv4() == (self.index[2] == 1)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// NewMasterReason: 0 not active, 1 priority, 2 preempted, 3 the active router did not respond.
fn reason(group: &GroupStatus) -> i64 {
    match group.reason.as_str() {
        _ if group.role != "active" => 0,
        reason if NO_RESPONSE.contains(&reason) => 3,
        reason if PREEMPTED.contains(&reason) => 2,
        _ => 1,
    }
}

/// Lines of an answer: identifier, type and value.
pub fn answer((oid, value): (&Oid, &Value)) -> String {
    format!("{oid}\n{value}\n")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "integer\n{number}"),
            Self::Unsigned(number) => write!(f, "gauge\n{number}"),
            // both wrap
            Self::Counter32(number) => write!(f, "counter\n{}", number & u64::from(u32::MAX)),
            Self::Counter64(number) => write!(f, "counter64\n{number}"),
            Self::Ticks(seconds) => {
                let ticks = (seconds * 100.0) as u64;
                write!(f, "timeticks\n{}", ticks & u64::from(u32::MAX))
            }
            Self::Octets(octets) => {
                let octets: Vec<String> = octets.iter().map(|it| format!("{it:02X}")).collect();
                write!(f, "octet\n{}", octets.join(" "))
            }
        }
    }
}
