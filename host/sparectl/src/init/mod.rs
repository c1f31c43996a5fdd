//! `sparectl init`: looks at this machine, proposes the configuration of a pair, and writes this node's files. The other
//! node gets them by `sparectl pair`.

mod contradictions;
mod findings;
mod gather;
mod proposal;
mod questions;

use spared_config_reader::IpNet;
use spared_key::PrivateKey;
use spared_pairing::{Texts, spared_toml};

use crate::args::Args;
use crate::consent::{agree, is_lossy};
use crate::folder::{Folder, HOST_FILE, host_text};
use crate::line::Init;
use crate::output::say;
use crate::refusal::Refusal;
use crate::{as_root, keygen, pair};
pub use proposal::other_name;
use proposal::{Wishes, propose};
pub use questions::has_terminal;

/// Prints what was found and what it proposes, and returns the exit code.
pub fn run(args: &Args, init: &Init) -> u8 {
    as_root::run(
        "init is for root: it writes the key and the configuration",
        || try_run(args, init),
    )
}

fn try_run(args: &Args, init: &Init) -> Result<(), Refusal> {
    pair::service::no_reload_waits(args)?;
    let folder = Folder::new(&init.files, &args.runtime_dir)?;
    let _claim = folder.claim()?;
    let texts = folder.read()?;
    let key = keygen::own_key(&folder.key())?;
    let node = pair::own_name(&texts);
    let found = gather::gather(node, key.public(), texts);
    let found = found.map_err(|error| format!("the interfaces cannot be read: {error}"))?;
    for line in found.lines() {
        say(&line);
    }
    let wishes = questions::wishes(&found, init)?;
    let new = propose(&found, &wishes)?;
    if new == found.texts {
        say(
            "everything that init proposes is there: `sparectl pair` makes a pair, `sparectl check` names what is missing",
        );
        return Ok(());
    }
    say(&folder.check(&checkable(&new, &wishes)?)?);
    say(&format!(
        "the files change:\n{}",
        folder.changes(&found.texts, &new).trim_end()
    ));
    if wishes.virtuals.is_empty() && !new.contains_key(proposal::VRRP) {
        say("no virtual address, so no group: --virtual IF=ADDRESS/LEN adds one");
    }
    if let Some(line) = proposal::about_route(&found, &wishes) {
        say(&line);
    }
    agree(init.yes, init.asks() || is_lossy(&found.texts, &new))?;
    let peer = &wishes.peer;
    if is_paired(host_text(&found.texts))? {
        folder.write(&found.texts, &new, || Ok(()))?;
        say(&format!(
            "written. Now run `sparectl reload` here, and bring the files to {peer} as well: `sparectl config push`, or \
             copy them and reload there"
        ));
        return Ok(());
    }
    let arming = if pair::service::active_groups(args)?.is_empty() {
        pair::service::write_disarmed(args, &folder, &found.texts, &new)?;
        "; this node is not armed: it does not become active until `sparectl arm`"
    } else {
        folder.write(&found.texts, &new, || Ok(()))?;
        ""
    };
    say(&format!(
        "written{arming}. Now run `sparectl pair` here and on {peer}, which needs no configuration of its own"
    ));
    Ok(())
}

/// Returns true if both nodes know each other already, by their keys or by a passphrase.
fn is_paired(text: &str) -> Result<bool, String> {
    let nodes = spared_toml::nodes(text)?;
    let has_secret = spared_toml::secret_file(text).is_some();
    Ok(nodes.len() > 1 && (has_secret || nodes.iter().all(|(_, key)| key.is_some())))
}

/// The files as a check can read them: with a key for the other node, which has none before it is paired. With a
/// passphrase nodes have no keys.
fn checkable(texts: &Texts, wishes: &Wishes) -> Result<Texts, String> {
    let mut texts = texts.clone();
    let text = host_text(&texts);
    let is_keyed = spared_toml::nodes(text)?
        .into_iter()
        .all(|(_, key)| key.is_some());
    if !is_keyed && spared_toml::secret_file(text).is_none() {
        let key = PrivateKey::generate().map_err(|error| error.to_string())?;
        let text = spared_toml::with_key(text, &wishes.peer, &key.public())?;
        texts.insert(HOST_FILE.to_owned(), text);
    }
    Ok(texts)
}

/// A virtual address and its interface: `lan0=192.168.200.1/24`.
pub fn virtual_address(text: &str) -> Result<(String, IpNet), String> {
    let why = || "not an interface and an address, such as lan0=192.168.200.1/24".to_owned();
    let (interface, address) = text.split_once('=').ok_or_else(why)?;
    let address = address.trim().parse().map_err(|_| why())?;
    Ok((interface.trim().to_owned(), address))
}

/// Two addresses of the link: `192.168.180.1/30,192.168.180.2/30`.
pub fn link_addresses(text: &str) -> Result<[IpNet; 2], String> {
    let why = || "not two addresses, such as 192.168.180.1/30,192.168.180.2/30".to_owned();
    let (own, peer) = text.split_once(',').ok_or_else(why)?;
    let parse = |it: &str| it.trim().parse().map_err(|_| why());
    Ok([parse(own)?, parse(peer)?])
}
