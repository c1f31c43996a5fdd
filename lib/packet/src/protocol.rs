//! Numbers and names of the protocols whose connections Linux tracks, and of TCP's states there.

/// ICMP.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// DCCP.
pub const DCCP: u8 = 33;
/// GRE.
pub const GRE: u8 = 47;
/// ESP.
pub const ESP: u8 = 50;
/// ICMPv6.
pub const ICMPV6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;
/// UDP-Lite.
pub const UDPLITE: u8 = 136;

/// Names and numbers of protocols.
pub const PROTOCOLS: [(&str, u8); 9] = [
    ("icmp", ICMP),
    ("tcp", TCP),
    ("udp", UDP),
    ("dccp", DCCP),
    ("gre", GRE),
    ("esp", ESP),
    ("icmpv6", ICMPV6),
    ("sctp", SCTP),
    ("udplite", UDPLITE),
];

/// Names of TCP's states, from number 0 on (`enum tcp_conntrack`).
pub const TCP_STATES: [&str; 10] = [
    "none",
    "syn_sent",
    "syn_recv",
    "established",
    "fin_wait",
    "close_wait",
    "last_ack",
    "time_wait",
    "close",
    "syn_sent2",
];
