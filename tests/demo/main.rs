// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make demo`: two pairs of routers side by side, spared and what people run today, with the same users and the
//! same faults.
//!
//! demo [--record FILE] [FAULT...] [tunnel]
//! demo --hold

#![forbid(unsafe_code)]

mod board;
mod faults;
mod judge;
mod measures;
mod pages;
mod pairs;
mod sampler;
mod scene;
mod screen;
mod table;
mod tunnel;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use spared_tests::lab::{Lab, become_root, leave_when_told, maps_one_user};
use spared_tests::probe::Control;
use spared_tests::say::wants_help;
use spared_tests::{Result, say};

use board::Board;
use faults::Fault;
use pairs::Camp;
use scene::Scene;
use screen::Screen;

/// Interval of the picture, and of a look at the pairs.
const FRAME: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    if wants_help(&std::env::args().collect::<Vec<_>>()) {
        say!(
            "usage: demo [--record FILE] [tunnel] [FAULT...]\n       demo --hold\n\nFaults: {}\n\n--hold keeps a broken pair \
             of spared, whose pages can be looked at, until Ctrl-C",
            faults()
        );
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(broken) if broken.is_empty() => {
            say!("demo: ok");
            ExitCode::SUCCESS
        }
        Ok(broken) => {
            broken
                .iter()
                .for_each(|sentence| say!("demo: failed: {sentence}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say!("demo: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns a sentence for each promise of spared that was broken.
fn run() -> Result<Vec<String>> {
    let wish = arguments()?;
    become_root()?;
    leave_when_told(Screen::restore)?;
    if wish.hold {
        return pages::hold();
    }
    let screen = Screen::new(wish.recording.as_deref())?;
    let board = Board::new(wish.faults, &screen);
    let is_root = !maps_one_user()?;
    if !is_root {
        board.remark("not root: no DHCP and services, keepalived without conntrackd and scripts");
    }
    let control = Control::start();
    let together = Barrier::new(Camp::BOTH.len());
    let tunnels = thread::scope(|scope| {
        let shown = scope.spawn(|| {
            thread::scope(|pairs| {
                for camp in Camp::BOTH {
                    let (board, together) = (&board, &together);
                    pairs.spawn(move || drive(camp, board, together));
                }
            });
            if wish.tunnel { dig(&board) } else { Vec::new() }
        });
        while !shown.is_finished() {
            screen.draw(&board.picture());
            thread::sleep(FRAME);
        }
        shown.join().map_err(|_| "a thread panicked")
    })?;
    screen.draw(&board.picture());
    let mut broken = finish(&board, &control, is_root);
    broken.extend(tunnels);
    Ok(broken)
}

/// Arguments of the command line.
#[derive(Default)]
struct Wish {
    recording: Option<PathBuf>,
    faults: Vec<Fault>,
    tunnel: bool,
    hold: bool,
}

fn arguments() -> Result<Wish> {
    let mut wish = Wish::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--record" => {
                wish.recording = Some(words.next().ok_or("--record needs a file")?.into())
            }
            "tunnel" => wish.tunnel = true,
            "--hold" => wish.hold = true,
            word => wish.faults.push(fault(word)?),
        }
    }
    if wish.faults.is_empty() && !wish.tunnel {
        (wish.faults, wish.tunnel) = (Fault::ALL.to_vec(), true);
    }
    Ok(wish)
}

fn fault(word: &str) -> Result<Fault> {
    let fault = Fault::ALL.into_iter().find(|fault| fault.word() == word);
    fault.ok_or_else(|| {
        let known = faults();
        format!("{word:?} is no fault; allowed: {known}, tunnel, and --record FILE or --hold")
            .into()
    })
}

fn faults() -> String {
    Fault::ALL.map(Fault::word).join(", ")
}

/// Runs a pair through all faults, each at the same time as the other pair. A pair that does not come back is given
/// up, and only keeps step.
fn drive(camp: Camp, board: &Board, together: &Barrier) {
    let mut steps = 0;
    if let Err(error) = drive_all(camp, board, &mut || {
        steps += 1;
        together.wait();
    }) {
        board.give_up(camp, &error.to_string());
    }
    for _ in steps..board.faults.len() {
        together.wait();
    }
}

fn drive_all(camp: Camp, board: &Board, step: &mut dyn FnMut()) -> Result<()> {
    board.say(camp, "starts".to_owned());
    let lab = Lab::new(2)?;
    let (mut scene, sights) = Scene::start(&lab, camp)?;
    let _pages = (camp == Camp::Spared)
        .then(|| pages::open(&lab))
        .transpose()?
        .inspect(|pages| board.show_pages(pages.each_ref().map(|it| it.address)));
    let done = AtomicBool::new(false);
    let look = || {
        while !done.load(Ordering::Relaxed) {
            board.look(camp, &sights);
            thread::sleep(FRAME);
        }
    };
    let outcome = thread::scope(|scope| {
        scope.spawn(look);
        let mut strike_all = || -> Result<()> {
            for fault in &board.faults {
                let at = scene.settle(&sights)?;
                step();
                let loss = scene.suffer(*fault, at, &sights, &|what| board.say(camp, what))?;
                board.note(camp, *fault, loss);
            }
            scene.settle(&sights).map(drop)
        };
        let outcome = strike_all();
        done.store(true, Ordering::Relaxed);
        outcome
    });
    board.say(camp, "done".to_owned());
    board.look(camp, &sights);
    outcome.map_err(|error| format!("{error}\n{}", lab.logs()).into())
}

/// Shows IPsec with one pair after the other, as machines take the processors for themselves. Returns what spared broke.
fn dig(board: &Board) -> Vec<String> {
    let mut broken = Vec::new();
    let mut cells = Vec::new();
    for camp in Camp::BOTH {
        board.say(camp, "a machine with IPsec dies".to_owned());
        let loss = tunnel::loss(camp);
        board.say(camp, "done".to_owned());
        let why = loss.as_ref().err().map(ToString::to_string);
        let first = why.as_deref().and_then(|why| why.lines().next());
        let first = first.unwrap_or_default();
        if first.starts_with("skipped: ") {
            board.remark(&format!("no IPsec is shown: {first}"));
            return broken;
        }
        cells.push(match &loss {
            Ok(loss) => format!(
                "{} {}, {} of {} clients stay",
                camp.name(),
                table::short(loss.outage),
                loss.stay,
                tunnel::CLIENTS.len()
            ),
            Err(_) => format!("{}: {first}", camp.name()),
        });
        if camp == Camp::Spared {
            broken.extend(why.map(|why| format!("IPsec: {why}")));
            broken.extend(loss.ok().and_then(|it| judge::broken_ipsec(&it)));
        }
    }
    board.remark(&format!("IPsec, machine dead: {}", cells.join("; ")));
    broken
}

/// Prints the table and its explanation, and judges spared.
fn finish(board: &Board, control: &Control, is_root: bool) -> Vec<String> {
    let screen = board.screen;
    let mut text = String::new();
    let remark = board.remark_so_far();
    // a recording has the picture, whatever the output has
    screen.log_rows(&board.rows());
    // the picture cuts long lines
    match remark.len() > board::WIDTH {
        true => text += &format!("{remark}\n"),
        false if remark.is_empty() => {}
        false => screen.log_rows(&[remark]),
    }
    text += &format!("\n{}{}\n", table::legend(is_root), board::machine());
    let mut broken = Vec::new();
    let ours = board.of(Camp::Spared);
    for (fault, loss) in &ours.losses {
        broken.extend(judge::broken(*fault, loss, board::late(control, loss)));
    }
    broken.extend(ours.out.clone());
    if let Some(why) = &board.of(Camp::Usual).out {
        let why = why.lines().next().unwrap_or_default();
        text += &format!("keepalived's pair is not shown to the end: {why}\n");
    }
    screen.print(&text);
    screen.finish();
    broken
}
