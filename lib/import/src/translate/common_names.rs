//! Names that both nodes' instances, sync groups and checks have in common. In keepalived a name is one of its node: two instances
//! are the same one if they speak to each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::address::address;
use crate::toml::Each;
use crate::tree::Statement;

/// Names of the second node's instances, groups and checks that are others in the files, by the name in its own file.
#[derive(Debug, Default)]
pub struct CommonNames {
    instances: BTreeMap<String, String>,
    groups: BTreeMap<String, String>,
    /// By kind and name.
    checks: BTreeMap<String, String>,
}

/// Ways to know the same instance, the surest first.
const WAYS: [fn(&Statement) -> Option<String>; 3] = [
    |it| {
        Some(format!(
            "{} {}",
            router(it)?,
            it.child("interface")?.word(1)
        ))
    },
    |it| Some(format!("{} {}", router(it)?, first_address(it)?)),
    |it| Some(it.word(1).to_owned()),
];

/// Kinds of checks that are defined before they are tracked.
const CHECKS: [&str; 3] = ["script", "process", "file"];

impl CommonNames {
    pub fn new(trees: Each<&[Statement]>, nodes: &Each<String>) -> Self {
        let mut common = Self::default();
        if std::ptr::eq(trees[0], trees[1]) {
            return common;
        }
        let of = |word: &'static str| {
            trees.map(|tree| tree.iter().filter(move |it| it.word(0) == word).collect())
        };
        let [one, mut two]: Each<Vec<&Statement>> = of("vrrp_instance");
        let mut names: BTreeSet<&str> = one.iter().map(|it| it.word(1)).collect();
        let mut free = one;
        for way in WAYS {
            let mut known: HashMap<String, &Statement> = HashMap::new();
            for instance in free.iter().rev() {
                known.extend(way(instance).map(|key| (key, *instance)));
            }
            let mut met = BTreeSet::new();
            two.retain(|instance| {
                let Some(same) = way(instance).and_then(|it| known.remove(&it)) else {
                    return true;
                };
                met.insert(same.word(1));
                common.instances.extend(other_name(instance, same.word(1)));
                false
            });
            free.retain(|it| !met.contains(it.word(1)));
        }
        for instance in two {
            let name = own_name(instance, &names, &nodes[1]);
            common.instances.extend(other_name(instance, &name));
        }
        let [one, two]: Each<Vec<&Statement>> = of("vrrp_sync_group");
        let mut free: BTreeSet<&str> = one.iter().map(|it| it.word(1)).collect();
        names.clone_from(&free);
        let owners = one
            .iter()
            .flat_map(|it| members(it).map(|member| (member, it.word(1))));
        let owners: HashMap<&str, &str> = owners.collect();
        for group in two {
            let own = members(group).map(|it| common.instance(1, it));
            let mut same = own.filter_map(|it| owners.get(it).copied());
            let same = same.find(|it| free.contains(it)).or(Some(group.word(1)));
            let name = match same.and_then(|it| free.take(it)) {
                Some(name) => name.to_owned(),
                None => own_name(group, &names, &nodes[1]),
            };
            common.groups.extend(other_name(group, &name));
        }
        for kind in CHECKS {
            common.name_checks(kind, trees);
        }
        common
    }

    /// Checks that one node alone has are the same one if all their lines are.
    fn name_checks(&mut self, kind: &str, trees: Each<&[Statement]>) {
        let [one, two] = trees.map(|tree| {
            let checks = tree.iter().filter(|it| check_kind(it.word(0)) == kind);
            let checks: BTreeMap<&str, &Statement> = checks.map(|it| (it.word(1), it)).collect();
            checks
        });
        let lines = |it: &Statement| it.block().iter().map(Statement::text).collect::<Vec<_>>();
        let free = one.iter().filter(|it| !two.contains_key(it.0));
        let mut free: HashMap<_, _> = free.map(|(name, it)| (lines(it), *name)).collect();
        for (name, check) in two.iter().filter(|it| !one.contains_key(it.0)) {
            if let Some(same) = free.remove(&lines(check)) {
                self.checks
                    .insert(format!("{kind} {name}"), same.to_owned());
            }
        }
    }

    /// Name in the files of a node's check, by the word of its block or of a list.
    pub fn check<'n>(&'n self, node: usize, word: &str, name: &'n str) -> &'n str {
        let key = format!("{} {name}", check_kind(word));
        let other = self.checks.get(&key).filter(|_| node == 1);
        other.map_or(name, String::as_str)
    }

    /// Name in the files of a node's instance.
    pub fn instance<'n>(&'n self, node: usize, name: &'n str) -> &'n str {
        let other = self.instances.get(name).filter(|_| node == 1);
        other.map_or(name, String::as_str)
    }

    /// Name in the files of a block of a node.
    pub fn of<'n>(&'n self, node: usize, block: &'n Statement) -> &'n str {
        let name = block.word(1);
        match block.word(0) {
            "vrrp_instance" => self.instance(node, name),
            "vrrp_sync_group" if node == 1 => self.groups.get(name).map_or(name, String::as_str),
            word => self.check(node, word, name),
        }
    }
}

/// Kind of a check: `vrrp_script`, `track_script` and so on.
fn check_kind(word: &str) -> &str {
    word.trim_start_matches("vrrp_")
        .trim_start_matches("track_")
}

/// The first virtual address, which decides about the family.
fn first_address(instance: &Statement) -> Option<IpAddr> {
    let entries = instance.child("virtual_ipaddress")?.block();
    let mut found = entries.iter().filter_map(|it| address(it.word(0)));
    found.next().map(|it| it.addr())
}

/// Family and VRID.
fn router(instance: &Statement) -> Option<String> {
    let is_ipv6 = first_address(instance).is_some_and(|it| it.is_ipv6());
    let vrid = instance.child("virtual_router_id")?.word(1);
    Some(format!("{is_ipv6} {vrid}"))
}

fn members(group: &Statement) -> impl Iterator<Item = &str> {
    let entries = group.child("group").into_iter().flat_map(Statement::block);
    entries.flat_map(|it| it.words.iter().map(String::as_str))
}

/// Its name, or one with its node's if the first node has something else of this name.
fn own_name(block: &Statement, names: &BTreeSet<&str>, node: &str) -> String {
    let name = block.word(1);
    if names.contains(name) {
        format!("{name} of {node}")
    } else {
        name.to_owned()
    }
}

fn other_name(block: &Statement, name: &str) -> Option<(String, String)> {
    let own = block.word(1);
    (own != name).then(|| (own.to_owned(), name.to_owned()))
}
