//! Differences between the nodes: the keys of their files, and values of the machines that must be equal.

use std::collections::BTreeMap;
use std::time::Instant;

use spared_config::keys::{flatten, scopes};
use spared_journal::Notices;
use spared_message::notice::{Kind, Notice};
use spared_verdict::MachineFacts;

use super::Pair;
use crate::node_config::NodeConfig;
use crate::peer::File;

impl Pair {
    /// Compares the files of both nodes: at the start, after a reload, and when a plugin has reported the
    /// scopes of its keys.
    pub fn compare_files(&mut self, config: &NodeConfig) {
        self.is_touched = true;
        if config.linked().is_none() {
            return;
        }
        let mut files = BTreeMap::new();
        let host = flatten(&config.setup().text, &scopes::of_host());
        files.insert("spared.toml".to_owned(), File::Keys(host));
        let plugins = config.setup().plugins.iter();
        for plugin in plugins.filter(|plugin| plugin.enabled) {
            let file = match self.scopes.get(&plugin.name) {
                Some(scopes) => {
                    let mut scopes = scopes.clone();
                    scopes.extend(scopes::of_plugins());
                    File::Keys(flatten(&plugin.text, &scopes))
                }
                None => File::Unknown,
            };
            files.insert(format!("{}.toml", plugin.name), file);
        }
        self.peer.set_files(files);
    }

    pub(super) fn tell_differences(&mut self, peer: &str, notices: &mut Notices) {
        let found = self.peer.differences();
        if self.told == found || !self.peer.is_compared() {
            return;
        }
        let found = found.to_vec();
        let told = std::mem::take(&mut self.told);
        for new in found.iter().filter(|it| !told.contains(it)) {
            let text = new.sentence(peer);
            let notice = Notice::warn(Kind::Config, text).because("differs");
            notices.record_of_peer(Instant::now(), notice);
        }
        if found.is_empty() {
            let text = format!("the configuration is the same as on {peer}");
            notices.record(Notice::new(Kind::Config, text).because("same"));
        }
        self.told = found;
    }

    /// Sets the values of this machine that must be equal on both.
    pub fn set_machine(&mut self, now: Instant, facts: MachineFacts) {
        self.peer.set_machine(now, facts);
    }

    /// Sets the names of values that may differ.
    pub fn set_ignored(&mut self, now: Instant, config: &NodeConfig) {
        let ignored = config.host().equal.ignore.iter();
        let ignored = ignored.chain(&config.by_node().tables).cloned();
        self.peer.set_ignored(now, ignored.collect());
    }
}
