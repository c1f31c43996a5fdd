// SPDX-License-Identifier: MIT OR Apache-2.0
//! spared: its files, its daemon, and requests by `sparectl`.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use spared_message::control::Status;

use super::{Clock, Plan, Router, VirtualRouter, link};
use crate::Result;
use crate::ask;
use crate::clock::poll;
use crate::hostile;
use crate::lab::{Daemon, Site, build_dir, own_dir};

pub fn start(site: &Site, plan: &Plan, dir: &Path, log: &Path) -> Result<Daemon> {
    let files = Files { dir };
    files.write(&site.name, plan)?;
    files.run(site, &build_of(plan)?, plan, log)
}

/// Starts spared of this build with its present files, and with the place and the clock of the plan.
pub fn start_again(site: &Site, plan: &Plan, dir: &Path, log: &Path) -> Result<Daemon> {
    Files { dir }.run(site, &build_dir()?, plan, log)
}

/// Folder of a plan's programs.
fn build_of(plan: &Plan) -> Result<PathBuf> {
    plan.older.clone().map_or_else(build_dir, Ok)
}

/// Starts spared with the files of another router, copied to `dir`, keys included.
pub fn start_copy(site: &Site, of: &Path, dir: &Path, log: &Path) -> Result<Daemon> {
    for part in ["etc", "plugins"] {
        let from = of.join(part);
        let copied = Command::new("cp").arg("-a").arg(&from).arg(dir).status()?;
        if !copied.success() {
            return Err(format!("{} was not copied", from.display()).into());
        }
    }
    Files { dir }.begin(site, site.ns.command(build_dir()?.join("spared")), log)
}

/// Files of a daemon.
pub struct Files<'a> {
    pub dir: &'a Path,
}

impl Files<'_> {
    /// Writes all files that a node needs for a plan.
    pub fn write(&self, node: &str, plan: &Plan) -> Result<()> {
        let mut host = format!("node.name = \"{node}\"\n");
        if let Some(link) = &plan.link {
            host += &link::spared_toml(link, node, self.dir)?;
        }
        self.write_host(&host)?;
        self.write_plugin("vrrp", &vrrp_toml(plan)?)?;
        let build = build_of(plan)?;
        self.install_plugin("vrrp", &build.join("libspared_vrrp.so"))?;
        for plugin in &plan.plugins {
            self.write_plugin(&plugin.name, &plugin.toml)?;
            self.install_plugin(&plugin.name, &build.join(&plugin.file))?;
        }
        Ok(())
    }

    /// Arguments of `spared`.
    pub fn words(&self, runtime_dir: &Path) -> [OsString; 7] {
        [
            "run".into(),
            "--config".into(),
            self.dir.join("etc/spared.toml").into(),
            "--runtime-dir".into(),
            runtime_dir.into(),
            "--plugin-dir".into(),
            self.dir.join("plugins").into(),
        ]
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    fn write_host(&self, text: &str) -> Result<()> {
        fs::create_dir_all(self.dir.join("etc/plugins"))?;
        Ok(fs::write(self.dir.join("etc/spared.toml"), text)?)
    }

    pub fn write_plugin(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(
            self.dir.join(format!("etc/plugins/{name}.toml")),
            text,
        )?)
    }

    /// Installs a copy of a plugin, because the daemon checks owner and mode of the files that it loads.
    pub fn install_plugin(&self, name: &str, from: &Path) -> Result<()> {
        let dir = self.dir.join("plugins");
        fs::create_dir_all(&dir)?;
        let to = dir.join(format!("{name}.so"));
        fs::copy(from, &to).map_err(|error| {
            format!(
                "{}: {error}: build it first (cargo build --workspace)",
                from.display()
            )
        })?;
        if from.ends_with(hostile::LIBRARY) {
            hostile::write_note(&to, name)?;
        }
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?)
    }

    /// Runs the daemon of a build with the place and the clock of a plan: nested mount namespaces.
    fn run(&self, site: &Site, build: &Path, plan: &Plan, log: &Path) -> Result<Daemon> {
        let mut words = Vec::new();
        if plan.is_installed {
            words.extend(self.as_installed(build)?);
        }
        if let Some(folder) = &plan.own_folder {
            words.extend(self.with_own(folder)?);
        }
        if plan.has_journal {
            words.extend(self.with_own(Path::new("/run"))?);
        }
        if plan.is_contained {
            const SCRIPT: &str =
                "mount --bind /proc/sys /proc/sys\nmount -o remount,bind,ro /proc/sys\nexec \"$@\"";
            words.extend(among_mounts(SCRIPT, []));
        }
        if plan.hides_processes {
            // by default members of the group root see all
            const SCRIPT: &str = "mount -t proc -o hidepid=2,gid=4242 proc /proc\nexec \"$@\"";
            words.extend(among_mounts(SCRIPT, []));
        }
        if plan.clock != Clock::Machine {
            words.extend(self.ahead(plan.clock)?);
        }
        words.push(build.join("spared").into());
        let mut command = site.ns.command(&words[0]);
        command.args(&words[1..]);
        if plan.is_managed {
            command.env("NOTIFY_SOCKET", self.manager()?);
        }
        if plan.has_journal {
            command.env("JOURNAL_STREAM", stream(log)?);
        }
        self.begin(site, command, log)
    }

    /// Returns the socket of a service manager that reads nothing, for as long as the test lives.
    fn manager(&self) -> Result<PathBuf> {
        let path = self.dir.join("notify");
        if !path.exists() {
            std::mem::forget(UnixDatagram::bind(&path)?);
        }
        Ok(path)
    }

    fn begin(&self, site: &Site, mut command: Command, log: &Path) -> Result<Daemon> {
        command.args(self.words(&self.dir.join("run")));
        command.env("STATE_DIRECTORY", self.state_dir());
        fs::create_dir_all(self.dir.join("run"))?;
        Daemon::start(&format!("{} spared", site.name), command, log)
    }
}

