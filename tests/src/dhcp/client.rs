// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real DHCP clients, and the leases that they get.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use spared_sdk::hex;

use super::Station;
use super::server::refuse_confined;
use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Lab};

const LIMIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(5);
const OWN_DUID: &str = "mount -t tmpfs tmpfs /var/lib/dhcpv6 && exec dhcp6c \"$@\"";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The client of busybox; DHCPv4.
    Udhcpc,
    Dhclient4,
    Dhclient6,
    /// The client of wide-dhcpv6.
    Dhcp6c,
}

/// Identity of a client, besides its hardware address.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub hostname: Option<String>,
    pub client_id: Option<Vec<u8>>,
}

/// An event that the program passed to its script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Name of the event in that program, such as "bound" or "RENEW6".
    pub event: String,
    pub address: String,
    pub lifetime_s: u32,
    /// The server's identifier.
    pub server: String,
    pub hostname: String,
}

pub struct Client {
    pub station: Station,
    pub program: Program,
    dir: PathBuf,
    daemon: Daemon,
}

impl Client {
    /// Starts a client at a new station. It requests an address at once.
    pub fn start(lab: &Lab, program: Program, identity: &Identity) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        if matches!(program, Program::Dhclient4 | Program::Dhclient6) {
            refuse_confined("dhclient")?;
        }
        let station = Station::new(lab)?;
        let dir = lab.dir.join(format!("client-{number}"));
        fs::create_dir_all(&dir)?;
        write_script(&dir, program)?;
        write_config(&dir, program, identity)?;
        let log = lab.dir.join(format!("client-{number}.log"));
        let daemon = run(&station, program, identity, &dir, &log)?;
        Ok(Self {
            station,
            program,
            dir,
            daemon,
        })
    }

    /// Starts a client and waits for its lease.
    pub fn bound(lab: &Lab, program: Program, identity: &Identity) -> Result<(Self, Got)> {
        let client = Self::start(lab, program, identity)?;
        let got = client.wait_for(0)?;
        Ok((client, got))
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Got> {
        let text = fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        text.lines().filter_map(parse).collect()
    }

    /// Asks its server to renew the lease now, and returns the answer.
    pub fn renew(&mut self) -> Result<Got> {
        let before = self.ask()?;
        self.wait_for(before)
    }

    /// Requests a renewal without waiting. Returns the number of events before the answer. dhclient cannot be told to
    /// renew: it is restarted with its lease file, and then requests by broadcast.
    pub fn ask(&mut self) -> Result<usize> {
        let before = self.events().len();
        match self.program {
            Program::Udhcpc => self.daemon.signal(Signal::USR1)?,
            Program::Dhclient4 | Program::Dhclient6 => {
                self.daemon.kill_all();
                let log = self.dir.with_extension("log");
                let nobody = Identity::default();
                self.daemon = run(&self.station, self.program, &nobody, &self.dir, &log)?;
            }
            Program::Dhcp6c => return Err("dhcp6c renews when its time comes".into()),
        }
        Ok(before)
    }

    /// Releases the lease, and ends the client.
    pub fn release(&mut self) -> Result<()> {
        match self.program {
            Program::Udhcpc => {
                self.daemon.signal(Signal::USR2)?;
                let before = |got: &Got| got.event == "deconfig";
                let gone = || self.events().last().is_some_and(before);
                if poll(LIMIT, STEP, gone) {
                    self.daemon.kill_all()
                } else {
                    return Err(self.failed("no end of its lease").into());
                }
            }
            Program::Dhcp6c => drop(self.daemon.terminate(LIMIT)?),
            Program::Dhclient4 | Program::Dhclient6 => {
                self.daemon.kill_all();
                let mut command = self.station.ns.command("dhclient");
                command.args(dhclient(self.program, &self.dir)).arg("-r");
                let status = command.arg("lan").output()?.status;
                if !status.success() {
                    return Err(self.failed(&format!("release: {status}")).into());
                }
            }
        }
        Ok(())
    }

    /// Waits for an address after the first `before` events.
    pub fn wait_for(&self, before: usize) -> Result<Got> {
        let mut found = None;
        poll(LIMIT, STEP, || {
            let mut events = self.events().into_iter().skip(before).rev();
            found = events.find(|got| !got.address.is_empty());
            found.is_some() || (self.program == Program::Dhcp6c && self.held(&mut found))
        });
        found.ok_or_else(|| self.failed("got nothing").into())
    }

    // dhcp6c passes no addresses to its script: it sets them itself.
    fn held(&self, found: &mut Option<Got>) -> bool {
        let shown = self
            .station
            .ns
            .shell("ip -6 -o addr show dev lan scope global");
        let text = shown.unwrap_or_default();
        let mut words = text.split_whitespace();
        let address = words
            .find(|word| *word == "inet6")
            .and_then(|_| words.next());
        let lifetime = words
            .find(|word| *word == "valid_lft")
            .and_then(|_| words.next());
        *found = address.map(|address| Got {
            event: "held".to_owned(),
            address: address.split('/').next().unwrap_or_default().to_owned(),
            lifetime_s: lifetime.map_or(0, |text| {
                text.trim_end_matches("sec").parse().unwrap_or_default()
            }),
            ..Got::default()
        });
        found.is_some()
    }

    fn failed(&self, why: &str) -> String {
        let (program, mac) = (self.program, self.station.mac);
        format!("{program:?} of {mac:02x?}: {why}\n{}", self.daemon.log())
    }
}

