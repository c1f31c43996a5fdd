// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two machines become a pair by `sparectl pair`: by a code over the cable of the link, and by ssh. A wrong code, a third
//! node and a cable without IPv6 make none.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Daemon, Lab, Site, Wire, build_dir, scenario, signal_to, skipped};
use spared_tests::router::Files;

pub const LIMIT: Duration = Duration::from_secs(20);
pub const STEP: Duration = Duration::from_millis(50);

/// A machine with the package, and the files that its administrator wrote.
pub struct Node<'l> {
    pub site: &'l Site,
    pub dir: PathBuf,
}

impl<'l> Node<'l> {
    pub fn new(lab: &Lab, site: &'l Site, name: &str) -> Result<Self> {
        Self::in_folder(lab.dir.join(format!("{name}-paired")), site, name)
    }

    /// A machine of this name with a disk of its own.
    pub fn in_folder(dir: PathBuf, site: &'l Site, name: &str) -> Result<Self> {
        fs::create_dir_all(dir.join("etc/plugins"))?;
        fs::create_dir_all(dir.join("run"))?;
        let node = Self { site, dir };
        let plugin = build_dir()?.join("libspared_vrrp.so");
        node.files().install_plugin("vrrp", &plugin)?;
        node.write(
            "spared.toml",
            &format!("# of {name}\n[node]\nname = \"{name}\"\n"),
        )?;
        Ok(node)
    }

    /// Writes the files of r1, as an editor would.
    pub fn configure(&self) -> Result<()> {
        let link = format!(
            "\n[nodes]\nr1 = {{}}\nr2 = {{}}\n\n[[link]]\ninterface = \"hot\"\naddress = {{ r1 = \"{}/24\", r2 = \"{}/24\" }}\n",
            Wire::Hot.ipv4(11),
            Wire::Hot.ipv4(12)
        );
        let host = self.read("spared.toml")?;
        self.write("spared.toml", &(host + &link))?;
        let group = "[[group]]\nname = \"office\"\nvrid = 50\n[[group.interface]]\ninterface = \"lan\"\naddresses = [\"10.1.0.1/24\"]\n";
        self.write("plugins/vrrp.toml", group)
    }

    pub fn files(&self) -> Files<'_> {
        Files { dir: &self.dir }
    }

    pub fn read(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("etc").join(file))?)
    }

    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.dir.join("etc").join(file), text)?)
    }

    pub fn start(&self) -> Result<Daemon> {
        let mut command = self.site.ns.command(build_dir()?.join("spared"));
        command.args(self.files().words(&self.dir.join("run")));
        command.env("STATE_DIRECTORY", self.dir.join("state"));
        Daemon::start(&self.site.name, command, &self.dir.join("log"))
    }

    /// `sparectl VERB` with this machine's files.
    pub fn sparectl(&self, verb: &[&str]) -> Result<Command> {
        let mut command = self.site.ns.command(build_dir()?.join("sparectl"));
        command.env("STATE_DIRECTORY", self.dir.join("state"));
        command
            .arg("--runtime-dir")
            .arg(self.dir.join("run"))
            .args(verb);
        let writes_files = matches!(
            verb,
            ["pair" | "replace" | "init" | "import" | "unpair", ..] | ["identity", "restore", ..]
        );
        if writes_files {
            command.args(self.places());
        }
        Ok(command)
    }

    fn places(&self) -> [String; 4] {
        let path = |it: &str| self.dir.join(it).display().to_string();
        let [config, plugins] = [path("etc/spared.toml"), path("plugins")];
        [
            "--config".to_owned(),
            config,
            "--plugin-dir".to_owned(),
            plugins,
        ]
    }

    pub fn status(&self) -> Result<String> {
        let output = self.sparectl(&["status"])?.output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn mark(&self) -> PathBuf {
        self.dir.join("state/unarmed")
    }
}

