// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room for two routers' tables in one kernel: both limits are the whole machine's, and are put
//! back at the end.

use std::fs;
use std::sync::{Mutex, PoisonError};

use spared_tests::Result;

const BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";
const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Values of `BUCKETS` and `MAX` before the first change.
static FOUND: Mutex<Option<[usize; 2]>> = Mutex::new(None);

/// Puts the limits back when it is dropped.
pub struct Limits;

impl Drop for Limits {
    fn drop(&mut self) {
        restore();
    }
}

/// As many buckets as flows of both routers, as the kernel has them where nobody sets them.
pub fn make_room(flows: u32) -> Result<()> {
    let wanted = (2 * flows as usize).next_power_of_two();
    let found = [read(BUCKETS)?, read(MAX)?];
    FOUND
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert(found);
    if found == [wanted; 2] {
        return Ok(());
    }
    write(BUCKETS, wanted).and_then(|()| write(MAX, wanted))
}

pub fn restore() {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some([buckets, max]) = found.take() {
        for (file, value) in [(BUCKETS, buckets), (MAX, max)] {
            if let Err(error) = write(file, value) {
                eprintln!("not put back to {value}: {error}");
            }
        }
    }
}

fn read(file: &str) -> Result<usize> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    Ok(text.trim().parse()?)
}

fn write(file: &str, value: usize) -> Result<()> {
    let explain = |error| format!("{file}: {error}: this needs root of the machine itself");
    Ok(fs::write(file, value.to_string()).map_err(explain)?)
}
