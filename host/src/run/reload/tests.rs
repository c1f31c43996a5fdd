//! What a reload says of changes in `spared.toml`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use spared_key::{PrivateKey, public_text};

use super::*;

/// A folder with r1's key.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("spared-reload-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        let key = path.join("key");
        fs::write(&key, PrivateKey::from_seed([1; 32]).to_text()).expect("our own folder");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
        Self(path)
    }

    fn setup(&self, text: &str) -> Setup {
        let path = self.0.join("spared.toml");
        let text = format!("node.name = \"r1\"\n{text}");
        fs::write(&path, &text).expect("our own folder");
        Setup::read(&path).unwrap_or_else(|faults| panic!("{faults:?}:\n{text}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// r1 and its peer, whose key is of that number.
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

/// What a reload from the first text to the second says, at once and of a restart.
fn said(old: &str, new: &str) -> Vec<String> {
    let folder = Folder::new();
    let (old, new) = (folder.setup(old), folder.setup(new));
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
        // the key alone: the link drops, and somebody has to learn why
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
            Some("realtime: takes effect for the host when spared is restarted"),
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
