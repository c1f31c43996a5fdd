//! `sparectl import`: translates keepalived.conf and conntrackd.conf to this node's files, says what it could not
//! translate, and prints the steps of the migration.

mod answer;
mod by_hand;
mod disk;

use std::fs;
use std::path::{Path, PathBuf};

use spared_config_reader::{toml_key, toml_text};
use spared_import::{Here, MARK, Request, ids};
use spared_netlink::Requests;
use spared_pairing::{Texts, spared_toml};

use crate::args::Args;
use crate::consent::{agree, is_lossy};
use crate::folder::{Folder, HOST_FILE, host_text};
use crate::init::other_name;
use crate::line::Import;
use crate::output::say;
use crate::refusal::Refusal;
use crate::{as_root, keygen, pair, used};
use disk::Disk;

/// Prints what was found and the steps, and returns the exit code.
pub fn run(args: &Args, import: &Import) -> u8 {
    if !import.dry_run {
        return as_root::run(
            "import is for root: it writes the configuration; --dry-run only shows it",
            || try_run(args, import),
        );
    }
    as_root::ended(try_run(args, import))
}

fn try_run(args: &Args, import: &Import) -> Result<(), Refusal> {
    let folder = Folder::new(&import.files, &args.runtime_dir)?;
    let claim = || {
        is_there(&folder)?;
        pair::service::no_reload_waits(args)?;
        Ok::<_, Refusal>(folder.claim()?)
    };
    let _claim = (!import.dry_run).then(claim).transpose()?;
    let mut old = folder.read().or_else(|why| {
        // whoever only looks may have no right to read the files that are there
        if import.dry_run {
            Ok(Texts::new())
        } else {
            Err(why)
        }
    })?;
    let mut request = request(import, &old)?;
    let own = pair::own_name(&old);
    request.here = here(&own, &request.nodes, !import.dry_run);
    if !import.dry_run {
        may_write(&folder, &own, &request)?;
    }
    let [one, two] = request.keepalived.each_ref().map(|it| it.as_path());
    let mut named = vec![one, two];
    named.extend(import.conntrackd.as_deref());
    let disk = Disk::new(&named);
    let mut found = spared_import::import(&disk, &request).map_err(|fault| fault.to_string())?;
    say(&answer::found(&found));
    let mut first = Texts::new();
    if import.both {
        request.is_final = false;
        let during = spared_import::import(&disk, &request).map_err(|fault| fault.to_string())?;
        first = during.texts;
    }
    for texts in [&mut found.texts, &mut first] {
        name_hooks(&folder, texts);
    }
    old.extend(own_hooks(&folder, &found.texts));
    if import.both && !import.discard {
        keep_changes(import, &folder, [&old, &first], &mut found.texts)?;
    }
    let new = proposed(&old, &request, &found.texts)?;
    if import.dry_run {
        say(folder.changes(&Texts::new(), &found.texts).trim_end());
        if !import.both {
            say(&answer::steps(&found));
        }
        return Ok(());
    }
    if new == old {
        say("everything that import proposes is there");
    } else {
        let has_key = folder.key().exists();
        let written = write(import, &folder, &old, &new);
        if written.is_err() && !has_key {
            // nothing names the key that was made for the check
            let _ = fs::remove_file(folder.key());
        }
        written?;
    }
    if !import.both {
        say(&answer::steps(&found));
    }
    Ok(())
}

/// Keeps changes by hand in files that `--both` does not change otherwise, and refuses to take others away.
fn keep_changes(
    import: &Import,
    folder: &Folder,
    [old, first]: [&Texts; 2],
    new: &mut Texts,
) -> Result<(), String> {
    let lost = by_hand::keep(old, first, new);
    if lost.is_empty() || import.dry_run {
        return Ok(());
    }
    let [before, here] = [first, old].map(|it| by_hand::only(it, &lost));
    let changes = folder.changes(&before, &here);
    say(&format!(
        "changed since the first import, or by other files of keepalived:\n{}",
        changes.trim_end()
    ));
    let wanted = folder.changes(&before, &by_hand::only(new, &lost));
    say(&format!(
        "the first import becomes by --both:\n{}",
        wanted.trim_end()
    ));
    Err(format!(
        "{}: --both would take these changes away, so nothing is written: make those of --both by hand, or write its files by --discard, and make yours again after it",
        lost.join(", ")
    ))
}

/// Names the folder of the hooks.
fn name_hooks(folder: &Folder, texts: &mut Texts) {
    let path = absolute(folder.path()).join("hooks");
    if let Some(service) = texts.get_mut("plugins/service.toml") {
        *service += &format!("hooks = {}\n", toml_text(&path.display().to_string()));
    }
}

/// Has the new files checked, shows what changes, and writes them.
fn write(import: &Import, folder: &Folder, old: &Texts, new: &Texts) -> Result<(), Refusal> {
    keygen::own_key(&folder.key())?;
    let plugins = new.iter().filter(|it| !it.0.starts_with("hooks/"));
    let plugins: Texts = plugins
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    say(&folder.check(&plugins)?);
    let changes = folder.changes(old, new);
    say(&format!("the files change:\n{}", changes.trim_end()));
    agree(import.yes, is_lossy(old, new))?;
    folder.write(old, new, || Ok(()))?;
    if import.both {
        say(
            "written. No role changes: the files are in force with the next reload, which `sparectl pair` does",
        );
    }
    Ok(())
}

