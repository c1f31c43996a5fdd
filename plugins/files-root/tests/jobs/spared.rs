//! spared's own configuration from the peer: only if this node opted in, and never the keys that belong to it.

use std::fs;
use std::path::PathBuf;

use spared_files_root::job::{Jobs, Places};
use spared_tree::local::{Answer, Request};
use spared_tree::own::split;
use spared_tree::{Hash, Kind, Manifest, RootFolder, Scanner, builtin};

use crate::node::Node;

static GO_ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn spared_toml(node: &Node) -> PathBuf {
    node.folder.join("etc/spared/spared.toml")
}

fn scan(node: &Node) -> Manifest {
    let root = RootFolder::new(&node.folder).unwrap();
    let scanned = Scanner::default().scan(&root, &builtin::tree(), &GO_ON);
    scanned.unwrap()
}

/// Offers another spared.toml of the peer to a node with this one; returns the result.
fn offered(opts_in: bool, here: &str, theirs: &str) -> String {
    let node = Node::new("spared", "");
    fs::create_dir_all(node.folder.join("etc/spared/plugins")).unwrap();
    fs::write(spared_toml(&node), theirs).unwrap();
    let manifest = scan(&node);
    fs::write(spared_toml(&node), here).unwrap();
    let both = split(theirs.as_bytes()).unwrap();
    let content = both.map_or(theirs.as_bytes().to_vec(), |it| it.both);
    for bytes in [&content, &manifest.encode()] {
        let name = Hash::of(bytes).name();
        fs::write(node.folder.join("stage").join(name), bytes).unwrap();
    }
    let request = Request::Install {
        ticket: 7,
        tree: builtin::NAME.to_owned(),
        manifest: Hash::of(&manifest.encode()),
        expected: scan(&node).digest(),
        origin: "r2".to_owned(),
        confirm_s: 60,
        only_check: false,
        insists: false,
    };
    let places = Places {
        root: node.folder.clone(),
        config_from_peer: opts_in,
        ..node.places()
    };
    let mut said = None;
    let mut jobs = Jobs::new(places, &GO_ON, &|_| ()).unwrap();
    jobs.handle(&request, &mut |it| said = Some(it));
    assert_eq!(
        fs::read_to_string(spared_toml(&node)).unwrap(),
        here,
        "nothing changed"
    );
    match said {
        Some(Answer::Done {
            result: Err(why), ..
        }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_configuration_of_the_peer_needs_a_word_of_this_node() {
    let why = offered(false, "", "port = 1\n");
    assert!(
        why.contains("`config_from_peer = true` in /etc/spared/plugins/files-root.toml"),
        "{why}"
    );
    // here it ends with the check, whose program a node has and this test has not
    let why = offered(true, "", "port = 1\n");
    assert!(
        why.starts_with("the check refused it, nothing was changed"),
        "{why}"
    );
}

#[test]
fn what_belongs_to_a_node_does_not_change_unless_it_is_marked() {
    for (key, here, theirs) in [
        ("node.name", "node.name = \"r1\"\n", "node.name = \"r2\"\n"),
        ("node.name", "", "[node]\nname = \"r2\"\n"),
        ("log.level", "[log]\nlevel = \"debug\"\n", ""),
        ("fence", "fence = \"off\"\n", "fence = \"required\"\n"),
    ] {
        let why = offered(true, here, theirs);
        let expected = format!("{key} belongs to each node");
        assert!(
            why.contains(&expected) && why.contains(&format!("# spared: own {key}")),
            "{why}"
        );
    }
    let marked = |name: &str, port: u16| {
        format!("port = {port}\n# spared: own node.name\nnode.name = \"{name}\"\n")
    };
    let why = offered(true, &marked("r1", 1), &marked("r2", 2));
    assert!(why.starts_with("the check refused it"), "{why}");
}

#[test]
fn what_opts_in_and_what_is_secret_is_in_no_manifest() {
    let node = Node::new("spared-paths", "");
    let folder = node.folder.join("etc/spared");
    fs::create_dir_all(folder.join("plugins")).unwrap();
    for name in [
        "key",
        "secret",
        "spared.toml",
        "plugins/files-root.toml",
        "plugins/vrrp.toml",
    ] {
        fs::write(folder.join(name), "a = 1\n").unwrap();
    }
    let manifest = scan(&node);
    let files = manifest.entries.iter().filter(|it| it.kind != Kind::Folder);
    let paths: Vec<&str> = files.map(|it| it.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/etc/spared/plugins/vrrp.toml", "/etc/spared/spared.toml"]
    );
}

#[test]
fn while_the_daemon_waits_for_a_confirmation_nothing_else_is_put_in_place() {
    let node = Node::new("spared-waits", "");
    fs::create_dir_all(node.folder.join("etc/spared/plugins")).unwrap();
    fs::write(spared_toml(&node), "port = 1\n").unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let places = || Places {
        root: node.folder.clone(),
        ..node.places()
    };
    let ask = |request: &Request| {
        let mut answers = Vec::new();
        let mut jobs = Jobs::new(places(), &GO_ON, &|_| ()).unwrap();
        jobs.handle(request, &mut |it| answers.push(it));
        answers
    };
    let left_s = || {
        let scan = Request::Scan {
            ticket: 1,
            tree: builtin::NAME.to_owned(),
            known: None,
        };
        match ask(&scan).first() {
            Some(Answer::Waits { left_s, .. }) => *left_s,
            other => panic!("{other:?}"),
        }
    };
    let put = |name: &str, text: &str| fs::write(node.folder.join(name), text).unwrap();
    // a term alone means nothing, and neither does one of another boot
    put(
        "unconfirmed-term",
        &format!("{} {}\n", boot.trim(), u64::MAX),
    );
    assert_eq!(left_s(), None);
    put("unconfirmed", "{}");
    assert_eq!(left_s(), Some(u32::MAX));
    for request in [
        Request::Apply {
            ticket: 7,
            confirm_s: 60,
            only_check: true,
            insists: false,
        },
        Request::Back {
            ticket: 7,
            tree: builtin::NAME.to_owned(),
            state: 1,
            insists: false,
        },
    ] {
        match ask(&request).pop() {
            Some(Answer::Done {
                result: Err(why), ..
            }) => assert!(why.contains("`sparectl reload --back`"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    put("unconfirmed-term", &format!("{} 1\n", boot.trim()));
    assert_eq!(left_s(), Some(0), "until the daemon has taken it back");
    put("unconfirmed-term", &format!("another {}\n", u64::MAX));
    assert_eq!(left_s(), None);
}
