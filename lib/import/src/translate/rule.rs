//! Entries of `virtual_rules`.

use std::fmt::Write;

use spared_config_reader::{IpNet, Mark, toml_text};

use super::address::{address, is_device};
use super::route::{device, of_both, read, without_device};
use super::taken::{Once, Selector, Taken};
use super::{Both, Translation};
use crate::toml::{Each, each};
use crate::tree::Statement;

/// Priority above that of the first rule that has none, for each family, as in keepalived.
pub const PRIORITY: u32 = 16_385;
/// Words before a priority.
const NUMBERS: [&str; 3] = ["priority", "preference", "order"];
const NUMBERED: &str =
    "keepalived gives such rules of each family numbers from 16384 downwards, and so do the files";
const NUMBERED_TODO: &str =
    "nothing, unless `static_rules` has rules without a priority: these count in keepalived, too";

#[derive(Default)]
struct Rule {
    is_ipv6: bool,
    from: Option<IpNet>,
    to: Option<IpNet>,
    mark: Option<Mark>,
    /// Mark as it was written.
    mark_text: String,
    table: Option<u32>,
    priority: Option<u32>,
}

impl Rule {
    /// False if it mixes families, or has a number that no rule has.
    fn fits(&self) -> bool {
        let mut networks = [self.from, self.to].into_iter().flatten();
        networks.all(|it| it.addr().is_ipv6() == self.is_ipv6)
            && self.priority.is_none_or(|it| it > 0)
            && self.table.is_some_and(|it| it > 0)
    }
}

