//! Reasons why an input was not used.

use std::fmt;

/// Defines an enum of reasons: each with its name, which is that of its counter, and its text.
macro_rules! reasons {
    ($(#[$meta:meta])* $type:ident {
        $($(#[$doc:meta])* $reason:ident: $name:literal, $text:literal;)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$doc])* $reason,)+
        }

        impl $type {
            /// All reasons, in the order of the counters.
            pub const ALL: &[Self] = &[$(Self::$reason,)+];

            /// Returns the counter's name, which the log uses as well.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$reason => $text,)+
                })
            }
        }

        impl std::error::Error for $type {}
    };
}

reasons! {
    /// Reason why a received frame was dropped. Each reason has a counter of its own.
    Discard {
        /// Neither IPv4 nor IPv6, or not protocol 112.
        Protocol: "protocol", "not protocol 112";
        /// Shorter than its own length fields say.
        Truncated: "truncated", "truncated";
        /// An IP header that contradicts itself, or with a wrong header checksum.
        BadIpHeader: "bad_ip_header", "bad ip header";
        /// The packet is a fragment; an advert never is.
        Fragment: "fragment", "a fragment";
        /// TTL or hop limit other than 255: it came through a router.
        Ttl: "ttl", "ttl is not 255";
        /// Neither 2 nor 3, or not the configured version.
        Version: "version", "another version";
        /// The message is not an advert.
        Type: "type", "not an advert";
        /// Version 2 with a hash, or with a password that is not the configured one.
        Authentication: "authentication", "another auth_pass, or a hash of version 2";
        /// The message has no address.
        Count: "count", "no address in it";
        /// The advert interval is zero.
        Interval: "interval", "interval is zero";
        /// Neither form of the checksum matches.
        Checksum: "checksum", "wrong checksum";
        /// No virtual router with that id and family on the interface.
        UnknownVrid: "unknown_vrid", "vrid is not configured here";
        /// The source address cannot be a router's: loopback, unspecified, multicast, broadcast, or one
        /// of the virtual router's own.
        Source: "source", "no router sends from that address";
        /// This node sent it, or another one with this node's address.
        OwnSource: "own_source", "this node's own source address";
        /// The destination is neither the multicast group nor this node.
        Destination: "destination", "not sent to this node";
        /// The source address is not in `peers`.
        Foreign: "foreign", "sender is not in peers";
    }
}

reasons! {
    /// Reason why a received heartbeat was dropped. Each reason has a counter of its own.
    HeartbeatDiscard {
        /// The packet is no complete UDP packet, came through a router, or has another destination.
        Datagram: "datagram", "not a whole udp packet";
        /// The payload is no heartbeat, or has another version.
        Malformed: "malformed", "not a heartbeat of version 3";
        /// No key was agreed with its sender's run, or it is for another run.
        UnknownKey: "unknown_key", "no key was agreed with its run";
        /// The key is not confirmed: the peer has not received anything under it yet.
        Unconfirmed: "unconfirmed", "its key is not confirmed yet";
        /// The heartbeat is from another run of the peer, while the earlier run is still heard.
        SecondRun: "second_run", "another run of the peer is heard";
        /// The heartbeat confirms a number that this run has not sent: another machine uses this run.
        Ahead: "ahead", "another machine is this run";
        /// The tag is wrong: the sender does not have the key.
        Forged: "forged", "wrong tag";
        /// The heartbeat was made for another path.
        OtherPath: "other_path", "made for another path";
        /// The number and part were received on this path before.
        Replayed: "replayed", "heard before";
        /// A later one was received on this path before.
        Late: "late", "a later one came first";
        /// The heartbeat contains a group that is not configured here; its other groups count.
        UnknownGroup: "unknown_group", "a group in it is not configured here";
    }
}

impl HeartbeatDiscard {
    /// Returns true if it indicates an attacker on the path.
    pub fn is_hostile(self) -> bool {
        matches!(
            self,
            HeartbeatDiscard::Forged | HeartbeatDiscard::OtherPath | HeartbeatDiscard::Replayed
        )
    }
}
