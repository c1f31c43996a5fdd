// SPDX-License-Identifier: MIT OR Apache-2.0
//! States of DHCP servers with replicated leases, and of their files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use spared_verdict::Word;

use crate::Result;
use crate::dhcp::{Duo, Guests4, Guests6, Host4, Host6, Make, Options, Server, Setup};
use crate::lab::{Disk, Lab, signal_to};
use crate::truth::{Bed, Found::*, On, State};

/// States of Kea, which `make test` includes.
pub(super) const KEA: &[State] = &[
    dead::<0>("the DHCPv4 server is dead and does not start"),
    truncated::<0>("the DHCPv4 server's file is cut to nothing"),
    moved::<0>("the DHCPv4 server's file is moved away"),
    full::<0>("the DHCPv4 server's disk is full"),
    served_full::<0>("the DHCPv4 server's disk is full"),
    read_only::<0>("the DHCPv4 server's disk is read-only"),
    gone::<0>("the DHCPv4 server's file is deleted"),
    stopped::<0>("the DHCPv4 server is stopped in its tracks"),
    unreadable::<0>("the DHCPv4 server's configuration is gone"),
    wrong_here::<0>("the DHCPv4 server's configuration has a fault"),
    other_pool("the DHCPv4 server has another pool"),
    port_held("another program holds the DHCPv4 server's port").slow(),
    State::warns(
        "/proc hides the servers' processes",
        On::Active,
        &[Struck("SP-0402"), Struck("SP-0402")],
        |bed, at| hide(bed, at, true),
        |bed, at| hide(bed, at, false),
    )
    .slow(),
    dead::<1>("the DHCPv6 server is dead and does not start").slow(),
    truncated::<1>("the DHCPv6 server's file is cut to nothing").slow(),
    moved::<1>("the DHCPv6 server's file is moved away").slow(),
    full::<1>("the DHCPv6 server's disk is full").slow(),
    served_full::<1>("the DHCPv6 server's disk is full").slow(),
    read_only::<1>("the DHCPv6 server's disk is read-only").slow(),
    gone::<1>("the DHCPv6 server's file is deleted").slow(),
    stopped::<1>("the DHCPv6 server is stopped in its tracks").slow(),
    unreadable::<1>("the DHCPv6 server's configuration is gone").slow(),
    wrong_here::<1>("the DHCPv6 server's configuration has a fault").slow(),
];

/// States for other servers.
macro_rules! others {
    ($($first:expr),*) => {
        &[
            $($first,)*
            dead::<0>("the DHCPv4 server is dead and does not start").slow(),
            truncated::<0>("the DHCPv4 server's file is cut to nothing").slow(),
            moved::<0>("the DHCPv4 server's file is moved away").slow(),
            full::<0>("the DHCPv4 server's disk is full").slow(),
            gone::<0>("the DHCPv4 server's file is deleted").slow(),
            stopped::<0>("the DHCPv4 server is stopped in its tracks").slow(),
            unreadable::<0>("the DHCPv4 server's configuration is gone").slow(),
            wrong::<0>("the DHCPv4 server's configuration has a fault").slow(),
            other_pool("the DHCPv4 server has another pool").slow(),
            dead::<1>("the DHCPv6 server is dead and does not start").slow(),
            truncated::<1>("the DHCPv6 server's file is cut to nothing").slow(),
            moved::<1>("the DHCPv6 server's file is moved away").slow(),
            full::<1>("the DHCPv6 server's disk is full").slow(),
            gone::<1>("the DHCPv6 server's file is deleted").slow(),
            stopped::<1>("the DHCPv6 server is stopped in its tracks").slow(),
            wrong::<1>("the DHCPv6 server's configuration has a fault").slow(),
        ]
    };
}

pub(super) const DNSMASQ: &[State] = others![
    served_unwritten::<0>("the DHCPv4 server's disk is full").slow(),
    served_unwritten::<1>("the DHCPv6 server's disk is full").slow(),
    read_only::<0>("the DHCPv4 server's disk is read-only").slow(),
    read_only::<1>("the DHCPv6 server's disk is read-only").slow()
];

/// States of dhcpd, without read-only disks: a backup keeps its files open.
pub(super) const DHCPD: &[State] = others![
    served_full::<0>("the DHCPv4 server's disk is full").slow(),
    served_full::<1>("the DHCPv6 server's disk is full").slow()
];

