//! Values of this node: interface numbers, the time of day.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use spared_netlink::Requests;

use crate::codec::{ReadContext, WriteContext};

pub struct KernelContext {
    requests: Requests,
    names: HashMap<u32, String>,
    /// The interfaces were read for the present operation.
    is_current: bool,
    /// Time of day at the present operation: thousands of SAs need not read it one by one.
    wall_s: Option<u64>,
}

impl KernelContext {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open()?,
            names: HashMap::new(),
            is_current: false,
            wall_s: None,
        })
    }

    /// Discards the values for the next operation: an interface may have another number by then,
    /// and it is later.
    pub fn discard(&mut self) {
        self.is_current = false;
        self.wall_s = None;
    }

    fn wall_s(&mut self) -> u64 {
        *self.wall_s.get_or_insert_with(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_secs())
        })
    }

    fn refresh(&mut self) {
        if std::mem::replace(&mut self.is_current, true) {
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

impl ReadContext for KernelContext {
    fn interface(&mut self, index: u32) -> Option<String> {
        self.refresh();
        self.names.get(&index).cloned()
    }

    fn wall_s(&mut self) -> u64 {
        self.wall_s()
    }
}

impl WriteContext for KernelContext {
    fn index(&mut self, interface: &str) -> Option<u32> {
        self.refresh();
        let mut found = self.names.iter().filter(|(_, name)| *name == interface);
        found.next().map(|(index, _)| *index)
    }

    fn wall_s(&mut self) -> u64 {
        self.wall_s()
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = RandomState::new().build_hasher().finish().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
