//! Whatever a lease file holds: no bytes panic, pieces say what the whole says, and what is written
//! of what was read is read again without a fault, and says no more. The same bytes as a lease of the
//! peer, and as its answer to a question: what is one is written as it was read.
//!
//! Input: one byte for the format, one for the size of the pieces, then the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_dhcp::codec::{Format, Reader, write};
use spared_dhcp::lease::{Clock, Key, Kind, Set};
use spared_dhcp::wire::{Message, RecordKey, read_lease, write_lease};

const CLOCK: Clock = Clock { monotonic_ms: 3_600_000, unix_ms: 1_795_197_600_000 };
const FORMATS: [Format; 5] =
    [Format::Kea4, Format::Kea6, Format::Dnsmasq, Format::Dhcpd4, Format::Dhcpd6];

fuzz_target!(|input: &[u8]| {
    let [format, size, file @ ..] = input else { return };
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

    let mut set = Set { identity: whole.identity, ..Set::default() };
    whole.changes.into_iter().for_each(|change| set.apply(change));
    let written = write(format, &set, file, CLOCK);
    let again = Reader::new(format).feed(&written, CLOCK);
    assert_eq!(again.why, None);
    for change in &again.changes {
        assert!(set.leases.contains_key(&change.key()));
    }
    hear(file);
});

fn hear(bytes: &[u8]) {
    let key = Key { kind: Kind::V4, address: [192, 0, 2, 1].into(), prefix: 32 };
    let heard = |key, value: &[u8]| {
        let Ok((lease, given)) = read_lease(0, key, value) else { return };
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
