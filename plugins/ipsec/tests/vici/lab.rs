//! Test bed: two network namespaces with a cable between them, and a charon in each.
//!
//! ```text
//! 10.0.1.1/24 (lo)  [ near ] 192.0.2.1 ---- 192.0.2.2 [ far ]  10.0.2.1/24 (lo)
//! ```
//!
//! charon encrypts the packets itself, so that the kernel does not need ESP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use crate::fixture::Folder;

const PROGRAM: &str = "/usr/lib/ipsec/charon";
const NEEDED: [&str; 4] = [
    PROGRAM,
    "/usr/sbin/swanctl",
    "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so",
    "/dev/net/tun",
];

static NUMBER: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Near = 1,
    Far = 2,
}

pub struct Lab {
    pub folder: Folder,
    name: String,
}

pub struct Charon {
    child: Child,
    folder: PathBuf,
    side: Side,
}

impl Lab {
    /// Creates the namespaces; None if they are not available, with the reason on standard error.
    pub fn new() -> Option<Self> {
        if let Some(why) = obstacle() {
            eprintln!("skipped: {why}");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            folder: Folder::new("charon"),
            name: format!("spvici{}-{number}", std::process::id()),
        };
        let (near, far) = (lab.namespace(Side::Near), lab.namespace(Side::Far));
        ip(&format!("netns add {near}"));
        ip(&format!("netns add {far}"));
        ip(&format!(
            "-n {near} link add wan type veth peer name wan netns {far}"
        ));
        for side in [Side::Near, Side::Far] {
            let (namespace, number) = (lab.namespace(side), side as u8);
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set wan up"));
            ip(&format!(
                "-n {namespace} addr add 192.0.2.{number}/24 dev wan"
            ));
            ip(&format!(
                "-n {namespace} addr add 10.0.{number}.1/24 dev lo"
            ));
        }
        Some(lab)
    }

    pub fn socket(&self, side: Side) -> PathBuf {
        self.of(side).join("vici")
    }

    /// Starts a charon without connections.
    pub fn start(&self, side: Side) -> Charon {
        let folder = self.of(side);
        fs::create_dir_all(folder.join("run")).unwrap();
        fs::write(folder.join("strongswan.conf"), settings(&folder)).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        // the path of its pid file is fixed
        let words = format!(
            "mount --bind {}/run /run && exec {PROGRAM}",
            folder.display()
        );
        let child = Command::new("ip")
            .args(["netns", "exec", &self.namespace(side), "sh", "-c", &words])
            .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let charon = Charon {
            child,
            folder,
            side,
        };
        let began = Instant::now();
        while !charon.ask("--stats") {
            assert!(began.elapsed() < Duration::from_secs(10), "no charon");
            sleep(Duration::from_millis(50));
        }
        charon
    }

    fn of(&self, side: Side) -> PathBuf {
        self.folder.path(format!("{side:?}"))
    }

    fn namespace(&self, side: Side) -> String {
        format!("{}{}", self.name, side as u8)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [Side::Near, Side::Far] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(side)])
                .status();
        }
    }
}

impl Charon {
    /// Loads the connection "far" with the child "net", to the other side.
    pub fn load(&self) {
        let other = 3 - self.side as u8;
        self.load_with(&format!("192.0.2.{other}"), "aes128-sha256");
    }

    pub fn load_with(&self, remote: &str, esp: &str) {
        let file = self.folder.join("swanctl.conf");
        fs::write(&file, connections(self.side, remote, esp)).unwrap();
        assert!(self.ask(&format!("--load-all --file {}", file.display())));
    }

    /// Loads the pool "road" only.
    pub fn load_pool(&self, addrs: &str) {
        let file = self.folder.join("swanctl.conf");
        fs::write(
            &file,
            format!("pools {{\n road {{\n addrs = {addrs}\n }}\n}}\n"),
        )
        .unwrap();
        assert!(self.ask(&format!("--load-pools --file {}", file.display())));
    }

    /// Lists the pools as swanctl prints them.
    pub fn pools(&self) -> String {
        let output = self.swanctl("--list-pools").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn rekey(&self) {
        assert!(self.ask("--rekey --child net"));
    }

    pub fn terminate(&self) {
        assert!(self.ask("--terminate --ike far"));
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// Returns true if swanctl succeeded.
    fn ask(&self, words: &str) -> bool {
        let output = self.swanctl(words).output();
        output.unwrap().status.success()
    }

    fn swanctl(&self, words: &str) -> Command {
        let uri = format!("unix://{}/vici", self.folder.display());
        let mut command = Command::new("swanctl");
        command
            .args(words.split(' '))
            .args(["--uri", &uri])
            .env("STRONGSWAN_CONF", self.folder.join("strongswan.conf"));
        command
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        self.end();
        if panicking() {
            let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("{:?}:\n{said}", self.side);
        }
    }
}

fn obstacle() -> Option<String> {
    let missing = NEEDED.iter().find(|file| !Path::new(file).exists());
    if let Some(missing) = missing {
        return Some(format!("no {missing}"));
    }
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let is_confined = profiles.is_ok_and(|all| all.contains("/usr/lib/ipsec/charon (enforce)"));
    is_confined.then(|| "charon may not use other places than its own here".to_owned())
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

// Settings with few plugins, for a quick start.
fn settings(folder: &Path) -> String {
    format!(
        "charon {{\n\
           load = random nonce openssl aes sha1 sha2 hmac gcm kdf kernel-libipsec kernel-netlink \
             socket-default vici\n\
           plugins {{\n vici {{\n socket = unix://{}/vici\n }}\n }}\n\
           filelog {{\n stderr {{\n default = 1\n }}\n }}\n\
         }}\n\
         swanctl {{\n load = random openssl\n}}\n",
        folder.display()
    )
}

fn connections(side: Side, remote: &str, esp: &str) -> String {
    let own = side as u8;
    let other = 3 - own;
    format!(
        "connections {{\n\
           far {{\n\
             version = 2\n local_addrs = 192.0.2.{own}\n remote_addrs = {remote}\n\
             local {{\n auth = psk\n id = side{own}\n }}\n\
             remote {{\n auth = psk\n id = side{other}\n }}\n\
             children {{\n\
               net {{\n local_ts = 10.0.{own}.0/24\n remote_ts = 10.0.{other}.0/24\n\
                 esp_proposals = {esp}\n }}\n\
             }}\n\
           }}\n\
         }}\n\
         secrets {{\n ike-lab {{\n secret = \"a tunnel of the laboratory\"\n }}\n}}\n"
    )
}