pub(super) fn start_kea(lab: &Lab) -> Result<Bed<'_>> {
    start(lab, [Make::Kea4, Make::Kea6])
}

pub(super) fn start_dnsmasq(lab: &Lab) -> Result<Bed<'_>> {
    start(lab, [Make::Dnsmasq4, Make::Dnsmasq6])
}

pub(super) fn start_dhcpd(lab: &Lab) -> Result<Bed<'_>> {
    start(lab, [Make::Dhcpd4, Make::Dhcpd6])
}

fn start(lab: &Lab, makes: [Make; 2]) -> Result<Bed<'_>> {
    let servers = Duo::install(lab, &makes.map(Setup::new))?;
    let disks = servers.iter().flatten().map(Server::disk);
    let disks = disks.collect::<Result<Vec<_>>>()?;
    // a backup's file then has the plugin's leases soon enough for a look at it
    let options = Options {
        top: "save_interval = \"1s\"\n",
        tested: true,
        ..Options::default()
    };
    let mut duo = Duo::begin(lab, servers, options)?;
    duo.wait_ready()?;
    if duo.at()? != 0 {
        duo.switch_over()?;
    }
    let Duo { pair, servers, .. } = duo;
    let mut bed = Bed::new(pair);
    (bed.servers, bed.disks) = (servers, disks);
    come(&mut bed)?;
    bed.wait_ok()?;
    Ok(bed)
}

/// Lets a new client of each family get a lease.
fn come(bed: &mut Bed<'_>) -> Result<()> {
    let number = bed.leased.len() as u32;
    let first = Guests4::new(bed.pair.lab)?.lease(&Host4::number(number))?;
    let second = Guests6::new(bed.pair.lab)?.lease(&Host6::number(number))?;
    let addresses = [first.address.to_string(), second.address.to_string()];
    bed.leased.push(addresses);
    Ok(())
}

/// Restarts a node with a /proc that shows processes of other accounts, or hides them, and waits until it is active
/// again.
fn hide(bed: &mut Bed<'_>, at: usize, hides: bool) -> Result<()> {
    bed.pair.plans[at].hides_processes = hides;
    bed.restart(at)?;
    bed.pair.wait_settled()?;
    if bed.pair.at()? != at {
        bed.pair.switch(1 - at)?;
    }
    Ok(())
}

/// Returns true if the other node's file has the last lease.
fn is_followed<const SERVER: usize>(bed: &Bed<'_>, at: usize) -> bool {
    let server = &bed.servers[1 - at][SERVER];
    let last = bed.leased.last();
    last.is_some_and(|addresses| server.ends(&addresses[SERVER]).is_some())
}

fn disk<'b>(bed: &'b Bed<'_>, at: usize, server: usize) -> &'b Disk {
    &bed.disks[at * 2 + server]
}

fn leases(bed: &Bed<'_>, at: usize, server: usize) -> PathBuf {
    bed.servers[at][server].paths.leases.clone()
}

// There is one finding, though dhcp and service both report it.
const fn dead<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| {
            let config = bed.servers[at][SERVER].paths.config.clone();
            bed.put_aside(config.clone())?;
            let mut text = fs::read_to_string(&config)?;
            text += "no such words\n";
            fs::write(config, text)?;
            bed.servers[at][SERVER].kill()
        },
        |bed, at| {
            bed.restore()?;
            bed.tell(at, &["service", "retry"])
        },
    )
}

const fn truncated<const SERVER: usize>(name: &'static str) -> State {
    State::is_mended(
        name,
        On::Active,
        |bed, at| {
            let file = File::options().write(true).open(leases(bed, at, SERVER))?;
            file.set_len(0)?;
            come(bed)
        },
        is_followed::<SERVER>,
        |_, _| Ok(()),
    )
}

/// State in which the file was moved: leases are still replicated, but the server would start without them.
const fn moved<const SERVER: usize>(name: &'static str) -> State {
    State {
        mended: Some(is_followed::<SERVER>),
        ..State::warns(
            name,
            On::Active,
            &[Struck("SP-0401")],
            |bed, at| {
                let file = leases(bed, at, SERVER);
                fs::rename(&file, away(&file))?;
                come(bed)
            },
            |bed, at| {
                let file = leases(bed, at, SERVER);
                Ok(fs::rename(away(&file), &file)?)
            },
        )
    }
}

