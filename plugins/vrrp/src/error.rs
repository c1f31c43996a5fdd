//! Why something from outside was not used, by whose fault it is.

use std::fmt;

/// Why a received frame was dropped. Each reason has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Neither IPv4 nor IPv6, or not protocol 112.
    Protocol,
    /// Shorter than its own length fields say.
    Truncated,
    /// An IP header that contradicts itself, or with a wrong header checksum.
    BadIpHeader,
    /// A fragment: an advert never is one.
    Fragment,
    /// TTL or hop limit other than 255: it came through a router.
    Ttl,
    /// Neither 2 nor 3, or not the configured version.
    Version,
    /// Not an advert.
    Type,
    /// Version 2 with a password or a hash, which RFC 3768 abolished.
    Authentication,
    /// No address in it.
    Count,
    /// An advert interval of zero.
    Interval,
    /// Neither form of the checksum fits.
    Checksum,
    /// No virtual router with that id and family on the interface.
    UnknownVrid,
    /// Sent by this node, or by another one that has its address.
    OwnSource,
    /// Not to the multicast group, or not to this node.
    Destination,
    /// From an address that is not in `peers`.
    Foreign,
}

impl Discard {
    /// Every reason, in the order of the counters.
    pub const ALL: [Discard; 15] = [
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
        Discard::OwnSource,
        Discard::Destination,
        Discard::Foreign,
    ];

    /// The counter's name, and the log's word.
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
            Discard::OwnSource => "this node's own source address",
            Discard::Destination => "not sent to this node",
            Discard::Foreign => "sender is not in peers",
        })
    }
}

impl std::error::Error for Discard {}

/// Why a received beat was dropped. Each reason has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeatDiscard {
    /// Not a whole UDP packet.
    Datagram,
    /// No beat, or one of another version.
    Malformed,
    /// Under a key that the twin has not sent, or no longer uses.
    UnknownKey,
    /// The tag is wrong: whoever sent it does not have the key.
    Forged,
    /// Made for another link.
    OtherLink,
    /// Its sequence number was heard on this link before.
    Replayed,
    /// A later one was heard on this link before.
    Late,
    /// Of a group that is not configured here.
    UnknownGroup,
}

impl BeatDiscard {
    /// Every reason, in the order of the counters.
    pub const ALL: [BeatDiscard; 8] = [
        BeatDiscard::Datagram,
        BeatDiscard::Malformed,
        BeatDiscard::UnknownKey,
        BeatDiscard::Forged,
        BeatDiscard::OtherLink,
        BeatDiscard::Replayed,
        BeatDiscard::Late,
        BeatDiscard::UnknownGroup,
    ];

    /// The counter's name.
    pub fn name(self) -> &'static str {
        match self {
            BeatDiscard::Datagram => "datagram",
            BeatDiscard::Malformed => "malformed",
            BeatDiscard::UnknownKey => "unknown_key",
            BeatDiscard::Forged => "forged",
            BeatDiscard::OtherLink => "other_link",
            BeatDiscard::Replayed => "replayed",
            BeatDiscard::Late => "late",
            BeatDiscard::UnknownGroup => "unknown_group",
        }
    }

    /// Somebody is on the link who should not be there.
    pub fn is_hostile(self) -> bool {
        matches!(
            self,
            BeatDiscard::Forged | BeatDiscard::OtherLink | BeatDiscard::Replayed
        )
    }
}

impl fmt::Display for BeatDiscard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BeatDiscard::Datagram => "not a whole udp packet",
            BeatDiscard::Malformed => "not a beat of version 1",
            BeatDiscard::UnknownKey => "the peer has not sent its key",
            BeatDiscard::Forged => "wrong tag",
            BeatDiscard::OtherLink => "made for another link",
            BeatDiscard::Replayed => "heard before",
            BeatDiscard::Late => "a later one came first",
            BeatDiscard::UnknownGroup => "of a group that is not configured here",
        })
    }
}

impl std::error::Error for BeatDiscard {}