/// `sparectl pair` of the first node, which waits.
pub struct Offer {
    pub child: Child,
    pub code: String,
}

impl Offer {
    pub fn start(node: &Node<'_>, words: &[&str]) -> Result<Self> {
        Self::of(node.sparectl(&[&["pair"], words].concat())?)
    }

    pub fn of(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.as_mut().ok_or("a pipe")?).lines();
        let code = lines.find_map(|line| line.ok()?.strip_prefix("    ").map(str::to_owned));
        let Some(code) = code else {
            return Err(said(&child.wait_with_output()?).into());
        };
        Ok(Self { child, code })
    }

    pub fn end(self) -> Result<(bool, String)> {
        let output = self.child.wait_with_output()?;
        Ok((output.status.success(), said(&output)))
    }
}

pub fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The second node's `sparectl pair`, with the code on its standard input.
pub fn join(node: &Node<'_>, code: &str, words: &[&str]) -> Result<(bool, String)> {
    let output = begin_to_join(node, code, words)?.wait_with_output()?;
    Ok((output.status.success(), said(&output)))
}

/// Second node's `sparectl pair` while it runs.
pub fn begin_to_join(node: &Node<'_>, code: &str, words: &[&str]) -> Result<Child> {
    let mut command = node.sparectl(&[&["pair"], words].concat())?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    writeln!(child.stdin.take().ok_or("a pipe")?, "{code}")?;
    Ok(child)
}

/// Arms both by a command on one, which are backup until then, and waits until a failover would lose nothing.
pub fn wait_ok(nodes: [&Node<'_>; 2]) -> Result<()> {
    for node in nodes {
        assert!(node.mark().exists(), "{}: armed", node.dir.display());
        let says_so = || node.status().is_ok_and(|it| it.contains("not armed"));
        assert!(poll(LIMIT, STEP, says_so), "{}", node.status()?);
    }
    let armed = || {
        let arm = nodes[0]
            .sparectl(&["arm"])
            .and_then(|mut it| Ok(it.output()?));
        arm.is_ok() && nodes.iter().all(|it| !it.mark().exists())
    };
    assert!(poll(LIMIT, 4 * STEP, armed), "{}", nodes[0].status()?);
    let is_ok = || {
        nodes
            .iter()
            .all(|it| it.status().is_ok_and(|it| it.starts_with("OK  office")))
    };
    if poll(LIMIT, STEP, is_ok) {
        return Ok(());
    }
    Err(format!("{}\n{}", nodes[0].status()?, nodes[1].status()?).into())
}

#[test]
fn a_code_makes_two_machines_a_pair_and_a_wrong_one_does_not() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        let before = r2.read("spared.toml")?;

        let offer = Offer::start(&r1, &[])?;
        let wrong = if offer.code == "acorn-apple-arrow" {
            "acorn-apple-badge"
        } else {
            "acorn-apple-arrow"
        };
        let (joined, text) = join(&r2, wrong, &["--yes"])?;
        assert!(
            !joined && text.contains("the code is not the one of the other node"),
            "{text}"
        );
        let dead = offer.code.clone();
        let (offered, text) = offer.end()?;
        assert!(!offered && text.contains("a code has one try"), "{text}");
        assert_eq!(r2.read("spared.toml")?, before);
        assert!(!r2.mark().exists() && !r1.mark().exists());
        assert!(!r1.dir.join("etc/.pairing").exists());

        let offer = Offer::start(&r1, &[])?;
        assert_ne!(offer.code, dead);
        let is_listed = fs::read_to_string(format!("/proc/{}/cmdline", offer.child.id()))?;
        assert!(!is_listed.contains(&offer.code));
        // the cable has just been connected: its link-local address is still checked for duplicates
        r2.site.ns.ip("link set hot down\nlink set hot up\n")?;
        let (joined, text) = join(&r2, &offer.code, &["--yes"])?;
        let (offered, of_first) = offer.end()?;
        assert!(joined && offered, "{text}\n{of_first}");
        assert!(text.contains("r1 and r2 are a pair"), "{text}");
        assert!(
            of_first.contains("start it"),
            "its daemon does not run: {of_first}"
        );

        let [one, two] = [&r1, &r2].map(|it| it.read("spared.toml").unwrap_or_default());
        assert_eq!(
            one.replace("name = \"r1\"", ""),
            two.replace("name = \"r2\"", "")
        );
        assert_eq!(r1.read("plugins/vrrp.toml")?, r2.read("plugins/vrrp.toml")?);
        assert_ne!(
            fs::read(r1.dir.join("etc/key"))?,
            fs::read(r2.dir.join("etc/key"))?
        );
        let _daemons = [r1.start()?, r2.start()?];
        poll(LIMIT, STEP, || {
            [&r1, &r2]
                .iter()
                .all(|it| it.status().is_ok_and(|it| it.contains("office")))
        });
        wait_ok([&r1, &r2])
    });
}

