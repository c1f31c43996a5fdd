// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines with their own kernel (user-mode-linux, or Debian's own under qemu), plugged into the switch of a
//! lab: for functions that the host's kernel lacks (ESP, Landlock), and for deaths that leave nothing running.
//!
//! A machine's root is the file system of the host, read-only. The lab's folder is the same inside and
//! outside, and writable. /run, /tmp, /var/lib and /var/log are its own and end with it. A machine may not
//! see changes in a file that it has read before: give such a file a new name.

mod console;
mod hardware;
mod kernel;
mod node;
pub mod standstill;
pub mod tally;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Lab, Wire, is_alive, maps_one_user, own_dir, signal_to, skipped};
use console::{Boot, Console};
use hardware::Hardware;
use kernel::Printed;
pub use node::{Node, wait_settled};

/// Longest silence of a starting kernel. It prints its steps, which take milliseconds each, and seconds beside many
/// other machines.
const KERNEL_SILENCE: Duration = Duration::from_secs(10);
/// Longest silence of a starting kernel on an emulated processor, which unpacks the kernel in silence.
const EMULATED_SILENCE: Duration = Duration::from_secs(20);
/// Time limits of the first boot. An init may stand still for good, for the reason in `standstill`. The machine is
/// booted once more, with longer limits.
const FIRST_BOOT: Patience = Patience {
    init_silence: Duration::from_secs(8),
    limit: Duration::from_secs(15),
};
const LAST_BOOT: Patience = Patience {
    init_silence: Duration::from_secs(20),
    limit: Duration::from_secs(60),
};
/// First output of init.
const INIT_SPEAKS: &str = "init: starts";
/// Pause between two queries of a machine. A command in it takes up to 0.1 s of a processor, which the machines need
/// themselves.
pub const STEP: Duration = Duration::from_millis(250);
const BOOT_STEP: Duration = Duration::from_millis(20);
const SYSTEMD: &str = "/lib/systemd/systemd";
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// Time limits of a boot.
struct Patience {
    /// Longest silence once init runs: it waits for programs, which may be slow on a busy host.
    init_silence: Duration,
    /// Longest boot, for a machine that never stops printing.
    limit: Duration,
}

/// Reason why a machine accepts no commands.
enum NotUp {
    /// The init stands still, or is slow.
    Still(String),
    /// The kernel ended, became silent before init, or reported that it will never start.
    Failed(String),
}

/// Kernel that a machine boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The user-mode-linux that tests/kernel/choose.sh names.
    Chosen,
    /// Another user-mode-linux.
    At(PathBuf),
    /// Debian's kernel as it is distributed, under qemu: tests/kernel/stock.sh.
    Stock,
}

/// First process of a machine, once it accepts commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// A shell that runs commands and no services.
    Shell,
    /// systemd, with the units of the folder `units` of the machine's files and no others.
    Systemd,
}

/// Configuration of a machine.
#[derive(Clone, Debug)]
pub struct Parts {
    pub name: String,
    /// Host number on every network: 10.1.0.HOST and fd01::HOST on the lan.
    pub host: u8,
    /// Its cards, named after the wires.
    pub cards: Vec<Wire>,
    pub memory_mb: u32,
    pub kernel: Kernel,
    /// Further words of the kernel's command line.
    pub boot_words: Vec<String>,
    pub init: Init,
}

impl Parts {
    pub fn new(name: &str, host: u8, cards: &[Wire]) -> Self {
        Self {
            name: name.to_owned(),
            host,
            cards: cards.to_vec(),
            memory_mb: 256,
            kernel: Kernel::Chosen,
            boot_words: Vec::new(),
            init: Init::Shell,
        }
    }
}

/// A machine. It dies with this value, and with the thread that started it.
pub struct Machine {
    pub name: String,
    pub host: u8,
    pub cards: Vec<Wire>,
    /// Its files, under the same path inside and outside.
    pub dir: PathBuf,
    kernel: PathBuf,
    /// Counted by `make test`; false for a kernel that a test provides.
    is_counted: bool,
    kernel_silence: Duration,
    /// Length of the log of an earlier machine of this name.
    log_start: usize,
    /// True if its nftables has the family netdev; known once it is up.
    netdev: OnceLock<bool>,
    daemon: Mutex<Daemon>,
    console: Mutex<Console>,
}

impl Machine {
    /// Boots machines at once, and waits until all take commands.
    pub fn boot<const N: usize>(lab: &Lab, parts: [Parts; N]) -> Result<[Self; N]> {
        let mut started: Vec<Self> = parts
            .iter()
            .map(|parts| Self::start(lab, parts))
            .collect::<Result<_>>()?;
        for (machine, parts) in started.iter_mut().zip(&parts) {
            machine.bring_up(lab, parts)?;
        }
        started
            .try_into()
            .map_err(|_| "as many machines as parts".into())
    }

