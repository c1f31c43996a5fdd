//! Which plugin follows which interface, and what it has been sent of it.

use std::collections::BTreeMap;

/// By interface, then by plugin.
#[derive(Debug, Default)]
pub struct Follows {
    interfaces: BTreeMap<String, BTreeMap<String, Follow>>,
}

#[derive(Debug)]
struct Follow {
    sockets: u32,
    /// The opening of the sockets whose descriptors the plugin has.
    sent: Option<u64>,
}

impl Follows {
    /// True where the plugin followed the interface before.
    pub fn add(&mut self, interface: &str, plugin: &str, sockets: u32) -> bool {
        let followers = self.interfaces.entry(interface.to_owned()).or_default();
        let follow = Follow {
            sockets,
            sent: None,
        };
        followers.insert(plugin.to_owned(), follow).is_some()
    }

    /// True where the plugin followed the interface.
    pub fn remove(&mut self, interface: &str, plugin: &str) -> bool {
        let Some(followers) = self.interfaces.get_mut(interface) else {
            return false;
        };
        let known = followers.remove(plugin).is_some();
        if followers.is_empty() {
            self.interfaces.remove(interface);
        }
        known
    }

    /// The interfaces that a plugin follows.
    pub fn of(&self, plugin: &str) -> Vec<String> {
        self.interfaces
            .iter()
            .filter(|(_, followers)| followers.contains_key(plugin))
            .map(|(interface, _)| interface.clone())
            .collect()
    }

    pub fn followers(&self, interface: &str) -> Vec<String> {
        let followers = self.interfaces.get(interface);
        followers
            .map(|followers| followers.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The sockets that a plugin asked for on an interface.
    pub fn sockets(&self, interface: &str, plugin: &str) -> Option<u32> {
        Some(self.interfaces.get(interface)?.get(plugin)?.sockets)
    }

    /// Whether the descriptors of this opening must travel; from now on the plugin has them.
    pub fn must_send(&mut self, interface: &str, plugin: &str, generation: u64) -> bool {
        let followers = self.interfaces.get_mut(interface);
        let Some(follow) = followers.and_then(|followers| followers.get_mut(plugin)) else {
            return false;
        };
        follow.sent.replace(generation) != Some(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_followed_by_each_plugin_once() {
        let mut follows = Follows::default();
        assert!(!follows.add("lan", "vrrp", 1));
        assert!(!follows.add("lan", "health", 0));
        assert!(follows.add("lan", "health", 4));
        assert_eq!(follows.sockets("lan", "health"), Some(4));
        assert!(follows.remove("lan", "vrrp"));
        assert!(!follows.remove("lan", "vrrp"));
        assert_eq!(follows.followers("lan"), ["health"]);
        assert_eq!(follows.of("vrrp"), [""; 0]);
    }

    #[test]
    fn descriptors_travel_once_per_opening() {
        let mut follows = Follows::default();
        follows.add("lan", "vrrp", 1);
        assert!(follows.must_send("lan", "vrrp", 7));
        assert!(!follows.must_send("lan", "vrrp", 7));
        assert!(follows.must_send("lan", "vrrp", 8));
        assert!(!follows.must_send("lan", "stranger", 8));
    }
}