#[test]
fn a_third_node_and_a_cable_without_ipv6_are_told_apart() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        r1.configure()?;
        let host = r1.read("spared.toml")?;
        let key = "r2.public_key = \"sk1:Y3VyaW91cyBwZW9wbGUgcmVhZCB0aGlzIGtleSBoZXI\"";
        r1.write("spared.toml", &host.replace("r2 = {}", key))?;
        let before = r1.read("spared.toml")?;
        let third = Node::new(lab, &lab.sites[1], "r3")?;
        let offer = Offer::start(&r1, &[])?;
        // the code is among the arguments for a moment, and not for as long as the node is looked for
        let (joined, text) = join(&third, "", &[&offer.code, "--yes"])?;
        assert!(
            !joined && text.contains("r1 and r2 are a pair, and r3 is a third node"),
            "{text}"
        );
        let (offered, text) = offer.end()?;
        assert!(!offered && text.contains("r3 is a third node"), "{text}");
        assert_eq!(r1.read("spared.toml")?, before);
        // a new machine in place of r2 has to be wanted
        let new = Node::new(lab, &lab.sites[1], "r2")?;
        let offer = Offer::start(&r1, &[])?;
        let (joined, text) = join(&new, &offer.code, &["--yes"])?;
        assert!(
            !joined && text.contains("`sparectl replace` on r1"),
            "{text}"
        );
        offer.end()?;
        let offer = Offer::start(&r1, &["--replace"])?;
        let (joined, text) = join(&new, &offer.code, &["--yes", "--interface", "hot"])?;
        assert!(joined && offer.end()?.0, "{text}");
        assert_ne!(r1.read("spared.toml")?, before);

        lab.sites[0]
            .ns
            .set(&[("net/ipv6/conf/hot/disable_ipv6", "1")])?;
        let refused = r1.sparectl(&["pair"])?.output()?;
        let text = said(&refused);
        assert!(
            text.contains("IPv6 is off on hot") && text.contains("--ssh HOST"),
            "{text}"
        );
        Ok(())
    });
}

/// Ends a process as a fault would, with cores allowed, and returns true if there is one in the folder.
fn leaves_a_core(pid: u32, folder: &Path, wait: impl FnOnce() -> Result<()>) -> Result<bool> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(process, Resource::Core, unlimited)?;
    signal_to(pid, Signal::ABORT)?;
    wait()?;
    let names = fs::read_dir(folder)?.flatten().map(|it| it.file_name());
    let mut names = names.map(|it| it.to_string_lossy().into_owned());
    Ok(names.any(|it| it.starts_with("core")))
}

