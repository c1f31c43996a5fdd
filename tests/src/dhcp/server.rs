// SPDX-License-Identifier: MIT OR Apache-2.0
//! A DHCP server at a site.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::ends::ends;
use super::script::Script;
use super::{Pool, dhcpd, dnsmasq, kea};
use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Disk, Lab, Site, find_program, is_alive, signal_to, skipped};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Kea4,
    Kea6,
    Dnsmasq4,
    Dnsmasq6,
    /// One process and one lease file for both families; its identifier is the router's own address.
    Dnsmasq,
    Dhcpd4,
    Dhcpd6,
}

impl Make {
    pub const ALL: [Self; 7] = [
        Self::Kea4,
        Self::Kea6,
        Self::Dnsmasq4,
        Self::Dnsmasq6,
        Self::Dnsmasq,
        Self::Dhcpd4,
        Self::Dhcpd6,
    ];

    /// Name of its script and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kea4 => "kea4",
            Self::Kea6 => "kea6",
            Self::Dnsmasq4 => "dnsmasq4",
            Self::Dnsmasq6 => "dnsmasq6",
            Self::Dnsmasq => "dnsmasq",
            Self::Dhcpd4 => "dhcpd4",
            Self::Dhcpd6 => "dhcpd6",
        }
    }

    /// Its `kind` in dhcp.toml.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Dnsmasq4 | Self::Dnsmasq6 => "dnsmasq",
            _ => self.name(),
        }
    }

    /// True if it serves IPv6 only.
    pub fn is_ipv6(self) -> bool {
        matches!(self, Self::Kea6 | Self::Dnsmasq6 | Self::Dhcpd6)
    }

    fn program(self) -> &'static str {
        match self {
            Self::Kea4 | Self::Kea6 => kea::program(self),
            Self::Dnsmasq4 | Self::Dnsmasq6 | Self::Dnsmasq => "dnsmasq",
            Self::Dhcpd4 | Self::Dhcpd6 => "dhcpd",
        }
    }
}

/// Configuration of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    pub make: Make,
    pub pool: Pool,
    pub lifetime_s: u32,
    /// Time after which clients renew by themselves; None for the server's default.
    pub renew_s: Option<u32>,
    /// Interval of Kea's clean-up of its lease file; 0 for never.
    pub lfc_s: u32,
    /// Time for which Kea keeps leases that have ended.
    pub hold_s: u32,
    /// Enable Kea's control socket; with `lease_cmds` also its commands for leases.
    pub socket: bool,
    pub lease_cmds: bool,
    /// Enable dnsmasq's D-Bus interface, on a bus of the site's own.
    pub dbus: bool,
    /// Let dnsmasq also renew leases of which it has no record.
    pub authoritative: bool,
    /// Offset of its clock, such as "+1h" or "-3600s".
    pub clock: Option<String>,
}

impl Setup {
    pub fn new(make: Make) -> Self {
        Self {
            make,
            pool: Pool::Narrow,
            lifetime_s: 600,
            renew_s: None,
            lfc_s: 0,
            hold_s: 3600,
            socket: false,
            lease_cmds: false,
            dbus: false,
            authoritative: false,
            clock: None,
        }
    }
}

/// Paths of a server's files.
pub struct Paths {
    pub dir: PathBuf,
    pub script: PathBuf,
    pub config: PathBuf,
    pub leases: PathBuf,
    pub socket: PathBuf,
    pub pid: PathBuf,
    pub log: PathBuf,
}

pub struct Server<'l> {
    pub site: &'l Site,
    pub setup: Setup,
    pub paths: Paths,
    /// Address of its bus.
    pub bus: Option<String>,
    _bus: Option<Daemon>,
}

