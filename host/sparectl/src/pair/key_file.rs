//! `sparectl pair --key-file FILE`: for scripts that carry the line of `sparectl keygen` from each node to the other
//! and the configuration by themselves.

use std::fs;
use std::path::Path;

use spared_key::{PrivateKey, parse_public};
use spared_pairing::{Introduction, Texts, spared_toml};

use super::{compose, own_name, service};
use crate::args::Args;
use crate::consent::{agree, is_lossy};
use crate::folder::{Folder, last_line};
use crate::line::Pair;
use crate::output::say;
use crate::refusal::Refusal;

/// Puts the keys of both nodes into this node's file, and has the daemon read it.
///
/// # Errors
/// A sentence that says what to do.
pub fn pair(
    args: &Args,
    pair: &Pair,
    folder: &Folder,
    texts: &Texts,
    key: &PrivateKey,
    file: &Path,
) -> Result<(), Refusal> {
    let shown = file.display();
    let lines = fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
    let own = introduction(own_name(texts), key.public());
    let peer = other(&lines, &own.node).map_err(|why| format!("{shown}: {why}"))?;
    let new = compose::for_both(texts, &own, &peer, pair.replace)?;
    let checked = folder.check(&new)?;
    say(&format!("{}: {}", own.node, last_line(&checked)));
    let changes = folder.changes(texts, &new);
    if changes.is_empty() {
        say("the files have these keys already");
    } else {
        say(&format!("the files change:\n{}", changes.trim_end()));
    }
    agree(pair.yes, is_lossy(texts, &new))?;
    if !changes.is_empty() && service::active_groups(args)?.is_empty() {
        service::write_disarmed(args, folder, texts, &new)?;
    } else {
        folder.write(texts, &new, || Ok(()))?;
    }
    say(&service::bring_up(args, folder)?);
    Ok(())
}

/// The other node of a file with lines of `sparectl keygen`.
fn other(lines: &str, own: &str) -> Result<Introduction, String> {
    let none = || {
        "found no line of `sparectl keygen` of another node, such as r2.public_key = \"sk1:...\""
            .to_owned()
    };
    let nodes = spared_toml::nodes(&format!("[nodes]\n{lines}")).map_err(|_| none())?;
    let mut others = nodes.into_iter().filter(|(name, _)| name != own);
    let (name, key) = others
        .next()
        .and_then(|(name, key)| Some((name, key?)))
        .ok_or_else(none)?;
    if others.next().is_some() {
        return Err("found several other nodes, allowed one".to_owned());
    }
    let key = parse_public(&key).map_err(|error| format!("{name}.public_key: {error}"))?;
    Ok(introduction(name, key))
}

fn introduction(node: String, key: spared_key::PublicKey) -> Introduction {
    Introduction {
        node,
        key,
        interface: String::new(),
        addresses: [String::new(), String::new()],
    }
}

#[cfg(test)]
mod tests {
    use spared_key::public_text;

    use super::*;

    #[test]
    fn the_other_node_is_found_in_lines_of_both() {
        let line =
            |name, number| format!("{name}.public_key = \"{}\"\n", public_text(&[number; 32]));
        let both = line("r1", 1) + &line("r2", 2);
        let found = other(&both, "r1").expect("r2");
        assert_eq!((found.node.as_str(), found.key), ("r2", [2; 32]));
        assert!(
            other(&line("r1", 1), "r1")
                .unwrap_err()
                .contains("r2.public_key")
        );
        assert!(
            other("nonsense", "r1")
                .unwrap_err()
                .starts_with("found no line")
        );
        assert!(
            other(&(both + &line("r3", 3)), "r1")
                .unwrap_err()
                .contains("several")
        );
    }
}
