// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl import` of each configuration of `lib/import/tests/configs`: `spared check` accepts its files, for the time of
//! the migration and for two nodes that run spared, and warns of nothing but the machine on which it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use spared_tests::lab::build_dir;

const PLUGINS: [&str; 4] = ["conntrack", "health", "service", "vrrp"];
/// Imports at once.
const AT_ONCE: usize = 4;
/// Warnings about the machine of the test, which has neither these interfaces nor these programs.
const OF_MACHINE: [&str; 5] = [
    "interface-",
    "vmac-",
    "plugin-check",
    "ipv4-forwarding",
    "advert-source",
];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/import/tests/configs")
}

/// Names of the configurations.
fn names() -> Vec<String> {
    let entries = fs::read_dir(configs()).expect("configurations").flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    let names = names.filter_map(|it| it.strip_suffix(".conf").map(str::to_owned));
    names.filter(|it| !it.contains('.')).collect()
}

/// A folder for the files and the plugins. It is removed at the end.
struct Bench(PathBuf);

impl Bench {
    fn new() -> Self {
        let bench =
            Self(std::env::temp_dir().join(format!("spared-imports-{}", std::process::id())));
        let _ = fs::remove_dir_all(&bench.0);
        fs::create_dir_all(bench.0.join("lib")).expect("a temporary folder");
        let build = build_dir().expect("a build");
        for name in PLUGINS {
            let library = bench.0.join(format!("lib/{name}.so"));
            fs::copy(build.join(format!("libspared_{name}.so")), &library).expect("make build");
            fs::set_permissions(&library, fs::Permissions::from_mode(0o644)).expect("our own");
        }
        bench
    }

    fn import(&self, name: &str, is_final: bool) -> Output {
        self.import_with(name, if is_final { &["--both"] } else { &[] })
    }

    fn import_with(&self, name: &str, more: &[&str]) -> Output {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).expect("our own folder");
        let path =
            |end: &str| Some(configs().join(format!("{name}{end}"))).filter(|it| it.exists());
        let mut command = Command::new(build_dir().expect("a build").join("sparectl"));
        command.arg("--runtime-dir").arg(folder.join("run"));
        command
            .args(["import", "--yes"])
            .arg(path(".conf").expect("it is there"));
        command.args(path(".conntrackd.conf"));
        if let Some(peer) = path(".peer.conf") {
            command.arg("--peer").arg(peer);
        }
        command.args(more);
        let ids = ids(name);
        let own = ids.first().map_or("r1", |it| it.as_str());
        if !folder.join("spared.toml").exists() {
            fs::write(
                folder.join("spared.toml"),
                format!("node.name = \"{own}\"\n"),
            )
            .expect("our own folder");
        }
        command.arg("--config").arg(folder.join("spared.toml"));
        command.arg("--plugin-dir").arg(self.0.join("lib"));
        command.output().expect("sparectl runs")
    }

    fn check(&self, name: &str) -> String {
        let mut command = Command::new(build_dir().expect("a build").join("spared"));
        command
            .arg("check")
            .arg("--config")
            .arg(self.0.join(name).join("spared.toml"));
        command.arg("--plugin-dir").arg(self.0.join("lib"));
        command
            .arg("--runtime-dir")
            .arg(self.0.join(name).join("run"));
        said(&command.output().expect("spared runs"))
    }

    /// Faults of an import; empty if there are none.
    fn wrong(&self, name: &str) -> String {
        let mut wrong = String::new();
        for is_final in [false, true] {
            let output = self.import(name, is_final);
            if !output.status.success() {
                wrong += &format!("{name}, both: {is_final}: {}\n", said(&output));
                continue;
            }
            let checked = self.check(name);
            let foreign = checked.lines().filter(|it| {
                let warning = it.strip_prefix("warning[").or(it.strip_prefix("error["));
                warning.is_some_and(|it| !OF_MACHINE.iter().any(|known| it.starts_with(known)))
            });
            for line in foreign {
                wrong += &format!("{name}, both: {is_final}: {line}\n");
            }
        }
        wrong
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Ids of lines for one node.
fn ids(name: &str) -> Vec<String> {
    let text = fs::read_to_string(configs().join(format!("{name}.conf"))).expect("readable");
    let ids = text
        .lines()
        .filter_map(|it| it.trim().strip_prefix('@')?.split_whitespace().next());
    let mut ids: Vec<String> = ids
        .filter(|it| !it.starts_with('^'))
        .map(str::to_owned)
        .collect();
    ids.sort();
    ids.dedup();
    if ids.len() == 2 { ids } else { Vec::new() }
}

#[test]
fn check_accepts_what_import_writes() {
    let bench = Bench::new();
    let names = names();
    assert!(names.len() >= 40, "{}", names.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = String::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong += &bench.wrong(name);
        }
        wrong
    };
    let wrong: String = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .collect()
    });
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn import_shows_what_changes_and_a_second_one_changes_nothing() {
    let bench = Bench::new();
    let first = said(&bench.import("gateway", false));
    for line in [
        "group G1: the sync group G1 (pub, pvt) becomes one group, so that its members move together; r1 is preferred, as its priority is greater (r1 150, r2 100)",
        "to do by hand:",
        "the migration, each step as root:",
        "+priority = { r1 = 150, r2 = 100 }",
    ] {
        assert!(first.contains(line), "{line}: {first}");
    }
    let hook = bench.0.join("gateway/hooks/active.d/50-G1-notify_master");
    let mode = fs::metadata(&hook).expect("a hook").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    // the folder is not that of the package
    let service = fs::read_to_string(bench.0.join("gateway/plugins/service.toml"));
    let hooks = format!("hooks = \"{}\"\n", bench.0.join("gateway/hooks").display());
    assert!(service.expect("readable").contains(&hooks), "{hooks}");
    let again = said(&bench.import("gateway", false));
    assert!(
        again.contains("everything that import proposes is there"),
        "{again}"
    );
    let both = said(&bench.import("gateway", true));
    assert!(both.contains("+prefer = \"r1\""), "{both}");
    assert!(
        !hook.exists(),
        "conntrackd's script is not called any more: {both}"
    );
    // a file of somebody else is not replaced without a question
    let vrrp = bench.0.join("gateway/plugins/vrrp.toml");
    fs::write(&vrrp, "# mine\nx = 1\n").expect("our own file");
    let mut command = Command::new(build_dir().expect("a build").join("sparectl"));
    command.arg("import").arg(configs().join("gateway.conf"));
    command
        .arg("--config")
        .arg(bench.0.join("gateway/spared.toml"));
    command.arg("--plugin-dir").arg(bench.0.join("lib"));
    let asked = command.output().expect("sparectl runs");
    assert!(!asked.status.success(), "{}", said(&asked));
    assert_eq!(
        fs::read_to_string(&vrrp).expect("readable"),
        "# mine\nx = 1\n"
    );
}

