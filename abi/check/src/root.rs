//! A plugin that runs as root takes what root's file says, whatever the daemon sends, which need not be root.

use std::path::Path;

use spared_contract::{ConfigTable, ConfigValue, RootsFile, ToPlugin};

use crate::checks::with_roots_file;
use crate::finding::Finding;
use crate::host::{NODES, configure, describe, name_of, reason};

/// Key by which root's file differs from what the daemon says.
const KEY: &str = "only_roots_file_has_this_key";

pub fn check(path: &Path, config: &ConfigTable) -> Vec<Finding> {
    let is_root = describe(path).is_ok_and(|it| it.flags & spared_abi::PLUGIN_ROOT != 0);
    if !is_root {
        return Vec::new();
    }
    let named = || roots_file(path, config, NODES);
    let mut other = config.clone();
    other.0.insert(KEY.to_owned(), ConfigValue::Integer(1));
    let other = || roots_file(path, &other, NODES);
    let renamed = || roots_file(path, config, ["r8", "r9"]);
    let refused = [
        (
            other(),
            None,
            "a configuration that root's file does not have",
        ),
        (
            other(),
            Some(named()),
            "what the daemon says of root's file, which is for the first message alone",
        ),
        (
            renamed(),
            None,
            "names of the nodes that root's file does not have",
        ),
    ];
    let mut findings = permits(path, config, named());
    for (roots, later, what) in refused {
        findings.extend(refuses(path, config, (roots, later), what));
    }
    findings
}

fn roots_file(path: &Path, config: &ConfigTable, [node, peer]: [&str; 2]) -> RootsFile {
    let name = name_of(path);
    RootsFile {
        // a file that is not there: the plugin may look what it says by now
        path: format!("/nowhere/{name}.toml"),
        tables: vec![config.clone()],
        state: None,
        node: node.to_owned(),
        nodes: vec![node.to_owned(), peer.to_owned()],
    }
}

fn permits(path: &Path, config: &ConfigTable, roots: RootsFile) -> Vec<Finding> {
    with_roots_file(path, config, roots, |host| {
        let (status, why) = host.call("configure", configure(config, false))?;
        if status < 0 {
            let why = reason(status, &why);
            return Err(format!("refuses the configuration in root's file: {why}"));
        }
        Ok(())
    })
}

fn refuses(
    path: &Path,
    config: &ConfigTable,
    (roots, later): (RootsFile, Option<RootsFile>),
    what: &str,
) -> Vec<Finding> {
    with_roots_file(path, config, roots, |host| {
        if let Some(later) = later {
            host.send(&ToPlugin::RootsFile(later));
        }
        let (status, _) = host.call("configure", configure(config, false))?;
        if status >= 0 {
            return Err(format!(
                "runs as root, and takes {what}: see rule 8 of abi/RULES.md"
            ));
        }
        Ok(())
    })
}
