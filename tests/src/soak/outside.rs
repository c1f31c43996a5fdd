// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the truth from outside, without the daemons' reports: which router answers for the addresses, and what both
//! nodes hold and run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::{PROCESSES, World, addresses};
use crate::Result;
use crate::clock::Stamp;
use crate::elements::has_element;
use crate::flows;
use crate::lab::is_stopped;

/// Time in which an address is asked for several times.
const SPAN: Duration = Duration::from_millis(400);
/// Time within which an element is replicated.
const FOLLOWS: Duration = Duration::from_secs(1);
/// Time within which an edited file is replicated without a request: two looks at it and a transfer.
const FILE_FOLLOWS: Duration = Duration::from_secs(8);
/// Seconds by which a renewal may be older in the backup's file.
const OLDER_S: i64 = 6;
/// Time after a step of a clock until a renewal has passed: before, the file has times of the old clock.
const SETTLED: Duration = Duration::from_secs(8);
const GROUPS: [&str; 2] = ["office", "phones"];

/// Measured flaws, by object.
pub type Flaws = BTreeSet<String>;

/// Returns the node that answers for the address of a group; None if neither or both do.
pub fn serving(world: &World<'_>, group: usize) -> Option<usize> {
    match answering(world, group).as_slice() {
        [site] => Some(*site),
        _ => None,
    }
}

fn answering(world: &World<'_>, group: usize) -> Vec<usize> {
    let from = Stamp::now().before(SPAN);
    let runs = world
        .bed
        .pair
        .watch
        .resolutions(from, addresses()[group].into());
    let sites: BTreeSet<usize> = runs.into_iter().map(|run| run.site).collect();
    sites.into_iter().collect()
}

/// Returns all present flaws.
pub fn flaws(world: &World<'_>) -> Result<Flaws> {
    let mut flaws = Flaws::new();
    for (group, name) in GROUPS.iter().enumerate() {
        match answering(world, group).len() {
            0 => drop(flaws.insert(format!("nobody answers for {name}"))),
            1 => {}
            _ => drop(flaws.insert(format!("both answer for {name}"))),
        }
    }
    processes(world, &mut flaws);
    services(world, &mut flaws);
    leases(world, &mut flaws);
    if let Some(flaw) = flow(world)? {
        flaws.insert(flaw);
    }
    flaws.extend(element(world));
    if world.pages_differ().is_some_and(|it| it > FILE_FOLLOWS) {
        flaws.insert("the file differs".to_owned());
    }
    Ok(flaws)
}

fn processes(world: &World<'_>, flaws: &mut Flaws) {
    for site in 0..2 {
        for name in PROCESSES {
            match world.bed.pair.process(site, name) {
                None => drop(flaws.insert(format!("r{} runs no {name}", site + 1))),
                Some(pid) if is_stopped(pid) => {
                    flaws.insert(format!("{name} of r{} is stopped", site + 1));
                }
                Some(_) => {}
            }
        }
    }
}

// Services belong to the office.
fn services(world: &World<'_>, flaws: &mut Flaws) {
    let office = serving(world, 0);
    for site in 0..2 {
        let is_wanted = office == Some(site);
        let web = world.bed.own(site).join("web-up").exists();
        let kea = world.bed.servers[site].iter().all(|it| it.runs());
        for (name, runs) in [("web", web), ("kea", kea)] {
            if runs != is_wanted {
                let word = if runs { "runs" } else { "does not run" };
                flaws.insert(format!("{name} {word} on r{}", site + 1));
            }
        }
    }
}

fn leases(world: &World<'_>, flaws: &mut Flaws) {
    let events = world.client.events().into_iter().rev();
    let mut addresses = events.map(|it| it.address).filter(|it| !it.is_empty());
    let Some(address) = addresses.next() else {
        return;
    };
    let clocks = world.bed.clocks;
    if clocks.iter().any(|(_, since)| since.elapsed() < SETTLED) {
        return;
    }
    let end = |site: usize| Some(world.bed.servers[site][0].ends(&address)? - clocks[site].0);
    let ends = [0, 1].map(end);
    let newest = ends.iter().flatten().max().copied().unwrap_or_default();
    for (site, end) in ends.iter().enumerate() {
        if end.is_none_or(|end| end < newest - OLDER_S) {
            flaws.insert(format!("the file of r{} lacks the lease", site + 1));
        }
    }
}

fn flow(world: &World<'_>) -> Result<Option<String>> {
    let own = world.transfer.own;
    let mut has = [false; 2];
    for (site, has) in has.iter_mut().enumerate() {
        let table = flows::read(&world.bed.site(site).ns)?;
        let mut ends = table.iter().map(|it| it.original);
        *has = ends.any(|it| (it.source, it.source_port) == (own.ip(), own.port()));
    }
    let lacking = has.iter().position(|has| !has);
    Ok(lacking.map(|site| format!("the kernel of r{} lacks the flow", site + 1)))
}

// Both kernels have the element or neither: an element is lost if its node died before it could send it.
fn element(world: &World<'_>) -> Option<String> {
    let (element, at) = world.element?;
    let [one, other] = [0, 1].map(|site| has_element(&world.bed.site(site).ns, element));
    let differs = one != other && at.elapsed() > FOLLOWS;
    differs.then(|| {
        format!(
            "{element} is in the set of r{} alone",
            1 + usize::from(other)
        )
    })
}
