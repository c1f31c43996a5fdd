//! Tests with two nodes in virtual time. The tests simulate their servers and the host. The nodes' clocks are
//! unrelated.

mod accidents;
mod fake;
mod faults;
mod files;
mod follow;
mod lab;
mod machine;
mod random;
mod role;
mod setup;
mod states;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use spared_sdk::Value;
use spared_sim::{Channel, Random};

use super::*;
use crate::MS;
use crate::codec::Format;
use crate::config::Server;
use crate::lease::{Change, Client, Clock, Key, Kind, Lease, Set, State, signed};
use crate::server::Stamp;
use fake::Fake;
use lab::{Lab, channels};
use machine::Machine;

const S: i64 = signed(SECOND);
/// Kinds of the replica's messages.
const OFFER: u8 = 3;
const BEGIN: u8 = 5;
const RECORDS: u8 = 6;
const ACK: u8 = 9;
/// Kind of the message with counts for display, sent a second later.
const COUNT: u8 = 14;
const HOUR: i64 = 3_600 * S;

impl Clock {
    fn now_ns(self) -> u64 {
        self.monotonic_ns.unsigned_abs()
    }
}

fn key(number: u16) -> Key {
    let [high, low] = number.to_be_bytes();
    Key {
        kind: Kind::V4,
        address: IpAddr::from([10, 0, high, low]),
        prefix: 32,
    }
}

fn client(number: u8) -> Client {
    Client {
        hardware_type: 1,
        hardware: vec![2, 0, 0, 0, 0, number],
        id: vec![1, number],
        iaid: 0,
    }
}

fn server(name: &str) -> Server {
    Server {
        name: name.to_owned(),
        format: Format::Kea4,
        config: "/etc/kea/kea-dhcp4.conf".into(),
        leases: None,
        socket: None,
        server_id: None,
        bus_name: None,
        bus: None,
        service: "kea-dhcp4-server".to_owned(),
        warm: false,
        allow_empty: false,
    }
}

fn settings() -> Settings {
    Settings {
        servers: vec![server("kea4")],
        ..Settings::default()
    }
}