#[test]
fn changes_by_hand_outlive_import_both_or_are_shown() {
    let name = "sample-localcheck";
    let bench = Bench::new();
    let first = said(&bench.import(name, false));
    // findings of the check, and not their number alone
    assert!(first.contains("note[not-asked]"), "{first}");
    let [health, vrrp] =
        ["health", "vrrp"].map(|it| bench.0.join(format!("{name}/plugins/{it}.toml")));
    let read = |path: &Path| fs::read_to_string(path).expect("readable");
    let mine = read(&health).replace("\"-w\"", "\"-r\"");
    fs::write(&health, &mine).expect("our own file");
    let both = bench.import(name, true);
    assert!(both.status.success(), "{}", said(&both));
    assert_eq!(read(&health), mine);
    assert!(read(&vrrp).contains("prefer = \"r1\""));
    let changed = read(&vrrp).replace("prefer = \"r1\"", "prefer = \"r2\"");
    fs::write(&vrrp, &changed).expect("our own file");
    let refused = bench.import(name, true);
    let text = said(&refused);
    assert!(
        !refused.status.success() && text.contains("by --discard"),
        "{text}"
    );
    assert!(text.contains("+prefer = \"r2\""), "{text}");
    assert_eq!(read(&vrrp), changed);
    let discarded = bench.import_with(name, &["--both", "--discard"]);
    assert!(discarded.status.success(), "{}", said(&discarded));
    assert!(read(&vrrp).contains("prefer = \"r1\""));
}

#[test]
fn a_refused_import_leaves_nothing_behind() {
    let bench = Bench::new();
    let folder = bench.0.join("refused");
    let import = || {
        let mut command = Command::new(build_dir().expect("a build").join("sparectl"));
        command.args(["import", "--yes", "--id", "r1", "--id", "r2"]);
        command.arg(configs().join("galera.conf"));
        command.arg("--config").arg(folder.join("spared.toml"));
        command.arg("--plugin-dir").arg(bench.0.join("lib"));
        let output = command.output().expect("sparectl runs");
        assert!(!output.status.success());
        said(&output)
    };
    let text = import();
    assert!(
        text.contains("there is no such folder: install spared"),
        "{text}"
    );
    assert!(!folder.exists());

    fs::create_dir_all(folder.join("plugins")).expect("our own folder");
    let host = folder.join("spared.toml");
    fs::write(&host, "node.name = \"debian\"\n").expect("our own folder");
    let text = import();
    for words in [
        "this node is debian",
        "--id debian --id OTHER",
        "`node.name = \"r1\"`",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // what the check refuses
    fs::write(&host, "node.name = \"r1\"\n").expect("our own folder");
    fs::write(folder.join("plugins/conntrack.toml"), "x = 1\n").expect("our own folder");
    let text = import();
    assert!(text.contains("conntrack.toml"), "{text}");
    assert!(!folder.join("key").exists(), "{text}");
    assert!(!folder.join("plugins/vrrp.toml").exists(), "{text}");
}
