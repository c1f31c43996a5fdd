//! Tests the stamp of a file when it was last read or written.

use std::fs;
use std::time::{Duration, Instant};

use spared_dhcp::codec::Format;
use spared_dhcp::server::Stamp;

use crate::fixture::{Fixture, HEADER4, append, key4, lease4, row, set_of, settings};
use crate::scratch::Folder;

#[test]
fn the_stamp_of_a_file_is_told_before_what_is_in_it() {
    let folder = Folder::new("server");
    let path = folder.path("leases.csv");
    fs::write(&path, format!("{HEADER4}{}", row(1, 100))).unwrap();
    let mut fixture = Fixture::open(settings(Format::Kea4, &path));
    fixture.reading();
    let read = Stamp::of(&path);
    assert!(read.is_some());
    assert_eq!(fixture.stamp.get(), read);

    append(&path, &row(2, 100));
    fixture.changes();
    let appended = Stamp::of(&path);
    assert_ne!(appended, read);
    // a look that began before the line was written reports the older stamp, and another look
    // follows
    let told = fixture.stamp.get();
    assert!([read, appended].contains(&told), "{told:?}");
    let until = Instant::now() + Duration::from_secs(10);
    while fixture.stamp.get() != appended && Instant::now() < until {
        assert!(fixture.next_in(Duration::from_millis(20)).is_none());
    }
    assert_eq!(fixture.stamp.get(), appended);

    fixture.replace(set_of([lease4(key4(3), 100)])).unwrap();
    let replaced = Stamp::of(&path);
    assert_ne!(replaced, appended);
    assert_eq!(fixture.stamp.get(), replaced);
}
