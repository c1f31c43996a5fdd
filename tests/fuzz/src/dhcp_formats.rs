//! Whatever a lease file holds: no bytes panic, pieces say what the whole says, and what is written
//! of what was read is read again without a fault, and says no more. The same bytes as a lease of the
//! peer, and as its answer to a question: what is one is written as it was read.
//!
//! Input: one byte for the format, one for the size of the pieces, then the file.

use spared_dhcp::codec::{Format, Reader, write};
use spared_dhcp::lease::{Clock, Key, Kind, Set};
use spared_dhcp::wire::{Listed, Message, RecordKey, read_lease, write_lease};

const CLOCK: Clock = Clock {
    monotonic_ns: 3_600_000_000_000,
    unix_ns: 1_795_197_600_000_000_000,
};
const FORMATS: [Format; 5] = [
    Format::Kea4,
    Format::Kea6,
    Format::Dnsmasq,
    Format::Dhcpd4,
    Format::Dhcpd6,
];

pub fn run(input: &[u8]) {
    let [format, size, file @ ..] = input else {
        return;
    };
    let format = FORMATS[usize::from(*format) % FORMATS.len()];
    let mut reader = Reader::new(format);
    let whole = reader.feed(file, CLOCK);
    let mut pieces = Reader::new(format);
    let mut changes = Vec::new();
    for piece in file.chunks(usize::from(*size) + 1) {
        changes.extend(pieces.feed(piece, CLOCK).changes);
    }
    assert_eq!(changes, whole.changes);
    assert_eq!(pieces.unread(), reader.unread());

    let mut set = Set {
        identity: whole.identity,
        ..Set::default()
    };
    whole
        .changes
        .into_iter()
        .for_each(|change| set.apply(change));
    let written = write(format, &set, file, CLOCK);
    let again = Reader::new(format).feed(&written, CLOCK);
    assert_eq!(again.why, None);
    for change in &again.changes {
        assert!(set.leases.contains_key(&change.key()));
    }
    hear(file);
}

fn hear(bytes: &[u8]) {
    let key = Key {
        kind: Kind::V4,
        address: [192, 0, 2, 1].into(),
        prefix: 32,
    };
    let heard = |key, value: &[u8]| {
        let Ok((lease, given)) = read_lease(0, key, value) else {
            return;
        };
        let again = read_lease(0, key, &write_lease(0, &lease, given));
        assert_eq!(again, Ok((lease, given)));
    };
    heard(key, bytes);
    if let Ok(Message::Listed { records, .. }) = Message::parse(bytes) {
        for (key, value) in records {
            if let RecordKey::Lease(key) = key {
                heard(key, value);
            }
        }
    }
}

/// Files of Debian's servers in pieces of several sizes, the files that are written of them, and leases as the peer
/// sends them.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (format, file) in SAMPLES {
        let format_at = FORMATS.iter().position(|it| *it == format).unwrap_or(0) as u8;
        let begin = &file[..file.len().min(2000)];
        let mut set = Set::default();
        let found = Reader::new(format).feed(begin, CLOCK);
        set.identity = found.identity;
        found
            .changes
            .into_iter()
            .for_each(|change| set.apply(change));
        let mut written = write(format, &set, begin, CLOCK);
        written.truncate(3000);
        seeds.push([&[format_at, 255], begin].concat());
        seeds.push([&[format_at, 6], &written[..]].concat());
        let mut listed = Listed::new(7, "kea4");
        for lease in set.leases.values().take(6) {
            let value = write_lease(0, lease, true);
            listed.put(RecordKey::Lease(lease.key), &value);
            if lease.key.prefix == 32 {
                seeds.push([&[0, 9], &value[..]].concat());
            }
        }
        seeds.push([&[1, 0], &listed.bytes()[..]].concat());
    }
    seeds
}

const SAMPLES: [(Format, &[u8]); 6] = [
    (
        Format::Kea4,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/kea4.csv"),
    ),
    (
        Format::Kea4,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/kea4-names.csv"),
    ),
    (
        Format::Kea6,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/kea6.csv"),
    ),
    (
        Format::Dnsmasq,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/dnsmasq.leases"),
    ),
    (
        Format::Dhcpd4,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/dhcpd4.leases"),
    ),
    (
        Format::Dhcpd6,
        include_bytes!("../../../plugins/dhcp/tests/formats/samples/dhcpd6.leases"),
    ),
];
