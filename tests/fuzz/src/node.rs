//! A node's folder of configuration, read by the host's own reader.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use spared_config::{Link, Setup};

use crate::folder::Folder;

/// A pair with one link, and a passphrase for its keys.
pub(crate) const FILE: &str = r#"
node.name = "r1"
secret_file = "secret"
[nodes.r1]
[nodes.r2]
[[link]]
interface = "hot"
address = { r1 = "192.0.2.1/30", r2 = "192.0.2.2/30" }
"#;

/// A folder with the passphrase that [`FILE`] names.
pub(crate) fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let secret = folder.path().join("secret");
    fs::write(&secret, "correct horse battery staple 2026\n").expect("a file of the test's own");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its own file");
    folder
}

/// The link that [`FILE`] describes.
pub(crate) fn link(folder: &Folder) -> Link {
    let path = folder.path().join("spared.toml");
    fs::write(&path, FILE).expect("a file of the test's own");
    let setup = Setup::read(&path).expect("a configuration without faults");
    setup.host.link.expect("a link")
}
