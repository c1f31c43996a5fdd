//! Stores the interfaces that plugins follow, and the event that each plugin was last sent.

use std::collections::BTreeMap;

use spared_contract::InterfaceEvent;

/// Maximum number of interfaces that one plugin may follow. Each may need sockets.
const INTERFACES_MAX: usize = 1024;

/// Followed interfaces, by interface and plugin.
#[derive(Debug, Default)]
pub struct Follows {
    interfaces: BTreeMap<String, BTreeMap<String, Follow>>,
}

#[derive(Debug)]
struct Follow {
    sockets: u32,
    /// Event that the plugin was last sent.
    sent: Option<InterfaceEvent>,
}

/// Part of an event that must be sent to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventPart {
    /// The plugin has this event already.
    Nothing,
    /// The plugin already has the descriptors of this generation.
    Event,
    EventAndDescriptors,
}

impl Follows {
    /// Adds a follower. Returns true if the plugin followed the interface before.
    pub fn add(&mut self, interface: &str, plugin: &str, sockets: u32) -> bool {
        let followers = self.interfaces.entry(interface.to_owned()).or_default();
        let follow = Follow {
            sockets,
            sent: None,
        };
        followers.insert(plugin.to_owned(), follow).is_some()
    }

    /// Removes a follower. Returns true if the plugin followed the interface.
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

    /// Returns true if the plugin may follow this interface, too.
    pub fn has_room(&self, interface: &str, plugin: &str) -> bool {
        let is_of = |followers: &&BTreeMap<String, Follow>| followers.contains_key(plugin);
        let others = || self.interfaces.values().filter(is_of).count();
        self.sockets(interface, plugin).is_some() || others() < INTERFACES_MAX
    }

    /// Returns the interfaces that a plugin follows.
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

    /// Returns the socket sets that a plugin requested on an interface.
    pub fn sockets(&self, interface: &str, plugin: &str) -> Option<u32> {
        Some(self.interfaces.get(interface)?.get(plugin)?.sockets)
    }

    /// Returns the part of an event that must be sent. The event then counts as sent.
    pub fn send(&mut self, interface: &str, plugin: &str, event: &InterfaceEvent) -> EventPart {
        let followers = self.interfaces.get_mut(interface);
        let Some(follow) = followers.and_then(|followers| followers.get_mut(plugin)) else {
            return EventPart::Nothing;
        };
        match follow.sent.replace(event.clone()) {
            Some(sent) if sent == *event => EventPart::Nothing,
            Some(sent) if sent.generation == event.generation => EventPart::Event,
            _ => EventPart::EventAndDescriptors,
        }
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
    fn a_plugin_that_follows_without_end_takes_no_more_than_its_share() {
        let mut follows = Follows::default();
        for number in 0..INTERFACES_MAX {
            let name = format!("if{number}");
            assert!(follows.has_room(&name, "rogue"));
            follows.add(&name, "rogue", 0);
        }
        assert!(!follows.has_room("one-more", "rogue"));
        assert!(follows.has_room("if7", "rogue"), "it follows that one");
        assert!(follows.has_room("one-more", "vrrp"));
    }

    #[test]
    fn what_a_plugin_has_does_not_travel_again() {
        let mut follows = Follows::default();
        follows.add("lan", "vrrp", 1);
        let up = InterfaceEvent {
            up: true,
            generation: 7,
            ..InterfaceEvent::default()
        };
        let down = InterfaceEvent {
            up: false,
            ..up.clone()
        };
        let reopened = InterfaceEvent {
            generation: 8,
            ..down.clone()
        };
        assert_eq!(
            follows.send("lan", "vrrp", &up),
            EventPart::EventAndDescriptors
        );
        assert_eq!(follows.send("lan", "vrrp", &up), EventPart::Nothing);
        assert_eq!(follows.send("lan", "vrrp", &down), EventPart::Event);
        assert_eq!(
            follows.send("lan", "vrrp", &reopened),
            EventPart::EventAndDescriptors
        );
        assert_eq!(follows.send("lan", "stranger", &up), EventPart::Nothing);
    }
}
