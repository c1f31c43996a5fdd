// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client has its answer: when does the other router know the lease?

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::dhcp::{Duo, Guests4, Host4, Lease4, Make, Pool, Setup};
use spared_tests::lab::Lab;

use super::{Rows, share};

const LIMIT: Duration = Duration::from_secs(5);
/// Promised bound of the median and of the 99th percentile.
const ALLOWED_MS: f64 = 100.0;

/// When a lease was at the peer, and when in the server's own file, each after the client's answer.
struct Visible {
    peer: Duration,
    file: Duration,
}

pub fn ipv4(bench: &Bench, make: Make) -> Rows {
    let lab = Lab::new(2)?;
    let setup = Setup {
        pool: Pool::Wide,
        ..Setup::new(make)
    };
    let duo = Duo::start(&lab, &[setup])?;
    let mut guests = Guests4::new(&lab)?;
    let count = bench.runs as u32 * 20;
    let (mut peer, mut file) = (Vec::new(), Vec::new());
    let at = duo.at()?;
    for number in 0..count {
        let lease = guests.lease(&Host4::number(number))?;
        let seen = wait(&duo, at, &lease, u64::from(number) + 1)?;
        peer.push(ms(seen.peer));
        file.push(ms(seen.file));
    }
    let mut row = |what, at, allowed| Row {
        what,
        ours: share(&mut peer, at),
        beside: share(&mut file, at),
        allowed,
        note: format!("{count} leases; beside: in the server's own file"),
    };
    Ok(vec![
        row("ms until it is at the peer, median", 0.5, Some(ALLOWED_MS)),
        row("ms until it is at the peer, p99", 0.99, Some(ALLOWED_MS)),
        row("ms until it is at the peer, worst", 1.0, None),
    ])
}

// The file is looked at beside, so that neither waits for the other.
fn wait(duo: &Duo, at: usize, lease: &Lease4, leases: u64) -> Result<Visible> {
    let server = &duo.servers[at][0];
    let make = server.setup.make;
    let address = lease.address.to_string();
    thread::scope(|scope| {
        let own = scope.spawn(|| {
            let written = || server.ends(&address).is_some();
            let seen = poll(LIMIT, Duration::from_micros(200), written);
            seen.then(|| lease.at.elapsed())
        });
        let known = || duo.number(1 - at, make, "records_here") >= Some(leases);
        let seen = poll(LIMIT, Duration::from_micros(100), known);
        let peer = seen.then(|| lease.at.elapsed());
        let file = own.join().map_err(|_| "who looks at the file died")?;
        match (peer, file) {
            (Some(peer), Some(file)) => Ok(Visible { peer, file }),
            _ => Err(format!("{address} is not at the peer after {LIMIT:?}").into()),
        }
    })
}