    /// Starts a machine, without waiting.
    pub fn start(lab: &Lab, parts: &Parts) -> Result<Self> {
        require(parts)?;
        let hardware = match &parts.kernel {
            Kernel::Chosen => Hardware::Uml(kernel::chosen()?.to_owned()),
            Kernel::At(kernel) => Hardware::Uml(kernel.clone()),
            Kernel::Stock => Hardware::Qemu(kernel::stock()?),
        };
        let dir = lab.dir.join(&parts.name);
        fs::create_dir_all(&dir)?;
        // left by an earlier machine of this name
        let _ = fs::remove_dir_all(dir.join(&parts.name));
        plug_in(lab, parts)?;
        let token = console::token()?;
        let init = dir.join("init");
        fs::write(dir.join("addresses"), addresses(parts))?;
        fs::write(dir.join("mounts"), mounts(&hardware, &lab.dir))?;
        fs::write(&init, init_script(parts, &hardware, &dir, &token)?)?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let log = lab.dir.join(format!("{}-machine.log", parts.name));
        let log_start = fs::metadata(&log).map_or(0, |about| about.len() as usize);
        let command = hardware.command(lab, parts, &dir, &log);
        let (daemon, pipes) = Daemon::start_piped(&parts.name, command, &log)?;
        let is_counted = !matches!(parts.kernel, Kernel::At(_));
        if is_counted {
            tally::add_started(&parts.name);
        }
        Ok(Self {
            name: parts.name.clone(),
            host: parts.host,
            cards: parts.cards.clone(),
            console: Mutex::new(Console::new(&parts.name, &dir, token, pipes)),
            dir,
            kernel: hardware.kernel(),
            is_counted,
            kernel_silence: match hardware {
                Hardware::Uml(_) => KERNEL_SILENCE,
                Hardware::Qemu(_) => EMULATED_SILENCE,
            },
            log_start,
            netdev: OnceLock::new(),
            daemon: Mutex::new(daemon),
        })
    }

    /// Waits until the machine accepts commands. One whose init stands still is booted once more; a kernel that ends,
    /// panics or becomes silent is given up at once.
    fn bring_up(&mut self, lab: &Lab, parts: &Parts) -> Result<()> {
        let first = match parts.kernel {
            Kernel::Stock => LAST_BOOT,
            _ => FIRST_BOOT,
        };
        let why = match self.wait_up(&first) {
            Ok(()) => return Ok(()),
            Err(NotUp::Failed(why)) => return Err(why.into()),
            Err(NotUp::Still(why)) => why,
        };
        // `make test` lists a test that prints this
        if self.is_counted {
            eprintln!("attempt 1: {why}");
        }
        *self = Self::start(lab, parts)?;
        // the test uses nothing of the first boot
        standstill::forget(&self.name);
        self.wait_up(&LAST_BOOT).map_err(|it| match it {
            NotUp::Still(why) | NotUp::Failed(why) => why.into(),
        })
    }

    fn wait_up(&self, patience: &Patience) -> std::result::Result<(), NotUp> {
        let begun = Instant::now();
        let mut printed = Printed::new(self.log_start);
        loop {
            match self.console().poll_up(BOOT_STEP) {
                Boot::Up(words) => {
                    self.netdev.get_or_init(|| words == "netdev");
                    return Ok(());
                }
                Boot::Progress(line) => printed.add(&line),
                Boot::Silent => {}
            }
            let running = self.daemon().is_running();
            printed.read(&self.daemon().log());
            let has_init = printed.text.contains(INIT_SPEAKS);
            let silence = if has_init {
                patience.init_silence
            } else {
                self.kernel_silence
            };
            let limit = patience.limit;
            let (kind, what): (fn(String) -> NotUp, _) = if !running {
                (NotUp::Failed, "ended before it was up".to_owned())
            } else if kernel::is_fatal(&printed.text) {
                (NotUp::Failed, "failed".to_owned())
            } else if printed.at.elapsed() > silence {
                let kind = if has_init {
                    NotUp::Still
                } else {
                    NotUp::Failed
                };
                (kind, format!("was silent for {silence:?}"))
            } else if begun.elapsed() > limit {
                (NotUp::Still, format!("was not up after {limit:?}"))
            } else {
                continue;
            };
            let activity = self.activity();
            self.notice_standstill();
            self.kill();
            let why = kernel::not_started(&self.name, &self.kernel, &what, &printed.text);
            return Err(kind(why + &activity));
        }
    }

