//! Reasons why an input was not used.

use std::fmt;

/// Reason why a received frame was dropped. Each reason has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Neither IPv4 nor IPv6, or not protocol 112.
    Protocol,
    /// Shorter than its own length fields say.
    Truncated,
    /// An IP header that contradicts itself, or with a wrong header checksum.
    BadIpHeader,
    /// The packet is a fragment; an advert never is.
    Fragment,
    /// TTL or hop limit other than 255: it came through a router.
    Ttl,
    /// Neither 2 nor 3, or not the configured version.
    Version,
    /// The message is not an advert.
    Type,
    /// Version 2 with a password or a hash, which RFC 3768 abolished.
    Authentication,
    /// The message has no address.
    Count,
    /// The advert interval is zero.
    Interval,
    /// Neither form of the checksum matches.
    Checksum,
    /// No virtual router with that id and family on the interface.
    UnknownVrid,
    /// The source address cannot be a router's: loopback, unspecified, multicast, broadcast, or one
    /// of the virtual router's own.
    Source,
    /// This node sent it, or another one with this node's address.
    OwnSource,
    /// The destination is neither the multicast group nor this node.
    Destination,
    /// The source address is not in `peers`.
    Foreign,
}

impl Discard {
    /// All reasons, in the order of the counters.
    pub const ALL: [Discard; 16] = [
        Discard::Protocol,
        Discard::Truncated,
        Discard::BadIpHeader,
        Discard::Fragment,
        Discard::Ttl,
        Discard::Version,
        Discard::Type,
        Discard::Authentication,
        Discard::Count,
        Discard::Interval,
        Discard::Checksum,
        Discard::UnknownVrid,
        Discard::Source,
        Discard::OwnSource,
        Discard::Destination,
        Discard::Foreign,
    ];

    /// Returns the counter's name, which the log uses as well.
    pub fn name(self) -> &'static str {
        match self {
            Discard::Protocol => "protocol",
            Discard::Truncated => "truncated",
            Discard::BadIpHeader => "bad_ip_header",
            Discard::Fragment => "fragment",
            Discard::Ttl => "ttl",
            Discard::Version => "version",
            Discard::Type => "type",
            Discard::Authentication => "authentication",
            Discard::Count => "count",
            Discard::Interval => "interval",
            Discard::Checksum => "checksum",
            Discard::UnknownVrid => "unknown_vrid",
            Discard::Source => "source",
            Discard::OwnSource => "own_source",
            Discard::Destination => "destination",
            Discard::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Discard::Protocol => "not protocol 112",
            Discard::Truncated => "truncated",
            Discard::BadIpHeader => "bad ip header",
            Discard::Fragment => "a fragment",
            Discard::Ttl => "ttl is not 255",
            Discard::Version => "another version",
            Discard::Type => "not an advert",
            Discard::Authentication => "version 2 authentication is not supported",
            Discard::Count => "no address in it",
            Discard::Interval => "interval is zero",
            Discard::Checksum => "wrong checksum",
            Discard::UnknownVrid => "vrid is not configured here",
            Discard::Source => "no router sends from that address",
            Discard::OwnSource => "this node's own source address",
            Discard::Destination => "not sent to this node",
            Discard::Foreign => "sender is not in peers",
        })
    }
}

impl std::error::Error for Discard {}

/// Reason why a received heartbeat was dropped. Each reason has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeartbeatDiscard {
    /// The packet is no complete UDP packet, came through a router, or has another destination.
    Datagram,
    /// The payload is no heartbeat, or has another version.
    Malformed,
    /// No key was agreed with its sender's run, or it is for another run.
    UnknownKey,
    /// The key is not confirmed: the peer has not received anything under it yet.
    Unconfirmed,
    /// The heartbeat is from another run of the peer, while the earlier run is still heard.
    SecondRun,
    /// The heartbeat confirms a number that this run has not sent: another machine uses this run.
    Ahead,
    /// The tag is wrong: the sender does not have the key.
    Forged,
    /// The heartbeat was made for another path.
    OtherPath,
    /// The number and part were received on this path before.
    Replayed,
    /// A later one was received on this path before.
    Late,
    /// The heartbeat contains a group that is not configured here; its other groups count.
    UnknownGroup,
}

impl HeartbeatDiscard {
    /// All reasons, in the order of the counters.
    pub const ALL: [HeartbeatDiscard; 11] = [
        HeartbeatDiscard::Datagram,
        HeartbeatDiscard::Malformed,
        HeartbeatDiscard::UnknownKey,
        HeartbeatDiscard::Unconfirmed,
        HeartbeatDiscard::SecondRun,
        HeartbeatDiscard::Ahead,
        HeartbeatDiscard::Forged,
        HeartbeatDiscard::OtherPath,
        HeartbeatDiscard::Replayed,
        HeartbeatDiscard::Late,
        HeartbeatDiscard::UnknownGroup,
    ];

    /// Returns the counter's name.
    pub fn name(self) -> &'static str {
        match self {
            HeartbeatDiscard::Datagram => "datagram",
            HeartbeatDiscard::Malformed => "malformed",
            HeartbeatDiscard::UnknownKey => "unknown_key",
            HeartbeatDiscard::Unconfirmed => "unconfirmed",
            HeartbeatDiscard::SecondRun => "second_run",
            HeartbeatDiscard::Ahead => "ahead",
            HeartbeatDiscard::Forged => "forged",
            HeartbeatDiscard::OtherPath => "other_path",
            HeartbeatDiscard::Replayed => "replayed",
            HeartbeatDiscard::Late => "late",
            HeartbeatDiscard::UnknownGroup => "unknown_group",
        }
    }

    /// Returns true if it indicates an attacker on the path.
    pub fn is_hostile(self) -> bool {
        matches!(
            self,
            HeartbeatDiscard::Forged | HeartbeatDiscard::OtherPath | HeartbeatDiscard::Replayed
        )
    }
}

impl fmt::Display for HeartbeatDiscard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeartbeatDiscard::Datagram => "not a whole udp packet",
            HeartbeatDiscard::Malformed => "not a heartbeat of version 3",
            HeartbeatDiscard::UnknownKey => "no key was agreed with its run",
            HeartbeatDiscard::Unconfirmed => "its key is not confirmed yet",
            HeartbeatDiscard::SecondRun => "another run of the peer is heard",
            HeartbeatDiscard::Ahead => "another machine is this run",
            HeartbeatDiscard::Forged => "wrong tag",
            HeartbeatDiscard::OtherPath => "made for another path",
            HeartbeatDiscard::Replayed => "heard before",
            HeartbeatDiscard::Late => "a later one came first",
            HeartbeatDiscard::UnknownGroup => "a group in it is not configured here",
        })
    }
}

impl std::error::Error for HeartbeatDiscard {}
