//! Our rules in a chain of the administrator, by `nft`. Only their comment identifies them, whatever chain an earlier
//! configuration named.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use spared_child::{Child, PATH, Program};
use spared_message::firewall::{
    Chain, LISTING, NodeNames, Passage, RuleDigests, RuleState, RulesListed,
};
use spared_message::link::LinkPath;
use spared_netlink::constants::NFPROTO_NETDEV;

use super::digest::{digests, is_foreign_table};
use super::listing::{objects, ruleset_of};
use super::own::{handle_of, own_translations};
use super::packet::PathPackets;
use super::passage::{blocking_chain, chain_blocking_untracked};
use super::sets::tables;

/// Comment of our rules. Nobody else would choose it: every rule that has it is deleted.
const COMMENT: &str = "spared: link";
/// Maximum time for `nft`. If it takes longer, it waits for a kernel that will not answer soon.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum bytes of a ruleset. A longer one is cut, and reported as not understood.
const RULESET_MAX: usize = 64 * 1024 * 1024;

pub(super) struct Rules {
    /// True if our rules may exist.
    ours: bool,
    /// Reason why the last look at the rules failed.
    unreadable_reason: Option<String>,
}

/// One of our rules, found in the ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    family: String,
    table: String,
    chain: String,
    handle: u64,
}

impl Rules {
    pub(super) fn new(ours: bool) -> Self {
        Self {
            ours,
            unreadable_reason: None,
        }
    }

    /// Reason why the last look at the rules failed, if it did.
    pub(super) fn unreadable_reason(&self) -> Option<&String> {
        self.unreadable_reason.as_ref()
    }

    pub(super) fn may_exist(&self) -> bool {
        self.ours
    }

    /// # Errors
    /// The reason why the rules may still be there.
    pub(super) fn remove(&mut self) -> Result<(), String> {
        if self.ours {
            list()
                .and_then(|ruleset| run(&deletions(&ours(&ruleset))))
                .map_err(|why| format!("cannot remove the link's rule from the firewall: {why}"))?;
            self.ours = false;
        }
        Ok(())
    }

    /// Adds, removes and repairs the rules; `anew` is true if the link may have changed.
    ///
    /// # Errors
    /// The reason why rules that are no longer wanted may still be there.
    pub(super) fn keep(&mut self, passage: &Passage, anew: bool) -> Result<RuleState, String> {
        let listed = list();
        self.unreadable_reason = listed.as_ref().err().cloned();
        let Ok(ruleset) = listed else {
            return Ok(RuleState::Passes);
        };
        let Some(chain) = &passage.chain else {
            if anew {
                self.remove()?;
            }
            return Ok(state_of(&ruleset, passage));
        };
        if !has_chain(&ruleset, chain) {
            self.remove()?;
            return Ok(RuleState::Blocked(format!(
                "firewall.chain: there is no chain {chain}; to fix: load the ruleset that has it (systemctl reload \
                 nftables), or correct firewall.chain in spared.toml"
            )));
        }
        let present = ours(&ruleset);
        let wanted: Vec<&LinkPath> = passage
            .paths
            .iter()
            .filter(|path| fits(path, chain))
            .collect();
        let in_place = |found: &Found| {
            (&found.family, &found.table, &found.chain)
                == (&chain.family, &chain.table, &chain.name)
        };
        if !anew && present.len() == wanted.len() && present.iter().all(in_place) {
            return Ok(state_of(&ruleset, passage));
        }
        let mut script = deletions(&present);
        for path in &wanted {
            script += &insertion(chain, &rule(&packets_of(passage, path)));
        }
        self.ours = true;
        Ok(match run(&script) {
            Err(why) => RuleState::Blocked(format!("firewall.chain: \"{chain}\": {why}")),
            Ok(()) if anew => told_anew(passage),
            Ok(()) => RuleState::PutBack,
        })
    }
}

fn has_chain(ruleset: &Value, chain: &Chain) -> bool {
    objects(ruleset, "chain").any(|it| {
        it["family"] == chain.family && it["table"] == chain.table && it["name"] == chain.name
    })
}

