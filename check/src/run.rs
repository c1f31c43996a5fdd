//! `spared check`: prints the faults of all files, what this machine lacks for the configuration, what the plugins of
//! the running daemon find in other programs, and a last line with the counts.

use std::fmt::Display;
use std::fs::File;
use std::io::{ErrorKind, Write, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use spared_config::Options;
use spared_config::exit;
use spared_config::{Fault, Plugin, Setup, Unread, plugin_names};
use spared_contract::Descriptor;
use spared_process::account;
use spared_process::worker::file::open_plugin;
use spared_process::worker::process::{self, Configuration};

use crate::{Finding, Severity, plugin_checks, summary};

/// Prints the findings, and returns the exit code.
pub fn run(options: &Options) -> u8 {
    let path = options.config();
    if let Some(closed) = closed(&path) {
        let path = closed.display();
        say(format!(
            "{path}: permission denied: run `spared check` as root"
        ));
        return exit::PERMISSION;
    }
    let Some((setup, of_host)) = options.read_all() else {
        let unread = Unread::NoFile(path);
        say(&unread);
        return unread.code();
    };
    let mut noted = Vec::new();
    let of_plugins = setup
        .as_ref()
        .map(|setup| faults_of(setup, &options.plugin_dir, &mut noted));
    // findings about this machine need a spared.toml without faults
    let setup = setup.filter(|_| of_host.is_empty());
    let faults = summary::by_place(&path, of_host, of_plugins.unwrap_or_default());
    for fault in &faults {
        say(fault);
    }
    let mut findings = setup.as_ref().map(crate::examine).unwrap_or_default();
    findings.extend(noted);
    findings.extend(crate::unread(&path, &options.plugin_dir));
    findings.extend(
        setup
            .iter()
            .flat_map(|setup| plugin_checks::ask(setup, &options.runtime_dir)),
    );
    for finding in &findings {
        say(finding);
    }
    let is_broken = findings.iter().any(|it| it.severity == Severity::Error);
    let counts = summary::counts(&faults, &findings);
    let (code, last) = match (faults.is_empty(), is_broken) {
        (true, false) => {
            let counts = if counts.is_empty() {
                counts
            } else {
                format!("; {counts}")
            };
            let said = setup.map_or(String::new(), |setup| said(&setup));
            (exit::OK, format!("configuration OK{said}{counts}"))
        }
        (true, true) => (exit::UNAVAILABLE, counts),
        (false, _) => (exit::CONFIG, counts),
    };
    say(last);
    code
}

/// Prints a line; a reader that has seen enough, such as head, ends nothing.
fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// A file of the configuration, or its folder, that this user may not read.
fn closed(config: &Path) -> Option<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let plugins = folder.join("plugins");
    let names = plugin_names(&plugins).unwrap_or_default();
    let files = names
        .iter()
        .map(|name| plugins.join(format!("{name}.toml")));
    let mut all = [config.to_owned(), folder.join("key"), plugins.clone()]
        .into_iter()
        .chain(files);
    all.find(|path| {
        let opened = File::open(path);
        opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    })
}

fn said(setup: &Setup) -> String {
    let enabled: Vec<&str> = setup
        .plugins
        .iter()
        .filter(|plugin| plugin.enabled)
        .map(|plugin| plugin.name.as_str())
        .collect();
    if enabled.is_empty() {
        return format!(" ({}): nothing configured", setup.digest);
    }
    format!(" ({}): {}", setup.digest, enabled.join(", "))
}

// Faults of all files. `noted` gets findings that are not faults: plugins that run as root, electors without a group.
fn faults_of(setup: &Setup, plugin_dir: &Path, noted: &mut Vec<Finding>) -> Vec<Fault> {
    let mut faults = setup.faults();
    if has_lost_nodes(setup) {
        return faults;
    }
    for plugin in setup
        .plugins
        .iter()
        .filter(|plugin| plugin.enabled && plugin.faults.is_empty())
    {
        match check_plugin(setup, plugin, plugin_dir) {
            Ok((descriptor, found)) => {
                faults.extend(found);
                noted.extend(crate::rights(plugin, &descriptor));
                if descriptor.provides_groups && !has_groups(&plugin.text) {
                    noted.push(crate::no_group(&plugin.name));
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    faults
}

/// Returns true if `spared.toml` is not TOML where it names the nodes: then values by node name cannot be judged.
fn has_lost_nodes(setup: &Setup) -> bool {
    let is_toml = setup.text.parse::<toml::Table>().is_ok();
    !is_toml && setup.host.nodes.is_empty() && setup.text.contains("nodes")
}

fn has_groups(text: &str) -> bool {
    let table: toml::Table = text.parse().unwrap_or_default();
    table.contains_key("group")
}

// Checks a plugin in the same short-lived worker as at a start and a reload.
fn check_plugin(
    setup: &Setup,
    plugin: &Plugin,
    plugin_dir: &Path,
) -> Result<(Descriptor, Vec<Fault>), Fault> {
    let file = format!("{}.toml", plugin.name);
    if let Some(why) = crate::names::no_plugin(plugin_dir, &plugin.name) {
        return Err(Fault::whole(&file, why));
    }
    let library = open_plugin(plugin_dir, &plugin.name).map_err(|why| Fault::whole(&file, why))?;
    let configuration = Configuration {
        table: plugin.table.clone(),
        surroundings: setup.host.surroundings(),
    };
    let account = account::for_check();
    let exe = Path::new("/proc/self/exe");
    let (descriptor, failures) = process::check(
        exe,
        &plugin.name,
        library.as_fd(),
        account,
        plugin.memory(),
        Some(&configuration),
    )
    .map_err(|error| Fault::whole(&file, error.to_string()))?;
    let found = failures
        .into_iter()
        .map(|failure| (failure.key, failure.why));
    Ok((descriptor, Fault::of_keys(&file, &plugin.text, found)))
}
