//! Makes TCP tracking of this node's own flows liberal, as that of copies is: the kernel then accepts packets outside
//! its windows, which stand still while the packets take the other router.

use super::walk_queue::Due;
use super::{Engine, How};
use crate::flow::Flow;

/// Number of TCP's state.
const ESTABLISHED: u8 = 3;

impl Engine {
    pub(super) fn begin_loosening(&mut self) {
        self.walks.request(Due::Loosen);
    }

    /// Makes one flow of the kernel's own table liberal: if its packets return after they took the other router, its
    /// windows would appear wrong.
    pub(super) fn loosen(&mut self, flow: &Flow) {
        // unknown flows too, since a new peer may have come meanwhile
        if self.filter.admits(flow) && flow.tcp.is_some_and(|tcp| !tcp.is_liberal()) {
            self.write(How::Loosen, flow.clone(), 0);
        }
    }

    pub(super) fn end_loosen(&mut self, now_ns: u64, complete: bool) {
        if !complete {
            self.walks.request(Due::Loosen);
        }
        self.update_synchrony(now_ns);
    }

    /// Makes TCP tracking liberal while both nodes are active, since packets may take the other router at any time.
    pub(super) fn loosen_shared(&mut self, flow: &Flow) {
        if self.is_shared() {
            self.loosen(flow);
        }
    }

    /// Makes TCP tracking liberal early: packets may take the other router at any time, which does not know the
    /// windows.
    pub(super) fn loosen_early(&mut self, flow: &Flow) {
        let is_strict = flow
            .tcp
            .is_some_and(|tcp| tcp.state == ESTABLISHED && !tcp.is_liberal());
        if is_strict && self.is_shared() {
            self.write(How::Loosen, flow.clone(), 0);
        }
    }
}
