//! Interfaces that plugins follow, with their sockets.

use std::collections::BTreeMap;
use std::io;

use super::sockets::{Place, Sockets};

#[derive(Default)]
pub(super) struct FollowedInterfaces {
    by_name: BTreeMap<String, Followed>,
    /// Number of changes of sockets.
    generations: u64,
}

#[derive(Default)]
struct Followed {
    callers: usize,
    wanted: u32,
    sockets: Sockets,
}

impl FollowedInterfaces {
    /// Follows an interface for one more caller, with these socket sets (`SPARED_SOCKETS_*`).
    pub(super) fn follow(&mut self, name: &str, sockets: u32) {
        let followed = self.by_name.entry(name.to_owned()).or_default();
        followed.callers += 1;
        followed.wanted |= sockets;
    }

    /// Ends one [`follow`](Self::follow). Returns true if the interface is no longer followed.
    pub(super) fn unfollow(&mut self, name: &str) -> bool {
        let Some(followed) = self.by_name.get_mut(name) else {
            return false;
        };
        followed.callers -= 1;
        let is_last = followed.callers == 0;
        if is_last {
            self.by_name.remove(name);
        }
        is_last
    }

    /// Opens and closes sockets as needed. Returns true if any has changed, and the errors; None if the interface is not
    /// followed.
    pub(super) fn sync(&mut self, place: Place<'_>) -> Option<(bool, Vec<io::Error>)> {
        let followed = self.by_name.get_mut(place.name)?;
        let wanted = followed.wanted;
        Some(followed.sockets.sync(place, wanted, &mut self.generations))
    }

    /// Joins the multicast groups of an interface again.
    pub(super) fn rejoin(&mut self, name: &str) {
        if let Some(followed) = self.by_name.get_mut(name) {
            followed.sockets.rejoin();
        }
    }

    pub(super) fn rejoin_all(&mut self) {
        let followed = self.by_name.values_mut();
        followed.for_each(|it| it.sockets.rejoin());
    }

    pub(super) fn sockets(&self, name: &str) -> Option<&Sockets> {
        self.by_name.get(name).map(|it| &it.sockets)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }
}
