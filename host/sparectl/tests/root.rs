//! Runs the real `sparectl` as root on a folder of its own, with a `spared` beside it whose check knows three faults.
//! Without root nothing is tested here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use spared_key::{PrivateKey, public_text};
use spared_message::control::{Answer, UNARMED_MARK};

/// `spared check`, as far as these tests need it.
const SPARED: &str = r#"#!/bin/sh
fault() {
    echo "$1"
    exit 78
}
while [ "$1" != --config ]; do shift; done
folder=${2%/*}
grep -q '^port = "wrong"' "$2" && fault 'port: found "wrong"'
if grep -q '^secret_file = "secret"' "$2"; then
    grep -q horse "$folder/secret" || fault 'secret_file: no such file'
else
    test -s "$folder/key" || fault 'key: no such file'
fi
echo "0 errors"
"#;
const LINK: &str = "[[link]]\ninterface = \"hot0\"\naddress = { r1 = \"192.168.180.1/30\", r2 = \"192.168.180.2/30\" }\n";
const NAME: &str = "node.name = \"r1\"\n";
const VRRP: &str = "[[group]]\nname = \"main\"\nvrid = 50\n\n[[group.interface]]\ninterface = \"lan0\"\naddresses = [\"192.168.200.1/24\"]\n";

/// Machine with the programs, a folder of the configuration, and a folder for the daemon's files; removed at the end.
struct Machine(PathBuf);

impl Machine {
    /// Returns None without root.
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        for folder in ["etc/plugins", "run", "bin"] {
            fs::create_dir_all(path.join(folder)).expect("a folder");
        }
        let machine = Self(path);
        fs::hard_link(
            env!("CARGO_BIN_EXE_sparectl"),
            machine.0.join("bin/sparectl"),
        )
        .expect("a link");
        machine.program("spared", SPARED);
        Some(machine)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.0.join("bin").join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join("etc").join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join("etc").join(name)).ok()
    }

    /// Writes a key, and returns its line of `[nodes]`.
    fn key(&self, node: &str) -> String {
        let key = PrivateKey::generate().expect("a key");
        self.write("key", &format!("{}\n", key.to_text()));
        let key = public_text(&key.public());
        format!("{node}.public_key = \"{key}\"\n")
    }

    /// Writes the files of r1 in a pair with r2, whose key is in the text.
    fn pair(&self) {
        let other = PrivateKey::generate().expect("a key").public();
        let line = self.key("r1");
        let other = public_text(&other);
        let nodes = format!("[nodes]\n{line}r2.public_key = \"{other}\"\n");
        self.write("spared.toml", &format!("{NAME}\n{nodes}\n{LINK}"));
        self.write("plugins/vrrp.toml", VRRP);
    }

    /// Writes names of nodes alone, as `sparectl import` does.
    fn name_nodes(&self) {
        let text = format!("{NAME}[nodes]\nr1 = {{}}\nr2 = {{}}\n{LINK}");
        self.write("spared.toml", &text);
    }

    /// Writes a file with the line of another key of r2, and returns its path.
    fn other_key(&self) -> String {
        let key = PrivateKey::generate().expect("a key").public();
        let path = self.0.join("line");
        let line = format!("r2.public_key = \"{}\"\n", public_text(&key));
        fs::write(&path, line).expect("written");
        path.display().to_string()
    }

    /// Writes a file of keepalived, and returns its path.
    fn keepalived(&self) -> String {
        let path = self.0.join("keepalived.conf");
        let text = "vrrp_instance a {\ninterface lan0\nvirtual_router_id 50\nvirtual_ipaddress {\n192.168.200.1/24\n}\n}\n";
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let path = |name: &str| self.0.join(name);
        let mut command = Command::new(path("bin/sparectl"));
        command.arg("--runtime-dir").arg(path("run")).args(words);
        if words != ["upgrade"] {
            command.arg("--config").arg(path("etc/spared.toml"));
        }
        command.env_remove("STATE_DIRECTORY");
        command
    }

    /// Runs a verb. Returns the exit code and all that it said.
    fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        said(&self.command(words).output().expect("sparectl starts"))
    }

    fn is_armed(&self) -> bool {
        !self.0.join("run").join(UNARMED_MARK).exists()
    }

    /// Listens as a daemon does, and answers nothing.
    fn silent_daemon(&self) -> UnixListener {
        UnixListener::bind(self.0.join("run/control.sock")).expect("a fresh folder")
    }

    /// Answers requests, one after the other, and closes the connection of one more.
    fn daemon(&self, answers: Vec<Answer>) {
        let listener = self.silent_daemon();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("sparectl connects");
                let mut request = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                reader.read_line(&mut request).expect("a request");
                let answer = serde_json::to_string(&answer).expect("an answer");
                writeln!(stream, "{answer}").expect("sparectl reads");
            }
            drop(listener.accept());
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    (output.status.code(), text.concat())
}

#[test]
fn faults_of_the_files_and_a_missing_daemon_have_their_exit_codes() {
    let Some(machine) = Machine::new("codes") else {
        return;
    };
    let (code, text) = machine.run(&["upgrade"]);
    assert_eq!(code, Some(4), "{text}");
    machine.pair();
    let right = machine.read("spared.toml").expect("written");
    let wrong = format!("port = \"wrong\"\n{right}");
    machine.write("spared.toml", &wrong);
    let line = machine.other_key();
    let keepalived = machine.keepalived();
    for words in [
        &["init", "--yes"][..],
        &["pair", "--key-file", &line, "--replace", "--yes"],
        &["import", &keepalived, "--id", "r1", "--id", "r2", "--yes"],
    ] {
        let (code, text) = machine.run(words);
        assert!(text.contains("port: found \"wrong\""), "{words:?}: {text}");
        assert_eq!(code, Some(78), "{words:?}: {text}");
        assert_eq!(machine.read("spared.toml").as_ref(), Some(&wrong));
    }
}

#[test]
fn a_daemon_that_does_not_answer_may_be_active() {
    let Some(machine) = Machine::new("silent") else {
        return;
    };
    machine.pair();
    let before = ["key", "spared.toml", "plugins/vrrp.toml"].map(|it| machine.read(it));
    let saved = machine.0.join("saved").display().to_string();
    let (code, text) = machine.run(&["identity", "save", &saved]);
    assert_eq!(code, Some(0), "{text}");
    let _listener = machine.silent_daemon();
    for words in [
        &["unpair", "--yes"][..],
        &["identity", "restore", &saved, "--yes"],
        &["pair", "--stdio", "--yes"],
        &["init", "--yes"],
    ] {
        let (code, text) = machine.run(words);
        assert!(
            text.contains("`systemctl restart spared` ends it"),
            "{words:?}: {text}"
        );
        assert_eq!(code, Some(4), "{words:?}: {text}");
        let after = ["key", "spared.toml", "plugins/vrrp.toml"].map(|it| machine.read(it));
        assert_eq!((&after, machine.is_armed()), (&before, true), "{words:?}");
    }
}

#[test]
fn a_daemon_that_does_not_end_the_reload_has_the_old_files() {
    let Some(machine) = Machine::new("hanging") else {
        return;
    };
    machine.pair();
    let backup = || Answer::Status(Box::default());
    machine.daemon(vec![backup(), backup()]);
    let (code, text) = machine.run(&["unpair", "--yes"]);
    assert!(!text.contains("has nothing configured"), "{text}");
    assert_eq!(code, Some(4), "{text}");
}

#[test]
fn a_node_whose_files_are_not_written_stays_armed() {
    let Some(machine) = Machine::new("edited") else {
        return;
    };
    machine.pair();
    // somebody edits a file during the check
    let edit = r##"while [ "$1" != --config ]; do shift; done
echo "# edited" >> "${2%/*}/../plugins/vrrp.toml""##;
    machine.program("spared", &format!("#!/bin/sh\n{edit}\n"));
    let line = machine.other_key();
    for words in [
        &["pair", "--key-file", &line, "--replace", "--yes"][..],
        &["init", "--yes"],
    ] {
        if words[0] == "init" {
            // without keys of both nodes it would not disarm
            machine.name_nodes();
        }
        let (code, text) = machine.run(words);
        assert!(text.contains("was changed meanwhile"), "{words:?}: {text}");
        assert_eq!((code, machine.is_armed()), (Some(1), true), "{words:?}");
    }
}

#[test]
fn init_disarms_no_node_of_a_pair() {
    let Some(machine) = Machine::new("again") else {
        return;
    };
    machine.pair();
    let (code, text) = machine.run(&["init", "--yes"]);
    assert_eq!((code, machine.is_armed()), (Some(0), true), "{text}");
    assert!(
        text.contains("`sparectl reload` here") && !text.contains("`sparectl pair`"),
        "{text}"
    );
    assert!(machine.read("plugins/conntrack.toml").is_some());

    machine.name_nodes();
    let (code, text) = machine.run(&["init", "--yes"]);
    assert_eq!((code, machine.is_armed()), (Some(0), false), "{text}");
    assert!(
        text.contains("this node is not armed") && text.contains("Now run `sparectl pair`"),
        "{text}"
    );
}

#[test]
fn init_writes_no_keys_beside_a_passphrase() {
    let Some(machine) = Machine::new("passphrase") else {
        return;
    };
    machine.write("secret", "correct-horse-battery\n");
    for nodes in ["", "[nodes]\nr1 = {}\nr2 = {}\n"] {
        let text = format!("{NAME}secret_file = \"secret\"\n{nodes}{LINK}");
        machine.write("spared.toml", &text);
        let _ = fs::remove_dir_all(machine.0.join("etc/plugins"));
        let (code, said) = machine.run(&["init", "--peer", "r2", "--yes"]);
        assert_eq!(
            (code, machine.is_armed()),
            (Some(0), !nodes.is_empty()),
            "{said}"
        );
        let written = machine.read("spared.toml").expect("written");
        assert!(!written.contains("public_key"), "{written}");
        let _ = fs::remove_file(machine.0.join("run").join(UNARMED_MARK));
    }
}

#[test]
fn options_that_the_files_contradict_are_refused_with_what_to_write() {
    let Some(machine) = Machine::new("contradictions") else {
        return;
    };
    machine.pair();
    let before = machine.read("plugins/vrrp.toml");
    for (option, value, todo) in [
        ("--gateway", "192.168.200.254", "`[[group.route]]`"),
        ("--gateway", "fd01::1", "`destination = \"::/0\"`"),
        ("--vrid", "51", "change `vrid` there"),
        ("--group", "office", "another `[[group]]`"),
        (
            "--link-addresses",
            "10.0.0.1/30,10.0.0.2/30",
            "write `address` there",
        ),
    ] {
        let (code, text) = machine.run(&["init", option, value, "--yes"]);
        assert!(
            text.contains(&format!("{option} {value}: ")) && text.contains(todo),
            "{text}"
        );
        assert_eq!(code, Some(1), "{text}");
    }
    assert!(machine.read("plugins/conntrack.toml").is_none());
    let route = "\n[[group.route]]\ndestination = \"0.0.0.0/0\"\ngateway = \"192.168.200.254\"\n";
    machine.write("plugins/vrrp.toml", &format!("{VRRP}{route}"));
    let agreeing = "init --gateway 192.168.200.254 --vrid 50 --group main --link hot0 --link-addresses \
                    192.168.180.1/30,192.168.180.2/30 --virtual lan0=192.168.200.1/24 --yes";
    let words: Vec<&str> = agreeing.split_whitespace().collect();
    let (code, text) = machine.run(&words);
    assert_eq!(code, Some(0), "{text}");
    assert_ne!(machine.read("plugins/vrrp.toml"), before);
}

#[test]
fn ssh_that_breaks_after_the_other_node_wrote_is_told_as_that() {
    let Some((first, second)) = Machine::new("ssh-1").zip(Machine::new("ssh-2")) else {
        return;
    };
    second.write("spared.toml", "node.name = \"r2\"\n");
    second.write("plugins/vrrp.toml", "");
    let path = |name: &str| second.0.join(name).display().to_string();
    let half = format!(
        "{} --runtime-dir {} pair --stdio --config {}",
        path("bin/sparectl"),
        path("run"),
        path("etc/spared.toml")
    );
    let pair = |ssh: &str| {
        first.write(
            "spared.toml",
            &format!("{NAME}[nodes]\nr1 = {{}}\nr2 = {{}}\n{LINK}"),
        );
        first.program("ssh", &format!("#!/bin/sh\n{ssh}\n"));
        let mut command = first.command(&["pair", "--ssh", "r2", "--yes"]);
        command.env(
            "PATH",
            format!("{}:/usr/bin:/bin", first.0.join("bin").display()),
        );
        said(&command.output().expect("sparectl starts"))
    };
    // no folder for the mark of a node that is not armed: it ends after the first node's word
    let breaks = format!("STATE_DIRECTORY=/dev/null/no {half}\nexit 255");
    for (ssh, expected, other) in [
        ("exit 255", "ssh does not reach r2", "may have the files"),
        ("exit 127", "r2 has no sparectl", "may have the files"),
        (
            &breaks,
            "r2 may have the files: run `sparectl pair --ssh r2` here again",
            "does not reach",
        ),
    ] {
        let (code, text) = pair(ssh);
        assert!(
            text.contains(expected) && !text.contains(other),
            "{ssh}: {text}"
        );
        assert_eq!(code, Some(1), "{ssh}: {text}");
    }
    let (code, text) = pair(&format!("exec {half}"));
    assert!(text.contains("r1 and r2 are a pair"), "{text}");
    assert_eq!(
        (code, second.read("plugins/vrrp.toml")),
        (Some(0), None),
        "{text}"
    );
}

#[test]
fn a_node_with_a_passphrase_and_without_a_key_is_saved_and_restored() {
    let Some((old, new)) = Machine::new("saved").zip(Machine::new("restored")) else {
        return;
    };
    let text = format!("{NAME}secret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{LINK}");
    old.write("spared.toml", &text);
    old.write("secret", "correct-horse-battery\n");
    let saved = old.0.join("identity").display().to_string();
    let (code, said) = old.run(&["identity", "save", &saved]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = new.run(&["identity", "restore", &saved, "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(new.read("spared.toml"), Some(text));
    assert_eq!(new.read("secret"), old.read("secret"));
    let mode = |machine: &Machine| {
        let known = fs::metadata(machine.0.join("etc/secret")).expect("restored");
        known.permissions().mode() & 0o777
    };
    assert_eq!(mode(&new), 0o600);
    // and on the machine itself, once more
    let (code, said) = old.run(&["identity", "restore", &saved, "--yes"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn an_identity_with_a_fault_replaces_nothing() {
    let Some((old, new)) = Machine::new("faulty").zip(Machine::new("kept")) else {
        return;
    };
    old.pair();
    let wrong = format!(
        "port = \"wrong\"\n{}",
        old.read("spared.toml").expect("written")
    );
    old.write("spared.toml", &wrong);
    fs::create_dir_all(old.0.join("etc/hooks/active.d")).expect("a folder");
    old.write("hooks/active.d/50-x", "#!/bin/sh\n");
    let saved = old.0.join("identity").display().to_string();
    let (code, text) = old.run(&["identity", "save", &saved]);
    assert_eq!(code, Some(0), "{text}");
    new.pair();
    let files = [
        "key",
        "spared.toml",
        "plugins/vrrp.toml",
        "hooks/active.d/50-x",
    ];
    let before = files.map(|it| new.read(it));
    let (code, text) = new.run(&["identity", "restore", &saved, "--yes"]);
    assert!(text.contains("port: found \"wrong\""), "{text}");
    assert_eq!(
        (code, files.map(|it| new.read(it))),
        (Some(78), before),
        "{text}"
    );
    assert!(!new.0.join("etc/.pairing").exists());
}

#[test]
fn a_new_check_finds_the_passphrase_of_the_pair() {
    let Some(machine) = Machine::new("imported") else {
        return;
    };
    let text = format!("{NAME}secret_file = \"secret\"\n[nodes]\nr1 = {{}}\nr2 = {{}}\n{LINK}");
    machine.write("spared.toml", &text);
    machine.write("secret", "correct-horse-battery\n");
    let keepalived = machine.keepalived();
    let (code, said) = machine.run(&["import", &keepalived, "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        machine.read("secret").as_deref(),
        Some("correct-horse-battery\n")
    );
}