/// Value of JOURNAL_STREAM for a standard error that leads to this file.
fn stream(log: &Path) -> Result<String> {
    let file = fs::File::options().create(true).append(true).open(log)?;
    let file = file.metadata()?;
    Ok(format!("{}:{}", file.dev(), file.ino()))
}

/// Installs another build in place of a program or plugin: the same code with another build id, in a file of its own.
pub fn install_other_build(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let note = [
        [4u32, 20, 3].map(u32::to_ne_bytes).concat(),
        b"GNU\0".to_vec(),
    ]
    .concat();
    let found = bytes.windows(note.len()).position(|it| it == note);
    let id = found.ok_or_else(|| format!("{}: no build id", path.display()))? + note.len();
    bytes[id] ^= 1;
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::set_permissions(&new, fs::metadata(path)?.permissions())?;
    Ok(fs::rename(new, path)?)
}

impl Files<'_> {
    /// Returns arguments before a program that sees a folder of this node under a path of the machine.
    fn with_own(&self, folder: &Path) -> Result<Vec<OsString>> {
        const SCRIPT: &str = "mount --bind \"$1\" \"$2\"\nshift 2\nexec \"$@\"";
        let own = self.dir.join("own");
        fs::create_dir_all(&own)?;
        Ok(among_mounts(SCRIPT, [own, folder.to_owned()]))
    }

    /// Returns arguments before a program that sees the node's files and programs where a package installs them.
    fn as_installed(&self, build: &Path) -> Result<Vec<OsString>> {
        const SCRIPT: &str = "mount -t overlay -o \"lowerdir=$1/installed/etc:/etc\" overlay /etc\n\
            mount --bind \"$1/etc\" /etc/spared\n\
            mount -t overlay -o \"lowerdir=$1/installed/bin:/usr/sbin\" overlay /usr/sbin\n\
            shift\n\
            exec \"$@\"";
        let (dir, build) = (self.dir.display(), build.display());
        let bin = self.dir.join("installed/bin");
        fs::create_dir_all(self.dir.join("installed/etc/spared"))?;
        fs::create_dir_all(&bin)?;
        for (name, words) in [
            ("spared", format!("\"$@\" --plugin-dir {dir}/plugins")),
            ("sparectl", format!("--runtime-dir {dir}/run \"$@\"")),
        ] {
            let program = bin.join(name);
            fs::write(
                &program,
                format!("#!/bin/sh\nexec {build}/{name} {words}\n"),
            )?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
        Ok(among_mounts(SCRIPT, [self.dir.to_owned()]))
    }

    /// Returns arguments before a program with another /etc, which preloads a clock for it and its children.
    fn ahead(&self, clock: Clock) -> Result<Vec<OsString>> {
        const SCRIPT: &str = "cp -a /etc \"$1\" 2>/dev/null || :\n\
            echo \"$2\" >\"$1/etc/ld.so.preload\"\n\
            mount --bind \"$1/etc\" /etc\n\
            shift 2\n\
            exec \"$@\"";
        let dir = self.dir.join("ahead");
        let offset = dir.join("etc/clock-offset");
        if clock == Clock::Steps && !offset.exists() {
            fs::create_dir_all(dir.join("etc"))?;
            fs::write(offset, 0i64.to_ne_bytes())?;
        }
        // in a folder that servers can also open after they switch to another user
        let library = dir.join("libclock_ahead.so");
        fs::create_dir_all(&dir)?;
        fs::copy(build_dir()?.join("examples/libclock_ahead.so"), &library)?;
        Ok(among_mounts(SCRIPT, [dir, library]))
    }
}

