// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table: a row for each fault and pair.

use std::time::Duration;

use crate::faults::Fault;
use crate::measures::Loss;
use crate::pairs::{Camp, INTERVAL_S};
use crate::scene::FRESH;
use crate::users::Lease;

const HEADS: [&str; 7] = [
    "packets", "both", "download", "session", "lease", "ban", "server",
];
const WIDTHS: [usize; 7] = [8, 7, 9, 8, 7, 7, 8];

/// Cell of a pair that did not come back from an earlier fault.
const OUT: &str = "out";

pub fn head() -> String {
    line("fault", "pair", HEADS.map(str::to_owned))
}

/// Row of a fault that has been measured; `None` for a pair that has been given up.
pub fn row(fault: Fault, camp: Camp, loss: Option<&Loss>) -> String {
    let title = match camp {
        Camp::Spared => fault.title(),
        Camp::Usual => "",
    };
    let cells = match loss {
        Some(loss) => cells(loss),
        None => HEADS.map(|_| OUT.to_owned()),
    };
    line(title, camp.name(), cells)
}

fn line(title: &str, pair: &str, cells: [String; 7]) -> String {
    let mut text = format!("{title:<13}{pair:<11}");
    for (cell, width) in cells.iter().zip(WIDTHS) {
        text += &format!("{cell:<width$}");
    }
    text.trim_end().to_owned()
}

pub fn cells(loss: &Loss) -> [String; 7] {
    let carried = loss.carried;
    let shown = [
        true,
        true,
        carried.connections,
        carried.connections,
        carried.services,
        carried.bans,
        carried.services,
    ];
    let word = |kept: bool, word: &str| if kept { "kept" } else { word }.to_owned();
    let mut cells = [
        short(loss.packets),
        short(loss.both),
        loss.pause.map_or("broken".to_owned(), short),
        word(loss.session, "broken"),
        match loss.lease {
            Lease::Kept => "kept",
            Lease::Forgotten => "forgot",
            Lease::Lost => "lost",
        }
        .to_owned(),
        if loss.ban_gone {
            "gone".to_owned()
        } else {
            short(loss.banned)
        },
        if loss.two_servers > loss.without_server {
            format!("2x {}", short(loss.two_servers))
        } else {
            short(loss.without_server)
        },
    ];
    for (cell, shown) in cells.iter_mut().zip(shown) {
        if !shown {
            "-".clone_into(cell);
        }
    }
    cells
}

/// A time in at most six characters.
pub fn short(time: Duration) -> String {
    match time {
        Duration::ZERO => "0".to_owned(),
        time if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        time => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// Legend of the columns. Without root keepalived runs without conntrackd and without scripts.
pub fn legend(is_root: bool) -> String {
    let fresh = FRESH.as_secs();
    let usual = if is_root {
        format!(
            " keepalived runs with conntrackd, its script
primary-backup.sh, notify scripts, and a copy of leases and bans every {INTERVAL_S} s
(cron: every minute); its files are in tests/demo/usual."
        )
    } else {
        String::new()
    };
    format!(
        "packets   time without forwarding, of 2000 packets a second through NAT
both      time for which both nodes answered for the gateway's address
download  longest pause of a download; broken: had to be started again
session   an idle TCP session, asked after the fault
lease     a DHCP lease granted {fresh} s before the fault; forgot: renewed, although the
          server had no record of it and could have given it to another; lost
ban       time for which a host got through that was banned {fresh} s before the fault;
          gone: until it was banned again
server    time without the DHCP server, which runs on the active node; 2x: on both
Every time above ended by itself.{usual}
"
    )
}
