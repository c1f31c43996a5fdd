// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees of files that are copied on request.

use std::fs;

use crate::Result;
use crate::lab::Lab;
use crate::linked::{Linked, with_trees};
use crate::truth::{Bed, Found::*, On, State};

const TREE: &str = "[[tree]]\nname = \"motd\"\npaths = [\"/mnt/motd\"]\n";

pub(super) const STATES: &[State] = &[
    State::warns(
        "a tree has changed and nobody has pushed it",
        On::Either,
        &[Struck("SP-0404")],
        |bed, at| write(bed, at, "new\n"),
        |bed, at| write(bed, at, "old\n"),
    )
    .slow(),
    State::warns(
        "a tree has changed on both nodes",
        On::Both,
        &[R1("SP-0401")],
        |bed, _| (0..2).try_for_each(|at| write(bed, at, &format!("of r{}\n", at + 1))),
        |bed, _| (0..2).try_for_each(|at| write(bed, at, "old\n")),
    )
    .slow(),
    State::warns(
        "the half of files that writes is not enabled",
        On::Either,
        &[Struck("SP-0401"), Own("SP-0602")],
        |bed, at| {
            let path = bed.etc(at).join("plugins/files-root.toml");
            bed.put_aside(path.clone())?;
            fs::remove_file(path)?;
            bed.tell(at, &["reload"])
        },
        |bed, at| {
            bed.restore()?;
            bed.tell(at, &["reload"])
        },
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
    let pair = Linked::begin(lab, ["r1", "r2"].map(|node| with_trees(lab, node, TREE)))?;
    pair.wait_settled()?;
    let bed = Bed::new(pair);
    bed.wait_ok()?;
    Ok(bed)
}
