// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration of the link of two nodes, r1 and r2 or r3 and r4: keys generated once for a lab, and the lines of
//! spared.toml.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::Link;
use crate::Result;
use crate::lab::build_dir;

/// Nodes of a pair, and their host numbers.
type Nodes = [(&'static str, u8); 2];

const PAIRS: [Nodes; 2] = [[("r1", 11), ("r2", 12)], [("r3", 13), ("r4", 14)]];

/// Returns lines of spared.toml for both nodes. Writes this node's private key next to the file.
pub fn spared_toml(link: &Link, own: &str, dir: &Path) -> Result<String> {
    let is_own = |nodes: &&Nodes| nodes.iter().any(|(node, _)| *node == own);
    let nodes = PAIRS.iter().find(is_own).ok_or("a node without a pair")?;
    let etc = dir.join("etc");
    fs::create_dir_all(&etc)?;
    let mut text = link.settings.clone();
    match &link.secret {
        Some(secret) => {
            let file = etc.join("secret");
            private_file(&file, secret)?;
            writeln!(text, "secret_file = {:?}\n[nodes]", file.to_string_lossy())?;
            for (node, _) in nodes {
                writeln!(text, "{node} = {{}}")?;
            }
        }
        None => {
            let keys = dir.parent().ok_or("a router's folder is in the lab's")?;
            writeln!(text, "[nodes]")?;
            for (node, _) in nodes {
                let line = public_key(&keys.join(format!("{node}.key")))?;
                writeln!(text, "{node}.public_key = {line}")?;
            }
            let key = fs::read_to_string(keys.join(format!("{own}.key")))?;
            private_file(&etc.join("key"), &key)?;
        }
    }
    for wire in &link.wires {
        let [first, second] =
            nodes.map(|(node, host)| format!("{node} = \"{}/24\"", wire.ipv4(host)));
        let name = wire.name();
        writeln!(
            text,
            "[[link]]\ninterface = \"{name}\"\naddress = {{ {first}, {second} }}"
        )?;
    }
    Ok(text + &link.extra)
}

/// Returns the quoted public key of a private key, which is generated if it does not exist.
fn public_key(file: &Path) -> Result<String> {
    let mut command = Command::new(build_dir()?.join("sparectl"));
    let output = command.arg("keygen").arg("--file").arg(file).output()?;
    // an older build prints an existing key on standard error
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said
        .lines()
        .find_map(|line| line.split_once("public_key = "));
    let quoted = line.map(|(_, key)| key.trim().to_owned());
    quoted.ok_or_else(|| format!("keygen: {said}").into())
}

fn private_file(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o600),
    )?)
}
