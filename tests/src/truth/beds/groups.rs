// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two groups, each with a preferred node of its own: both nodes are active, for one group each.

use super::plain::{SET, SETS};
use crate::Result;
use crate::lab::{Lab, VIRTUAL, Wire};
use crate::linked::{INTERVAL, Linked};
use crate::router::{Plan, PluginFile};
use crate::truth::{Bed, Found::*, On, State};

const OUTSIDE: &str = "[[group]]\nname = \"outside\"\nprefer = \"r2\"\nversion = 3\nadvert_interval = \"100ms\"\n\
    failback_delay = \"500ms\"\nhold = \"500ms\"\n\
    [[group.interface]]\ninterface = \"wan\"\nvrid = 52\naddresses = [\"10.2.0.1/24\"]\n";

pub(super) const STATES: &[State] = &[
    State::is_mended(
        "each node is active for one of two groups",
        On::Both,
        |_, _| Ok(()),
        |bed, _| {
            let held = Wire::BOTH.map(|wire| bed.pair.lab.holders(&wire.ipv4(VIRTUAL).to_string()));
            held == [vec![0], vec![1]]
        },
        |_, _| Ok(()),
    ),
    State::warns(
        "a set is gone on each of two nodes that are active for a group",
        On::Both,
        &[R1("SP-0304"), R2("SP-0304")],
        |bed, _| (0..2).try_for_each(|at| bed.nft(at, "delete set inet filter bans")),
        |bed, _| (0..2).try_for_each(|at| bed.nft(at, SET)),
    ),
];

pub(super) fn start(lab: &Lab) -> Result<Bed<'_>> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.routers.truncate(1);
    plan.sections = OUTSIDE.to_owned();
    plan.plugins = vec![PluginFile {
        name: "sets".to_owned(),
        toml: SETS.to_owned(),
        file: "libspared_sets.so".to_owned(),
    }];
    lab.sites
        .iter()
        .take(2)
        .try_for_each(|site| site.ns.nft(SET))?;
    let bed = Bed::new(Linked::start(lab, &plan)?);
    bed.wait_ok()?;
    Ok(bed)
}
