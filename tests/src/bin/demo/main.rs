// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make demo`: two routers, one address, four faults and a switchover, compared with keepalived.

#![forbid(unsafe_code)]

mod judge;
mod screen;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::lab::{Wire, become_root, leave_when_told};
use spared_tests::pair::{Damage, Fault, Pair};
use spared_tests::probe::{Control, Download};
use spared_tests::router::{Kind, Plan};

use judge::Verdicts;
use screen::{Column, Screen};

const INTERVAL: Duration = Duration::from_millis(100);
const DOWNLOAD_RATE: u64 = 4_000_000;
/// A stall of the machine after which a fault is tried again.
const STALL: Duration = Duration::from_millis(20);

pub const FAULTS: [Fault; 5] = [
    Fault::Death,
    Fault::CarrierLost,
    Fault::Hang,
    Fault::Shutdown,
    Fault::Switch,
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => {
            println!("demo: ok");
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    become_root()?;
    let screen = Screen::new();
    leave_when_told(Screen::restore)?;
    screen.say("starting two pairs of routers");
    let control = Control::start();
    let columns = [start(Kind::Spared)?, start(Kind::Keepalived)?];
    let done = AtomicBool::new(false);
    let verdicts = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                screen.show(&columns);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let verdicts = strike_all(&screen, &columns, &control);
        done.store(true, Ordering::Relaxed);
        verdicts
    })?;
    screen.show(&columns);
    screen.finish(&columns);
    for sentence in &verdicts.broken {
        println!("demo: failed: {sentence}");
    }
    Ok(verdicts.broken.is_empty())
}

fn start(kind: Kind) -> Result<Column> {
    let plans = match kind {
        Kind::Spared => [(); 2].map(|()| Plan::linked(INTERVAL, &Wire::LINKS)),
        _ => [Plan::gateways(INTERVAL, 253), Plan::gateways(INTERVAL, 252)],
    };
    // keepalived's group may fall apart while it starts on a busy machine.
    let again = |_| Pair::start(kind, plans.clone());
    let pair = Pair::start(kind, plans.clone()).or_else(again)?;
    let download = Download::start(&pair.lab, DOWNLOAD_RATE)?;
    Ok(Column::new(pair, download))
}

fn strike_all(screen: &Screen, columns: &[Column; 2], control: &Control) -> Result<Verdicts> {
    let mut verdicts = Verdicts::default();
    for fault in FAULTS {
        // keepalived has no switchover that leaves it running
        let has = |column: &&Column| fault != Fault::Switch || column.pair.kind == Kind::Spared;
        for column in columns
            .iter()
            .filter(has)
            .filter(|column| !column.given_up())
        {
            screen.say(&format!(
                "{}: {}",
                column.pair.kind.name(),
                screen::sentence(fault)
            ));
            match strike(&column.pair, fault, control) {
                Ok(damage) => column.note(fault, damage),
                // The demo continues without a keepalived that did not survive.
                Err(_) if column.pair.kind == Kind::Keepalived => column.give_up(),
                Err(error) => return Err(error),
            }
        }
        verdicts.judge(fault, columns);
    }
    verdicts.judge_downloads(columns);
    screen.say("all faults survived");
    Ok(verdicts)
}

/// Strikes, and again if the machine itself was late, three times at most.
fn strike(pair: &Pair, fault: Fault, control: &Control) -> Result<Damage> {
    const TRIES: usize = 3;
    let mut damage = Damage::default();
    for _ in 0..TRIES {
        damage = pair.strike(fault)?;
        pair.settle()?;
        if control.worst(damage.began, damage.ended) < STALL {
            break;
        }
    }
    Ok(damage)
}
