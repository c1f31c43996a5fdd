mod library;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spared_abi::{PLUGIN_REALTIME, PLUGIN_ROOT};
use spared_config::{Setup, table_of};
use spared_message::load::Asks;
use spared_message::starter::{NotStarted, Reaped, Start};
use spared_process::account::Accounts;
use spared_process::starter::ProcessStarter;

use super::control_groups::ControlGroups;
use super::worker_rights::Rights;
use super::{Files, Launcher};

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

/// Folder with a configuration, and with a program that takes the place of this one.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = format!("spared-starter-{name}-{}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(folder));
        fs::create_dir_all(scratch.0.join("plugins")).unwrap();
        scratch.write("spared.toml", "node.name = \"r1\"");
        scratch.write("sleeper", "#!/bin/sh\nexec sleep 60\n");
        let program = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scratch.0.join("sleeper"), program).unwrap();
        scratch
    }

    /// Adds a plugin with this file.
    fn plugin(self, name: &str, text: &str) -> Self {
        self.library(name, "");
        self.write(&format!("plugins/{name}.toml"), text);
        self
    }

    /// Its library, with these lines in its descriptor.
    fn library(&self, name: &str, lines: &str) {
        fs::write(self.0.join(format!("{name}.so")), library::of(name, lines)).unwrap();
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    fn files(&self) -> Files {
        Files {
            config: self.0.join("spared.toml"),
            plugin_dir: self.0.clone(),
            state_dir: Some(self.0.join("state")),
        }
    }

    fn launcher(&self) -> Launcher {
        let mut launcher = Launcher::with_program(self.0.join("sleeper"), self.files());
        launcher.configure("").unwrap();
        launcher
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn worker(plugin: &str) -> Start {
    Start::Worker {
        plugin: plugin.to_owned(),
        asks: Asks::default(),
    }
}

fn why(started: Result<impl Sized, NotStarted>) -> String {
    match started {
        Err(NotStarted::Refused(why) | NotStarted::Failed(why)) => why,
        Ok(_) => panic!("it was started"),
    }
}

fn rights(text: &str, asks: &Asks, realtime: bool) -> Rights {
    let scratch = Scratch::new("rights").plugin("acme", text);
    let setup = Setup::read(&scratch.files().config).unwrap();
    let allow = setup.plugin("acme").unwrap().allow;
    Rights::new(allow, asks.flags, asks.capabilities, realtime)
}

#[test]
fn a_worker_gets_what_its_plugin_asks_for_and_its_file_allows() {
    let asks = Asks {
        flags: PLUGIN_ROOT | PLUGIN_REALTIME,
        capabilities: NET_ADMIN | NET_RAW,
        ..Asks::default()
    };
    assert!(rights("", &asks, true).root);
    let allowed = rights("allow = [\"net_raw\"]", &asks, true);
    let wanted = Rights {
        root: false,
        capabilities: NET_RAW,
        realtime: true,
    };
    assert_eq!(allowed, wanted);
    assert!(!rights("allow = []", &asks, false).realtime);
    let nothing = Rights {
        root: false,
        capabilities: 0,
        realtime: false,
    };
    assert_eq!(rights("", &Asks::default(), true), nothing);
}

#[test]
fn only_what_the_configuration_enables_is_started() {
    let scratch = Scratch::new("enabled")
        .plugin("on", "")
        .plugin("off", "enabled = false")
        .plugin("wrong", "enabled = 7");
    let mut launcher = scratch.launcher();
    launcher.start(&worker("on")).unwrap();
    for name in ["off", "wrong", "absent"] {
        let why = why(launcher.start(&worker(name)));
        assert!(why.contains(&format!("plugins/{name}.toml")), "{why}");
    }
    // no callback of a plugin runs before root has enabled it; its descriptor may be read
    let check = |plugin: &str| Start::Check {
        plugin: plugin.to_owned(),
        memory: 1 << 30,
    };
    launcher.start(&check("off")).unwrap();
    for name in ["../on", "/etc/passwd", "", "On"] {
        let why = why(launcher.start(&check(name)));
        assert!(why.contains("allowed names"), "{name}: {why}");
    }
}

/// A host that was broken into says that it does not ask to be root.
#[test]
fn nothing_is_done_for_a_plugin_that_its_file_does_not_confirm() {
    let scratch = Scratch::new("word").plugin("acme", "");
    scratch.library("acme", "flag = root\n");
    let (state, group) = (scratch.0.join("state/acme"), scratch.0.join("worker-acme"));
    fs::create_dir(&group).unwrap();
    let mut launcher = scratch.launcher();
    launcher.groups = Ok(ControlGroups::pretended(scratch.0.clone()));
    let why = why(launcher.start(&worker("acme")));
    assert!(why.contains("asks for other rights"), "{why}");
    // another account would have its state, and the services that it has started would be dead
    assert!(!state.exists() && !group.join("cgroup.kill").exists());
    let root = Start::Worker {
        plugin: "acme".to_owned(),
        asks: Asks {
            flags: PLUGIN_ROOT,
            ..Asks::default()
        },
    };
    launcher.start(&root).unwrap();
    assert!(state.exists());
}

#[test]
fn a_configuration_that_is_wrong_leaves_the_one_before_in_force() {
    let scratch = Scratch::new("before").plugin("on", "");
    let mut launcher = scratch.launcher();
    scratch.write("spared.toml", "node.name = ");
    assert!(launcher.configure("").is_err());
    launcher.start(&worker("on")).unwrap();
}

#[test]
fn a_process_is_killed_and_reaped_and_one_of_somebody_else_is_neither() {
    let scratch = Scratch::new("reaped").plugin("on", "");
    let mut launcher = scratch.launcher();
    let process = launcher.start(&worker("on")).unwrap().process;
    assert_eq!(launcher.reap(process), Reaped::Running);
    let other = process + 1;
    launcher.kill(other);
    assert_eq!(launcher.reap(other), Reaped::Unknown);
    launcher.kill(process);
    let until = Instant::now() + Duration::from_secs(10);
    let reaped = loop {
        match launcher.reap(process) {
            Reaped::Running => assert!(Instant::now() < until),
            reaped => break reaped,
        }
    };
    let killed = matches!(reaped, Reaped::Ended { status: 9, .. });
    assert!(killed, "{reaped:?}");
    assert_eq!(launcher.reap(process), Reaped::Unknown);
}

#[test]
fn there_is_an_end_to_starting() {
    let scratch = Scratch::new("many").plugin("on", "");
    let mut launcher = scratch.launcher();
    let started: Vec<_> = (0..300).map(|_| launcher.start(&worker("on"))).collect();
    let (some, none) = started.split_at(256);
    assert!(some.iter().all(Result::is_ok));
    for refused in none {
        assert!(matches!(refused, Err(NotStarted::Failed(_))));
    }
}

fn ends(launcher: &mut Launcher, process: u64) {
    launcher.kill(process);
    let until = Instant::now() + Duration::from_secs(10);
    while launcher.reap(process) == Reaped::Running {
        assert!(Instant::now() < until);
    }
}

#[test]
fn programs_of_a_worker_are_killed_when_it_has_ended_and_before_the_next_one() {
    let scratch = Scratch::new("programs").plugin("on", "");
    let group = scratch.0.join("worker-on");
    let kill = group.join("cgroup.kill");
    let is_killed = || fs::remove_file(&kill).is_ok();
    let mut launcher = scratch.launcher();
    launcher.groups = Ok(ControlGroups::pretended(scratch.0.clone()));
    let first = launcher.start(&worker("on")).unwrap().process;
    assert!(group.exists() && !is_killed());
    ends(&mut launcher, first);
    assert!(is_killed());
    let second = launcher.start(&worker("on")).unwrap().process;
    assert!(is_killed());
    // the kernel has not ended its process yet
    let third = launcher.start(&worker("on")).unwrap().process;
    assert!(is_killed());
    ends(&mut launcher, second);
    assert!(!is_killed());
    ends(&mut launcher, third);
    assert!(is_killed());
}

#[test]
fn programs_of_a_plugin_for_services_of_the_machine_outlive_it() {
    let scratch = Scratch::new("services").plugin("on", "allow = []");
    scratch.library("on", "flag = root\n");
    let mut launcher = scratch.launcher();
    launcher.groups = Ok(ControlGroups::pretended(scratch.0.clone()));
    let services = Start::Worker {
        plugin: "on".to_owned(),
        asks: Asks {
            flags: PLUGIN_ROOT,
            ..Asks::default()
        },
    };
    for _ in 0..2 {
        let process = launcher.start(&services).unwrap().process;
        ends(&mut launcher, process);
    }
    assert!(scratch.0.join("worker-on").exists());
    assert!(!scratch.0.join("worker-on/cgroup.kill").exists());
}

/// The host has no free descriptor, and retries.
#[test]
fn what_the_host_cannot_take_up_does_not_use_up_the_starts() {
    let scratch = Scratch::new("abandoned").plugin("on", "");
    let mut launcher = scratch.launcher();
    for _ in 0..300 {
        let started = launcher.start(&worker("on")).unwrap();
        launcher.kill_and_reap(started.process);
        assert_eq!(launcher.reap(started.process), Reaped::Unknown);
    }
}

/// An administrator goes back to these files as root. So only root may read them, and they are kept only if the host
/// has loaded them.
#[test]
fn the_files_in_force_are_kept_if_they_are_in_force() {
    let scratch = Scratch::new("loaded").plugin("on", "x = 1");
    let setup = Setup::read(&scratch.files().config).unwrap();
    let mut launcher = scratch.launcher();
    let loaded = scratch.0.join("state/loaded");
    assert!(!loaded.exists());
    launcher.configure(&setup.digest).unwrap();
    assert!(fs::read_to_string(&loaded).unwrap().contains("x = 1"));
}

#[test]
fn a_plugin_that_runs_as_root_may_have_what_was_loaded_last_although_its_file_has_changed_since() {
    let scratch = Scratch::new("roots").plugin("acme", "text = 1");
    let digest = Setup::read(&scratch.files().config).unwrap().digest;
    scratch.launcher().configure(&digest).unwrap();
    scratch.write("plugins/acme.toml", "text = 2");
    let launcher = scratch.launcher();
    let setup = Setup::read(&scratch.files().config).unwrap();
    let file = launcher.roots_file(setup.plugin("acme").unwrap());
    let tables = ["text = 2", "text = 1"].map(|text| table_of(text).unwrap());
    assert_eq!(file.tables, tables);
    let path = scratch.0.join("plugins/acme.toml");
    assert_eq!(file.path, path.to_str().unwrap());
}

/// The host continues with what it has loaded, even if the files have changed.
#[test]
fn another_starter_grants_what_is_in_force_although_the_files_have_changed() {
    let scratch = Scratch::new("force")
        .plugin("acme-on", "allow = [\"net_raw\"]")
        .plugin("acme", "enabled = false");
    let digest = Setup::read(&scratch.files().config).unwrap().digest;
    scratch.launcher().configure(&digest).unwrap();
    for (file, text) in [
        ("plugins/acme-on.toml", "allow = 7"),
        ("plugins/acme-on.toml", "allow = ["),
        ("plugins/acme-on.toml", "enabled = false"),
        ("spared.toml", "node.name = "),
    ] {
        scratch.write(file, text);
        let mut next = Launcher::with_program(scratch.0.join("sleeper"), scratch.files());
        next.configure(&digest).unwrap();
        next.start(&worker("acme-on")).unwrap();
        let why = why(next.start(&worker("acme")));
        assert!(
            why.contains("plugins/acme.toml does not enable it"),
            "{why}"
        );
    }
}

#[test]
fn what_the_host_says_is_in_force_counts_only_if_root_has_loaded_it() {
    let scratch = Scratch::new("lie").plugin("on", "");
    let digest = Setup::read(&scratch.files().config).unwrap().digest;
    scratch.launcher().configure(&digest).unwrap();
    scratch.write("plugins/on.toml", "enabled = 7");
    let mut next = Launcher::with_program(scratch.0.join("sleeper"), scratch.files());
    next.configure("00000000").unwrap();
    let why = why(next.start(&worker("on")));
    assert!(why.contains("plugins/on.toml:1: enabled: found 7"), "{why}");
}

#[test]
fn without_any_configuration_its_faults_are_told() {
    let scratch = Scratch::new("none").plugin("on", "");
    scratch.write("spared.toml", "realtime = 7");
    let mut launcher = Launcher::with_program(scratch.0.join("sleeper"), scratch.files());
    assert!(launcher.configure("").is_err());
    let why = why(launcher.start(&worker("on")));
    assert!(why.contains("spared.toml:1: realtime: found 7"), "{why}");
}

/// The text would be empty, and an empty file enables a plugin with all that it asks for.
#[test]
fn a_file_that_could_not_be_read_is_not_kept_as_an_empty_one() {
    let scratch = Scratch::new("unread").plugin("on", "");
    let file = scratch.0.join("plugins/on.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let digest = Setup::read(&scratch.files().config).unwrap().digest;
    scratch.launcher().configure(&digest).unwrap();
    let loaded = fs::read_to_string(scratch.0.join("state/loaded")).unwrap();
    assert!(!loaded.contains("plugins/on.toml"), "{loaded}");
}

#[test]
fn a_state_folder_that_is_a_link_is_not_given_away() {
    let scratch = Scratch::new("link").plugin("on", "");
    let (state, secret) = (scratch.0.join("state"), scratch.0.join("secret"));
    fs::create_dir_all(&state).unwrap();
    fs::create_dir(&secret).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&secret, state.join("on")).unwrap();
    assert!(super::state_folders::make_folder(&state.join("on"), (60777, 60777)).is_err());
    assert_eq!(owner(&secret), rustix::process::geteuid().as_raw());
}

fn owner(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::symlink_metadata(path).unwrap().uid()
}

/// Returns true if the tests run as root; otherwise no file can be given away.
fn is_root() -> bool {
    let is_root = Accounts::new().is_some();
    if !is_root {
        eprintln!("skipped: this process may not change its account (not root?)");
    }
    is_root
}

#[test]
fn the_account_to_whom_the_files_of_a_plugin_belong_is_given_to_no_other() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("account");
    for (plugin, user) in [("acme-b", 60706), ("acme-c", 60708)] {
        let folder = scratch.0.join("state").join(plugin);
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(user), Some(user)).unwrap();
    }
    let mut launcher = Launcher::new(scratch.files());
    let accounts = ["acme-a", "acme-b", "acme-c", "acme-d"].map(|it| launcher.account(it));
    let expected = [60707, 60706, 60708, 60709].map(|id| Some((id, id)));
    assert_eq!(accounts, expected);
}

