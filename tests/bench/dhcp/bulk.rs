// SPDX-License-Identifier: MIT OR Apache-2.0
//! A router that knows nothing joins one that has many leases.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spared_bench::Bench;
use spared_tests::Result;
use spared_tests::clock::{ms, poll};
use spared_tests::dhcp::{Duo, Filled, Make, Options, Pool, Server, Setup};
use spared_tests::lab::{Lab, find_program};

use super::{MANY, Rows, row, runs};

const LIMIT: Duration = Duration::from_secs(60);
/// For up to `MANY`.
const ALLOWED_MS: f64 = 3000.0;

/// Two routers that have so many leases; r1's server had them first.
pub fn filled<'l>(lab: &'l Lab, make: Make, count: u32) -> Result<Duo<'l>> {
    let setup = Setup {
        pool: Pool::Wide,
        lifetime_s: 36_000,
        ..Setup::new(make)
    };
    let servers = Duo::install(lab, &[setup])?;
    let filled = Filled {
        count,
        lifetime_s: 36_000,
    };
    for server in &servers[0] {
        filled.write(server)?;
    }
    let duo = Duo::begin(lab, servers, Options::default())?;
    duo.wait_ready()?;
    duo.wait_leases(make, u64::from(count))?;
    Ok(duo)
}

pub fn sync(bench: &Bench, make: Make, count: u32) -> Rows {
    let lab = Lab::new(2)?;
    let mut duo = filled(&lab, make, count)?;
    let (at, mut ours, mut copies) = (duo.at()?, Vec::new(), Vec::new());
    for _ in 0..runs(bench) {
        let joining = 1 - at;
        duo.pair.routers[joining].shut_down()?;
        forget(&duo, joining)?;
        let begun = Instant::now();
        duo.restart(joining)?;
        let all = || duo.number(joining, make, "records_here") == Some(u64::from(count));
        if !poll(LIMIT, Duration::from_millis(2), all) {
            return Err(format!("no {count} leases after {LIMIT:?}").into());
        }
        ours.push(ms(begun.elapsed()));
        let received = duo.number(joining, make, "received");
        if received < Some(u64::from(count)) {
            return Err(format!("received {received:?}: it was not new").into());
        }
        duo.wait_ready()?;
        copies.push(ms(copy(duo.server(at, make)?)?));
    }
    let mut row = row(
        "ms from the start of spared until it has all",
        ours,
        copies,
        (count <= MANY).then_some(ALLOWED_MS),
    );
    row.note += "; beside: one rsync of the file, every minute or ten";
    Ok(vec![row])
}

// Empties the lease files and the state of a site, as on a machine that was just set up.
fn forget(duo: &Duo, site: usize) -> Result<()> {
    for server in &duo.servers[site] {
        fs::write(&server.paths.leases, "")?;
    }
    let state = duo.router(site).dir.join("state");
    match fs::remove_dir_all(&state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn copy(server: &Server) -> Result<Duration> {
    let to = server.paths.dir.join("copied");
    let rsync = find_program(Path::new("rsync"));
    let rsync = rsync.ok_or("no rsync here, which this is compared with")?;
    let begun = Instant::now();
    let status = Command::new(rsync)
        .arg("--fsync")
        .args([&server.paths.leases, &to])
        .status()?;
    let took = begun.elapsed();
    fs::remove_file(&to)?;
    if status.success() {
        Ok(took)
    } else {
        Err(format!("rsync: {status}").into())
    }
}