fn run(
    station: &Station,
    program: Program,
    identity: &Identity,
    dir: &Path,
    log: &Path,
) -> Result<Daemon> {
    let name = format!("{program:?}");
    let mut command = match program {
        Program::Udhcpc => station.ns.command("busybox"),
        Program::Dhclient4 | Program::Dhclient6 => station.ns.command("dhclient"),
        // its DUID is in a folder of the machine, over which a file system of its own is mounted
        Program::Dhcp6c => station.ns.command("unshare"),
    };
    match program {
        Program::Udhcpc => {
            command.args(["udhcpc", "-f", "-i", "lan", "-t", "20", "-T", "1", "-s"]);
            command.arg(dir.join("script"));
            command.args(["-O", "hostname"]);
            if let Some(hostname) = &identity.hostname {
                command.arg("-x").arg(format!("hostname:{hostname}"));
            }
            if let Some(id) = &identity.client_id {
                command.arg("-x").arg(format!("0x3d:{}", hex::text(id, "")));
            }
        }
        Program::Dhclient4 | Program::Dhclient6 => {
            command.args(dhclient(program, dir)).args(["-d", "lan"]);
        }
        Program::Dhcp6c => {
            command.args(["--mount", "sh", "-c", OWN_DUID, "dhcp6c"]);
            command.args(["-f", "-D", "-c"]).arg(dir.join("conf"));
            command.arg("-p").arg(dir.join("pid")).arg("lan");
        }
    }
    Daemon::start(&name, command, log)
}

fn dhclient(program: Program, dir: &Path) -> Vec<String> {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let family = match program {
        Program::Dhclient6 => "-6",
        _ => "-4",
    };
    vec![
        family.to_owned(),
        "-cf".to_owned(),
        path("conf"),
        "-lf".to_owned(),
        path("leases"),
        "-pf".to_owned(),
        path("pid"),
        "-sf".to_owned(),
        path("script"),
    ]
}

fn write_config(dir: &Path, program: Program, identity: &Identity) -> Result<()> {
    let mut text = String::new();
    match program {
        Program::Udhcpc => {}
        Program::Dhcp6c => {
            text = "interface lan { send ia-na 0; };\nid-assoc na 0 { };\n".to_owned();
        }
        Program::Dhclient4 | Program::Dhclient6 => {
            text += "initial-interval 1;\nbackoff-cutoff 2;\nretry 2;\ntimeout 20;\n";
            if let Some(hostname) = &identity.hostname {
                writeln!(text, "send host-name {hostname:?};")?;
            }
            if let Some(id) = &identity.client_id {
                writeln!(text, "send dhcp-client-identifier {};", hex::text(id, ":"))?;
            }
        }
    }
    Ok(fs::write(dir.join("conf"), text)?)
}

// One line for each event: event|address|lifetime|server|hostname. The scripts also set the address,
// without which the client cannot ask the server directly.
fn write_script(dir: &Path, program: Program) -> Result<()> {
    let body = match program {
        Program::Udhcpc => {
            "case $1 in\n\
             deconfig) ip -4 addr flush dev lan; ip=; lease= ;;\n\
             bound|renew) ip addr replace \"$ip/$mask\" dev lan; \
             ip route replace default dev lan ;;\nesac\n\
             tell \"$1\" \"$ip\" \"$lease\" \"$serverid\" \"$hostname\"\n"
        }
        Program::Dhclient4 => {
            "[ \"$reason\" = PREINIT ] && ip link set lan up\n\
             case $reason in\n\
             BOUND|REBOOT|RENEW|REBIND) \
             ip addr replace \"$new_ip_address/$new_subnet_mask\" dev lan; \
             ip route replace default dev lan ;;\nesac\n\
             tell \"$reason\" \"$new_ip_address\" \"$new_dhcp_lease_time\" \
             \"$new_dhcp_server_identifier\" \"$new_host_name\"\n"
        }
        Program::Dhclient6 => {
            "case $reason in\n\
             BOUND6|REBOOT6|RENEW6|REBIND6) ip -6 addr replace \"$new_ip6_address/128\" dev lan ;;\n\
             esac\n\
             tell \"$reason\" \"$new_ip6_address\" \"$new_max_life\" \
             \"$new_dhcp6_server_id\" \"$new_host_name\"\n"
        }
        Program::Dhcp6c => return Ok(()),
    };
    let path = dir.join("script");
    let events = dir.join("events");
    let text = format!(
        "#!/bin/sh\ntell() {{ printf '%s|%s|%s|%s|%s\\n' \"$@\" >>'{}'; }}\n{body}exit 0\n",
        events.display()
    );
    fs::write(&path, text)?;
    Ok(fs::set_permissions(
        &path,
        fs::Permissions::from_mode(0o755),
    )?)
}

fn parse(line: &str) -> Option<Got> {
    let mut fields = line.splitn(5, '|').map(str::to_owned);
    Some(Got {
        event: fields.next()?,
        address: fields.next()?,
        lifetime_s: fields.next()?.parse().unwrap_or_default(),
        server: fields.next()?,
        hostname: fields.next()?,
    })
}
