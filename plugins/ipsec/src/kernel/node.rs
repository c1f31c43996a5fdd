//! What is this node's own: numbers of interfaces, the time of day.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use spared_netlink::Requests;

use crate::codec::{Node, Place};

pub struct Here {
    requests: Requests,
    names: HashMap<u32, String>,
    /// They were read for what is done now.
    fresh: bool,
}

impl Here {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open()?,
            names: HashMap::new(),
            fresh: false,
        })
    }

    /// Something else is done: an interface may have another number by now.
    pub fn age(&mut self) {
        self.fresh = false;
    }

    fn refresh(&mut self) {
        if std::mem::replace(&mut self.fresh, true) {
            return;
        }
        match self.requests.links() {
            Ok(links) => {
                let names = links.into_iter().map(|link| (link.index, link.name));
                self.names = names.collect();
            }
            Err(error) => log::warn!("cannot read the names of interfaces: {error}"),
        }
    }
}

impl Node for Here {
    fn interface(&mut self, index: u32) -> Option<String> {
        self.refresh();
        self.names.get(&index).cloned()
    }

    fn wall_s(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

impl Place for Here {
    fn index(&mut self, interface: &str) -> Option<u32> {
        self.refresh();
        let mut found = self.names.iter().filter(|(_, name)| *name == interface);
        found.next().map(|(index, _)| *index)
    }

    fn wall_s(&self) -> u64 {
        Node::wall_s(self)
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = RandomState::new().build_hasher().finish().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
