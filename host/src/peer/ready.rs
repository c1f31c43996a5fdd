//! Ready (E11): what is missing for this node to take over without a loss, a sentence each.

use spared_control::Difference;

/// What readiness hangs on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairState {
    /// The other node's name.
    pub peer: String,
    /// None while a link is up, else why none is.
    pub link_down: Option<String>,
    pub plugins: Vec<Plugin>,
    /// Keys that must be equal, or the two are no pair, and are not.
    pub mismatches: Vec<Difference>,
    pub quality: u8,
    /// Groups that an administrator forced, and where to.
    pub forced: Vec<(String, &'static str)>,
    pub maintenance: bool,
}

/// A plugin that has to do with a failover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugin {
    pub name: String,
    pub runs: bool,
    /// It speaks with its peer over a channel.
    pub has_channel: bool,
    /// Why the peers do not speak with each other.
    pub refused: Option<String>,
    /// The channel is up.
    pub has_peer: bool,
    /// What it last said of its synchrony, and why.
    pub in_sync: Option<(bool, String)>,
}

impl Plugin {
    /// It has a peer and does not hold yet what that holds.
    pub fn is_behind(&self) -> bool {
        let in_sync = self.in_sync.as_ref().is_some_and(|(yes, _)| *yes);
        self.runs && self.has_channel && self.has_peer && !in_sync
    }

    fn missing(&self, peer: &str, link_is_up: bool) -> Option<String> {
        let name = &self.name;
        if !self.runs {
            return Some(format!("{name} is not running"));
        }
        if !self.has_channel || !link_is_up {
            return None;
        }
        if let Some(why) = &self.refused {
            return Some(match why.starts_with(name.as_str()) {
                true => why.clone(),
                false => format!("{name}: {why}"),
            });
        }
        if !self.has_peer {
            return Some(format!("{name} does not hear its peer on {peer}"));
        }
        if !self.is_behind() {
            return None;
        }
        let why = self.in_sync.as_ref().map_or("", |(_, why)| why.as_str());
        Some(match why {
            "" => format!("{name} is not yet in sync"),
            why => format!("{name} is not yet in sync ({why})"),
        })
    }
}

/// Empty: ready.
pub fn missing(facts: &PairState) -> Vec<String> {
    let peer = &facts.peer;
    let link = facts.link_down.as_ref();
    let link = link.map(|why| match why.as_str() {
        "" => format!("no link to {peer} is up"),
        why => format!("no link to {peer} is up: {why}"),
    });
    let maintenance = facts.maintenance.then(|| "it is in maintenance".to_owned());
    let quality = (facts.quality == 0).then(|| "its quality is 0".to_owned());
    let forced = facts.forced.iter();
    let forced = forced.map(|(group, role)| format!("{group} is forced {role} on it"));
    let link_is_up = facts.link_down.is_none();
    let plugins = facts.plugins.iter();
    let plugins = plugins.filter_map(|plugin| plugin.missing(peer, link_is_up));
    let mismatches = facts.mismatches.iter();
    let mismatches = mismatches.map(|found| found.sentence(peer));
    maintenance
        .into_iter()
        .chain(forced)
        .chain(quality)
        .chain(link)
        .chain(plugins)
        .chain(mismatches)
        .collect()
}

/// Whether two nodes that differ in this are no pair: groups, VRIDs, addresses.
pub fn is_mismatch(found: &Difference) -> bool {
    let key = found.key.as_str();
    match key.rsplit_once(": ") {
        Some((_, last)) => ["name", "vrid", "addresses"].contains(&last),
        // a whole group, router or address that only one node has
        None => {
            let words = key.split(" \"").next().unwrap_or(key);
            let last = key.rsplit_once(" \"").map_or(key, |(above, _)| above);
            let last = last.rsplit(' ').next().unwrap_or(last);
            words == "group" && ["group", "interface", "address"].contains(&last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str) -> Plugin {
        Plugin {
            name: name.to_owned(),
            runs: true,
            has_channel: true,
            refused: None,
            has_peer: true,
            in_sync: Some((true, String::new())),
        }
    }

    fn facts() -> PairState {
        PairState {
            peer: "r2".to_owned(),
            plugins: vec![plugin("conntrack")],
            quality: 100,
            ..PairState::default()
        }
    }

    fn said_of(plugin: Plugin) -> Vec<String> {
        missing(&PairState {
            plugins: vec![plugin],
            ..facts()
        })
    }

    #[test]
    fn a_node_that_lacks_nothing_is_ready() {
        assert_eq!(missing(&facts()), [""; 0]);
        let alone = Plugin {
            has_channel: false,
            has_peer: false,
            in_sync: None,
            ..plugin("health")
        };
        assert_eq!(said_of(alone), [""; 0]);
    }

    #[test]
    fn each_missing_part_is_a_sentence() {
        let difference = Difference {
            file: "vrrp.toml".to_owned(),
            key: "group \"office\" interface \"lan2\": vrid".to_owned(),
            here: Some("50".to_owned()),
            there: None,
        };
        let found = missing(&PairState {
            link_down: Some("nothing was heard for 900 ms".to_owned()),
            mismatches: vec![difference],
            quality: 0,
            forced: vec![("office".to_owned(), "backup")],
            maintenance: true,
            plugins: vec![Plugin {
                runs: false,
                ..plugin("dhcp")
            }],
            ..facts()
        });
        assert_eq!(
            found,
            [
                "it is in maintenance",
                "office is forced backup on it",
                "its quality is 0",
                "no link to r2 is up: nothing was heard for 900 ms",
                "dhcp is not running",
                "vrrp.toml: group \"office\" interface \"lan2\": vrid: here 50, r2 absent",
            ]
        );
    }

    #[test]
    fn a_plugin_with_a_channel_must_say_that_it_is_in_sync() {
        let silent = Plugin {
            in_sync: None,
            ..plugin("conntrack")
        };
        assert!(silent.is_behind());
        assert_eq!(said_of(silent), ["conntrack is not yet in sync"]);
        let behind = Plugin {
            in_sync: Some((false, "61 %".to_owned())),
            ..plugin("conntrack")
        };
        assert_eq!(said_of(behind), ["conntrack is not yet in sync (61 %)"]);
    }

    #[test]
    fn peers_that_do_not_speak_are_missing_but_join_nobody() {
        let refused = Plugin {
            refused: Some("here wire 1, r2 has 2 to 3".to_owned()),
            has_peer: false,
            in_sync: None,
            ..plugin("conntrack")
        };
        assert!(!refused.is_behind());
        assert_eq!(said_of(refused), ["conntrack: here wire 1, r2 has 2 to 3"]);
        let lonely = Plugin {
            has_peer: false,
            ..plugin("conntrack")
        };
        assert_eq!(said_of(lonely), ["conntrack does not hear its peer on r2"]);
    }

    #[test]
    fn names_ids_and_addresses_make_a_pair() {
        let is = |key: &str| {
            is_mismatch(&Difference {
                key: key.to_owned(),
                ..Difference::default()
            })
        };
        assert!(is("group \"office\": name"));
        assert!(is("group \"office\" interface \"lan2\": vrid"));
        assert!(is("group \"office\" address \"wan1\": addresses"));
        assert!(is("group \"office\""));
        assert!(is("group \"office\" interface \"lan2\""));
        assert!(!is("group \"office\": advert_interval"));
        assert!(!is("group \"office\" track \"lan2\""));
        assert!(!is("unit \"router\""));
        assert!(!is("after"));
    }
}
