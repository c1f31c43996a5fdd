// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rsync -a` from r1 to r2 over the link, as administrators copy files today: over ssh, or to an rsync daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::clock::poll;
use crate::lab::{Daemon, Lab, Site, Wire, find_program};

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
const SSH_PORT: u16 = 2222;
const RSYNC_PORT: u16 = 8730;
const NEEDED: [&str; 4] = ["rsync", "ssh", "ssh-keygen", "sshd"];

/// Server on r2, and the way in which r1 reaches it.
pub struct Rsync<'l> {
    from: &'l Site,
    /// Options of rsync, and the target of its copies.
    options: Vec<String>,
    target: String,
    _server: Daemon,
}

/// Returns the needed programs that are not installed.
pub fn missing() -> Vec<&'static str> {
    let is_missing = |name: &&str| find_program(Path::new(name)).is_none();
    NEEDED.into_iter().filter(is_missing).collect()
}

impl<'l> Rsync<'l> {
    /// Copies over ssh with OpenSSH's defaults: its own choice of cipher, no compression, keys on both sides. The keys
    /// are generated for this lab, and files of root and of the machine are not read.
    pub fn over_ssh(lab: &'l Lab) -> Result<Self> {
        let keys = lab.dir.join("ssh");
        let there = lab.dir.join("rsync-ssh");
        fs::create_dir_all(&keys)?;
        fs::create_dir_all(&there)?;
        let host_key = make_key(&keys, "host")?;
        let user_key = make_key(&keys, "user")?;
        let address = Wire::Hot.ipv4(lab.sites[1].host());
        fs::write(keys.join("authorized"), user_key)?;
        let known = format!("[{address}]:{SSH_PORT} {host_key}");
        fs::write(keys.join("known"), known)?;
        let config = keys.join("sshd_config");
        fs::write(&config, sshd_config(&keys, &address.to_string()))?;
        let mut command = lab.sites[1].ns.command("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command.args(["/bin/sh", "-euc", SSHD, "sshd"]);
        command.arg(find_program(Path::new("sshd")).ok_or("no sshd here")?);
        command.arg(&config);
        let server = Daemon::start("sshd", command, &lab.dir.join("sshd.log"))?;
        let ssh = ssh(&keys).join(" ");
        let ns = &lab.sites[0].ns;
        let greeting = format!("{ssh} root@{address} true");
        if !poll(LIMIT, PAUSE, || ns.shell(&greeting).is_ok()) {
            return Err(format!("sshd lets nobody in: {}", server.log()).into());
        }
        Ok(Self {
            from: &lab.sites[0],
            options: vec!["-a".to_owned(), "-e".to_owned(), ssh],
            target: format!("root@{address}:{}/", there.display()),
            _server: server,
        })
    }

    /// Copies to an rsync daemon, which neither encrypts nor authenticates.
    pub fn to_daemon(lab: &'l Lab) -> Result<Self> {
        let there = lab.dir.join("rsync-daemon");
        fs::create_dir_all(&there)?;
        let config = lab.dir.join("rsyncd.conf");
        let module = there.display();
        let text = format!(
            "use chroot = no\nuid = root\ngid = root\n[bench]\npath = {module}\nread only = no\n"
        );
        fs::write(&config, text)?;
        let mut command = lab.sites[1].ns.command("rsync");
        command.args(["--daemon", "--no-detach", "--port", &RSYNC_PORT.to_string()]);
        command.arg("--config").arg(&config);
        let server = Daemon::start("rsync", command, &lab.dir.join("rsync.log"))?;
        let address = Wire::Hot.ipv4(lab.sites[1].host());
        let modules = format!("rsync rsync://{address}:{RSYNC_PORT}/");
        let ns = &lab.sites[0].ns;
        if !poll(LIMIT, PAUSE, || ns.shell(&modules).is_ok()) {
            return Err(format!("the daemon of rsync does not answer: {}", server.log()).into());
        }
        Ok(Self {
            from: &lab.sites[0],
            options: vec!["-a".to_owned()],
            target: format!("rsync://{address}:{RSYNC_PORT}/bench/"),
            _server: server,
        })
    }

    /// Copies the contents of a folder of r1, and returns the time that it took.
    pub fn copy(&self, folder: &Path) -> Result<Duration> {
        let mut command = self.from.ns.command("rsync");
        command.args(&self.options);
        command.arg(format!("{}/", folder.display()));
        command.arg(&self.target).stdin(Stdio::null());
        let begun = Instant::now();
        let ended = command.output()?;
        if ended.status.success() {
            Ok(begun.elapsed())
        } else {
            Err(format!("rsync: {}", String::from_utf8_lossy(&ended.stderr)).into())
        }
    }
}

/// sshd needs a folder in /run that Debian's unit creates: here in a /run of its own.
const SSHD: &str = r#"mount -t tmpfs run /run
mkdir -m 755 /run/sshd
exec "$1" -D -e -f "$2""#;

fn sshd_config(keys: &Path, address: &str) -> String {
    let keys = keys.display();
    format!(
        "Port {SSH_PORT}\nListenAddress {address}\nHostKey {keys}/host\n\
         AuthorizedKeysFile {keys}/authorized\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
         StrictModes no\nPermitUserRC no\nPidFile none\n"
    )
}

fn ssh(keys: &Path) -> Vec<String> {
    let keys = keys.display();
    let words = [
        "ssh",
        "-F",
        "none",
        "-p",
        &SSH_PORT.to_string(),
        "-i",
        &format!("{keys}/user"),
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "GlobalKnownHostsFile=none",
        "-o",
        &format!("UserKnownHostsFile={keys}/known"),
    ];
    words.map(str::to_owned).into()
}

/// Generates a key without a passphrase, and returns its public half.
fn make_key(keys: &Path, name: &str) -> Result<String> {
    let path: PathBuf = keys.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
    let ended = command.arg(&path).stdin(Stdio::null()).output()?;
    if ended.status.success() {
        Ok(fs::read_to_string(path.with_extension("pub"))?)
    } else {
        Err(format!("ssh-keygen: {}", String::from_utf8_lossy(&ended.stderr)).into())
    }
}
