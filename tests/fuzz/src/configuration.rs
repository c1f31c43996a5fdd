//! The files of a node: whatever they hold, they are a configuration or faults with lines that are there,
//! and the keys that the nodes compare are of them.
//!
//! Input: spared.toml; after each NUL the file of a plugin.

use std::cell::RefCell;
use std::fs;

use spared_config::keys::{differences, digest, flatten, scopes};
use spared_config::{Fault, Setup};

use crate::folder::Folder;
use crate::node;

const PLUGINS: [&str; 3] = ["vrrp", "health", "status"];

thread_local! {
    static FOLDER: RefCell<Folder> = RefCell::new(folder());
}

pub fn run(input: &[u8]) {
    FOLDER.with_borrow(|folder| {
        let mut files = input.split(|byte| *byte == 0);
        let host = files.next().unwrap_or_default();
        let path = folder.path().join("spared.toml");
        fs::write(&path, host).expect("a file of the test's own");
        for (name, file) in PLUGINS.iter().zip(files.chain([&b""[..]; 3])) {
            let path = folder.path().join(format!("plugins/{name}.toml"));
            fs::write(path, file).expect("a file of the test's own");
        }
        match Setup::read(&path) {
            Ok(setup) => look(&setup),
            Err(faults) => {
                assert!(!faults.is_empty());
                show(&faults, &String::from_utf8_lossy(host));
            }
        }
    });
}

fn folder() -> Folder {
    let folder = node::folder("configuration");
    let key = folder.path().join("key");
    fs::create_dir_all(folder.path().join("plugins")).expect("a folder of the test's own");
    fs::write(key, "no key\n").expect("a file of the test's own");
    folder
}

fn look(setup: &Setup) {
    if let Some(link) = setup.host.linked() {
        assert!((1..=2).contains(&link.paths.len()));
        assert!(setup.host.nodes.contains(&link.peer) && setup.host.node != link.peer);
    }
    compare(&setup.text, &scopes::of_host());
    for plugin in &setup.plugins {
        show(&plugin.faults, &plugin.text);
        compare(&plugin.text, &scopes::of_plugins());
    }
    setup.host.surroundings();
}

fn compare(text: &str, scopes: &[(String, spared_contract::Scope)]) {
    let keys = flatten(text, scopes);
    assert!(differences("x.toml", &keys, &keys).is_empty());
    let without = differences("x.toml", &keys, &flatten("", scopes));
    assert_eq!(without.is_empty(), keys.is_empty());
    digest(&keys);
}

fn show(faults: &[Fault], text: &str) {
    let lines = text.split('\n').count();
    for fault in faults {
        assert!(
            fault.line.is_none_or(|line| (1..=lines).contains(&line)),
            "{fault}"
        );
        assert!(!fault.to_string().is_empty());
    }
}

/// The examples of the manual, a pair by a passphrase, and files with one fault each.
pub fn seeds() -> Vec<Vec<u8>> {
    let pair = include_str!("../../../docs/examples/pair.toml");
    let plugin = "after = [\"health\"]\nfollow = [\"office\"]\nallow = [\"net_admin\", \"root\"]\n\
        on_failure = \"resign\"\nenabled = true\n[x]\nsecret = \"s\"\n";
    let more = "port = 3781\nsettle_ms = 500\nrealtime = false\nfence = \"off\"\n[log]\nlevel = \"debug\"\n\
        [firewall]\nchain = \"inet filter input\"\n";
    let files = [
        include_str!("../../../etc/spared.toml").to_owned(),
        pair.to_owned(),
        node::FILE.to_owned(),
        format!("{more}{}", node::FILE.replace("192.0.2", "fe80::")),
        format!("{}\n{more}", node::FILE),
        node::FILE.replace("r2 = \"192.0.2.2/30\"", "r2 = \"192.0.2.9/30\""),
        node::FILE.replace(
            "[nodes.r2]",
            "[nodes.r2]\npublic_key = [\"sk1:a\", \"sk1:b\", 3]",
        ),
        node::FILE.repeat(2),
        [node::FILE, "[[link]]\ninterface = \"hot\"\naddress = 7\n"].concat(),
        "a = 1\nnode = 3\nlog = []\n[nodes]\nx = 1\n".to_owned(),
        "a.a.a.a.a.a = { a = [[[[{}]]]] }".to_owned(),
    ];
    let office = include_str!("../../../docs/examples/office.toml");
    let health = include_str!("../../../docs/examples/health.toml");
    let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| file.as_bytes().to_vec()).collect();
    seeds.extend(
        files
            .iter()
            .take(5)
            .map(|file| [file, office, health].join("\0").into_bytes()),
    );
    seeds.push(
        [node::FILE, plugin, "after = [\"vrrp\"]", "[["]
            .join("\0")
            .into_bytes(),
    );
    seeds
}
