//! Checks that apply to every descriptor, whatever the form of its plugin.

use std::path::{Component, Path};

use spared_abi as abi;
use spared_contract::{Descriptor, Verb};

use crate::worker::capabilities;
use crate::worker::confine;

const NAME_MAX: usize = 32;

/// # Errors
/// The descriptor is not that of the plugin `name`, or asks for a right that no plugin gets.
pub(crate) fn check(name: &str, descriptor: &Descriptor) -> Result<(), String> {
    if !is_name(&descriptor.name) {
        return Err(format!(
            "{name}.so calls itself {:?}: a name is [a-z][a-z0-9-]*, at most {NAME_MAX} long",
            descriptor.name
        ));
    }
    if descriptor.name != name {
        return Err(format!(
            "{name}.so is the plugin \"{0}\": rename it to {0}.so",
            descriptor.name
        ));
    }
    capabilities::check(descriptor.flags, descriptor.capabilities)
        .map_err(|why| format!("{name}.so {why}"))?;
    let unknown = descriptor.calls & !confine::GROUPS;
    if unknown != 0 {
        return Err(format!(
            "{name}.so names groups of system calls {unknown:#x}, which this spared does not know: \
             update spared"
        ));
    }
    let (least, most) = (descriptor.wire_min, descriptor.wire_max);
    if least > most {
        return Err(format!(
            "{name}.so has wire versions {least} to {most}: its author must order them"
        ));
    }
    let hears = descriptor.has_peer || descriptor.has_identity || most != 0;
    if descriptor.flags & abi::PLUGIN_ROOT != 0 && hears {
        return Err(format!(
            "{name}.so requests root and a peer channel: root must not read data from \
             the network, its author must drop one"
        ));
    }
    check_paths(&descriptor.paths)
        .and_then(|()| check_verbs(&descriptor.verbs))
        .and_then(|()| check_partners(name, &descriptor.partners))
        .map_err(|why| format!("{name}.so: {why}"))
}

fn check_paths(paths: &[String]) -> Result<(), String> {
    let is_wrong = |path: &&String| !is_plain(path.strip_prefix('+').unwrap_or(path));
    match paths.iter().find(is_wrong) {
        None => Ok(()),
        Some(path) => Err(format!(
            "the plugin wants to open {path:?}: its author must name an absolute path without .."
        )),
    }
}

fn check_verbs(verbs: &[Verb]) -> Result<(), String> {
    for (at, verb) in verbs.iter().enumerate() {
        let is_known = verbs.iter().take(at).any(|it| it.word == verb.word);
        if !(verb.word.is_empty() || is_name(&verb.word)) || verb.word == "help" || is_known {
            return Err(format!(
                "the plugin has a verb {:?}: a word is [a-z][a-z0-9-]*, at most {NAME_MAX} long, \
                 said once, and not \"help\"",
                verb.word
            ));
        }
    }
    Ok(())
}

fn check_partners(own: &str, names: &[String]) -> Result<(), String> {
    let count = names.len();
    if count > abi::LOCAL_PARTNERS_MAX as usize {
        return Err(format!(
            "the plugin says {count} partners, at most {} are allowed",
            abi::LOCAL_PARTNERS_MAX
        ));
    }
    for (at, name) in names.iter().enumerate() {
        if !is_name(name) || name == own || names.iter().take(at).any(|it| it == name) {
            return Err(format!(
                "the plugin has a partner {name:?}: its author must give the name of another \
                 plugin, each once"
            ));
        }
    }
    Ok(())
}

fn is_plain(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    path.starts_with('/') && parts.all(|part| part != Component::ParentDir)
}

/// Returns true if the name matches `[a-z][a-z0-9-]*`, with at most 32 characters.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.len() <= NAME_MAX
}