/// Returns arguments before a program with mounts of its own, which a script makes from these paths.
fn among_mounts<const N: usize>(script: &str, paths: [PathBuf; N]) -> Vec<OsString> {
    let words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
    ];
    let words = words.into_iter().chain([script, "sh"]).map(OsString::from);
    words.chain(paths.map(OsString::from)).collect()
}

/// Returns plugins/vrrp.toml for a plan.
pub fn vrrp_toml(plan: &Plan) -> Result<String> {
    let mut text = "[[group]]\nname = \"office\"\n".to_owned();
    match &plan.link {
        Some(link) => {
            if let Some(preferred) = &link.prefer {
                writeln!(text, "prefer = \"{preferred}\"")?;
            }
        }
        None => writeln!(
            text,
            "election = \"priority\"\npriority = {}\npreempt = {}",
            plan.priority, plan.preempt
        )?,
    }
    if let Some(interval) = plan.interval {
        writeln!(
            text,
            "version = {}\nadvert_interval = \"{}ms\"",
            plan.version,
            interval.as_millis()
        )?;
    }
    text += &plan.extra;
    for router in &plan.routers {
        router_toml(&mut text, router)?;
    }
    text += &plan.sections;
    Ok(if has_older_words(&build_of(plan)?)? {
        text.replace("[[group.interface]]", "[[group.router]]")
            .replace("failback_delay", "fallback_delay")
    } else {
        text
    })
}

/// Returns true if these programs are older than the renaming of some keys.
fn has_older_words(build: &Path) -> Result<bool> {
    if build == own_dir()? {
        return Ok(false);
    }
    let plugin = fs::read(build.join("libspared_vrrp.so"))?;
    let word = b"failback_delay";
    Ok(!plugin.windows(word.len()).any(|it| it == word))
}

fn router_toml(text: &mut String, router: &VirtualRouter) -> Result<()> {
    let (interface, vrid) = (router.wire.name(), router.vrid);
    writeln!(
        text,
        "[[group.interface]]\ninterface = \"{interface}\"\nvrid = {vrid}"
    )?;
    writeln!(text, "addresses = {:?}", router.addresses)?;
    if router.vmac {
        writeln!(text, "vmac = true")?;
    }
    if let Some(password) = &router.password {
        writeln!(text, "auth_pass = \"{password}\"")?;
    }
    if !router.heartbeats {
        writeln!(text, "heartbeats = false")?;
    }
    if let Some(peer) = router.peer {
        writeln!(text, "unicast = true\npeers = [\"{peer}\"]")?;
    }
    Ok(())
}

/// A running spared, for requests by `sparectl`.
pub struct Spared<'a>(pub &'a Router);

impl Spared<'_> {
    pub fn runtime_dir(&self) -> PathBuf {
        self.0.dir.join("run")
    }

    /// Runs `sparectl` with these arguments.
    pub fn sparectl(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.command(words)?;
        let output = command.output();
        Ok(output.map_err(|error| format!("{:?}: {error}", command.get_program()))?)
    }

    /// Returns the command `sparectl` with these arguments.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(build_dir()?.join("sparectl"));
        command
            .arg("--runtime-dir")
            .arg(self.runtime_dir())
            .args(words);
        Ok(command)
    }

    pub fn status(&self) -> Result<Status> {
        let answer = ask::answer(&self.runtime_dir(), &["status"]);
        Ok(serde_json::from_value(answer)?)
    }

    /// Returns the role of the only group; "" if there is none.
    pub fn role(&self) -> String {
        let status = self.status().unwrap_or_default();
        status
            .groups
            .first()
            .map(|group| group.role.clone())
            .unwrap_or_default()
    }

    pub fn wait_role(&self, role: &str, limit: Duration) -> Result<()> {
        let there = poll(limit, Duration::from_millis(20), || self.role() == role);
        let found = self.role();
        if there || found == role {
            return Ok(());
        }
        Err(format!(
            "r{} is {found:?}, not {role} after {limit:?}",
            self.0.site + 1
        )
        .into())
    }

    /// Returns a row of a plugin's answer, such as a counter of vrrp.
    pub fn row(&self, plugin: &[&str], key: &str) -> Result<serde_json::Value> {
        let mut rows = ask::rows(ask::answer(&self.runtime_dir(), plugin));
        Ok(rows
            .get_mut(key)
            .map(serde_json::Value::take)
            .unwrap_or_default())
    }

    /// Replaces a plugin's file, without a reload.
    pub fn write_plugin(&self, name: &str, text: &str) -> Result<()> {
        Files { dir: &self.0.dir }.write_plugin(name, text)
    }
}
