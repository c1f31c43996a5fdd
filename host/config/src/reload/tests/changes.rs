//! Lines that a reload prints about changes in `spared.toml`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::Setup;
use spared_key::{PrivateKey, public_text};

use super::Folder;
use crate::reload::changes::{at_once, later};

/// Text of [nodes] with r1 and its peer, whose key has this number.
fn nodes(peer: &str, key: u8) -> String {
    let public = |number: u8| public_text(&PrivateKey::from_seed([number; 32]).public());
    let (own, other) = (public(1), public(key));
    format!("[nodes]\nr1.public_key = \"{own}\"\n{peer}.public_key = \"{other}\"\n")
}

fn link(peer: &str, interface: &str) -> String {
    format!(
        "[[link]]\ninterface = \"{interface}\"\n\
         address = {{ r1 = \"10.9.0.1/24\", {peer} = \"10.9.0.2/24\" }}\n"
    )
}

/// Setup of r1, with its key.
fn setup(text: &str) -> Setup {
    let folder = Folder::new();
    folder.write("key", &PrivateKey::from_seed([1; 32]).to_text());
    let key = folder.0.join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
    folder.write("spared.toml", &format!("node.name = \"r1\"\n{text}"));
    folder.read()
}

/// Lines of a reload from the first text to the second: changes at once, then changes at a restart.
fn said(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (setup(old), setup(new));
    let mut lines = at_once(&old.host, &new.host);
    lines.extend(later(&old, &new));
    lines
}

#[test]
fn each_change_of_the_host_s_file_is_named_and_nothing_else() {
    let pair = |key: u8| nodes("r2", key) + &link("r2", "hot");
    let whole = pair(2);
    let cases = [
        (whole.clone(), None),
        // a new key alone ends the link, and somebody has to learn the reason
        (pair(3), Some("nodes: new keys between this node and r2")),
        (
            nodes("r2", 2) + &link("r2", "warm"),
            Some("link: new paths to r2"),
        ),
        (
            format!("port = 4000\n{whole}"),
            Some("link: new paths to r2"),
        ),
        (nodes("r2", 2), Some("link: new paths to r2")),
        (
            format!("firewall.chain = \"inet filter input\"\n{whole}"),
            Some("firewall.chain: changed"),
        ),
        (String::new(), Some("nodes: r2 is no longer the peer")),
        (format!("settle_ms = 300\n{whole}"), Some("settle_ms: 300")),
        (
            format!("log.level = \"debug\"\n{whole}"),
            Some("log.level: debug"),
        ),
        (
            format!("realtime = false\n{whole}"),
            Some("realtime: takes effect for the daemon when spared is restarted"),
        ),
        (
            format!("fence = \"off\"\n{whole}"),
            Some("fence: takes effect when spared is restarted"),
        ),
    ];
    for (text, line) in cases {
        let lines = said(&whole, &text);
        assert_eq!(lines, Vec::from_iter(line), "{text}");
    }
    let renamed = nodes("r3", 2) + &link("r3", "hot");
    assert_eq!(
        said(&whole, &renamed),
        ["nodes: r3 is the peer from now on"]
    );
    assert_eq!(said("", &whole), ["nodes: r2 is the peer from now on"]);
}