#[test]
fn a_node_that_waits_with_a_code_leaves_no_core() {
    scenario(2, |lab| {
        let folders = ["other", "pair"].map(|it| lab.dir.join(format!("cores-{it}")));
        for folder in &folders {
            fs::create_dir_all(folder)?;
        }
        let [other, own] = &folders;
        let mut child = Command::new("sleep").arg("60").current_dir(other).spawn()?;
        let pid = child.id();
        let wait = || {
            child.wait()?;
            Ok(())
        };
        if !leaves_a_core(pid, other, wait)? {
            return Err(skipped(
                "cores are not written to the folder of the program",
            ));
        }
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        r1.configure()?;
        let mut command = r1.sparectl(&["pair"])?;
        command.current_dir(own);
        let offer = Offer::of(command)?;
        let pid = offer.child.id();
        let has_core = leaves_a_core(pid, own, || offer.end().map(drop))?;
        assert!(!has_core, "its memory is on the disk");
        Ok(())
    });
}

#[test]
fn ssh_makes_a_pair_without_a_code() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        r1.configure()?;
        r2.write(
            "spared.toml",
            "[node]\nname = \"r2\"\n[log]\nlevel = \"debug\"\n",
        )?;
        let _daemons = [r1.start()?, r2.start()?];
        let is_active = || {
            r1.sparectl(&["probe", "--active"])
                .and_then(|mut it| Ok(it.output()?.status.success()))
        };
        assert!(
            poll(LIMIT, STEP, || is_active().unwrap_or(false)),
            "{}",
            r1.status()?
        );
        let bin = lab.dir.join("bin");
        fs::create_dir_all(&bin)?;
        // ssh -T -- r2 sparectl pair --stdio
        let program = build_dir()?.join("sparectl");
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = '-T -- r2 sparectl pair --stdio' ] || exit 255\n\
             STATE_DIRECTORY={dir}/state exec nsenter --net={net} {program} --runtime-dir {dir}/run pair --stdio {places}\n",
            dir = r2.dir.display(),
            net = r2.site.ns.path(),
            program = program.display(),
            places = r2.places().join(" "),
        );
        let ssh = bin.join("ssh");
        fs::write(&ssh, script)?;
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755))?;
        let path = format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let pair = |machine: &str, words: &[&str]| -> Result<(bool, String)> {
            let mut command = r1.sparectl(&[&["pair", "--ssh", machine], words].concat())?;
            let output = command.env("PATH", &path).stdin(Stdio::null()).output()?;
            Ok((output.status.success(), said(&output)))
        };
        let (paired, text) = pair("r9", &[])?;
        assert!(!paired && text.contains("ssh does not reach r9"), "{text}");
        // r2's file has values, and nobody can be asked
        let (paired, text) = pair("r2", &["--replace"])?;
        assert!(!paired && text.contains("--yes"), "{text}");
        let (paired, text) = pair("r2", &["--yes"])?;
        assert!(paired && text.contains("r1 and r2 are a pair"), "{text}");
        // r1 was active alone, and stays so
        assert!(!r1.mark().exists() && r2.mark().exists());
        assert!(!text.contains("lacks files"), "{text}");
        // a hook of r1 is named, with what copies it
        let hook = r1.dir.join("etc/hooks/active.d/50-route");
        fs::create_dir_all(hook.parent().ok_or("a folder")?)?;
        fs::write(&hook, "#!/bin/sh\n")?;
        let (paired, text) = pair("r2", &["--yes"])?;
        let command = format!("tar -cP {} | ssh r2 tar -xP", hook.display());
        assert!(paired && text.contains(&command), "{text}");
        Ok(())
    });
}

/// A command that must succeed; returns what it says.
pub fn done(node: &Node<'_>, verb: &[&str]) -> Result<String> {
    let output = node.sparectl(verb)?.stdin(Stdio::null()).output()?;
    let text = said(&output);
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{verb:?}: {text}").into())
    }
}