fn told_anew(passage: &Passage) -> RuleState {
    list().map_or(RuleState::Passes, |ruleset| state_of(&ruleset, passage))
}

/// Description of what blocks a path of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub sentence: String,
    /// Command that lets the path pass.
    pub fix: String,
}

/// Finds what blocks paths of the link.
pub fn obstacles(ruleset: &Value, passage: &Passage) -> Vec<Obstacle> {
    let found = |packets: &PathPackets| blocking_chain(ruleset, packets);
    on_paths(passage, "drops the link", found)
}

/// Finds what would block paths that pass now, once connection tracking has forgotten them.
pub fn interruptions(ruleset: &Value, passage: &Passage) -> Vec<Obstacle> {
    let passes = |packets: &PathPackets| blocking_chain(ruleset, packets).is_none();
    let found = |packets: &PathPackets| {
        chain_blocking_untracked(ruleset, packets).filter(|_| passes(packets))
    };
    on_paths(
        passage,
        "drops packets in state invalid before it accepts the link",
        found,
    )
}

fn on_paths(
    passage: &Passage,
    what: &str,
    found: impl Fn(&PathPackets) -> Option<String>,
) -> Vec<Obstacle> {
    let obstacle = |path: &LinkPath| {
        let packets = packets_of(passage, path);
        let chain = found(&packets)?;
        Some(Obstacle {
            sentence: format!("nftables chain {chain} {what} on {}", path.interface),
            fix: format!(
                "nft insert rule {chain} {}, or firewall.chain = \"{chain}\" in spared.toml",
                shell_quoted(&rule(&packets))
            ),
        })
    };
    passage.paths.iter().filter_map(obstacle).collect()
}

fn state_of(ruleset: &Value, passage: &Passage) -> RuleState {
    let blocked = obstacles(ruleset, passage).into_iter().next();
    blocked.map_or(RuleState::Passes, |blocked| {
        RuleState::Blocked(format!("{}; to fix: {}", blocked.sentence, blocked.fix))
    })
}

// Quotes for a shell, which removes the quotes; without them it would split at braces and spaces.
fn shell_quoted(rule: &str) -> String {
    format!("'{rule}'")
}

/// Returns the packets of a path, as this node receives them.
fn packets_of(passage: &Passage, path: &LinkPath) -> PathPackets {
    PathPackets {
        interface: path.interface.clone(),
        own: path.own,
        peer: path.peer,
        port: passage.port,
        listens: passage.listens,
        is_forgotten: false,
    }
}

fn fits(path: &LinkPath, chain: &Chain) -> bool {
    match chain.family.as_str() {
        "ip" => path.own.is_ipv4(),
        "ip6" => path.own.is_ipv6(),
        _ => true,
    }
}