    /// Skips the test if the machine's kernel does not support the fence.
    pub fn require_fence(&self) -> Result<()> {
        match self.netdev.get() {
            Some(true) => Ok(()),
            _ => Err(skipped(format!(
                "needs the fence: nftables of the kernel {} has no family netdev: build one that has it by \
                 `tests/kernel/choose.sh build`, or set SPARED_TEST_KERNEL to its path",
                self.kernel.display()
            ))),
        }
    }

    /// Runs a command line in its shell. Returns the exit code and both outputs.
    pub fn run(&self, line: &str) -> Result<(i32, String)> {
        self.run_within(line, COMMAND_LIMIT)
    }

    pub fn run_within(&self, line: &str, limit: Duration) -> Result<(i32, String)> {
        let done = self.console().run(line, limit);
        done.map_err(|why| format!("{why}{}", self.activity()).into())
    }

    /// Asks the daemon of a folder in the machine for the status or for words of a plugin.
    pub fn ask(&self, runtime_dir: &Path, words: &str) -> Result<serde_json::Value> {
        let done = self.console().ask(runtime_dir, words, COMMAND_LIMIT);
        done.map_err(|why| format!("{why}{}", self.activity()).into())
    }

    /// Describes what the processes of a machine do that does not answer, one line for each.
    fn activity(&self) -> String {
        self.daemon()
            .tree()
            .into_iter()
            .map(standstill::activity_of)
            .collect()
    }

    /// Runs a command line, which must succeed. Returns its output.
    pub fn ok(&self, line: &str) -> Result<String> {
        match self.run(line)? {
            (0, text) => Ok(text),
            (code, text) => Err(format!("{}: {line}: exit {code}: {text}", self.name).into()),
        }
    }

    /// Starts a program in the background, with its output in NAME-PROGRAM.log next to the other logs. Returns its
    /// process id in the machine.
    pub fn spawn(&self, program: &str, line: &str) -> Result<u32> {
        let log = self.log_of(program);
        let text = self.ok(&format!(
            "setsid sh -c 'exec \"$@\"' sh {line} </dev/null >>{} 2>&1 & echo $!",
            log.display()
        ))?;
        let pid = text.trim().parse();
        pid.map_err(|_| format!("{}: {program}: {text}", self.name).into())
    }

    /// Path of a spawned program's output.
    pub fn log_of(&self, program: &str) -> PathBuf {
        let dir = self.dir.parent().unwrap_or(&self.dir);
        dir.join(format!("{}-{program}.log", self.name))
    }

    /// Runs its `ip -batch` with one command per line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.ok(&format!("ip -batch - <<'END'\n{lines}END\n"))
            .map(drop)
    }

    /// Lets it read files again that were changed outside.
    pub fn forget_files(&self) -> Result<()> {
        self.ok("echo 3 >/proc/sys/vm/drop_caches").map(drop)
    }

    /// Moves its clock by `seconds`, permanently.
    pub fn shift_clock(&self, seconds: i64) -> Result<()> {
        self.ok(&format!("date -s \"@$(($(date +%s) + {seconds}))\""))
            .map(drop)
    }

    /// Ends the machine at once, like a loss of power.
    pub fn kill(&self) {
        let mut daemon = self.daemon();
        if !daemon.is_running() {
            return;
        }
        let tree = daemon.tree();
        // The machine's processes are processes of the host, and would continue if the kernel that traces them ended
        // first. So the kernel is stopped, then they are killed, and then the kernel.
        let signals = |pids: &[u32], signal| {
            for pid in pids {
                let _ = signal_to(*pid, signal);
            }
        };
        signals(tree.get(1..2).unwrap_or_default(), Signal::STOP);
        signals(tree.get(2..).unwrap_or_default(), Signal::KILL);
        daemon.kill_all();
        let gone = || !tree.iter().any(|pid| is_alive(*pid));
        poll(Duration::from_secs(5), Duration::from_millis(1), gone);
    }

    /// Stops the machine, as a host does with a guest.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Cuts the machine off silently from these networks and links.
    pub fn cut(&self, lab: &Lab, wires: &[Wire]) -> Result<()> {
        lab.forward_named(&self.ports(wires), false)
    }

    pub fn join(&self, lab: &Lab, wires: &[Wire]) -> Result<()> {
        lab.forward_named(&self.ports(wires), true)
    }

    pub fn is_running(&self) -> bool {
        self.daemon().is_running()
    }

    /// Port of the lab's switch into which one of its cards is plugged.
    pub fn port(&self, wire: Wire) -> String {
        port(&self.name, wire)
    }

    /// Processor time that the machine has used on the host.
    pub fn processor_time(&self) -> Duration {
        let pids = self.daemon().tree();
        pids.iter().map(|pid| crate::lab::usage(*pid).0).sum()
    }

    /// Returns the machine's processes on the host.
    pub fn pids(&self) -> Vec<u32> {
        self.daemon().tree()
    }

    /// Records a machine that stands still for good, with its last command.
    fn notice_standstill(&self) {
        let kernel = self.daemon().tree().get(1).copied();
        if !kernel.is_some_and(standstill::lasts) {
            return;
        }
        let log = self.daemon().log();
        let printed = log.get(self.log_start..).unwrap_or_default();
        let latest = standstill::latest(&self.console().latest(), printed);
        if self.is_counted {
            tally::add_standstill(&format!("{}: {latest}", self.name));
        }
        standstill::note(&self.name, latest);
    }

    fn ports(&self, wires: &[Wire]) -> Vec<String> {
        wires.iter().map(|wire| self.port(*wire)).collect()
    }

    // The processes that the kernel traces follow it.
    fn signal(&self, signal: Signal) -> Result<()> {
        let tree = self.daemon().tree();
        let kernel = tree.get(1).ok_or("a machine that is not running")?;
        signal_to(*kernel, signal)
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn console(&self) -> MutexGuard<'_, Console> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.notice_standstill();
        self.kill();
    }
}

