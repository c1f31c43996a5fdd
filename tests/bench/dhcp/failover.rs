// SPDX-License-Identifier: MIT OR Apache-2.0
//! The active router loses its power: when does the other one's server answer a client that has a
//! lease of the first?

use std::thread;
use std::time::{Duration, Instant};

use spared_bench::Bench;
use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::dhcp::{Filled, Guests4, Lease4, Make, Pool, SERVER, Server, Setup};
use spared_tests::lab::Lab;

use super::bulk::filled;
use super::{MANY, Rows, row, runs};

/// How often the client asks.
const PATIENCE: Duration = Duration::from_millis(20);
const ALLOWED_MS: f64 = 1000.0;

pub fn dies(bench: &Bench, make: Make) -> Rows {
    let lab = Lab::new(2)?;
    let alone = alone(bench, make)?;
    let mut duo = filled(&lab, make, MANY)?;
    let mut guests = Guests4::new(&lab)?;
    guests.patience = PATIENCE;
    let lease = some_lease();
    let (mut after_address, mut after_power) = (Vec::new(), Vec::new());
    for _ in 0..runs(bench) {
        duo.wait_followed()?;
        let old = duo.at()?;
        let begun = Instant::now();
        duo.power_off(old)?;
        let site = &lab.sites[1 - old];
        while !site.ns.holds(&SERVER.to_string()) {
            thread::sleep(Duration::from_millis(1));
        }
        let there = Instant::now();
        let same = guests.rebind(&lease)?;
        if same.address != lease.address {
            return Err(format!("{} became {}", lease.address, same.address).into());
        }
        after_address.push(ms(same.at - there));
        after_power.push(ms(same.at - begun));
        duo.power_on(old)?;
        duo.wait_ready()?;
    }
    // the server's own part is no promise of ours
    let allowed = ALLOWED_MS.max(super::median(&mut alone.clone()) * 1.5 + 200.0);
    let mut answered = row(
        "ms from the address to its answer",
        after_address,
        alone.clone(),
        Some(allowed),
    );
    answered.note += "; beside: the server alone, from its start";
    let whole = row("ms from the fault to its answer", after_power, alone, None);
    Ok(vec![answered, whole])
}

fn some_lease() -> Lease4 {
    let filled = Filled {
        count: MANY,
        lifetime_s: 36_000,
    };
    filled.lease4(MANY - 1)
}

/// Times in ms from a server's start until it answers, with so many leases and without spared.
fn alone(bench: &Bench, make: Make) -> Result<Vec<f64>> {
    let lab = Lab::new(1)?;
    let site = &lab.sites[0];
    site.ns.ip(&format!("addr add {SERVER}/24 dev lan\n"))?;
    let setup = Setup {
        pool: Pool::Wide,
        lifetime_s: 36_000,
        ..Setup::new(make)
    };
    let server = Server::install(&lab, site, setup)?;
    let filled = Filled {
        count: MANY,
        lifetime_s: 36_000,
    };
    filled.write(&server)?;
    let mut guests = Guests4::new(&lab)?;
    guests.patience = PATIENCE;
    let mut took = Vec::new();
    for _ in 0..runs(bench) {
        let begun = Instant::now();
        // the client asks from the beginning, as it does at a failover
        let answered = thread::scope(|scope| {
            let starting = scope.spawn(|| server.start());
            let answered = guests.rebind(&some_lease())?.at;
            starting
                .join()
                .map_err(|_| "who starts the server died")??;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answered)
        })?;
        took.push(ms(answered - begun));
        server.stop()?;
    }
    Ok(took)
}
