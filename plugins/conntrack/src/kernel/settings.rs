//! Reads and sets `/proc/sys/net/netfilter` of this network namespace.

use std::fs;

use crate::engine::Timeouts;
use crate::engine::timeouts::{DCCP_NAMES, SCTP_NAMES, TCP_NAMES};

const DIR: &str = "/proc/sys/net/netfilter/nf_conntrack_";

/// Sets `nf_conntrack_events` to 1. With 2, the default, a flow that is created while nobody
/// listens never causes an event: neither a change nor its end. With 0 no flow does. True if the
/// kernel had another value.
///
/// # Errors
/// Text for the administrator, if the kernel refuses the value.
pub fn enable_events() -> Result<bool, String> {
    let file = format!("{DIR}events");
    match number("events") {
        Some(1) => return Ok(false),
        None => {
            return Err(format!(
                "{file} does not exist: the kernel reports no connections"
            ));
        }
        Some(_) => {}
    }
    fs::write(&file, "1\n").map(|()| true).map_err(|error| {
        format!(
            "cannot set net.netfilter.nf_conntrack_events=1 ({error}): flows that are older than \
             spared are only found by resyncs"
        )
    })
}

/// Returns the kernel's timeouts, or Linux's defaults.
pub fn timeouts() -> Timeouts {
    let default = Timeouts::default();
    let of = |name: &str, default: u32| number(name).unwrap_or(default);
    let by_state = |names: &[&str], defaults: &[u32], out: &mut [u32]| {
        for ((out, name), default) in out.iter_mut().zip(names).zip(defaults) {
            *out = of(name, *default);
        }
    };
    let pair = |name: &str, answered: &str, [first, second]: [u32; 2]| {
        [of(name, first), of(answered, second)]
    };
    let mut timeouts = Timeouts {
        udp: pair("udp_timeout", "udp_timeout_stream", default.udp),
        tcp_unanswered: pair(
            "tcp_timeout_unacknowledged",
            "tcp_timeout_max_retrans",
            default.tcp_unanswered,
        ),
        // udplite has no times of its own since Linux 4.20
        udplite: pair("udp_timeout", "udp_timeout_stream", default.udplite),
        gre: pair("gre_timeout", "gre_timeout_stream", default.gre),
        icmp: of("icmp_timeout", default.icmp),
        icmpv6: of("icmpv6_timeout", default.icmpv6),
        generic: of("generic_timeout", default.generic),
        ..default.clone()
    };
    by_state(&TCP_NAMES, &default.tcp, &mut timeouts.tcp);
    by_state(&SCTP_NAMES, &default.sctp, &mut timeouts.sctp);
    by_state(&DCCP_NAMES, &default.dccp, &mut timeouts.dccp);
    timeouts
}

fn number(name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("{DIR}{name}")).ok()?;
    text.trim().parse().ok()
}