/// Refuses a folder that is missing: no daemon reads one that this command would make.
fn is_there(folder: &Folder) -> Result<(), String> {
    let path = folder.path().display();
    if !folder.path().is_dir() {
        return Err(format!(
            "{path}: there is no such folder: install spared on this machine, or name another one, --config FOLDER/{HOST_FILE}"
        ));
    }
    Ok(())
}

/// Refuses files for other nodes than this one.
fn may_write(folder: &Folder, own: &str, request: &Request) -> Result<(), String> {
    let path = folder.path().display();
    let [one, two] = &request.nodes;
    if own != one && own != two {
        return Err(format!(
            "this node is {own}, and the import is for {one} and {two}: name both nodes as they are called, this one first, \
             --id {own} --id OTHER (--id ID={own} if lines of the file have another id), or write `node.name = \"{one}\"` into \
             {path}/{HOST_FILE} if it is {one}"
        ));
    }
    Ok(())
}

/// This machine, if it is one of the nodes.
fn here(own: &str, nodes: &[String; 2], writes: bool) -> Option<Here> {
    let node = nodes.iter().position(|it| it == own)?;
    let addresses = Requests::open().and_then(|mut kernel| kernel.addresses());
    let addresses = addresses.ok()?.into_iter();
    let addresses = addresses.map(|it| (it.address, it.prefix));
    Some(Here {
        node,
        addresses: addresses.collect(),
        writes,
    })
}

/// Names of the nodes: as given, as in spared.toml, as in lines for one node, or by this node's name.
fn request(import: &Import, texts: &Texts) -> Result<Request, String> {
    let main = &absolute(&import.keepalived);
    let text = fs::read(main).map_err(|error| format!("{}: {error}", main.display()))?;
    let text = String::from_utf8_lossy(&text);
    let own = pair::own_name(texts);
    let known: Vec<String> = spared_toml::nodes(host_text(texts))?
        .into_iter()
        .map(|it| it.0)
        .collect();
    let mut given: Vec<(String, String)> = import.ids.clone();
    if given.is_empty() {
        let in_text = ids(&text);
        let names = [known, in_text].into_iter().find(|it| it.len() == 2);
        let mut names = names.unwrap_or_else(|| vec![own.clone(), other_name(&own)]);
        names.sort_by_key(|it| *it != own);
        given = names.into_iter().map(|it| (it.clone(), it)).collect();
    }
    let [(id, node), (other_id, other)] = <[_; 2]>::try_from(given)
        .map_err(|_| "--id: name both nodes, such as --id r1 --id r2".to_owned())?;
    if node == other {
        return Err(format!("--id: {node} is named twice"));
    }
    let peer = import.peer.as_deref().map_or(main.clone(), absolute);
    Ok(Request {
        nodes: [node, other],
        ids: [id, other_id],
        keepalived: [main.clone(), peer],
        conntrackd: import.conntrackd.as_deref().map(absolute),
        is_final: import.both,
        here: None,
    })
}

/// The path as the steps repeat it, from whatever folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Hooks that the import has written, and those that it would replace.
fn own_hooks(folder: &Folder, new: &Texts) -> Texts {
    let read = |name: String| {
        let text = fs::read_to_string(folder.path().join(&name)).ok()?;
        let is_own = text.starts_with(MARK) || new.contains_key(&name);
        is_own.then_some((name, text))
    };
    used::hooks(folder).into_iter().filter_map(read).collect()
}

/// All files as they would be.
fn proposed(old: &Texts, request: &Request, found: &Texts) -> Result<Texts, String> {
    let kept = old.iter().filter(|it| !it.0.starts_with("hooks/"));
    let mut new: Texts = kept
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    let host = host_text(old);
    if spared_toml::nodes(host)?.is_empty() {
        let names = request
            .nodes
            .iter()
            .map(|it| format!("{} = {{}}\n", toml_key(it)));
        let between = if host.is_empty() { "" } else { "\n" };
        let text = format!(
            "{host}{between}[nodes]   # their keys come by `sparectl pair`\n{}",
            names.collect::<String>()
        );
        new.insert(HOST_FILE.to_owned(), text);
    }
    for (name, text) in found {
        let is_there = old.contains_key(name) && name == "plugins/service.toml";
        if !is_there {
            new.insert(name.clone(), text.clone());
        }
    }
    Ok(new)
}

/// An id of keepalived with the name of its node: `main=r1`, or `r1` for both.
pub fn id(text: &str) -> Result<(String, String), String> {
    let (id, node) = text.split_once('=').unwrap_or((text, text));
    if id.is_empty() || node.is_empty() {
        return Err("not an id, or an id and a node, such as r1 or main=r1".to_owned());
    }
    Ok((id.to_owned(), node.to_owned()))
}
