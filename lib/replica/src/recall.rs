//! Knowledge of an earlier run of the process: its records were those of the peer.

use crate::session::Replica;
use crate::store::Store;

impl<S: Store> Replica<S> {
    /// Restores, before the first `handle_up`, knowledge of an earlier run of this process: the
    /// table was equal to the peer's of that incarnation ([`copied_incarnation`](Self::copied_incarnation)), and its
    /// records have [`Tag::recalled`](crate::Tag::recalled). While the peer's table is still in
    /// that incarnation, records that the peer deleted meanwhile are deleted here; without this
    /// call, all records are offered again.
    pub fn recall(&mut self, table: usize, incarnation: u64) {
        if let Some(table) = self.tables.get_mut(table).filter(|_| !self.channel.is_up) {
            table.shared_flags.peer_incarnation = Some(incarnation);
            table.shared_flags.are_outdated = false;
        }
    }

    /// Undoes [`recall`](Self::recall): others have changed the table since, and the peer's share of it is unknown.
    pub fn forget(&mut self, table: usize) {
        if let Some(table) = self.tables.get_mut(table) {
            (
                table.shared_flags.peer_incarnation,
                table.shared_flags.are_outdated,
            ) = (None, true);
        }
    }
}
