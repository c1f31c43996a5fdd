//! `sparectl unpair`: this node leaves its pair, and is a machine with nothing configured again.

use spared_file::remove;
use spared_pairing::{Texts, spared_toml};

use super::{own_name, service};
use crate::args::Args;
use crate::consent::agree;
use crate::folder::{Folder, HOST_FILE, host_text};
use crate::line::Unpair;
use crate::output::say;
use crate::refusal::Refusal;

/// # Errors
/// This node is active, or somebody does not agree; a sentence says what to do.
pub fn unpair(args: &Args, unpair: &Unpair) -> Result<(), Refusal> {
    service::no_reload_waits(args)?;
    let folder = Folder::new(&unpair.files, &args.runtime_dir)?;
    let _claim = folder.claim()?;
    let old = folder.read()?;
    let text = host_text(&old);
    let node = own_name(&old);
    let others = spared_toml::nodes(text)?.into_iter().map(|(name, _)| name);
    let Some(peer) = others.into_iter().find(|it| *it != node) else {
        return Err("this node is in no pair: [nodes] of spared.toml names no other node".into());
    };
    let active = service::active_groups(args)?;
    if !active.is_empty() {
        return Err(format!(
            "this node is active for {}: run `sparectl switch` first, or `sparectl unpair` on {peer}, which then leaves",
            active.join(", ")
        )
        .into());
    }
    let new = left(text, &node)?;
    say(&format!(
        "{node} leaves the pair with {peer}; its key is deleted, and the files change:"
    ));
    say(folder.changes(&old, &new).trim_end());
    agree(unpair.yes, true)?;
    service::write_disarmed(args, &folder, &old, &new)?;
    remove(&[folder.key()])?;
    service::reload(args, true)?;
    say(&format!(
        "{node} has nothing configured. {peer} serves alone until another machine takes the place: \
         `sparectl replace` there"
    ));
    Ok(())
}

/// Remaining files: the name of the node.
fn left(text: &str, node: &str) -> Result<Texts, String> {
    let host = match spared_toml::node_name(text) {
        Some(_) => spared_toml::with_node_name("", node)?,
        None => String::new(),
    };
    Ok(Texts::from([(HOST_FILE.to_owned(), host)]))
}