impl<'l> Server<'l> {
    /// Writes its files, and starts only its bus.
    pub fn install(lab: &Lab, site: &'l Site, setup: Setup) -> Result<Self> {
        refuse_confined(setup.make.program())?;
        let paths = Paths::new(lab, site, setup.make);
        fs::create_dir_all(&paths.dir)?;
        if matches!(setup.make, Make::Kea4 | Make::Kea6) {
            // Kea only creates a socket in a folder that others cannot open
            fs::set_permissions(&paths.dir, fs::Permissions::from_mode(0o750))?;
        }
        let bus = setup.dbus.then(|| start_bus(site, &paths)).transpose()?;
        let (bus, address) = bus.map_or((None, None), |(bus, address)| (Some(bus), Some(address)));
        let server = Self {
            site,
            setup,
            paths,
            bus: address,
            _bus: bus,
        };
        server.write_config()?;
        server.script()?.write(&server.paths.script)?;
        if matches!(server.setup.make, Make::Dhcpd4 | Make::Dhcpd6) && !server.paths.leases.exists()
        {
            // dhcpd does not start without a lease file
            fs::write(&server.paths.leases, "")?;
        }
        if server.setup.pool == Pool::Wide {
            let (prefix, ..) = Pool::Wide.ipv4();
            site.ns.ip(&format!("route replace {prefix} dev lan\n"))?;
        }
        Ok(server)
    }

    pub fn write_config(&self) -> Result<()> {
        let (setup, paths) = (&self.setup, &self.paths);
        let text = match setup.make {
            Make::Kea4 | Make::Kea6 => kea::config(setup, paths),
            Make::Dnsmasq4 | Make::Dnsmasq6 | Make::Dnsmasq => dnsmasq::config(setup, paths),
            Make::Dhcpd4 | Make::Dhcpd6 => dhcpd::config(setup),
        };
        Ok(fs::write(&paths.config, text)?)
    }

    /// Mounts a disk of its own for its lease file.
    pub fn disk(&self) -> Result<Disk> {
        Disk::in_place_of(self.paths.leases.parent().ok_or("no folder")?)
    }

    pub fn start(&self) -> Result<()> {
        match self.call("start")? {
            0 => Ok(()),
            code => Err(self.failed(&format!("start: exit {code}")).into()),
        }
    }

    pub fn stop(&self) -> Result<()> {
        match self.call("stop")? {
            0 => Ok(()),
            code => Err(self.failed(&format!("stop: exit {code}")).into()),
        }
    }

    pub fn reload(&self) -> Result<i32> {
        self.call("reload")
    }