/// Skips the test if machines cannot run here.
fn require(parts: &Parts) -> Result<()> {
    if maps_one_user()? {
        return Err(skipped(
            "machines have the files of this one's root for theirs",
        ));
    }
    if parts.init == Init::Systemd && !Path::new(SYSTEMD).exists() {
        Err(skipped("systemd is not installed"))
    } else {
        Ok(())
    }
}

fn port(name: &str, wire: Wire) -> String {
    format!("{name}-{}", wire.name())
}

/// Creates a tap for each card, unless an earlier machine of this name did.
fn plug_in(lab: &Lab, parts: &Parts) -> Result<()> {
    let there = lab.sw.shell("ip -o link show")?;
    let mut lines = String::new();
    for wire in &parts.cards {
        let (port, bridge) = (port(&parts.name, *wire), wire.name());
        if !there.contains(&format!(" {port}: ")) {
            lines += &format!("tuntap add {port} mode tap\nlink set {port} master {bridge} up\n");
        }
    }
    lab.sw.ip(&lines)
}

fn init_script(parts: &Parts, hardware: &Hardware, dir: &Path, token: &str) -> Result<String> {
    let mut text = format!(
        "#!/bin/sh\nNAME={} DIR={} TOKEN={token} HARDWARE={}\n",
        parts.name,
        dir.display(),
        hardware.name()
    );
    let names: Vec<_> = parts.cards.iter().map(|wire| wire.name()).collect();
    let init = match parts.init {
        Init::Shell => "shell",
        Init::Systemd => "systemd",
    };
    let console = own_dir()?.join("machine-console");
    text += &format!(
        "CARDS='{}' INIT={init} CONSOLE={}\n",
        names.join(" "),
        console.display()
    );
    Ok(text + include_str!("init.sh"))
}

/// Lines of fstab(5) for the file systems of its own, and for the lab's folder.
fn mounts(hardware: &Hardware, lab: &Path) -> String {
    let mut lines = "sys /sys sysfs defaults
cgroup /sys/fs/cgroup cgroup2 defaults
devpts /dev/pts devpts defaults
tmpfs /dev/shm tmpfs defaults
"
    .to_owned();
    let own = ["/run", "/tmp", "/var/tmp", "/var/lib", "/var/log", "/mnt"];
    for folder in own.iter().filter(|it| !lab.starts_with(it)) {
        // Daemons refuse a /run that everybody may write.
        let mode = if folder.ends_with("/tmp") { 1777 } else { 755 };
        lines += &format!("tmpfs {folder} tmpfs mode={mode}\n");
    }
    // The initramfs of qemu has done this.
    if matches!(hardware, Hardware::Uml(_)) {
        lines += &format!("none {0} hostfs {0}\n", lab.display());
    }
    lines
}

/// Lines for the addresses on the networks. Programs in the machine set those of the links.
fn addresses(parts: &Parts) -> String {
    let networks = parts.cards.iter().filter(|wire| Wire::BOTH.contains(wire));
    networks
        .map(|wire| {
            let (name, ipv4, ipv6) = (wire.name(), wire.ipv4(parts.host), wire.ipv6(parts.host));
            format!("addr add {ipv4}/24 dev {name}\naddr add {ipv6}/64 dev {name} nodad\n")
        })
        .collect()
}
