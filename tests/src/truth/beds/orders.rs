// SPDX-License-Identifier: MIT OR Apache-2.0
//! Overrides by administrators.

use std::fs;

use spared_verdict::Word;

use crate::Result;
use crate::lab::Wire;
use crate::router::Files;
use crate::truth::{Bed, Found::*, On, State};

pub(super) const STATES: &[State] = &[
    State::warns(
        "maintenance",
        On::Either,
        &[Struck("SP-0701")],
        |bed, at| bed.tell(at, &["maintenance", "on"]),
        |bed, at| bed.tell(at, &["maintenance", "off"]),
    )
    .reads("is in maintenance."),
    State::warns(
        "frozen",
        On::Either,
        &[R1("SP-0702")],
        |bed, at| bed.tell(at, &["freeze", "1m"]),
        |bed, at| bed.tell(at, &["freeze", "off"]),
    ),
    State::warns(
        "forced backup",
        On::Either,
        &[Struck("SP-0703")],
        |bed, at| bed.tell(at, &["force", "backup"]),
        |bed, at| bed.tell(at, &["force", "reset"]),
    ),
    State::warns(
        "forced active",
        On::Either,
        &[Struck("SP-0703")],
        |bed, at| bed.tell(at, &["force", "active"]),
        |bed, at| bed.tell(at, &["force", "reset"]),
    ),
    State::new(
        "not armed",
        On::Backup,
        Word::Alone,
        &[Struck("SP-0704")],
        unarm,
        |bed, at| bed.tell(at, &["arm"]),
    )
    .reads("is not armed"),
    State::new(
        "not armed",
        On::Both,
        Word::None,
        &[Own("SP-0104"), Own("SP-0704"), Peer("SP-0704")],
        |bed, _| (0..2).try_for_each(|at| unarm(bed, at)),
        |bed, at| bed.tell(at, &["arm"]),
    )
    .reads("nobody serves: "),
    State::new(
        "forced active while no link was up",
        On::Both,
        Word::Warn,
        &[Own("SP-0108")],
        |bed, _| force_both(bed, "active"),
        |bed, _| (0..2).try_for_each(|at| bed.tell(at, &["force", "reset"])),
    )
    .slow(),
    State::new(
        "forced backup while no link was up",
        On::Both,
        Word::Warn,
        &[Own("SP-0108")],
        |bed, _| force_both(bed, "backup"),
        |bed, _| (0..2).try_for_each(|at| bed.tell(at, &["force", "reset"])),
    ),
];

// Writes the mark of a node that is paired but not armed.
fn unarm(bed: &mut Bed<'_>, at: usize) -> Result<()> {
    let dir = bed.pair.routers[at].dir.clone();
    let state = Files { dir: &dir }.state_dir();
    fs::create_dir_all(&state)?;
    fs::write(state.join("unarmed"), "")?;
    bed.tell(at, &["reload"])
}

fn force_both(bed: &mut Bed<'_>, role: &str) -> Result<()> {
    let lab = bed.pair.lab;
    for wire in Wire::LINKS {
        lab.cut(bed.site(0), wire)?;
    }
    let is_cut = |bed: &Bed<'_>| {
        let up = |site| bed.status(site).peer.is_some_and(|peer| peer.up);
        !up(0) && !up(1)
    };
    bed.pair.wait("no link", || is_cut(bed))?;
    (0..2).try_for_each(|at| bed.tell(at, &["force", role, "--anyway"]))?;
    for wire in Wire::LINKS {
        lab.join(bed.site(0), wire)?;
    }
    Ok(())
}