// Our rule for a path. Heartbeats use the port at both ends.
fn rule(packets: &PathPackets) -> String {
    let family = match packets.peer {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    let end = if packets.listens { "dport" } else { "sport" };
    format!(
        "iifname \"{}\" {family} saddr {} meta l4proto {{ tcp, udp }} th {end} {} accept",
        packets.interface, packets.peer, packets.port
    )
}

fn insertion(chain: &Chain, rule: &str) -> String {
    format!("insert rule {chain} {rule} comment \"{COMMENT}\"\n")
}

fn deletions(found: &[Found]) -> String {
    found.iter().fold(String::new(), |mut script, found| {
        let Found {
            family,
            table,
            chain,
            handle,
        } = found;
        let _ = writeln!(
            script,
            "delete rule {family} {table} {chain} handle {handle}"
        );
        script
    })
}

fn ours(ruleset: &Value) -> Vec<Found> {
    objects(ruleset, "rule")
        .filter(|rule| rule["comment"] == COMMENT && rule["family"] != "netdev")
        .filter_map(|rule| {
            let text = |key: &str| rule[key].as_str().map(str::to_owned);
            Some(Found {
                family: text("family")?,
                table: text("table")?,
                chain: text("chain")?,
                handle: rule["handle"].as_u64()?,
            })
        })
        .collect()
}

// Lists the rules without the elements of sets, which can be a million.
fn list() -> Result<Value, String> {
    let words = ["-j", "-a", "-t", LISTING];
    // Only stdout is read, because warnings are not JSON.
    let output = nft(&words, "", true)?;
    ruleset_of(&output).map_err(|error| format!("cannot parse the output of nft: {error}"))
}

/// Returns digests of the rules, without counters and the elements of sets.
///
/// # Errors
/// `nft` cannot list the rules.
pub(super) fn listed(names: &NodeNames) -> Result<RulesListed, String> {
    let version = nft(&["--version"], "", true)?;
    let mut listing = nft(&["-s", "-t", LISTING], "", true)?;
    listing.extend(of_netdev()?);
    let listing = String::from_utf8_lossy(&listing);
    let mut own = own_translations(&listing, &names.virtuals);
    // if the rule is gone meanwhile, its removal causes another listing
    own.retain_mut(|it| {
        let handle = handle(&it.chain, &it.rule);
        it.handle = handle.unwrap_or_default();
        handle.is_some()
    });
    Ok(RulesListed {
        by: String::from_utf8_lossy(&version).trim().to_owned(),
        digests: Some(digests(&listing, names)),
        elements: RuleDigests::new(),
        own,
    })
}

/// Lists the tables of the family netdev. Ours are left out because they have an owner: see [`LISTING`].
fn of_netdev() -> Result<Vec<u8>, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-./\\ ".contains(c);
    let names = tables(NFPROTO_NETDEV).map_err(|error| format!("cannot list tables: {error}"))?;
    let names = names.iter().map(|it| format!("netdev {it}"));
    let others = names.filter(|it| !is_foreign_table(it) && it.chars().all(is_name));
    let listings: Vec<String> = others.map(|it| format!("list table {it}")).collect();
    if listings.is_empty() {
        Ok(Vec::new())
    } else {
        nft(&["-s", "-t", &listings.join("; ")], "", true)
    }
}

/// Returns true if `nft` is installed.
pub(super) fn is_installed() -> bool {
    PATH.split(':').any(|folder| {
        let found = Path::new(folder).join("nft").metadata();
        found.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    })
}

fn handle(chain: &str, rule: &str) -> Option<u64> {
    let mut words = vec!["-s", "-t", "-a", "list", "chain"];
    words.extend(chain.split(' '));
    let listing = nft(&words, "", true).ok()?;
    handle_of(rule, &String::from_utf8_lossy(&listing))
}

fn run(script: &str) -> Result<(), String> {
    if script.is_empty() {
        return Ok(());
    }
    nft(&["-f", "-"], script, false).map(drop)
}

fn nft(words: &[&str], input: &str, only_stdout: bool) -> Result<Vec<u8>, String> {
    let argv: Vec<String> = ["nft"]
        .iter()
        .chain(words)
        .map(ToString::to_string)
        .collect();
    let ended = Child::run(
        &Program {
            argv: &argv,
            input: input.as_bytes(),
            only_stdout,
            output_max: RULESET_MAX,
            ..Program::default()
        },
        PATIENCE,
    )?;
    match (ended.code, ended.words()) {
        (Some(0), _) => Ok(ended.text),
        // `nft` runs again to get its error messages.
        _ if only_stdout => nft(words, input, false),
        (_, words) if words.is_empty() => Err("nft failed".to_owned()),
        (_, words) => Err(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_found_by_family_table_and_name() {
        let ruleset = serde_json::json!({"nftables": [{"metainfo": {}}, {"chain": {"family": "inet", "table": "filter",
            "name": "input"}}]});
        let chain = |text: &str| text.parse::<Chain>().expect("a chain");
        assert!(has_chain(&ruleset, &chain("inet filter input")));
        for other in ["inet filter output", "inet nat input", "ip filter input"] {
            assert!(!has_chain(&ruleset, &chain(other)), "{other}");
        }
    }
}
