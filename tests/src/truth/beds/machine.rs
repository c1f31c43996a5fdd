// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of a node's machine: interfaces, addresses, rules, the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use spared_verdict::Word;

use crate::Result;
use crate::lab::{Direction, Disk, Site, Traffic, VIRTUAL, Wire};
use crate::truth::{Bed, Found::*, On, State};

const FLOW_EVENTS: &str = "/proc/sys/net/netfilter/nf_conntrack_events";

const ROUTE: &str =
    "\n[[group.route]]\ndestination = \"198.51.100.0/24\"\ngateway = \"192.0.2.77\"\n";

/// Default route by a gateway on the wan.
const DEFAULT: &str = "\n[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"10.2.0.2\"\n";
/// Priority of the vrrp plugin's process, as the worker sets it.
const PRIORITY: u32 = 30;

pub(super) const STATES: &[State] = &[
    State::warns(
        "an interface is down",
        On::Either,
        &[Struck("SP-0403")],
        |bed, at| bed.ip(at, "link set wan down"),
        |bed, at| bed.ip(at, "link set wan up"),
    )
    .reads("can take over, but its quality is lower ("),
    State::warns(
        "an interface has no carrier",
        On::Either,
        &[Struck("SP-0403")],
        |bed, at| bed.pair.lab.unplug(bed.site(at), Wire::Wan),
        |bed, at| bed.pair.lab.plug(bed.site(at), Wire::Wan),
    ),
    State::warns(
        "an interface is gone",
        On::Either,
        &[Struck("SP-0403")],
        |bed, at| bed.ip(at, "link del wan"),
        |bed, at| bed.pair.lab.replug(bed.site(at), Wire::Wan),
    ),
    State::warns(
        "an interface is down",
        On::Both,
        &[R1("SP-0403"), R2("SP-0403")],
        |bed, _| (0..2).try_for_each(|at| bed.ip(at, "link set wan down")),
        |bed, _| (0..2).try_for_each(|at| bed.ip(at, "link set wan up")),
    ),
    State::new(
        "every interface of the group is down",
        On::Either,
        Word::Alone,
        &[Struck("SP-0403"), Struck("SP-0403")],
        |bed, at| bed.ip(at, "link set wan down\nlink set lan down"),
        |bed, at| bed.ip(at, "link set wan up\nlink set lan up"),
    ),
    State::new(
        "every interface of the group is down",
        On::Both,
        Word::None,
        &[R1("SP-0403"), R1("SP-0403"), R2("SP-0403"), R2("SP-0403")],
        |bed, _| (0..2).try_for_each(|at| bed.ip(at, "link set wan down\nlink set lan down")),
        |bed, _| (0..2).try_for_each(|at| bed.ip(at, "link set wan up\nlink set lan up")),
    ),
    State::warns(
        "an interface has no address of its own",
        On::Either,
        &[Struck("SP-0204")],
        |bed, at| bed.ip(at, &format!("addr del {}/24 dev wan", own(bed.site(at)))),
        |bed, at| bed.ip(at, &format!("addr add {}/24 dev wan", own(bed.site(at)))),
    ),
    State::warns(
        "a virtual address is the only one of an interface",
        On::Backup,
        &[Struck("SP-0204")],
        |bed, at| replace_own(bed, at, "del", "add"),
        |bed, at| replace_own(bed, at, "add", "del"),
    ),
    State::new(
        "no interface has an address of its own",
        On::Either,
        Word::Alone,
        &[Struck("SP-0204"), Struck("SP-0204")],
        |bed, at| {
            let host = bed.site(at).host();
            let [lan, wan] = Wire::BOTH.map(|wire| wire.ipv4(host));
            bed.ip(
                at,
                &format!("addr del {lan}/24 dev lan\naddr del {wan}/24 dev wan"),
            )
        },
        |bed, at| {
            let host = bed.site(at).host();
            let [lan, wan] = Wire::BOTH.map(|wire| wire.ipv4(host));
            bed.ip(
                at,
                &format!("addr add {lan}/24 dev lan\naddr add {wan}/24 dev wan"),
            )
        },
    ),
    State::warns(
        "a route's gateway is in no network of the node",
        On::Both,
        &[R1("SP-0207")],
        |bed, _| change_routes(bed, |text| text + ROUTE),
        |bed, _| change_routes(bed, |text| text.replacen(ROUTE, "", 1)),
    ),
    State::warns(
        "a route refuses what the group's default route is for",
        On::Active,
        &[Struck("SP-0891")],
        |bed, at| {
            change_routes(bed, |text| text + DEFAULT)?;
            bed.ip(at, "route add blackhole 128.0.0.0/1")
        },
        |bed, at| {
            bed.ip(at, "route del blackhole 128.0.0.0/1")?;
            change_routes(bed, |text| text.replacen(DEFAULT, "", 1))
        },
    )
    .slow(),
    State::warns(
        "the vrrp plugin has lost its real-time priority",
        On::Either,
        &[Struck("SP-0892")],
        |bed, at| schedule(bed, at, "--other --pid 0"),
        |bed, at| schedule(bed, at, &format!("--fifo --pid {PRIORITY}")),
    )
    .slow(),
    State::warns(
        "a node has the other one's own address as well",
        On::Backup,
        // as the other node receives adverts from it
        &[OtherNode("SP-0893")],
        |bed, at| {
            bed.ip(
                at,
                &format!("addr add {}/24 dev wan", own(bed.site(1 - at))),
            )
        },
        |bed, at| {
            bed.ip(
                at,
                &format!("addr del {}/24 dev wan", own(bed.site(1 - at))),
            )
        },
    ),
    State::warns(
        "a virtual address is set by hand",
        On::Either,
        &[Struck("SP-0208")],
        |bed, at| {
            bed.ip(
                at,
                &format!("addr add {}/32 dev wan", Wire::Wan.ipv4(VIRTUAL)),
            )
        },
        |bed, at| {
            bed.ip(
                at,
                &format!("addr del {}/32 dev wan", Wire::Wan.ipv4(VIRTUAL)),
            )
        },
    ),
    State::warns(
        "IPv4 is not forwarded",
        On::Active,
        &[Struck("SP-0802")],
        |bed, at| forward(bed, at, "ip_forward", "0"),
        |bed, at| forward(bed, at, "ip_forward", "1"),
    ),
    State::warns(
        "IPv4 is not forwarded",
        On::Backup,
        &[Struck("SP-0802")],
        |bed, at| forward(bed, at, "ip_forward", "0"),
        |bed, at| forward(bed, at, "ip_forward", "1"),
    )
    .reads("r2 is not ready: net.ipv4.ip_forward is 0: no IPv4 packet is forwarded"),
    State::warns(
        "IPv4 is not forwarded",
        On::Both,
        &[R1("SP-0802"), R2("SP-0802")],
        |bed, _| (0..2).try_for_each(|at| forward(bed, at, "ip_forward", "0")),
        |bed, _| (0..2).try_for_each(|at| forward(bed, at, "ip_forward", "1")),
    ),
    State::warns(
        "IPv4 is not forwarded from one interface",
        On::Either,
        &[Struck("SP-0802")],
        |bed, at| forward(bed, at, "conf/wan/forwarding", "0"),
        |bed, at| forward(bed, at, "conf/wan/forwarding", "1"),
    ),
    State::is_fine(
        "an interface without virtual addresses does not forward",
        On::Either,
        |bed, at| forward(bed, at, "conf/lo/forwarding", "0"),
        |bed, at| forward(bed, at, "conf/lo/forwarding", "1"),
    ),
    State::is_mended(
        "a virtual address is deleted and put back",
        On::Active,
        |bed, at| {
            let address = Wire::Wan.ipv4(VIRTUAL);
            bed.ip(at, &format!("addr del {address}/24 dev wan"))
        },
        |bed, at| bed.site(at).ns.holds(&Wire::Wan.ipv4(VIRTUAL).to_string()),
        |_, _| Ok(()),
    ),
    State::is_mended(
        "the local route of a virtual address is deleted and put back",
        On::Active,
        |bed, at| {
            let address = Wire::Wan.ipv4(VIRTUAL);
            bed.ip(
                at,
                &format!("route del local {address} dev wan table local"),
            )
        },
        |bed, at| {
            let address = Wire::Wan.ipv4(VIRTUAL);
            let shown = format!("ip route show table local {address}");
            let shown = bed.site(at).ns.shell(&shown);
            shown.is_ok_and(|it| it.starts_with("local "))
        },
        |_, _| Ok(()),
    ),
    State::is_mended(
        "the ruleset is flushed and the fence put back",
        On::Either,
        |bed, at| {
            bed.nft(at, "flush ruleset")?;
            bed.nft(at, super::plain::SET)
        },
        |bed, at| has_fence(bed.site(at)),
        |_, _| Ok(()),
    ),
    State::is_mended(
        "the fence's table is made dormant",
        On::Active,
        |bed, at| bed.nft(at, "add table netdev spared { flags dormant; }"),
        |bed, at| has_fence(bed.site(at)) && !is_dormant(bed.site(at)),
        |_, _| Ok(()),
    ),
    State::warns(
        "ARP is switched off on an interface",
        On::Backup,
        &[Struck("SP-0889")],
        |bed, at| bed.ip(at, "link set lan arp off"),
        |bed, at| bed.ip(at, "link set lan arp on"),
    )
    .reads("r2 is not ready: ARP is switched off on lan"),
    State::warns(
        "a setting forbids answers to ARP",
        On::Either,
        &[Struck("SP-0889")],
        |bed, at| forward(bed, at, "conf/lan/arp_ignore", "8"),
        |bed, at| forward(bed, at, "conf/lan/arp_ignore", "0"),
    )
    .slow(),
    State::warns(
        "the disk does not give a file that is in force",
        On::Backup,
        &[Struck("SP-0890")],
        |bed, at| {
            // reading it fails, as on a disk with errors
            let path = bed.etc(at).join("plugins/sets.toml");
            fs::rename(&path, path.with_extension("away"))?;
            Ok(fs::create_dir(path)?)
        },
        |bed, at| {
            let path = bed.etc(at).join("plugins/sets.toml");
            fs::remove_dir(&path)?;
            Ok(fs::rename(path.with_extension("away"), path)?)
        },
    ),
    State::warns(
        "the fence's table is held by another program",
        On::Either,
        &[Struck("SP-0201")],
        hold_fence,
        |_, _| Ok(()),
    )
    .slow(),
    State::is_fine(
        "the fence is off by configuration",
        On::Either,
        |bed, at| {
            let path = bed.etc(at).join("spared.toml");
            bed.put_aside(path.clone())?;
            let toml = fs::read_to_string(&path)?;
            fs::write(path, format!("fence = \"off\"\n{toml}"))?;
            bed.restart(at)
        },
        |bed, at| {
            bed.restore()?;
            bed.restart(at)
        },
    ),
    State::warns(
        "a fence that is configured waits for a restart",
        On::Either,
        &[Struck("SP-0603")],
        |bed, at| {
            let path = bed.etc(at).join("spared.toml");
            bed.put_aside(path.clone())?;
            let toml = fs::read_to_string(&path)?;
            fs::write(path, format!("fence = \"off\"\n{toml}"))?;
            bed.tell(at, &["reload"])
        },
        |bed, at| {
            bed.restore()?;
            bed.tell(at, &["reload"])
        },
    ),
    State::warns(
        "adverts cannot be sent",
        On::Active,
        &[Struck("SP-0206")],
        |bed, at| {
            // before the fence's rules, which would renew its lease
            bed.nft(
                at,
                "table netdev quiet {\nchain out {\ntype filter hook egress device \"wan\" priority 0\n\
                 ip protocol 112 drop\n}\n}\n",
            )
        },
        |bed, at| {
            bed.nft(at, "delete table netdev quiet")?;
            bed.tell(at, &["vrrp", "retry"])
        },
    ),
    State::differs(
        "no other node lives, and the fence blocks, as no advert leaves",
        On::Active,
        Some((
            Word::None,
            &[
                Peer("SP-0101"),
                Own("SP-0104"),
                Own("SP-0206"),
                Own("SP-0206"),
            ],
        )),
        None,
        |bed, at| {
            bed.pair.routers[1 - at].kill();
            bed.nft(
                at,
                "table netdev quiet {\nchain out {\ntype filter hook egress devices = { lan, wan } priority 0\n\
                 ip protocol 112 drop\n}\n}\n",
            )
        },
        |bed, at| {
            bed.nft(at, "delete table netdev quiet")?;
            bed.tell(at, &["vrrp", "retry"])?;
            bed.restart(1 - at)
        },
    ),
    State::warns(
        "a network is cut without a word",
        On::Backup,
        &[R1("SP-0205")],
        |bed, at| bed.pair.lab.cut(bed.site(at), Wire::Wan),
        |bed, at| bed.pair.lab.join(bed.site(at), Wire::Wan),
    ),
    State::warns(
        "its adverts are lost on a network, and its heartbeats are not",
        On::Active,
        &[R1("SP-0210")],
        |bed, at| {
            let (lab, site) = (bed.pair.lab, bed.site(at));
            lab.filter(site, Wire::Lan, Traffic::Adverts, Direction::From)
        },
        |bed, at| bed.pair.lab.unfilter(bed.site(at), Wire::Lan),
    ),
    State::is_mended(
        "the kernel is told to report no flow, and told to again",
        On::Either,
        |bed, at| {
            bed.site(at)
                .ns
                .shell(&format!("echo 0 >{FLOW_EVENTS}"))
                .map(drop)
        },
        |bed, at| {
            let value = bed.site(at).ns.shell(&format!("cat {FLOW_EVENTS}"));
            value.is_ok_and(|it| it.trim() == "1")
        },
        |_, _| Ok(()),
    ),
    State::warns(
        "the disk of the host's state is full",
        On::Either,
        &[Struck("SP-0801")],
        |bed, at| {
            let disk = Disk::over(&bed.pair.routers[at].dir.join("state"), "64k")?;
            disk.fill()?;
            bed.disks.push(disk);
            // causes a write
            bed.tell(at, &["freeze", "1s"])
        },
        |bed, _| {
            bed.disks.clear();
            Ok(())
        },
    ),
    State::warns(
        "the disk of the host's state is read-only, and nothing is to be written",
        On::Backup,
        &[Struck("SP-0801")],
        |bed, at| {
            let disk = Disk::over(&bed.pair.routers[at].dir.join("state"), "64k")?;
            disk.remount("ro")?;
            bed.disks.push(disk);
            Ok(())
        },
        |bed, _| {
            bed.disks.clear();
            Ok(())
        },
    ),
    State::warns(
        "others can read the key, which was good at the start",
        On::Backup,
        &[Struck("SP-0806")],
        |bed, at| chmod(&bed.etc(at).join("key"), 0o644),
        |bed, at| chmod(&bed.etc(at).join("key"), 0o600),
    ),
];

