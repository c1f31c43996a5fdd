// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs inside a machine, where its kernel can be asked without a shell between: this program, started there as
//! `bench-ipsec within WORD`. It answers with numbers of nanoseconds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use spared_netlink::constants::{XFRM_MSG_GETSA, XFRM_MSG_NEWSA};
use spared_netlink::{BATCH_MAX, Dump, Progress, Writer};
use spared_tests::Result;
use spared_tests::machine::Machine;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs the program that the words after `within` on the command line name.
pub fn program(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let numbers = match words.as_slice() {
        ["again"] => again(),
        _ => Err("no such program".into()),
    };
    match numbers {
        Ok(numbers) => {
            spared_tests::say!("{} {} done", numbers[0], numbers[1]);
            ExitCode::SUCCESS
        }
        Err(error) => {
            spared_tests::say!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one there.
pub fn run(machine: &Machine, words: &str) -> Result<[u64; 2]> {
    let own = std::env::current_exe()?;
    let line = format!("{} within {words}", own.display());
    let (_, text) = machine.run_within(&line, LIMIT)?;
    parse(&text).ok_or_else(|| format!("{}: {words}: {text}", machine.name).into())
}

fn parse(text: &str) -> Option<[u64; 2]> {
    let mut words = text.strip_suffix(" done\n")?.lines().last()?.split(' ');
    let mut number = || words.next()?.parse().ok();
    Some([number()?, number()?])
}

/// How long this machine's kernel takes to list its SAs, and to take the same once more in batches,
/// with nobody who looks at them.
fn again() -> Result<[u64; 2]> {
    let mut sas: Vec<Vec<u8>> = Vec::new();
    let begun = Instant::now();
    let mut dump = Dump::open_xfrm()?;
    dump.start(XFRM_MSG_GETSA, &[])?;
    while dump.read(|_, payload| sas.push(payload.to_vec()))? == Progress::More {}
    let listed = begun.elapsed();
    std::process::Command::new("ip")
        .args(["xfrm", "state", "flush"])
        .status()?;
    let begun = Instant::now();
    let mut writer = Writer::open_xfrm()?;
    let mut refused = 0;
    for batch in sas.chunks(BATCH_MAX) {
        for sa in batch {
            writer.push(XFRM_MSG_NEWSA, 0, |bytes| bytes.extend_from_slice(sa));
        }
        writer.flush(|_, _| refused += 1)?;
    }
    match refused {
        0 => Ok([listed.as_nanos() as u64, begun.elapsed().as_nanos() as u64]),
        refused => Err(format!("{refused} of {} refused", sas.len()).into()),
    }
}
