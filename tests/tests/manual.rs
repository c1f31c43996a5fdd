// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual pages name every key that the readers accept, with its scope, and no other; the
//! examples are accepted as they are.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use page::{assert_described, assert_page_names, docs, documented, names};
use spared_key::{PrivateKey, public_text};
use spared_sdk::config::{Config, HOST_KEYS};

const TICK: Duration = Duration::from_millis(4);

#[test]
fn the_page_of_vrrp_names_every_key_with_its_scope() {
    let text =
        "[[group]]\n[[group.interface]]\n[[group.address]]\n[[group.route]]\n[[group.rule]]\n";
    let config = Config::parse(text, "r1", &[]).expect("TOML");
    let _ = spared_vrrp::config::read(&config, TICK);
    assert_page_names("spared-vrrp.5.scd", &config);
}

#[test]
fn every_page_begins_with_an_example() {
    let pages = fs::read_dir(docs().join("man")).expect("the pages are there");
    let pages = pages.map(|entry| entry.expect("a readable folder").path());
    for page in pages {
        let text = fs::read_to_string(&page).expect("a readable page");
        let headings = text.lines().filter(|line| line.starts_with("# "));
        let first: Vec<&str> = headings.take(3).collect();
        let wanted = ["# NAME", "# SYNOPSIS", "# EXAMPLE"];
        let is_so = |(line, wanted): (&&str, &str)| line.starts_with(wanted);
        assert!(
            first.len() == 3 && first.iter().zip(wanted).all(is_so),
            "{}: {first:?}",
            page.display()
        );
    }
}

/// In a terminal they are plain text, which is also what their drawings are made of.
#[test]
fn pictures_of_manual_pages_are_those_of_docs_pictures() {
    const SHOWN: [(&str, &str); 4] = [
        ("spared.8", "nodes"),
        ("spared.8", "fence"),
        ("spared-vrrp.5", "failover"),
        ("spared-vrrp.5", "switchover"),
    ];
    for (page, name) in SHOWN {
        let read = |path: String| fs::read_to_string(docs().join(path)).expect("it is there");
        let picture = read(format!("pictures/{name}.txt"));
        let block = format!("```\n{picture}```\n");
        assert!(
            read(format!("man/{page}.scd")).contains(&block),
            "{page} lacks {name}, or has an older one"
        );
        let width = picture.lines().map(str::len).max();
        assert!(width <= Some(73), "{name} is too wide for a terminal");
    }
}

#[test]
fn the_page_of_spared_toml_names_every_key() {
    let folder = std::env::temp_dir().join(format!("spared-manual-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let file = folder.join("spared.toml");
    fs::write(
        &file,
        "zz = 1\n[node]\nzz = 1\n[log]\nzz = 1\n[nodes.NAME]\nzz = 1\n\
         [[link]]\nzz = 1\n[firewall]\nzz = 1\n[equal]\nzz = 1\n",
    )
    .expect("our own folder");
    let faults = spared_config::Setup::read(&file).expect_err("zz is no key");
    fs::remove_dir_all(&folder).expect("our own folder");

    let mut accepted: BTreeSet<String> = HOST_KEYS.iter().map(|key| (*key).to_owned()).collect();
    for fault in &faults {
        let Some((_, allowed)) = fault.why.split_once("unknown key, allowed: ") else {
            continue;
        };
        let section = fault.key.replace(" 1: ", ".");
        let section = section.strip_suffix("zz").expect("zz is what is unknown");
        accepted.extend(allowed.split(", ").map(|key| format!("{section}{key}")));
    }
    for table in ["node", "log", "link", "firewall", "equal"] {
        assert!(accepted.remove(table), "{table}: {faults:?}");
    }
    accepted.remove("nodes");
    assert_described("spared.toml.5.scd");
    let mut page = documented("spared.toml.5.scd");
    assert!(page.remove("nodes.NAME").is_some());
    let accepted: BTreeSet<&str> = accepted.iter().map(String::as_str).collect();
    assert_eq!(names(&page), accepted);
}

#[test]
fn the_examples_are_accepted_on_each_node() {
    const OTHERS: [&str; 8] = [
        "alarm.toml",
        "conntrack.toml",
        "dhcp.toml",
        "health.toml",
        "ipsec.toml",
        "pair.toml",
        "sets.toml",
        "web.toml",
    ];
    const OF_SEVERAL: [&str; 2] = ["files", "service"];
    let mut examples = page::examples(|name| {
        let is_of = |plugin: &&str| name.starts_with(*plugin);
        !OTHERS.contains(&name) && !OF_SEVERAL.iter().any(is_of)
    });
    for page in ["migrating-from-keepalived.md", "../README.md"] {
        let text = fs::read_to_string(docs().join(page)).expect("the page is there");
        examples.push((page.to_owned(), indented(&text, "[[group]]")));
    }

    for (name, text) in examples {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_vrrp::config::read(&config, TICK);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| !it.groups.is_empty()), "{name}");
        }
    }
}