    pub fn runs(&self) -> bool {
        self.call("status").is_ok_and(|code| code == 0)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) -> Result<()> {
        let pid = self.pid().ok_or_else(|| self.failed("is not running"))?;
        signal_to(pid, Signal::KILL)?;
        if poll(Duration::from_secs(2), Duration::from_millis(2), || {
            !is_alive(pid)
        }) {
            Ok(())
        } else {
            Err(self.failed("survives SIGKILL").into())
        }
    }

    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(&self.paths.pid).ok()?;
        text.trim().parse().ok()
    }

    /// Returns true if the server has its lease file open under its name. Writes to a file that was replaced since are
    /// lost.
    pub fn has_its_file(&self) -> bool {
        let Some(pid) = self.pid() else {
            return false;
        };
        let Ok(wanted) = fs::metadata(&self.paths.leases) else {
            return false;
        };
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        open.into_iter().flatten().flatten().any(|entry| {
            let there = fs::metadata(entry.path());
            there.is_ok_and(|it| (it.dev(), it.ino()) == (wanted.dev(), wanted.ino()))
        })
    }

    /// Returns its leases on disk.
    pub fn leases(&self) -> String {
        let mut text = String::new();
        // dnsmasq truncates the file before each write
        poll(Duration::from_millis(200), Duration::from_millis(1), || {
            text = self.text_of("");
            text.ends_with('\n')
        });
        self.cleaned() + &text
    }

    /// Returns the contents of the files to which Kea moved its leases to clean them up. A later version does so at its
    /// first start if the file has the header of an earlier one.
    fn cleaned(&self) -> String {
        match self.setup.make {
            Make::Kea4 | Make::Kea6 => [".completed", ".2", ".1"]
                .map(|suffix| self.text_of(suffix))
                .concat(),
            _ => String::new(),
        }
    }

    fn text_of(&self, suffix: &str) -> String {
        let mut path = self.paths.leases.clone().into_os_string();
        path.push(suffix);
        let bytes = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// End of an address's lease in its file, in seconds since 1970.
    pub fn ends(&self, address: &str) -> Option<i64> {
        ends(self.setup.make, &self.leases(), address)
    }

    /// Waits until its file contains an address: servers may answer before they write.
    pub fn wait_lease(&self, address: &str) -> Result<()> {
        let named = || self.leases().contains(address);
        if poll(Duration::from_secs(2), Duration::from_millis(2), named) {
            Ok(())
        } else {
            Err(self.failed(&format!("wrote no lease of {address}")).into())
        }
    }

    /// Returns Kea's answer to a command on its control socket.
    pub fn ask(&self, command: &Value) -> Result<Value> {
        let mut socket = UnixStream::connect(&self.paths.socket)?;
        socket.write_all(command.to_string().as_bytes())?;
        socket.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Runs its script in the site's namespace. Returns the exit code.
    pub fn call(&self, verb: &str) -> Result<i32> {
        let mut command = self.site.ns.command(&self.paths.script);
        command.arg(verb);
        // a child that another thread forked while the script was written has it open until it executes a program
        let is_busy = |error: &io::Error| error.kind() == io::ErrorKind::ExecutableFileBusy;
        let mut status = command.status();
        poll(Duration::from_secs(2), Duration::from_millis(2), || {
            if status.as_ref().is_err_and(is_busy) {
                status = command.status();
            }
            !status.as_ref().is_err_and(is_busy)
        });
        Ok(status?.code().unwrap_or(-1))
    }

    fn script(&self) -> Result<Script> {
        let (setup, paths) = (&self.setup, &self.paths);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let name = setup.make.program();
        let program = find_program(Path::new(name)).ok_or_else(|| format!("no {name} here"))?;
        let (config, leases, pid) = (text(&paths.config), text(&paths.leases), text(&paths.pid));
        let arguments = match setup.make {
            Make::Kea4 | Make::Kea6 => vec!["-c", &config],
            Make::Dnsmasq4 | Make::Dnsmasq6 | Make::Dnsmasq => vec!["-C", &config],
            Make::Dhcpd4 => vec![
                "-4", "-d", "-cf", &config, "-lf", &leases, "-pf", &pid, "lan",
            ],
            Make::Dhcpd6 => vec![
                "-6", "-d", "-cf", &config, "-lf", &leases, "-pf", &pid, "lan",
            ],
        };
        let tests = match setup.make {
            Make::Kea4 | Make::Kea6 => vec!["-t", &config],
            Make::Dnsmasq4 | Make::Dnsmasq6 | Make::Dnsmasq => vec!["--test", "-C", &config],
            Make::Dhcpd4 => vec!["-4", "-t", "-cf", &config],
            Make::Dhcpd6 => vec!["-6", "-t", "-cf", &config],
        };
        let mut test = vec![text(&program)];
        test.extend(tests.into_iter().map(str::to_owned));
        let mut command = vec![text(&program)];
        command.extend(arguments.into_iter().map(str::to_owned));
        Ok(Script {
            command,
            test,
            environment: self.environment()?,
            config: paths.config.clone(),
            pid_file: paths.pid.clone(),
            log: paths.log.clone(),
            daemon: name == "dnsmasq",
            reload: name != "dhcpd",
        })
    }

    fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let mut environment = match self.setup.make {
            Make::Kea4 | Make::Kea6 => kea::environment(&self.paths.dir),
            _ => Vec::new(),
        };
        if let Some(bus) = &self.bus {
            environment.push(("DBUS_SYSTEM_BUS_ADDRESS", bus.clone()));
        }
        if let Some(clock) = &self.setup.clock {
            environment.extend(other_clock(clock)?);
        }
        Ok(environment)
    }

    fn failed(&self, why: &str) -> String {
        let log = fs::read_to_string(&self.paths.log).unwrap_or_default();
        let (make, site) = (self.setup.make.name(), &self.site.name);
        format!("{make} of {site}: {why}\n{log}")
    }
}

