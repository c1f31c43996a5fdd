// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's conntrackd, FT-FW over unicast UDP, with keepalived, as it is usually deployed.
//!
//! The sizes are those that its manual advises for this many flows, and that its log requests. With the sizes of its
//! example (8 MiB for events, 1.2 MiB for messages, 131072 in the resend queue), some of 200k flows created at once
//! never reach the peer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Lab, Site, VIRTUAL, Wire, find_program, skipped};

/// Host numbers of both routers.
const ROUTERS: [u8; 2] = [11, 12];

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub flows: u32,
    /// If true, the backup keeps flows in a cache and commits them in a failover. If false, it writes them to its
    /// kernel as they arrive.
    pub external_cache: bool,
    /// Use the kernel's default buffer for events, and resync 5 s instead of 30 s after an overrun.
    pub default_buffer: bool,
}

pub struct Conntrackd {
    daemon: Daemon,
    file: PathBuf,
}

impl Conntrackd {
    pub fn start(lab: &Lab, site: &Site, options: Options) -> Result<Self> {
        let program = program()?;
        let dir = lab.dir.join(format!("{}-conntrackd", site.name));
        fs::create_dir_all(&dir)?;
        let file = dir.join("conntrackd.conf");
        fs::write(&file, configuration(site, &dir, options))?;
        let log = lab.dir.join(format!("{}-conntrackd.log", site.name));
        let mut command = site.ns.command(program);
        command.arg("-C").arg(&file);
        let daemon = Daemon::start(&format!("{} conntrackd", site.name), command, &log)?;
        let conntrackd = Self { daemon, file };
        let answers = || conntrackd.ask(&["-s"]).is_ok();
        if !poll(Duration::from_secs(10), Duration::from_millis(20), answers) {
            return Err(format!("conntrackd does not answer:\n{}", lab.logs()).into());
        }
        Ok(conntrackd)
    }

    /// Stops it by SIGTERM, and waits until another can start in its place.
    pub fn stop(mut self) -> Result<()> {
        self.daemon.terminate(Duration::from_secs(10))?;
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Number of flows in its "internal" or "external" cache.
    pub fn cached(&self, cache: &str) -> Result<u64> {
        self.statistic("cache", &format!("cache:{cache}"))
    }

    /// Number of times that the kernel's events overran the buffer.
    pub fn overruns(&self) -> Result<u64> {
        self.statistic("runtime", "netlink overrun:")
    }

    /// First number in the line that begins with `line`.
    fn statistic(&self, kind: &str, line: &str) -> Result<u64> {
        let text = self.ask(&["-s", kind])?;
        let line = text
            .lines()
            .find(|found| found.trim_start().starts_with(line));
        let mut words = line.unwrap_or_default().split_whitespace();
        let number = words.find_map(|word| word.parse().ok());
        number.ok_or_else(|| format!("conntrackd -s {kind}: unexpected:\n{text}").into())
    }

    /// Output of its client.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(program()?);
        let output = command.arg("-C").arg(&self.file).args(words).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("conntrackd {}: {}", words.join(" "), why.trim()).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn program() -> Result<PathBuf> {
    find_program(Path::new("conntrackd")).ok_or_else(|| skipped("conntrackd is not installed"))
}

fn configuration(site: &Site, dir: &Path, options: Options) -> String {
    let (own, peer) = (site.host(), ROUTERS[1 - site.index]);
    let [own, peer] = [own, peer].map(|host| Wire::Hot.ipv4(host));
    let external = if options.external_cache { "Off" } else { "On" };
    let (buckets, limit) = (options.flows.next_power_of_two(), options.flows * 4);
    let buffer = if options.default_buffer {
        "NetlinkOverrunResync 5"
    } else {
        // Room for every event of a burst.
        "NetlinkBufferSize 268435456\n\tNetlinkBufferSizeMaxGrowth 536870912"
    };
    let mut ignored = "\t\t\tIPv4_address 127.0.0.1\n".to_owned();
    for wire in [Wire::Lan, Wire::Wan, Wire::Hot] {
        for host in [VIRTUAL, ROUTERS[0], ROUTERS[1]] {
            ignored += &format!("\t\t\tIPv4_address {}\n", wire.ipv4(host));
        }
    }
    let dir = dir.display();
    format!(
        "Sync {{
	Mode FTFW {{
		DisableExternalCache {external}
		ResendQueueSize {limit}
	}}
	UDP {{
		IPv4_address {own}
		IPv4_Destination_Address {peer}
		Port 3780
		Interface {hot}
		SndSocketBuffer 16777216
		RcvSocketBuffer 16777216
		Checksum on
	}}
}}
General {{
	Systemd off
	HashSize {buckets}
	HashLimit {limit}
	LogFile {dir}/messages
	Syslog off
	LockFile {dir}/lock
	UNIX {{
		Path {dir}/ctl
	}}
	{buffer}
	Filter From Kernelspace {{
		Protocol Accept {{
			TCP
			UDP
			ICMP
		}}
		Address Ignore {{
{ignored}		}}
	}}
}}
",
        hot = Wire::Hot.name()
    )
}
