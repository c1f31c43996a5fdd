//! Defines the origin of a request, and what it may request.

use spared_message::control::Request;

/// User id that no account has.
const NOBODY: u32 = u32::MAX;

/// Origin of a request: the user id that the kernel reports, or the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    /// True for root, and for the user who runs the host.
    is_root: bool,
    /// Name of the peer that relays the request, for a user whom it has authorised.
    node: Option<String>,
}

impl Caller {
    /// Makes a caller on this node. `own` is the user who runs the host.
    pub fn here(uid: u32, own: u32) -> Self {
        let is_root = uid == 0 || uid == own;
        Self {
            uid,
            is_root,
            node: None,
        }
    }

    /// Makes a caller that may only read: a plugin that asks for documents.
    pub fn reader() -> Self {
        Self {
            uid: NOBODY,
            is_root: false,
            node: None,
        }
    }

    /// Makes a caller over the link. Fewer requests are allowed there, for every user.
    pub fn over_link(node: &str) -> Self {
        Self {
            uid: 0,
            is_root: true,
            node: Some(node.to_owned()),
        }
    }

    /// Returns true if the caller may send the request. Root and the user who runs the host may send all requests,
    /// others only read-only ones. Verbs of plugins are checked later, by [`may_change`](Self::may_change).
    pub fn may(&self, request: &Request) -> bool {
        match request {
            _ if self.is_root => true,
            Request::Node { request, .. } => Self::is_read_only(request),
            request => Self::is_read_only(request),
        }
    }

    /// Returns true if the caller may use verbs of plugins that change something.
    pub fn may_change(&self) -> bool {
        self.node.is_none() && self.is_root
    }

    /// Returns true if the caller is on this node.
    pub fn is_here(&self) -> bool {
        self.node.is_none()
    }

    /// Returns true for read-only requests. Verbs of plugins are allowed too, as they are checked later.
    pub fn is_read_only(request: &Request) -> bool {
        matches!(
            request,
            Request::Status
                | Request::OwnStatus
                | Request::Metrics
                | Request::Why { .. }
                | Request::History(_)
                | Request::OwnHistory(_)
                | Request::Events { .. }
                | Request::Plugins
                | Request::Plugin { .. }
        )
    }

    /// Returns true if a request may be sent across the link.
    pub fn may_cross_link(request: &Request) -> bool {
        let is_ours = matches!(
            request,
            Request::Switch { .. }
                | Request::Arm
                | Request::Confirm
                | Request::TakeBack
                | Request::Restart
                | Request::OwnReport { .. }
        );
        is_ours || Self::is_read_only(request)
    }

    /// Returns the name for events: "root", "user 1000", or "a user on r2".
    pub fn name(&self) -> String {
        match (&self.node, self.uid) {
            (Some(node), _) => format!("a user on {node}"),
            (None, 0) => "root".to_owned(),
            (None, uid) => format!("user {uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_and_some_orders_cross_the_link() {
        let switch = Request::Switch {
            group: None,
            to: None,
            anyway: false,
        };
        assert!(Caller::may_cross_link(&switch) && Caller::may_cross_link(&Request::Status));
        assert!(Caller::may_cross_link(&Request::OwnReport { from: 0 }));
        for order in [
            Request::Arm,
            Request::Confirm,
            Request::TakeBack,
            Request::Restart,
        ] {
            assert!(Caller::may_cross_link(&order) && !Caller::is_read_only(&order));
        }
        assert!(!Caller::may_cross_link(&Request::Reload { anyway: false }));
        assert!(!Caller::may_cross_link(&Request::Freeze { for_ms: 1 }));
        let request = Box::new(Request::Status);
        let node = "r1".to_owned();
        assert!(!Caller::may_cross_link(&Request::Node { node, request }));
    }
}
