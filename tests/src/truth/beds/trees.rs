// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees of files that follow when somebody asks.

use std::fs;
use std::path::PathBuf;

use crate::Result;
use crate::lab::{Lab, Wire};
use crate::linked::{INTERVAL, Linked};
use crate::router::{Plan, PluginFile};
use crate::truth::{Bed, Found::*, On, State};

/// Folder that each node sees as one of its own.
const FOLDER: &str = "/mnt";
const TREE: &str = "[[tree]]\nname = \"motd\"\npaths = [\"/mnt/motd\"]\n";

pub(super) const STATES: &[State] = &[
    State::warns(
        "a tree has changed and nobody has pushed it",
        On::Either,
        &[Struck("SP-0401")],
        |bed, at| write(bed, at, "new\n"),
        |bed, at| write(bed, at, "old\n"),
    )
    .slow(),
    State::warns(
        "a tree has changed on both nodes",
        On::Both,
        &[R1("SP-0401"), R2("SP-0401")],
        |bed, _| (0..2).try_for_each(|at| write(bed, at, &format!("of r{}\n", at + 1))),
        |bed, _| (0..2).try_for_each(|at| write(bed, at, "old\n")),
    )
    .slow(),
];

fn write(bed: &Bed<'_>, at: usize, text: &str) -> Result<()> {
    Ok(fs::write(bed.pair.routers[at].dir.join("own/motd"), text)?)
}

pub(super) fn start(lab: &Lab) -> Result<Bed<'_>> {
    for node in ["r1", "r2"] {
        let own = lab.dir.join(format!("{node}-spared/own"));
        fs::create_dir_all(&own)?;
        fs::write(own.join("motd"), "old\n")?;
    }
    let pair = Linked::begin(lab, ["r1", "r2"].map(|node| plan(lab, node)))?;
    pair.wait_settled()?;
    let bed = Bed::new(pair);
    bed.wait_ok()?;
    Ok(bed)
}

fn plan(lab: &Lab, node: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.own_folder = Some(PathBuf::from(FOLDER));
    let config = lab
        .dir
        .join(format!("{node}-spared/etc/plugins/files.toml"));
    let root = format!("trees = {config:?}\n");
    for (name, toml) in [("files", TREE), ("files-root", root.as_str())] {
        plan.plugins.push(PluginFile {
            name: name.to_owned(),
            toml: toml.to_owned(),
            file: format!("libspared_{}.so", name.replace('-', "_")),
        });
    }
    plan
}
