// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many SAs, and more of them: their times beside what the kernel needs alone, and beside each other's.

use std::sync::{Mutex, PoisonError};

use spared_bench::{Bench, Row};
use spared_tests::Result;

use super::dies::{self, Alone, Deaths};
use super::{FEW, MANY, median, row};

/// Aims on machines that are no slower than usual, for the notes.
const SYNC_MS: f64 = 500.0;
const INSTALL_MS: f64 = 200.0;
/// Allowed: so many times what the kernel needs alone.
const SYNC_TIMES: f64 = 3.0;
const INSTALL_TIMES: f64 = 2.0;
/// Factor for the time by which many SAs delay a new backup's sync, compared with a backup with one tunnel.
const ADDED_TIMES: f64 = 2.0;
/// Factor for the time from when the plugins hear each other until a new backup has all SAs.
const FOLLOW_TIMES: f64 = 2.0;
/// Allowed for 10 000 SAs: so many times what 3000 need.
const GROWTH: f64 = 3.5;

/// Until a new backup with one tunnel is in sync, once for all cases.
static OF_FEW: Mutex<Option<f64>> = Mutex::new(None);
/// Medians of the 3000, once for both cases.
static OF_MANY: Mutex<Option<Times>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Times {
    in_sync: f64,
    followed: f64,
    installed: f64,
}

impl Times {
    fn of(deaths: &Deaths) -> Self {
        Self {
            in_sync: median(&deaths.in_sync),
            followed: median(&deaths.followed),
            installed: median(&deaths.installed),
        }
    }
}

/// Median time until a backup with one tunnel is in sync, noted for the other cases.
pub fn note_few(deaths: &Deaths) -> f64 {
    let in_sync = median(&deaths.in_sync);
    *OF_FEW.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_sync);
    in_sync
}

fn few(bench: &Bench) -> Result<f64> {
    let known = *OF_FEW.lock().unwrap_or_else(PoisonError::into_inner);
    match known {
        Some(in_sync) => Ok(in_sync),
        None => Ok(note_few(&dies::measured(bench, FEW)?.0)),
    }
}

/// Rows of the 3000 SAs, compared with the kernel alone.
pub fn beside_the_kernel(bench: &Bench, deaths: &Deaths, alone: &Alone) -> Result<Vec<Row>> {
    let both = median(&alone.listed) + median(&alone.batches);
    let allowed = Some(SYNC_MS.max(both * SYNC_TIMES));
    let mut sync = row(IN_SYNC, &deaths.in_sync, &[both], allowed);
    sync.note += &format!("; aim {SYNC_MS} ms; beside: the kernel alone lists and takes them");
    let few = few(bench)?;
    let added: Vec<f64> = deaths.in_sync.iter().map(|it| it - few).collect();
    let mut added = row(ADDED, &added, &[both], Some(both * ADDED_TIMES));
    added.note += &format!("; with {FEW} SAs it is in sync after {few:.0} ms");
    let allowed = Some(both * FOLLOW_TIMES);
    let mut followed = row(FOLLOWED, &deaths.followed, &[both], allowed);
    followed.note += "; beside: the kernel alone lists and takes them";
    let allowed = Some(median(&alone.batches) * INSTALL_TIMES);
    let mut installed = row(INSTALLED, &deaths.installed, &alone.batches, allowed);
    installed.note += &format!(
        "; aim {INSTALL_MS} ms; beside: the kernel alone takes them, by ip -batch in {:.0} ms",
        median(&alone.ip)
    );
    *OF_MANY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Times::of(deaths));
    Ok(vec![sync, added, followed, installed])
}

/// Rows of more SAs, compared with the 3000 of the same run. These are measured here if no case has done it.
pub fn beside_many(bench: &Bench, deaths: &Deaths, alone: &Alone) -> Result<Vec<Row>> {
    let known = *OF_MANY.lock().unwrap_or_else(PoisonError::into_inner);
    let many = match known {
        Some(times) => times,
        None => Times::of(&dies::measured(bench, MANY)?.0),
    };
    let beside = |what, ours: &[f64], many: f64| {
        let mut row = row(what, ours, &[many], Some(many * GROWTH));
        row.note += &format!("; beside: {MANY} SAs");
        row
    };
    let (listed, taken) = (median(&alone.listed), median(&alone.batches));
    let mut followed = beside(FOLLOWED, &deaths.followed, many.followed);
    followed.note += &format!(
        "; the kernel alone lists and takes them in {:.0} ms",
        listed + taken
    );
    let mut installed = beside(INSTALLED, &deaths.installed, many.installed);
    installed.note += &format!("; the kernel alone takes them in {taken:.0} ms");
    let sync = beside(IN_SYNC, &deaths.in_sync, many.in_sync);
    Ok(vec![sync, followed, installed])
}

const IN_SYNC: &str = "ms until a new backup is in sync";
const ADDED: &str = "ms that these SAs add to that";
const FOLLOWED: &str = "ms of these from plugin to plugin";
const INSTALLED: &str = "ms from its decision to the last SA";