impl Translation<'_> {
    /// `[[group.rule]]` of an instance.
    pub(super) fn rules(&mut self, both: &Both<'_>, taken: &mut Taken) -> String {
        let mut text = String::new();
        for entry in self.entries(both, without_device) {
            let interfaces = [&["iif", "dev"][..], &["oif"]]
                .map(|names| of_both(entry.map(|it| it.and_then(|it| device(it, names)))));
            let mut named = interfaces.iter().flatten().flatten();
            let is_named = named.all(|it| is_device(it));
            if let Some(rule) = self.rule(&entry, is_named) {
                self.write_rule(&mut text, &entry, &rule, &interfaces, taken);
            }
        }
        text
    }

    fn rule(&mut self, entry: &Both<'_>, is_named: bool) -> Option<Rule> {
        let statement = entry[0].or(entry[1])?;
        let mut rule = Rule::default();
        let mut words = statement.words.iter().map(String::as_str);
        let has_family = words.clone().any(|it| matches!(it, "inet" | "inet6"));
        while let Some(word) = words.next() {
            let is_read = match word {
                "pref" => {
                    self.dropped(entry, "`pref` is no word of keepalived");
                    return None;
                }
                "from" | "to" => {
                    let value = words.next().unwrap_or_default();
                    // keepalived refuses these words behind a family
                    let is_any = matches!(value, "all" | "any" | "default") && !has_family;
                    if address(value).is_none() && !is_any {
                        self.dropped(entry, &format!("{value} is no address"));
                        return None;
                    }
                    let net = if word == "from" {
                        &mut rule.from
                    } else {
                        &mut rule.to
                    };
                    let is_first = net.is_none();
                    // the kernel refuses host bits
                    *net = address(value).map(|it| it.trunc());
                    is_first
                }
                "fwmark" => {
                    let value = words.next();
                    rule.mark_text = value.unwrap_or_default().to_owned();
                    read(&mut rule.mark, value)
                }
                "table" | "lookup" => {
                    rule.table = Some(self.table(entry, words.next().unwrap_or_default())?);
                    true
                }
                word if NUMBERS.contains(&word) => read(&mut rule.priority, words.next()),
                "inet6" => {
                    rule.is_ipv6 = true;
                    true
                }
                "iif" | "dev" | "oif" => words.next().is_some(),
                // a rule counts for no role
                "inet" | "no_track" => true,
                _ => false,
            };
            if !is_read {
                self.count_number(statement);
                return self.no_rule(entry);
            }
        }
        let mut networks = [rule.from, rule.to].into_iter().flatten();
        rule.is_ipv6 |= networks.any(|it| it.addr().is_ipv6());
        if rule.priority.is_none() {
            rule.priority = Some(self.number_of_rule(rule.is_ipv6));
            self.advise_on(entry, "a rule without a priority", NUMBERED, NUMBERED_TODO);
        }
        if is_named && rule.fits() {
            Some(rule)
        } else {
            self.no_rule(entry)
        }
    }

    /// Number that keepalived gives to a rule without one.
    fn number_of_rule(&mut self, is_ipv6: bool) -> u32 {
        let next = &mut self.next_priority[usize::from(is_ipv6)];
        *next = next.saturating_sub(1);
        *next
    }

    /// Counts a rule that is in no file, but has such a number in keepalived.
    fn count_number(&mut self, statement: &Statement) {
        let is_numbered = statement
            .words
            .iter()
            .any(|it| NUMBERS.contains(&it.as_str()));
        if !is_numbered {
            let mut networks = statement.words.iter().filter_map(|it| address(it));
            let is_ipv6 = networks.any(|it| it.addr().is_ipv6());
            self.number_of_rule(is_ipv6 || statement.words.iter().any(|it| it == "inet6"));
        }
    }

    /// Lists a rule that keepalived drops itself.
    fn dropped(&mut self, entry: &Both<'_>, reason: &str) {
        let why = format!("{reason}: keepalived drops the rule, and it is not in the files");
        self.list_both(
            entry,
            &why,
            "take it out, or correct it on both nodes and import again",
        );
    }

    fn no_rule(&mut self, entry: &Both<'_>) -> Option<Rule> {
        let why = "a rule has from, to, fwmark, iif, oif, table and priority only";
        let todo = "add it by a hook in active.d, and remove it in backup.d";
        self.list_both(entry, why, todo);
        None
    }

    fn write_rule(
        &mut self,
        text: &mut String,
        entry: &Both<'_>,
        rule: &Rule,
        interfaces: &[Option<Each<String>>; 2],
        taken: &mut Taken,
    ) {
        let [table, priority] = [rule.table, rule.priority].map(Option::unwrap_or_default);
        let narrower = |net: Option<IpNet>| net.filter(|it| it.prefix_len() > 0);
        let once = [0, 1].map(|node| {
            let interface = |it: &Option<Each<String>>| it.as_ref().map(|it| it[node].clone());
            Once::Rule(Selector {
                is_ipv6: rule.is_ipv6,
                networks: [rule.from, rule.to].map(narrower),
                mark: rule.mark,
                interfaces: interfaces.each_ref().map(interface),
                table,
                priority,
            })
        });
        if !taken.take(&self.taken, once) {
            let why = "the rule is there already: whoever leaves its role first would take it away from the other";
            let todo = "write it into one instance, or give the second a `priority` of its own";
            self.list_both(entry, why, todo);
            return;
        }
        *text += "\n[[group.rule]]\n";
        for (key, net) in [("from", rule.from), ("to", rule.to)] {
            if let Some(net) = net {
                let _ = writeln!(text, "{key} = \"{net}\"");
            }
        }
        if rule.is_ipv6 && rule.from.or(rule.to).is_none() {
            *text += "family = \"ipv6\"\n";
        }
        if rule.mark.is_some() {
            let _ = writeln!(text, "fwmark = {}", toml_text(&rule.mark_text));
        }
        for (key, names) in ["iif", "oif"].iter().zip(interfaces) {
            if let Some(names) = names {
                let names = names.each_ref().map(|it| toml_text(it));
                let _ = writeln!(text, "{key} = {}", each(self.nodes, &names));
            }
        }
        let _ = write!(text, "table = {table}\npriority = {priority}\n");
    }
}