/// State in which the file is gone: the plugin writes it again while the server is stopped, and the service is
/// restarted.
const fn gone<const SERVER: usize>(name: &'static str) -> State {
    State {
        mended: Some(is_followed::<SERVER>),
        ..State::warns(
            name,
            On::Active,
            &[Struck("SP-0401")],
            |bed, at| {
                fs::remove_file(leases(bed, at, SERVER))?;
                come(bed)
            },
            |bed, at| {
                bed.servers[at][SERVER].stop()?;
                // as the finding says, after the time that the plugin needs
                std::thread::sleep(Duration::from_secs(1));
                bed.tell(at, &["service", "retry"])
            },
        )
    }
}

const fn stopped<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| signal(bed, at, SERVER, Signal::STOP),
        |bed, at| signal(bed, at, SERVER, Signal::CONT),
    )
}

/// State with an unreadable configuration, which the plugin dhcp and the server's own test report.
const fn unreadable<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0304"), Struck("SP-0401")],
        |bed, at| {
            let config = bed.servers[at][SERVER].paths.config.clone();
            bed.put_aside(config.clone())?;
            Ok(fs::remove_file(config)?)
        },
        |bed, _| bed.restore(),
    )
}

/// State with a wrong configuration, which only the server's own test reports.
const fn wrong<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0401")],
        |bed, at| {
            let config = bed.servers[at][SERVER].paths.config.clone();
            bed.put_aside(config.clone())?;
            let text = fs::read_to_string(&config)?;
            Ok(fs::write(config, text + "no such words\n")?)
        },
        |bed, _| bed.restore(),
    )
}

/// State with a wrong configuration of Kea, of which the plugin reads enough to report it, too.
const fn wrong_here<const SERVER: usize>(name: &'static str) -> State {
    State {
        here: Some((Word::Warn, &[Struck("SP-0304"), Struck("SP-0401")])),
        there: Some((Word::Warn, &[Struck("SP-0304"), Struck("SP-0401")])),
        ..wrong::<SERVER>(name)
    }
}

const fn other_pool(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0304")],
        |bed, at| {
            let config = bed.servers[at][0].paths.config.clone();
            bed.put_aside(config.clone())?;
            let text = fs::read_to_string(&config)?;
            let other = text.replace("10.1.0.128/26", "10.1.0.128/27");
            let other = other.replace("10.1.0.191", "10.1.0.159");
            if other == text {
                return Err("the configuration names no pool".into());
            }
            Ok(fs::write(config, other)?)
        },
        |bed, _| bed.restore(),
    )
}

const fn port_held(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0304")],
        |bed, at| {
            let script = "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                          s.bind(('', 67)); time.sleep(300)";
            bed.run_beside(at, &["python3", "-c", script])?;
            // wakes an idle plugin, which then looks
            bed.tell(at, &["dhcp"])
        },
        |_, _| Ok(()),
    )
}

fn signal(bed: &Bed<'_>, at: usize, server: usize, signal: Signal) -> Result<()> {
    let pid = bed.servers[at][server].pid().ok_or("it does not run")?;
    signal_to(pid, signal)
}

const fn full<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0304")],
        |bed, at| {
            disk(bed, at, SERVER).fill()?;
            let _ = come(bed);
            Ok(())
        },
        |bed, at| disk(bed, at, SERVER).empty(),
    )
}

/// State with a full disk. No client needs to come: that the server could not write the next lease is a fault already.
const fn served_full<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Active,
        &[Struck("SP-0401")],
        |bed, at| disk(bed, at, SERVER).fill(),
        |bed, at| disk(bed, at, SERVER).empty(),
    )
}

/// State with a full disk of a server that grants leases which it cannot write, so that the other node cannot know
/// them.
const fn served_unwritten<const SERVER: usize>(name: &'static str) -> State {
    State {
        here: Some((Word::Warn, &[OtherNode("SP-0304")])),
        there: Some((Word::Warn, &[OtherNode("SP-0304")])),
        ..served_full::<SERVER>(name)
    }
}

const fn read_only<const SERVER: usize>(name: &'static str) -> State {
    State::warns(
        name,
        On::Backup,
        &[Struck("SP-0304")],
        |bed, at| {
            disk(bed, at, SERVER).remount("ro")?;
            let _ = come(bed);
            Ok(())
        },
        |bed, at| disk(bed, at, SERVER).remount("rw"),
    )
}

fn away(file: &Path) -> PathBuf {
    file.with_extension("away")
}