fn schedule(bed: &Bed<'_>, at: usize, how: &str) -> Result<()> {
    let pid = bed.pair.process(at, "vrrp").ok_or("no vrrp plugin")?;
    bed.site(at)
        .ns
        .shell(&format!("chrt {how} {pid}"))
        .map(drop)
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn has_fence(site: &Site) -> bool {
    let table = site.ns.shell("nft list table netdev spared");
    table.is_ok_and(|rules| rules.contains("drop"))
}

fn is_dormant(site: &Site) -> bool {
    let table = site.ns.shell("nft list table netdev spared");
    table.is_ok_and(|rules| rules.contains("dormant"))
}

fn forward(bed: &Bed<'_>, at: usize, setting: &str, value: &str) -> Result<()> {
    let setting = format!("net/ipv4/{setting}");
    bed.site(at).ns.set(&[(&setting, value)])
}

fn own(site: &Site) -> std::net::Ipv4Addr {
    Wire::Wan.ipv4(site.host())
}

/// Replaces the node's own address on the wan by the gateway's, or restores it.
fn replace_own(bed: &mut Bed<'_>, at: usize, own_verb: &str, other_verb: &str) -> Result<()> {
    let (own, other) = (own(bed.site(at)), Wire::Wan.ipv4(VIRTUAL));
    bed.ip(
        at,
        &format!("addr {own_verb} {own}/24 dev wan\naddr {other_verb} {other}/24 dev wan"),
    )
}

/// Gives the fence's table an owner: only that process can change it, while it runs.
fn hold_fence(bed: &mut Bed<'_>, at: usize) -> Result<()> {
    let script = "{ echo 'delete table netdev spared; add table netdev spared { flags owner; }'; \
                  sleep 120; } | nft -i";
    bed.run_beside(at, &["sh", "-c", script])
}

/// Changes the routes on both nodes, as files that differ are a finding.
fn change_routes(bed: &mut Bed, change: impl Fn(String) -> String) -> Result<()> {
    for at in 0..2 {
        let file = bed.etc(at).join("plugins/vrrp.toml");
        let text = fs::read_to_string(&file)?;
        fs::write(&file, change(text))?;
        bed.tell(at, &["reload"])?;
    }
    Ok(())
}
