//! Tests samples that Debian 12's servers wrote for clients with odd names and ids.
//!
//! `SPARED_WRITE_SAMPLES=1` writes the expectations again; read them before you commit them.

use std::path::Path;

use spared_dhcp::codec::{Format, write};

use crate::{CLOCK, read, read_all, render, set_of};

pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("the sample")
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/formats/samples")
        .join(name)
}

fn says_what_is_expected(format: Format, name: &str) {
    let said = render(&read(format, &sample(name)));
    let expected = path(&format!("{name}.says"));
    if std::env::var_os("SPARED_WRITE_SAMPLES").is_some() {
        std::fs::write(&expected, &said).expect("a place to write");
    }
    assert_eq!(
        said,
        std::fs::read_to_string(expected).expect("the expectation")
    );
}

/// Checks that writing a file omits nothing that its server would write again.
fn is_the_same_after_writing(format: Format, name: &str) {
    let bytes = sample(name);
    let set = set_of(&read(format, &bytes));
    let written = write(format, &set, &bytes, CLOCK);
    let found = read(format, &written);
    assert_eq!((found.skipped, found.why.as_deref()), (0, None));
    assert_eq!(set_of(&found), set);
}

#[test]
fn what_kea_wrote_is_understood() {
    says_what_is_expected(Format::Kea4, "kea4.csv");
    says_what_is_expected(Format::Kea4, "kea4-names.csv");
    says_what_is_expected(Format::Kea6, "kea6.csv");
}

#[test]
fn what_dnsmasq_wrote_is_understood() {
    says_what_is_expected(Format::Dnsmasq, "dnsmasq.leases");
}

#[test]
fn what_dhcpd_wrote_is_understood() {
    says_what_is_expected(Format::Dhcpd4, "dhcpd4.leases");
    says_what_is_expected(Format::Dhcpd4, "dhcpd4-epoch.leases");
    says_what_is_expected(Format::Dhcpd6, "dhcpd6.leases");
}

#[test]
fn what_the_servers_wrote_is_the_same_after_writing() {
    is_the_same_after_writing(Format::Kea4, "kea4.csv");
    is_the_same_after_writing(Format::Kea4, "kea4-names.csv");
    is_the_same_after_writing(Format::Kea6, "kea6.csv");
    is_the_same_after_writing(Format::Dnsmasq, "dnsmasq.leases");
    is_the_same_after_writing(Format::Dhcpd4, "dhcpd4.leases");
    is_the_same_after_writing(Format::Dhcpd4, "dhcpd4-epoch.leases");
    is_the_same_after_writing(Format::Dhcpd6, "dhcpd6.leases");
}

#[test]
fn the_last_entry_of_an_address_counts() {
    let v4 = set_of(&read(Format::Dhcpd4, &sample("dhcpd4.leases")));
    let rewritten = set_of(&read(Format::Dhcpd4, &sample("dhcpd4-rewritten.leases")));
    assert_eq!(v4, rewritten);
    let v6 = set_of(&read(Format::Dhcpd6, &sample("dhcpd6.leases")));
    let mut rewritten = set_of(&read(Format::Dhcpd6, &sample("dhcpd6-rewritten.leases")));
    // dhcpd forgets a DHCPv6 address that was released
    let released = v6
        .leases
        .values()
        .find(|lease| lease.extra.contains_key("binding"));
    let released = released.unwrap().clone();
    assert_eq!(rewritten.leases.insert(released.key, released), None);
    assert_eq!(v6, rewritten);
}

#[test]
fn the_files_of_a_cleanup_of_kea_are_read_one_after_the_other() {
    let whole = sample("kea4.csv");
    let header = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let (found, unread) = read_all(Format::Kea4, &[&whole, header]);
    assert_eq!((found.skipped, unread), (0, 0));
    assert_eq!(set_of(&found), set_of(&read(Format::Kea4, &whole)));
}