impl Paths {
    fn new(lab: &Lab, site: &Site, make: Make) -> Self {
        let name = make.name();
        let dir = lab.dir.join(&site.name).join(format!("{name}.d"));
        let (config, leases, pid) = match make {
            Make::Kea4 | Make::Kea6 => (
                format!("{name}.conf"),
                format!("{name}-leases.csv"),
                format!("{name}.{}.pid", kea::program(make)),
            ),
            _ => (
                format!("{name}.conf"),
                format!("{name}.leases"),
                format!("{name}.pid"),
            ),
        };
        Self {
            script: lab.dir.join(&site.name).join(name),
            config: dir.join(config),
            leases: dir.join(leases),
            socket: dir.join("ctrl"),
            pid: dir.join(pid),
            log: lab.dir.join(format!("{}-{name}.log", site.name)),
            dir,
        }
    }
}

// AppArmor's profile of a program allows the paths of the package, but not those of a lab.
pub(super) fn refuse_confined(program: &str) -> Result<()> {
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let enforced = profiles.unwrap_or_default().lines().any(|line| {
        let profile = line.strip_suffix(" (enforce)").unwrap_or_default();
        profile.rsplit('/').next() == Some(program)
    });
    if enforced {
        Err(skipped(format!(
            "AppArmor confines {program} on this machine"
        )))
    } else {
        Ok(())
    }
}

/// Returns an environment in which a program's wall clock differs from the machine's.
pub fn other_clock(ahead: &str) -> Result<[(&'static str, String); 3]> {
    let folders = fs::read_dir("/usr/lib")?.flatten();
    let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|library| library.exists());
    let library = library.ok_or("no libfaketime here")?;
    Ok([
        ("LD_PRELOAD", library.to_string_lossy().into_owned()),
        ("FAKETIME", ahead.to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

/// Writes accounts of this machine and of the package, as the bus only admits users whose name it finds. Without the
/// package, workers have the first of these numbers.
fn passwd(paths: &Paths) -> Result<PathBuf> {
    let mut text = fs::read_to_string("/etc/passwd")?;
    for id in 60706..60722 {
        text.push_str(&format!(
            "spared-{id}:x:{id}:{id}::/nonexistent:/bin/false\n"
        ));
    }
    let path = paths.dir.join("passwd");
    fs::write(&path, text)?;
    Ok(path)
}

fn start_bus(site: &Site, paths: &Paths) -> Result<(Daemon, String)> {
    let socket = paths.dir.join("bus");
    let address = format!("unix:path={}", socket.display());
    let config = paths.dir.join("bus.conf");
    fs::write(
        &config,
        format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n\
             <type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\n\
             <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\n\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>\n\
             </busconfig>\n"
        ),
    )?;
    let passwd = passwd(paths)?;
    let mut command: Command = site.ns.command("unshare");
    let mounted = "mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"";
    command
        .args(["--mount", "sh", "-c", mounted, "bus"])
        .arg(passwd);
    command.args(["dbus-daemon", "--nofork", "--nopidfile", "--nosyslog"]);
    command.arg("--config-file").arg(&config);
    let daemon = Daemon::start(&format!("{} bus", site.name), command, &paths.log)?;
    if poll(Duration::from_secs(5), Duration::from_millis(5), || {
        socket.exists()
    }) {
        Ok((daemon, address))
    } else {
        Err(format!("no bus: {}", daemon.log()).into())
    }
}
