//! Two nodes with nothing but cables between them: one for the lan, and two for the link.

use std::time::Duration;

use spared_key::{PrivateKey, public_text};
use spared_tests::clock::poll;

use super::{Node, SOON};

const CABLES: [&str; 3] = ["lan", "hot", "hot2"];

pub const HOT: &str = "[[link]]\ninterface = \"hot\"\n\
     address = { r1 = \"192.168.180.2/24\", r2 = \"192.168.180.3/24\" }\n";
pub const HOT2: &str = "[[link]]\ninterface = \"hot2\"\n\
     address = { r1 = \"fd08::2/127\", r2 = \"fd08::3/127\" }\n";

pub fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed([number; 32])
}

/// Text of [nodes] in which r1 has key 1 and r2 key 2.
pub fn keyed() -> String {
    let [one, two] = [1, 2].map(|number| public_text(&key(number).public()));
    format!("[nodes]\nr1.public_key = \"{one}\"\nr2.public_key = \"{two}\"\n")
}

/// The nodes r1, which listens, and r2.
pub struct Pair {
    pub r1: Node,
    pub r2: Node,
}

impl Pair {
    /// Creates the pair; None, with the reason printed, if this user may not create namespaces.
    pub fn new() -> Option<Self> {
        let pair = Self {
            r1: Node::new("r1")?,
            r2: Node::new("r2")?,
        };
        for cable in CABLES {
            let ([r1, r2], name) = (pair.nodes(), cable);
            r1.namespace.add_cable(name, &r2.namespace, name).unwrap();
        }
        for (number, node) in (1..).zip(pair.nodes()) {
            for cable in CABLES {
                node.ip(&format!("link set {cable} up"));
            }
            node.ip(&format!("addr add 10.9.0.{}/24 dev lan", number + 1));
            node.write_secret("key", &key(number).to_text());
        }
        Some(pair)
    }

    pub fn nodes(&self) -> [&Node; 2] {
        [&self.r1, &self.r2]
    }

    /// Writes the same spared.toml for both nodes, except for the node's name.
    pub fn write_config(&self, text: &str) {
        for node in self.nodes() {
            node.write_config(text);
        }
    }

    /// Installs a plugin with the same file on both nodes.
    pub fn enable(&self, plugin: &str, text: &str) {
        for node in self.nodes() {
            node.enable(plugin, text);
        }
    }

    /// Starts both nodes with this spared.toml.
    pub fn start(&mut self, text: &str) {
        self.write_config(text);
        self.r1.start();
        self.r2.start();
    }

    /// Waits until both nodes report this state of the path.
    pub fn wait_for_link(&self, interface: &str, state: &str) {
        for node in self.nodes() {
            self.wait(&format!("link {interface} {state}"), || {
                node.link(interface).state == state
            });
        }
    }

    /// Waits for something that concerns both nodes. A failure prints the logs of both.
    pub fn wait(&self, what: &str, done: impl FnMut() -> bool) {
        let said = || {
            self.nodes()
                .map(|node| format!("{}\n{}", node.name, node.log()))
        };
        assert!(
            poll(SOON, Duration::from_millis(20), done),
            "waited in vain for {what}\n{}",
            said().concat()
        );
    }
}
