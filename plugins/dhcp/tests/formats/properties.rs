//! Tests properties of every set and of all bytes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use proptest::prelude::*;
use spared_dhcp::codec::{Format, Reader, fits, write};
use spared_dhcp::lease::{Client, INFINITE_S, Key, Kind, Lease, Set, State};

use crate::{CLOCK, FORMATS, read, read_all, set_of};

fn key(format: Format) -> BoxedStrategy<Key> {
    let v4 = any::<u32>().prop_map(|bits| Key {
        kind: Kind::V4,
        address: IpAddr::V4(bits.into()),
        prefix: 32,
    });
    let v6 = (any::<u128>(), any::<bool>()).prop_map(|(bits, temporary)| Key {
        kind: if temporary { Kind::Ta } else { Kind::Na },
        address: IpAddr::V6(bits.into()),
        prefix: 128,
    });
    let pd = (any::<u128>(), 1..=128_u8).prop_map(|(bits, prefix)| Key {
        kind: Kind::Pd,
        address: IpAddr::V6((bits & !(u128::MAX.checked_shr(prefix.into()).unwrap_or(0))).into()),
        prefix,
    });
    match format {
        Format::Kea4 | Format::Dhcpd4 => v4.boxed(),
        Format::Kea6 | Format::Dhcpd6 => prop_oneof![v6, pd].boxed(),
        Format::Dnsmasq => prop_oneof![v4, v6].boxed(),
    }
}

fn extra(format: Format) -> BoxedStrategy<BTreeMap<String, String>> {
    match format {
        Format::Kea4 | Format::Kea6 => (1..u32::MAX, any::<bool>(), any::<bool>())
            .prop_map(|(subnet, forward, context)| {
                let mut extra = BTreeMap::from([("subnet_id".to_owned(), subnet.to_string())]);
                if forward {
                    extra.insert("fqdn_fwd".to_owned(), "1".to_owned());
                }
                if context {
                    let text = r#"{ "a": "b, &#x2c", "c": [1, 2] }"#;
                    extra.insert("user_context".to_owned(), text.to_owned());
                }
                extra
            })
            .boxed(),
        Format::Dnsmasq => Just(BTreeMap::new()).boxed(),
        Format::Dhcpd4 | Format::Dhcpd6 => {
            // a name with an underscore is no keyword of dhcpd
            let name = "set [a-z]_[A-Za-z0-9_-]{0,20}";
            // printable text needs no escape
            proptest::collection::btree_map(name, "[ !#-Z^-~]{1,40}", 0..3).boxed()
        }
    }
}

/// Strategy for leases that a server of the format can have granted and its file can contain.
fn lease(format: Format) -> impl Strategy<Value = Lease> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 2..most);
    let name = match format {
        Format::Kea4 | Format::Kea6 => "[^\\x00-\\x1f\\x7f]{0,20}",
        Format::Dnsmasq => "[A-Za-z0-9_.-]{0,20}",
        Format::Dhcpd4 => "[ -~]{0,20}",
        Format::Dhcpd6 => "",
    };
    let client = (bytes(8), bytes(100), any::<u32>(), 1..32_u16);
    let times = (any::<bool>(), 1..1_000_000_u32, -2_000_000..2_000_000_i64);
    let state = prop_oneof![
        Just(State::Leased),
        Just(State::Declined),
        Just(State::Free)
    ];
    (key(format), client, name, state, times, extra(format)).prop_map(
        move |(key, (hardware, id, iaid, hardware_type), hostname, state, times, extra)| {
            let (infinite, valid_s, expires_s) = times;
            let valid_s = if infinite { INFINITE_S } else { valid_s };
            let expires_s = 1_795_197_600 + expires_s;
            let v4 = key.kind == Kind::V4;
            let dnsmasq = format == Format::Dnsmasq;
            let hardware = if v4 || format == Format::Kea6 {
                hardware
            } else {
                Vec::new()
            };
            Lease {
                key,
                client: Client {
                    hardware_type: match format {
                        Format::Kea4 => 1,
                        _ if hardware.is_empty() => 0,
                        _ => hardware_type,
                    },
                    hardware,
                    id,
                    iaid: if v4 { 0 } else { iaid },
                },
                hostname: match hostname {
                    name if dnsmasq && name == "*" => Vec::new(),
                    name => name.into_bytes(),
                },
                state: if dnsmasq { State::Leased } else { state },
                valid_s: if dnsmasq && !infinite { 0 } else { valid_s },
                preferred_s: if v4 || dnsmasq { 0 } else { valid_s / 2 },
                expires_ns: (!infinite).then(|| CLOCK.monotonic(expires_s)),
                committed_ns: match format {
                    Format::Dnsmasq => CLOCK.monotonic_ns,
                    _ if infinite => CLOCK.monotonic(1_795_190_000),
                    _ => CLOCK.monotonic(expires_s - i64::from(valid_s)),
                },
                extra,
            }
        },
    )
}

