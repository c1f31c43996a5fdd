//! Confinement: rights that a plugin no longer has.

use std::os::unix::fs::PermissionsExt;

use spared_abi::PLUGIN_ROOT;
use spared_contract::{FromPlugin, ToPlugin};
use spared_message::load::Asks;

use crate::lab::{Host, Lab, load};

const EPERM: u64 = 1;
const EBADF: u64 = 9;
const EACCES: u64 = 13;
const ENOSYS: u64 = 38;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root has something to drop");
    }
    root
}

/// Returns true if accounts exist: a user namespace often has nobody but root.
pub fn has_accounts() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let there = is_root()
        && map
            .split_whitespace()
            .nth(2)
            .is_some_and(|count| count != "1");
    if !there {
        eprintln!("skipped: there is no account to change to");
    }
    there
}

/// Load with an account. A plugin with its own account needs a state folder of its own.
fn as_nobody(lab: &Lab) -> spared_message::load::Load {
    std::os::unix::fs::chown(lab.state(), Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(&lab.dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut load = load("probe");
    load.uid_gid = Some((65534, 65534));
    load.state_dir = Some(lab.state().display().to_string());
    load
}

fn missed(host: &Host) -> Option<String> {
    host.received.iter().find_map(|message| match message {
        FromPlugin::Log { text, .. } if text.contains(" but without: ") => Some(text.clone()),
        _ => None,
    })
}

#[test]
fn a_plugin_keeps_no_capability_no_account_and_no_way_back() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let load = as_nobody(&lab);
    let toml = format!("state_dir = \"{}\"", lab.state().display());
    let mut host = Host::started(&lab.probe(), &load, &toml);
    let found = host.query("confinement");
    for (key, value) in [
        ("uid", 65534),
        ("permitted", 0),
        ("effective", 0),
        ("bounding", 0),
        ("ambient", 0),
        ("no_new_privs", 1),
        ("seccomp", 2),
        ("mount", EPERM),
        ("processes", 512),
        ("new_user", EPERM),
        ("clone3", ENOSYS),
        ("secret", EACCES),
        ("tmp", EACCES),
        ("library", 0),
        ("inherited", EBADF),
    ] {
        assert_eq!(found.number(key), value, "{key}, {:?}", missed(&host));
    }
    assert!(
        lab.state().join("written").exists(),
        "its own directory is its own"
    );
    assert_eq!(missed(&host), None);
}

#[test]
fn a_vendors_plugin_goes_first_when_memory_ends() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    for (name, score) in [("probe", 0), ("acme-probe", 200)] {
        let mut load = as_nobody(&lab);
        load.name = name.to_owned();
        let named = format!("-DPROBE_NAME=\"{name}\"");
        let probe = "host/process/tests/plugins/probe.c";
        let plugin = lab.compile(name, probe, &[&named]);
        let mut host = Host::started(&plugin, &load, "");
        let found = host.query("confinement");
        assert_eq!(found.number("out_of_memory_score"), score, "{name}");
    }
}

#[test]
fn a_plugin_can_neither_signal_nor_slow_one_of_another_account() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let mut other = as_nobody(&lab);
    other.uid_gid = Some((65533, 65533));
    let other = Host::started(&lab.probe(), &other, "");
    let mut host = Host::started(&lab.probe(), &as_nobody(&lab), "");
    let found = host.query(&format!("sibling {}", other.worker.pid()));
    for key in ["signal", "affinity", "limit"] {
        assert_eq!(found.number(key), EPERM, "{key}");
    }
}

#[test]
fn root_without_an_account_to_change_to_is_cut_off_from_files_all_the_same() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let found = host.query("confinement");
    assert_eq!(found.number("uid"), 0);
    assert_eq!(found.number("permitted"), 0);
    if missed(&host).is_none() {
        assert_eq!(found.number("secret"), EACCES);
        assert_eq!(found.number("tmp"), EACCES);
    }
}

#[test]
fn a_capability_that_is_allowed_survives_the_change_of_account() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let mut load = as_nobody(&lab);
    load.capabilities = NET_RAW;
    let mut host = Host::started(&lab.probe(), &load, "");
    let found = host.query("confinement");
    for key in ["permitted", "effective", "bounding"] {
        assert_eq!(found.number(key), NET_RAW, "{key}");
    }
    assert_eq!(found.number("ambient"), 0);
}