#[test]
fn what_a_plugin_keeps_goes_with_it_to_another_account_and_nothing_else_does() {
    const OLD: u32 = 60777;
    const NEW: u32 = 60778;
    const OTHER: u32 = 60779;
    if !is_root() {
        return;
    }
    let scratch = Scratch::new("gift");
    let folder = scratch.0.join("state/acme");
    fs::create_dir_all(folder.join("below")).unwrap();
    let outside = scratch.0.join("outside");
    for (path, user) in [
        (folder.join("kept"), OLD),
        (folder.join("below/kept"), OLD),
        (folder.join("others"), OTHER),
        (outside.clone(), OLD),
    ] {
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(user), Some(user)).unwrap();
    }
    fs::hard_link(&outside, folder.join("twice")).unwrap();
    symlink(&outside, folder.join("link")).unwrap();
    for path in [&folder, &folder.join("below")] {
        chown(path, Some(OLD), Some(OLD)).unwrap();
    }
    super::state_folders::make_folder(&folder, (NEW, NEW)).unwrap();
    for name in ["", "kept", "below", "below/kept"] {
        assert_eq!(owner(&folder.join(name)), NEW, "{name}");
    }
    assert_eq!(owner(&folder.join("others")), OTHER);
    assert_eq!(owner(&folder.join("twice")), OLD);
    assert_eq!(owner(&outside), OLD);
}
