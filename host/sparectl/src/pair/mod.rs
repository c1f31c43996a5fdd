//! `sparectl pair`: makes two nodes a pair. They exchange their keys by a code that a person carries from one to the
//! other, by ssh, or in a file, and the second node takes the configuration of the first.

mod compose;
mod first;
mod key_file;
mod link_local;
mod second;
mod secrecy;
pub mod service;
mod unpair;
mod wire;

use spared_pairing::{Texts, spared_toml};

use crate::args::Args;
use crate::folder::{Folder, HOST_FILE};
use crate::line::{Pair, Unpair};
use crate::{EXIT_FAILED, EXIT_PERMISSION, keygen, output};
use first::First;
use second::Second;

/// Prints each step, and returns the exit code.
pub fn run(args: &Args, pair: &Pair) -> u8 {
    if !rustix::process::geteuid().is_root() {
        output::errors(&["pair is for root: it writes the key and the configuration".to_owned()]);
        return EXIT_PERMISSION;
    }
    ended(try_run(args, pair))
}

/// Makes this node leave its pair, and returns the exit code.
pub fn leave(args: &Args, unpair: &Unpair) -> u8 {
    if !rustix::process::geteuid().is_root() {
        output::errors(&[
            "unpair is for root: it deletes the key and the configuration".to_owned(),
        ]);
        return EXIT_PERMISSION;
    }
    ended(unpair::unpair(args, unpair))
}

fn ended(result: Result<(), String>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(why) => {
            let lines = why.lines().map(str::to_owned);
            output::errors(&lines.collect::<Vec<_>>());
            EXIT_FAILED
        }
    }
}

fn try_run(args: &Args, pair: &Pair) -> Result<(), String> {
    if !pair.code.is_empty() {
        return Err(secrecy::start_again(args, pair));
    }
    let folder = Folder::new(&pair.files, &args.runtime_dir)?;
    let texts = folder.read()?;
    let key = keygen::own_key(&folder.key())?;
    if let Some(file) = &pair.key_file {
        return key_file::pair(args, pair, &folder, &texts, &key, file);
    }
    let host = texts.get(HOST_FILE).map_or("", String::as_str);
    let has_link = !spared_toml::link_interfaces(host, &own_name(&texts)).is_empty();
    let is_second = pair.join || pair.code_fd.is_some() || !has_link;
    match &pair.ssh {
        Some(machine) => First::new(args, pair, &folder, texts, key).over_ssh(machine),
        None if pair.stdio => Second::new(args, pair, &folder, texts, key).join_by_pipes(),
        None if is_second => Second::new(args, pair, &folder, texts, key).join(),
        None => First::new(args, pair, &folder, texts, key).offer(),
    }
}

/// Name of this node, as the daemon determines it.
pub fn own_name(texts: &Texts) -> String {
    let text = texts.get(HOST_FILE).map_or("", String::as_str);
    spared_toml::node_name(text).unwrap_or_else(spared_key::default_name)
}

fn say(line: &str) {
    output::text(&format!("{line}\n"));
}