/// The starter was given other rights than the descriptor asks for, or the file was exchanged.
#[test]
fn a_plugin_does_not_run_with_what_another_asks_for() {
    let lab = Lab::new();
    let mut load = load("probe");
    let asked = Asks::of(&Host::spawn(&lab.probe(), &load).loaded().unwrap());
    load.asks = Some(asked.clone());
    Host::spawn(&lab.probe(), &load).loaded().unwrap();
    let others = [
        Asks {
            flags: asked.flags | PLUGIN_ROOT,
            ..asked.clone()
        },
        Asks {
            capabilities: NET_RAW,
            ..asked.clone()
        },
        Asks {
            calls: asked.calls ^ 1,
            ..asked.clone()
        },
        Asks {
            paths: vec!["+/etc".to_owned()],
            ..asked
        },
    ];
    for other in others {
        load.asks = Some(other);
        let why = Host::spawn(&lab.probe(), &load).loaded().unwrap_err();
        assert!(why.contains("asks for other rights"), "{why}");
    }
}

/// The descriptor of any plugin may be read, whatever it asks for.
#[test]
fn a_plugin_that_is_only_checked_does_not_start() {
    let lab = Lab::new();
    let mut load = load("probe");
    load.check_only = true;
    let mut host = Host::spawn(&lab.probe(), &load);
    host.loaded().unwrap();
    host.worker
        .send(&ToPlugin::Start { token: 7 }, &[])
        .unwrap();
    let checked = host.configure("", false);
    assert_eq!(checked.status, 0, "{checked:?}");
    let started = |it: &FromPlugin| matches!(it, FromPlugin::Returned { token: 7, .. });
    assert!(!host.received.iter().any(started));
}

#[test]
fn a_real_time_plugin_has_its_priority_and_its_memory_locked() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let mut load = as_nobody(&lab);
    load.realtime = true;
    let mut host = Host::started(&lab.probe(), &load, "");
    let found = host.query("confinement");
    if let Some(missed) =
        missed(&host).filter(|missed| !missed.contains("cannot lock future memory"))
    {
        eprintln!("skipped: {missed}");
        return;
    }
    assert_eq!(found.number("permitted"), 0);
    assert_eq!(found.number("policy"), 1, "SCHED_FIFO");
    assert!(
        found.number("locked_kb") > 500,
        "{}",
        found.number("locked_kb")
    );
    assert_eq!(found.number("uid"), 65534);
}

#[test]
fn files_that_the_configuration_names_are_opened_and_no_others() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let mut load = as_nobody(&lab);
    let named = lab.dir.join("named");
    std::fs::create_dir_all(&named).unwrap();
    for file in [named.join("file"), lab.dir.join("beside")] {
        std::fs::write(&file, "x").unwrap();
    }
    let mut host = Host::started(&lab.probe(), &load, "");
    let path = |path: std::path::PathBuf| path.display().to_string();
    let (file, beside) = (path(named.join("file")), path(lab.dir.join("beside")));
    let open = |host: &mut Host, path: &str| host.query(&format!("open {path}")).number("errno");
    assert_eq!(open(&mut host, &file), EACCES, "nothing is named");
    drop(host);

    // a file that does not exist yet may be opened as well, if its folder is named
    load.files = vec![path(named.clone()), path(named.join("later"))];
    let mut host = Host::started(&lab.probe(), &load, "");
    if missed(&host).is_none() {
        assert_eq!(open(&mut host, &file), 0);
        std::fs::write(named.join("later"), "x").unwrap();
        assert_eq!(open(&mut host, &path(named.join("later"))), 0);
        assert_eq!(open(&mut host, &beside), EACCES);
    }
}

#[test]
fn only_who_may_set_up_the_network_writes_its_settings() {
    const SETTING: &str = "/proc/sys/net/ipv4/ip_forward";
    if !has_accounts() {
        return;
    }
    if let Err(error) = std::fs::File::options().write(true).open(SETTING) {
        eprintln!("skipped: {SETTING}: {error}");
        return;
    }
    let lab = Lab::new();
    let to_write = |host: &mut Host, path: &str| {
        let found = host.query(&format!("open-to-write {path}"));
        found.number("errno")
    };
    let mut admin = as_nobody(&lab);
    admin.capabilities = NET_ADMIN;
    let mut host = Host::started(&lab.probe(), &admin, "");
    assert_eq!(to_write(&mut host, SETTING), 0, "{:?}", missed(&host));
    // The rule lasts as long as the kernel remembers the folder. Dropping the kernel's caches (echo 2 >
    // /proc/sys/vm/drop_caches) ends a rule whose folder nobody has open.
    let open = std::fs::read_dir(format!("/proc/{}/fd", host.worker.pid())).unwrap();
    let mut open = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    assert!(open.any(|path| path.ends_with("proc/sys/net")));

    // Without the rules, root's rights to files would suffice in both cases.
    for (capabilities, path) in [
        (NET_RAW, SETTING),
        (NET_ADMIN, "/proc/sys/kernel/domainname"),
    ] {
        let mut root = load("probe");
        root.capabilities = capabilities;
        let mut host = Host::started(&lab.probe(), &root, "");
        if missed(&host).is_none() {
            assert_eq!(to_write(&mut host, path), EACCES, "{path}");
        }
    }
}

