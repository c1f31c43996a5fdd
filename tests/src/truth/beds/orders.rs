// SPDX-License-Identifier: MIT OR Apache-2.0
//! Overrides by administrators.

use spared_pair::Word;

use crate::Result;
use crate::lab::Wire;
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
