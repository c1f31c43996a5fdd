//! `sparectl pair`: makes two nodes a pair. They exchange their keys by a code that a person carries from one to the
//! other, by ssh, or in a file, and the second node takes the configuration of the first.

mod code_terminal;
mod compose;
mod first_node;
mod key_file;
mod link_local;
mod own_node;
mod second_node;
pub mod service;
mod unpair;
mod wire;

use std::time::Duration;

use spared_pairing::{Texts, spared_toml};

use crate::args::Args;
use crate::folder::{Folder, host_text};
use crate::line::{Pair, Unpair};
use crate::refusal::Refusal;
use crate::{as_root, keygen};
use first_node::First;
use own_node::OwnNode;
use second_node::Second;

/// Time for each step of the proof.
const STEP: Duration = Duration::from_secs(10);
/// Time for a check of the files and for a person who reads what changes.
const PERSON: Duration = Duration::from_secs(300);

/// Prints each step, and returns the exit code.
pub fn run(args: &Args, pair: &Pair) -> u8 {
    as_root::run(
        "pair is for root: it writes the key and the configuration",
        || try_run(args, pair),
    )
}

/// Makes this node leave its pair, and returns the exit code.
pub fn leave(args: &Args, unpair: &Unpair) -> u8 {
    as_root::run(
        "unpair is for root: it deletes the key and the configuration",
        || unpair::unpair(args, unpair),
    )
}

fn try_run(args: &Args, pair: &Pair) -> Result<(), Refusal> {
    if !pair.code.is_empty() {
        return Err(code_terminal::start_again(args, pair).into());
    }
    service::no_reload_waits(args)?;
    let folder = Folder::new(&pair.files, &args.runtime_dir)?;
    let _claim = folder.claim()?;
    let texts = folder.read()?;
    let key = keygen::own_key(&folder.key())?;
    if let Some(file) = &pair.key_file {
        return key_file::pair(args, pair, &folder, &texts, &key, file);
    }
    let host = host_text(&texts);
    let has_link = !spared_toml::link_interfaces(host, &own_name(&texts)).is_empty();
    let is_second = pair.join || pair.code_fd.is_some() || !has_link;
    let here = OwnNode::new(args, pair, &folder, texts, key);
    match &pair.ssh {
        Some(machine) => First { here }.over_ssh(machine),
        None if pair.stdio => Second { here }.join_by_pipes(),
        None if is_second => Second { here }.join(),
        None => First { here }.invite(),
    }
}

/// Name of this node, as the daemon determines it.
pub fn own_name(texts: &Texts) -> String {
    let text = host_text(texts);
    spared_toml::node_name(text).unwrap_or_else(spared_key::default_name)
}
