// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configurations that differ, are wrong, or name things that do not exist.

use std::fs;
use std::time::Duration;

use super::plain::{MESSENGER, SETS};
use crate::Result;
use crate::clock::poll;
use crate::lab::build_dir;
use crate::linked::peer;
use crate::truth::{Bed, Found::*, On, State};

pub(super) const STATES: &[State] = &[
    State::warns(
        "a key that is common to both nodes differs",
        On::Either,
        &[Own("SP-0602")],
        |bed, at| bed.reload_with(at, "messenger", "weight = 0\ninterval = \"2s\"\n"),
        put_back,
    ),
    State::is_fine(
        "a key of a node's own differs",
        On::Either,
        |bed, at| bed.reload_with(at, "messenger", "weight = 0\nlabel = \"left\"\n"),
        put_back,
    ),
    State::is_fine(
        "a key that is never compared differs",
        On::Either,
        |bed, at| bed.reload_with(at, "messenger", "weight = 0\nnote = \"rack 7\"\n"),
        put_back,
    ),
    State::warns(
        "an address of the group differs",
        // the active node refuses a configuration that loses an address
        On::Backup,
        &[Own("SP-0601")],
        |bed, at| {
            let path = bed.etc(at).join("plugins/vrrp.toml");
            let toml = fs::read_to_string(path)?;
            bed.reload_with(at, "vrrp", &toml.replace("10.2.0.1/24", "10.2.0.3/24"))
        },
        put_back,
    ),
    State::warns(
        "a set is followed on one node alone",
        On::Active,
        &[Own("SP-0602")],
        follow_more,
        follow_no_more,
    ),
    State::warns(
        "a set is followed on one node alone",
        On::Backup,
        &[Struck("SP-0304"), Own("SP-0602")],
        follow_more,
        follow_no_more,
    ),
    State::warns(
        "a plugin follows a group that is not there",
        On::Either,
        &[Struck("SP-0305"), Own("SP-0602")],
        |bed, at| bed.reload_with(at, "messenger", "weight = 0\nfollow = [\"attic\"]\n"),
        put_back,
    ),
    State::warns(
        "a plugin is configured on one node alone",
        On::Either,
        &[OtherNode("SP-0303")],
        |bed, at| {
            let path = bed.etc(at).join("plugins/messenger.toml");
            bed.put_aside(path.clone())?;
            fs::remove_file(path)?;
            bed.tell(at, &["reload"])
        },
        put_back,
    ),
    State::warns(
        "a plugin that needs root may not have it",
        On::Active,
        &[Struck("SP-0401"), Struck("SP-0401")],
        |bed, at| {
            let path = bed.etc(at).join("plugins/service.toml");
            let toml = fs::read_to_string(path)?;
            bed.reload_with(at, "service", &format!("allow = []\n{toml}"))?;
            bed.take(at, "web-up")
        },
        put_back,
    ),
    State::warns(
        "a plugin's program is not installed",
        On::Either,
        &[Struck("SP-0301")],
        |bed, at| {
            let program = bed.pair.routers[at].dir.join("plugins/messenger.so");
            bed.put_aside(program.clone())?;
            fs::remove_file(program)?;
            bed.restart(at)
        },
        |bed, at| {
            bed.restore()?;
            bed.restart(at)
        },
    ),
    State::warns(
        "a plugin of another version",
        On::Either,
        &[R1("SP-0302")],
        |bed, at| {
            let program = bed.pair.routers[at].dir.join("plugins/messenger.so");
            bed.put_aside(program.clone())?;
            fs::copy(build_dir()?.join(peer("later").file), program)?;
            bed.restart(at)
        },
        |bed, at| {
            bed.restore()?;
            bed.restart(at)
        },
    ),
    State::warns(
        "a file is changed and not reloaded",
        On::Active,
        &[Struck("SP-0604")],
        |bed, at| {
            leave(
                bed,
                at,
                "plugins/messenger.toml",
                "weight = 0\nlabel = \"left\"\n",
            )
        },
        |bed, _| bed.restore(),
    )
    .slow(),
    State::warns(
        "a file with a fault waits for the next start",
        On::Backup,
        &[Struck("SP-0604")],
        |bed, at| leave(bed, at, "spared.toml", "node.name = \n"),
        |bed, _| bed.restore(),
    )
    .slow(),
    State::warns(
        "a plugin's file is wrong at the start",
        On::Either,
        &[Struck("SP-0301")],
        |bed, at| {
            let path = bed.etc(at).join("plugins/messenger.toml");
            bed.put_aside(path.clone())?;
            fs::write(path, format!("{MESSENGER}wieght = 1\n"))?;
            bed.restart(at)
        },
        put_back,
    ),
];

fn follow_more(bed: &mut Bed<'_>, at: usize) -> Result<()> {
    let more = SETS.replace("bans", "more");
    bed.nft(at, "add set inet filter more { type ipv4_addr; }")?;
    bed.reload_with(at, "sets", &format!("{SETS}{more}"))
}

fn follow_no_more(bed: &mut Bed<'_>, at: usize) -> Result<()> {
    put_back(bed, at)?;
    bed.nft(at, "delete set inet filter more")
}

/// Changes a file without a reload, and waits until the finding appears.
fn leave(bed: &mut Bed<'_>, at: usize, file: &str, text: &str) -> Result<()> {
    let path = bed.etc(at).join(file);
    bed.put_aside(path.clone())?;
    fs::write(path, text)?;
    let is_told = || {
        let findings = bed.status(at).verdict.findings;
        findings.iter().any(|it| it.id == "SP-0604")
    };
    if poll(Duration::from_secs(80), Duration::from_millis(500), is_told) {
        Ok(())
    } else {
        Err("it was not told within 80 s".into())
    }
}

fn put_back(bed: &mut Bed<'_>, at: usize) -> Result<()> {
    bed.restore()?;
    bed.tell(at, &["reload"])
}
