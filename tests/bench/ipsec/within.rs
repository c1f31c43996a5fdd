// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs in a machine, where its kernel and its spared can be asked without a shell between: this
//! program, started there as `bench-ipsec within WORD`. It answers with numbers of nanoseconds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use spared_control::{Answer, Request, Status};
use spared_netlink::constants::{XFRM_MSG_GETSA, XFRM_MSG_NEWSA};
use spared_netlink::{BATCH_MAX, Dump, Progress, Verdict, Writer, attributes};
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::machine::Machine;

const LIMIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(5);

/// What follows `within` on the command line.
pub fn program(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let numbers = match words.as_slice() {
        ["joined", runtime_dir] => joined(Path::new(runtime_dir)),
        ["installed", count] => installed(count.parse().unwrap_or(0)),
        ["again"] => again(),
        _ => Err("no such program".into()),
    };
    match numbers {
        Ok(numbers) => {
            println!("{} {} done", numbers[0], numbers[1]);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts one of these in a machine, in the background.
pub fn spawn(machine: &Machine, words: &str) -> Result<Within> {
    let own = std::env::current_exe()?;
    let name = words.split(' ').next().unwrap_or_default();
    let within = Within {
        what: format!("{}: {words}", machine.name),
        log: machine.log_of(name),
    };
    let _ = std::fs::remove_file(&within.log);
    machine.spawn(name, &format!("{} within {words}", own.display()))?;
    Ok(within)
}

/// Runs one there.
pub fn run(machine: &Machine, words: &str) -> Result<[u64; 2]> {
    let own = std::env::current_exe()?;
    let line = format!("{} within {words}", own.display());
    let (_, text) = machine.run_within(&line, LIMIT)?;
    parse(&text).ok_or_else(|| format!("{}: {words}: {text}", machine.name).into())
}

/// One that runs.
pub struct Within {
    what: String,
    log: PathBuf,
}

impl Within {
    pub fn wait(self) -> Result<[u64; 2]> {
        let mut text = String::new();
        let mut numbers = None;
        poll(LIMIT, Duration::from_millis(20), || {
            text = std::fs::read_to_string(&self.log).unwrap_or_default();
            numbers = parse(&text);
            numbers.is_some()
        });
        numbers.ok_or_else(|| format!("{}: {text}", self.what).into())
    }
}

fn parse(text: &str) -> Option<[u64; 2]> {
    let mut words = text.strip_suffix(" done\n")?.lines().last()?.split(' ');
    let mut number = || words.next()?.parse().ok();
    Some([number()?, number()?])
}

/// When spared heard its peer, and when nothing was missing for it to take over.
fn joined(runtime_dir: &Path) -> Result<[u64; 2]> {
    let up = |status: &Status| status.peer.as_ref().is_some_and(|peer| peer.up);
    let ready = |status: &Status| up(status) && status.missing.as_ref().is_some_and(Vec::is_empty);
    let up = wait_status(runtime_dir, up)?;
    Ok([up, wait_status(runtime_dir, ready)?])
}

fn wait_status(runtime_dir: &Path, is: impl Fn(&Status) -> bool) -> Result<u64> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let answer = spared_control::ask(runtime_dir, &Request::Status, PATIENCE);
        if matches!(&answer, Ok(Answer::Status(status)) if is(status)) {
            return Ok(Stamp::now().0);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err("not joined in time".into())
}

/// When the kernel's count of SAs left what it was, and when it was this.
fn installed(count: u32) -> Result<[u64; 2]> {
    let mut writer = Writer::open_xfrm()?;
    let before = present(&mut writer)?;
    let mut first = 0;
    let end = Instant::now() + LIMIT;
    loop {
        let present = present(&mut writer)?;
        if first == 0 && present != before {
            first = Stamp::now().0;
        }
        if present >= count {
            return Ok([first, Stamp::now().0]);
        }
        if Instant::now() > end {
            return Err(format!("{present} SAs of {count}").into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Asked for by number, since notifications would cost what is measured.
fn present(writer: &mut Writer) -> Result<u32> {
    const XFRM_MSG_GETSADINFO: u16 = 0x23;
    const XFRMA_SAD_CNT: u16 = 1;
    let mut count = None;
    writer.push(XFRM_MSG_GETSADINFO, 0, |bytes| bytes.extend([0; 4]));
    writer.flush(|_, verdict| {
        if let Verdict::Answer(_, payload) = verdict {
            let found = attributes(payload.get(4..).unwrap_or_default());
            let mut found = found.filter(|it| it.0 == XFRMA_SAD_CNT);
            count = found.next().and_then(|it| it.1.try_into().ok());
        }
    })?;
    let bytes = count.ok_or("the kernel does not say how many SAs it has")?;
    Ok(u32::from_ne_bytes(bytes))
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
