// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resources that a machine denies its daemon, and differences between the machines of both nodes.

use std::fs;
use std::process::Command;

use spared_verdict::Word;

use crate::Result;
use crate::truth::{Bed, Found::*, On, State};

/// A set without its elements.
const ADMINS: &str = "table inet office {\nset admins {\ntype ipv4_addr;";
const REDIRECTS: &str = "net/ipv4/conf/lan/send_redirects";
/// The setting REDIRECTS as a setting of a role.
const SETTING: &str = "\n[[sysctl]]\nkey = \"net.ipv4.conf.lan.send_redirects\"\nwhile_active = \"1\"\nwhile_backup = \"0\"\n";

pub(super) const STATES: &[State] = &[
    State::differs(
        "its daemon has no descriptor left, and cannot be asked",
        On::Backup,
        None,
        Some((Word::Warn, &[Struck("SP-0887")])),
        |bed, at| limit(bed, at, &next_descriptor(host_of(bed, at)).to_string()),
        |bed, at| limit(bed, at, "1024"),
    )
    .slow(),
    State::warns(
        "/proc/sys is read-only, and a role needs a setting",
        On::Backup,
        &[Struck("SP-0888")],
        |bed, at| {
            // mounts of its own, which the other node and the test do not see
            bed.pair.plans[at].own_folder = Some("/mnt".into());
            bed.restart(at)?;
            bed.pair.wait_settled()?;
            for site in 0..2 {
                let path = bed.etc(site).join("plugins/service.toml");
                let toml = fs::read_to_string(path)? + SETTING;
                bed.reload_with(site, "service", &toml)?;
            }
            bed.pair
                .wait("the setting of a backup", || is_set(bed, at, "0"))?;
            mount(
                bed,
                at,
                "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
            )
        },
        |bed, at| {
            mount(bed, at, "mount -o remount,bind,rw /proc/sys")?;
            bed.restore()?;
            (0..2).try_for_each(|site| bed.tell(site, &["reload"]))?;
            bed.site(at).ns.set(&[(REDIRECTS, "1")])?;
            bed.pair.plans[at].own_folder = None;
            bed.restart(at)
        },
    )
    .reads("r2 is not ready: /proc/sys is read-only")
    .slow(),
    State::warns(
        "a set of the administrator has other elements on one node",
        On::Backup,
        &[Own("SP-0803")],
        |bed, at| {
            change_equal(bed)?;
            for site in 0..2 {
                let more = if site == at { "" } else { ", 192.0.2.2" };
                bed.nft(
                    site,
                    &format!("{ADMINS} elements = {{ 192.0.2.1{more} }}; }}\n}}\n"),
                )?;
            }
            Ok(())
        },
        |bed, _| {
            (0..2).try_for_each(|site| bed.nft(site, "delete table inet office"))?;
            bed.restore()?;
            (0..2).try_for_each(|site| bed.tell(site, &["reload"]))
        },
    )
    .slow(),
];

fn host_of(bed: &Bed<'_>, at: usize) -> u32 {
    bed.pair.routers[at].daemons[0].pid()
}

/// Returns the number of the next descriptor of a process.
fn next_descriptor(pid: u32) -> u32 {
    let taken = |number: &u32| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
    (0..).find(|number| !taken(number)).unwrap_or_default()
}

/// Limits the descriptors of a node's daemon.
fn limit(bed: &Bed<'_>, at: usize, descriptors: &str) -> Result<()> {
    let (pid, limit) = (
        host_of(bed, at).to_string(),
        format!("--nofile={descriptors}:"),
    );
    done(Command::new("prlimit").args(["--pid", &pid, &limit]))
}

/// Runs a script among the mounts of a node's daemon.
fn mount(bed: &Bed<'_>, at: usize, script: &str) -> Result<()> {
    let mounts = format!("--mount=/proc/{}/ns/mnt", host_of(bed, at));
    done(Command::new("nsenter").args([&mounts, "sh", "-ec", script]))
}

fn is_set(bed: &Bed<'_>, at: usize, wanted: &str) -> bool {
    let value = bed.site(at).ns.shell(&format!("cat /proc/sys/{REDIRECTS}"));
    value.is_ok_and(|it| it.trim() == wanted)
}

fn done(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Makes differences of the machines count after a second on both nodes, until [`Bed::restore`].
fn change_equal(bed: &mut Bed<'_>) -> Result<()> {
    for site in 0..2 {
        let path = bed.etc(site).join("spared.toml");
        bed.put_aside(path.clone())?;
        let toml = fs::read_to_string(&path)?;
        fs::write(path, format!("{toml}\n[equal]\nafter = \"1s\"\n"))?;
        bed.tell(site, &["reload"])?;
    }
    Ok(())
}