#[test]
fn a_pair_is_described_made_left_and_restored_without_an_editor() {
    scenario(2, |lab| {
        let r1 = Node::new(lab, &lab.sites[0], "r1")?;
        let r2 = Node::new(lab, &lab.sites[1], "r2")?;
        for node in [&r1, &r2] {
            let plugin = build_dir()?.join("libspared_conntrack.so");
            node.files().install_plugin("conntrack", &plugin)?;
        }
        let _daemons = [r1.start()?, r2.start()?];
        let up = || {
            [&r1, &r2]
                .iter()
                .all(|it| it.status().is_ok_and(|it| !it.is_empty()))
        };
        poll(LIMIT, STEP, up);
        let virtual_address = "lan=10.1.0.1/24";
        let words = [
            "init",
            "--link",
            "hot",
            "--group",
            "office",
            "--virtual",
            virtual_address,
            "--yes",
        ];
        let text = done(&r1, &words)?;
        assert!(
            text.contains("lan: 10.1.0.11/24") && text.contains("the files change"),
            "{text}"
        );
        let again = done(&r1, &["init", "--yes"])?;
        assert!(
            again.contains("everything that init proposes is there"),
            "{again}"
        );

        let offer = Offer::start(&r1, &[])?;
        let (joined, text) = join(&r2, &offer.code, &["--yes"])?;
        let (offered, of_first) = offer.end()?;
        assert!(joined && offered, "{text}\n{of_first}");
        assert!(text.contains("the link to r1 is up"), "{text}");
        wait_ok([&r1, &r2])?;

        // the backup leaves, and comes back as it was
        let is_active = |node: &Node<'_>| -> Result<bool> {
            Ok(node
                .sparectl(&["probe", "--active"])?
                .output()?
                .status
                .success())
        };
        let (active, backup) = if is_active(&r1)? {
            (&r1, &r2)
        } else {
            (&r2, &r1)
        };
        let saved = lab.dir.join("identity.tar.gz").display().to_string();
        let before = backup.read("spared.toml")?;
        let hook = backup.dir.join("etc/hooks/active.d/50-route");
        fs::create_dir_all(hook.parent().ok_or("a folder")?)?;
        fs::write(&hook, "#!/bin/sh\n")?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        let _ = fs::remove_file(&saved);
        let save = |node: &Node<'_>, verb: &[&str]| -> Result<(bool, String)> {
            let [option, config, ..] = node.places();
            let output = node.sparectl(verb)?.args([option, config]).output()?;
            Ok((output.status.success(), said(&output)))
        };
        let (kept, text) = save(backup, &["identity", "save", &saved])?;
        assert!(kept && text.contains("contains the private key"), "{text}");
        assert_eq!(fs::metadata(&saved)?.permissions().mode() & 0o777, 0o600);
        let (kept, text) = save(backup, &["identity", "save", &saved])?;
        assert!(!kept && text.contains("no file is overwritten"), "{text}");
        let refused = done(active, &["unpair", "--yes"])
            .expect_err("it is active")
            .to_string();
        assert!(refused.contains("`sparectl switch` first"), "{refused}");
        let text = done(backup, &["unpair", "--yes"])?;
        assert!(text.contains("has nothing configured"), "{text}");
        assert!(
            !backup.dir.join("etc/key").exists()
                && !backup.dir.join("etc/plugins/vrrp.toml").exists()
        );
        fs::remove_file(&hook)?;
        let text = done(backup, &["identity", "restore", &saved, "--yes"])?;
        assert_eq!(fs::metadata(&hook)?.permissions().mode() & 0o777, 0o755);
        assert!(text.contains("restored: "), "{text}");
        assert_eq!(backup.read("spared.toml")?, before);
        let is_ok = || {
            [&r1, &r2]
                .iter()
                .all(|it| it.status().is_ok_and(|it| it.starts_with("OK  office")))
        };
        done_plain(backup, &["arm"])?;
        if poll(LIMIT, STEP, is_ok) {
            Ok(())
        } else {
            Err(r1.status()?.into())
        }
    });
}

pub fn done_plain(node: &Node<'_>, verb: &[&str]) -> Result<()> {
    let output = node.sparectl(verb)?.output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(said(&output).into())
    }
}