#[test]
fn the_example_of_a_pair_is_accepted_on_each_node() {
    let read = |page| fs::read_to_string(docs().join(page)).expect("it is there");
    assert_is_pair(&read("examples/pair.toml"));
    let readme = indented(&read("../README.md"), "[nodes]");
    let (host, _) = readme.split_once("[[group]]").expect("vrrp.toml follows");
    assert_is_pair(host);
}

fn assert_is_pair(text: &str) {
    let folder = std::env::temp_dir().join(format!("spared-pair-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    for (node, own) in [("r1", 1), ("r2", 2)] {
        let key = |number: u8| PrivateKey::from_seed([number; 32]);
        let public = |number: u8| public_text(&key(number).public());
        let text = text
            .replace("sk1:6Yx0...", &public(1))
            .replace("sk1:Qm4t...", &public(2));
        let text = format!("node.name = \"{node}\"\n{text}");
        fs::write(folder.join("spared.toml"), text).expect("our own folder");
        fs::write(folder.join("key"), key(own).to_text()).expect("our own folder");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("key"), private).expect("our own file");
        let setup = spared_config::Setup::read(&folder.join("spared.toml"));
        let link = setup.map(|setup| setup.host.link);
        assert!(matches!(link, Ok(Some(_))), "{node}: {link:?}");
    }
    fs::remove_dir_all(&folder).expect("our own folder");
}

/// Indented block of a Markdown page, from the first line on that begins so.
fn indented(text: &str, first: &str) -> String {
    let is_first = |line: &str| {
        line.strip_prefix("    ")
            .is_some_and(|it| it.starts_with(first))
    };
    let block = text.lines().skip_while(|line| !is_first(line));
    let block = block.take_while(|line| line.is_empty() || line.starts_with("    "));
    block.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_installed_file_names_every_key_commented_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc/spared.toml");
    let text = fs::read_to_string(path).expect("the file is there");
    let nothing: toml::Table = text.parse().expect("TOML");
    assert!(nothing.is_empty(), "{nothing}");

    let commented: String = text.lines().filter_map(uncommented).collect();
    let table: toml::Table = commented.parse().expect("TOML without its comment signs");
    let page = documented("spared.toml.5.scd");
    let of_host = page.keys().filter(|key| !HOST_KEYS.contains(&key.as_str()));
    for key in of_host.filter(|key| !key.starts_with("nodes.")) {
        let found = key
            .split('.')
            .try_fold(&table, |table, part| match table.get(part) {
                Some(toml::Value::Table(inner)) => Some(inner),
                Some(toml::Value::Array(entries)) => entries.first()?.as_table().or(Some(table)),
                Some(_) => Some(table),
                None => None,
            });
        assert!(found.is_some(), "{key} is missing in etc/spared.toml");
    }
}

// "#key = 1" but not "# prose".
fn uncommented(line: &str) -> Option<String> {
    let setting = line
        .strip_prefix('#')
        .filter(|rest| !rest.starts_with(' '))?;
    Some(format!("{setting}\n"))
}