fn set(format: Format) -> impl Strategy<Value = Set> {
    let leases = proptest::collection::vec(lease(format), 0..20);
    leases.prop_map(move |leases| {
        let mut set = Set::default();
        if matches!(format, Format::Dnsmasq | Format::Dhcpd6) {
            set.identity = Some(vec![0, 1, 0, 1, 34, 92]);
        }
        for mut lease in leases {
            if format == Format::Dhcpd6 {
                // an association has one commit time
                lease.committed_ns = CLOCK.monotonic(1_795_190_000);
            }
            set.leases.insert(lease.key, lease);
        }
        set
    })
}

fn format_and_set() -> impl Strategy<Value = (Format, Set)> {
    let format = proptest::sample::select(&FORMATS[..]);
    format.prop_flat_map(|format| (Just(format), set(format)))
}

/// Strategy for bytes that a file may have after a crash or a faulty edit.
fn damaged() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
    (format_and_set(), damage).prop_map(|((format, set), damage)| {
        let mut bytes = write(format, &set, b"", CLOCK);
        for (index, byte) in damage {
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
        }
        (format, bytes)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_equal((format, set) in format_and_set()) {
        for lease in set.leases.values() {
            prop_assert_eq!(fits(format, lease), Ok(()));
        }
        let written = write(format, &set, b"", CLOCK);
        let found = read(format, &written);
        prop_assert_eq!(found.why.as_deref(), None);
        prop_assert_eq!(set_of(&found), set);
    }

    #[test]
    fn pieces_of_any_size_say_what_the_whole_says(
        (format, bytes) in damaged(),
        sizes in proptest::collection::vec(1..200_usize, 1..20),
    ) {
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read_all(format, &pieces), read_all(format, &[&bytes]));
    }

    #[test]
    fn damage_costs_no_more_entries_than_it_touched((format, set) in format_and_set(), cut in any::<prop::sample::Index>()) {
        let written = write(format, &set, b"", CLOCK);
        prop_assume!(!written.is_empty());
        let cut = cut.index(written.len());
        let found = read(format, &written[..cut]);
        prop_assert_eq!(found.skipped, 0);
        let read = set_of(&found);
        prop_assert!(read.leases.iter().all(|(key, lease)| set.leases.get(key) == Some(lease)));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for format in FORMATS {
            read(format, &bytes);
            write(format, &Set::default(), &bytes, CLOCK);
        }
    }
}

fn many(format: Format) -> Set {
    let mut set = Set::default();
    for index in 0..20_000_u32 {
        let v4 = matches!(format, Format::Kea4 | Format::Dhcpd4 | Format::Dnsmasq);
        let key = if v4 {
            Key {
                kind: Kind::V4,
                address: IpAddr::V4((0x0a00_0000 + index).into()),
                prefix: 32,
            }
        } else {
            Key {
                kind: Kind::Na,
                address: IpAddr::V6(((0x2001_0db8_u128 << 96) + u128::from(index)).into()),
                prefix: 128,
            }
        };
        let hardware = [&[2, 0], &index.to_be_bytes()[..]].concat();
        let client = Client {
            hardware_type: 1,
            id: [&[1], &hardware[..]].concat(),
            hardware,
            iaid: if v4 { 0 } else { index },
        };
        let lease = Lease {
            key,
            client,
            hostname: format!("host{index}").into_bytes(),
            state: State::Leased,
            valid_s: 3600,
            preferred_s: 1800,
            expires_ns: Some(CLOCK.monotonic(1_795_200_000)),
            committed_ns: CLOCK.monotonic(1_795_196_400),
            extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
        };
        set.leases.insert(lease.key, lease);
    }
    set
}

/// Run: `cargo test --release -p spared-dhcp --test formats measure -- --ignored --nocapture`
#[test]
#[ignore = "measures; what it says depends on the machine"]
fn measure_twenty_thousand_leases() {
    for format in FORMATS {
        let set = many(format);
        let began = Instant::now();
        let written = write(format, &set, b"", CLOCK);
        let wrote = began.elapsed();
        let began = Instant::now();
        let found = Reader::new(format).feed(&written, CLOCK);
        let read = began.elapsed();
        assert_eq!(found.changes.len(), 20_000);
        println!(
            "{format:?}: {} bytes, written in {wrote:?}, read in {read:?}",
            written.len()
        );
    }
}
