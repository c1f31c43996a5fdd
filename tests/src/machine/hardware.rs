// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a machine's kernel: the kernel itself as a process, or qemu with an emulated processor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity};

use super::kernel::Stock;
use super::{Parts, port};
use crate::lab::{Lab, Wire};

pub enum Hardware {
    /// A user-mode-linux with this path.
    Uml(PathBuf),
    Qemu(Stock),
}

impl Hardware {
    /// Returns the word for init.sh.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uml(_) => "uml",
            Self::Qemu(_) => "qemu",
        }
    }

    pub fn kernel(&self) -> PathBuf {
        match self {
            Self::Uml(kernel) => kernel.clone(),
            Self::Qemu(stock) => stock.dir.join("vmlinuz"),
        }
    }

    /// Returns the command of a machine: its commands come from standard input, its answers go to standard output, and
    /// its kernel's output goes to the log.
    ///
    /// The kernel, or qemu, is the first process of a PID namespace, so all its processes end with it; its memory is
    /// freed with the last one.
    pub fn command(&self, lab: &Lab, parts: &Parts, dir: &Path, log: &Path) -> Command {
        let mut command = lab.sw.command("unshare");
        let own = match self {
            Self::Uml(_) => "--pid",
            Self::Qemu(_) => "--pid --mount",
        };
        command
            .args(own.split(' '))
            .args(["--fork", "--kill-child=KILL", "--"]);
        match self {
            Self::Uml(kernel) => uml(&mut command, parts, kernel, dir),
            Self::Qemu(stock) => qemu(&mut command, lab, parts, stock, dir, log),
        }
        command
    }
}

fn uml(command: &mut Command, parts: &Parts, kernel: &Path, dir: &Path) {
    if let Some(processor) = next_processor() {
        command.args(["taskset", "--cpu-list", &processor.to_string()]);
    }
    command.arg(kernel);
    command.arg(format!("mem={}M", parts.memory_mb));
    command.arg(format!("uml_dir={}/", dir.display()));
    command.arg(format!("umid={}", parts.name));
    command.args(["rootfstype=hostfs", "ro"]);
    command.arg(format!("init={}", dir.join("init").display()));
    command.args([
        "con=null",
        "con0=null,fd:2",
        "ssl0=fd:0,fd:1",
        "console=tty0",
    ]);
    command.arg("selinux=0").args(&parts.boot_words);
    for (number, wire) in parts.cards.iter().enumerate() {
        let (port, mac) = (port(&parts.name, *wire), mac(parts, *wire));
        command.arg(format!(
            "vec{number}:transport=tap,ifname={port},depth=128,gro=1,mac={mac}"
        ));
    }
}

/// Returns the processor for the next machine: each of those that this process may use has its turn. Each system call
/// and page fault in user-mode-linux is a switch between two processes; between two processors it takes five times
/// longer, as one wakes the other.
fn next_processor() -> Option<usize> {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let allowed = sched_getaffinity(None).ok()?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|it| allowed.is_set(*it))
        .collect();
    // tests are processes: those that begin together begin with different processors
    let turn = STARTED.fetch_add(1, Ordering::Relaxed) + std::process::id() as usize;
    allowed.get(turn % allowed.len().max(1)).copied()
}

/// Prepares qemu. The kernel has neither hostfs nor 9p: virtiofsd serves the files on a socket with a short name, as a
/// longer one cannot be bound.
fn qemu(command: &mut Command, lab: &Lab, parts: &Parts, stock: &Stock, dir: &Path, log: &Path) {
    // virtiofsd leaves a file in /run for each socket.
    const START: &str = "mount -t tmpfs tmpfs /run && cd \"$1\" && rm -f files || exit
\"$2\" --socket-path=files -o source=/ -o sandbox=chroot -o cache=always >files.log 2>&1 &
while ! [ -S files ]; do kill -0 $! 2>/dev/null || exit; sleep 0.01; done
shift 2
exec qemu-system-x86_64 \"$@\"";
    let memory = parts.memory_mb;
    command.args(["sh", "-c", START, "sh"]);
    command.arg(dir).arg(&stock.virtiofsd);
    command.args(["-M", "pc,memory-backend=memory", "-accel", "tcg"]);
    command.args(["-cpu", "max", "-nodefaults", "-no-reboot"]);
    command.args(["-display", "none", "-m"]);
    command.arg(format!("{memory}M"));
    let backend = format!("memory-backend-memfd,id=memory,size={memory}M,share=on");
    command.args(["-object", &backend]);
    command.args(["-serial", "stdio", "-serial", "chardev:log", "-chardev"]);
    command.arg(format!("file,id=log,append=on,path={}", log.display()));
    command.args(["-chardev", "socket,id=files,path=files", "-device"]);
    command.arg("vhost-user-fs-pci,chardev=files,tag=root");
    command.arg("-kernel").arg(stock.dir.join("vmlinuz"));
    command.arg("-initrd").arg(stock.dir.join("initramfs"));
    command.arg("-append").arg(format!(
        "console=ttyS1 panic=-1 mitigations=off audit=0 LAB={} INIT={} {}",
        lab.dir.display(),
        dir.join("init").display(),
        parts.boot_words.join(" ")
    ));
    for (number, wire) in parts.cards.iter().enumerate() {
        let (port, mac) = (port(&parts.name, *wire), mac(parts, *wire));
        let tap = format!("tap,id=card{number},ifname={port},script=no,downscript=no");
        let card = format!("virtio-net-pci,netdev=card{number},romfile=,mac={mac}");
        command.args(["-netdev", &tap, "-device", &card]);
    }
}

fn mac(parts: &Parts, wire: Wire) -> String {
    let [a, b, c, d, e, f] = wire.mac(parts.host);
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