#[test]
fn what_may_be_written_is_made_replaced_and_cut_and_nothing_beside_it() {
    if !has_accounts() {
        return;
    }
    let lab = Lab::new();
    let mut load = as_nobody(&lab);
    let (leases, other) = (lab.dir.join("leases"), lab.dir.join("other"));
    for folder in [&leases, &other] {
        std::fs::create_dir_all(folder).unwrap();
        std::os::unix::fs::chown(folder, Some(65534), Some(65534)).unwrap();
        std::fs::write(folder.join("file"), "old").unwrap();
        std::os::unix::fs::chown(folder.join("file"), Some(65534), Some(65534)).unwrap();
    }
    load.files = vec![other.display().to_string()];
    load.writable = vec![leases.display().to_string(), "/nowhere/at/all".to_owned()];
    let mut host = Host::started(&lab.probe(), &load, "");
    if missed(&host).is_some() {
        return;
    }
    let mut ask = |word: &str, folder: &std::path::Path| {
        let words = format!("{word} {}", folder.join("file").display());
        host.query(&words).number("errno")
    };
    assert_eq!(ask("replace", &leases), 0);
    assert_eq!(ask("open-to-write", &leases), 0);
    assert_eq!(ask("open", &other), 0);
    assert_eq!(ask("replace", &other), EACCES);
    assert_eq!(ask("open-to-write", &other), EACCES);
    assert_eq!(std::fs::read(other.join("file")).unwrap(), b"old");
}

#[test]
fn root_keeps_what_the_host_has() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut load = load("probe");
    load.root = true;
    let mut host = Host::started(&lab.probe(), &load, "");
    assert_eq!(missed(&host), None);
    let ours = |key: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let mask = |key: &str| u64::from_str_radix(&ours(key), 16).unwrap();
    let found = host.query("confinement");
    for (key, value) in [
        ("uid", 0),
        ("permitted", mask("CapPrm")),
        ("effective", mask("CapEff")),
        ("bounding", mask("CapBnd")),
        ("no_new_privs", ours("NoNewPrivs").parse().unwrap()),
        ("seccomp", ours("Seccomp").parse().unwrap()),
        ("secret", 0),
        ("inherited", EBADF),
    ] {
        assert_eq!(found.number(key), value, "{key}");
    }
}

#[test]
fn children_of_root_are_ordinary_processes() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut load = load("probe");
    load.root = true;
    let mut host = Host::started(&lab.probe(), &load, "");
    let said = lab.dir.join("said");
    let script = lab.dir.join("script");
    let text = format!(
        "#!/bin/sh\n{{ umask; cat /proc/self/oom_score_adj; ulimit -c; ulimit -n;\n\
         grep SigBlk /proc/self/status; ls -l /proc/$$/fd; }} >{0}.new\n\
         mv {0}.new {0}\n",
        said.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let asked = host.query(&format!("child {}", script.display()));
    assert_eq!(asked.status, 0);
    crate::lab::eventually("a child's words", || said.exists());
    let said = std::fs::read_to_string(said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let limit = |resource| {
        let limit = rustix::process::getrlimit(resource).current;
        limit.map_or("unlimited".to_owned(), |limit| limit.to_string())
    };
    assert_eq!(
        lines[..2],
        ["0022", "0"],
        "mask, and score when memory is short"
    );
    assert_eq!(lines[2], limit(rustix::process::Resource::Core));
    assert_eq!(lines[3], limit(rustix::process::Resource::Nofile));
    assert!(lines[4].ends_with("0000000000000000"), "{said}");
    assert!(
        !said.contains("socket:") && !said.contains("anon_inode:"),
        "{said}"
    );
}
