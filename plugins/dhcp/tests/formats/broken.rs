//! Tests files that are torn, damaged, of other versions, or hostile.

use std::time::{Duration, Instant};

use spared_dhcp::codec::{Format, Reader, fits, write};
use spared_dhcp::lease::{Change, INFINITE_S, Kind, Set, State};

use crate::{CLOCK, FORMATS, leases, read, read_all, set_of};

const KEA4: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n";

fn kea4(rows: &str) -> Vec<u8> {
    format!("{KEA4}{rows}").into_bytes()
}

fn dhcpd4(body: &str) -> Vec<u8> {
    let times = "starts 5 2026/11/20 17:56:45; ends 5 2026/11/20 18:06:45;";
    format!("lease 192.0.2.1 {{ {times} binding state active; {body} }}\n").into_bytes()
}

#[test]
fn a_torn_tail_waits_for_its_rest() {
    let row = b"192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,nine,0,\n";
    let (head, tail) = row.split_at(30);
    let (found, unread) = read_all(Format::Kea4, &[KEA4.as_bytes(), head]);
    assert_eq!((found.changes.len(), found.skipped, unread), (0, 0, 30));
    let (found, unread) = read_all(Format::Kea4, &[KEA4.as_bytes(), head, tail]);
    assert_eq!((found.changes.len(), found.skipped, unread), (1, 0, 0));
    let lease = dhcpd4("");
    let (found, unread) = read_all(Format::Dhcpd4, &[&lease[..60], &lease[60..]]);
    assert_eq!((found.changes.len(), unread), (1, 0));
    let (found, unread) = read_all(Format::Dhcpd4, &[&lease[..60]]);
    assert_eq!((found.changes.len(), found.skipped, unread), (0, 0, 60));
}

#[test]
fn rows_of_kea_without_a_header_are_an_error() {
    let found = read(
        Format::Kea4,
        b"192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,nine,0,\n",
    );
    assert_eq!((found.changes.len(), found.skipped), (0, 1));
    assert_eq!(
        found.why.as_deref(),
        Some("line 1: there is no header before it")
    );
}

#[test]
fn a_row_that_joined_a_torn_one_costs_no_other() {
    let found = read(
        Format::Kea4,
        &kea4(
            "192.0.2.8,02:00:00:00:00:08,,600,179192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,nine,0,\n\
               192.0.2.10,02:00:00:00:00:0a,,600,1795197938,1,0,0,ten,0,\n",
        ),
    );
    assert_eq!((leases(&found).len(), found.skipped), (1, 1));
    assert_eq!(
        found.why.as_deref(),
        Some("line 2: one of its numbers is invalid")
    );
}

#[test]
fn a_host_name_of_several_lines_costs_no_lease() {
    let named =
        |name: &str| format!("192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,{name},0,\n");
    for name in ["two\nlines", "\n", "a\n\nb\n", "x\naddress", "5\n192.0.2.7"] {
        let text = kea4(&(named(name) + &named("next")));
        for at in 0..text.len() {
            let (found, unread) = read_all(Format::Kea4, &[&text[..at], &text[at..]]);
            assert_eq!((found.skipped, unread), (0, 0), "{name:?}");
            let names = leases(&found).into_iter().map(|it| it.hostname.clone());
            let names: Vec<_> = names.collect();
            assert_eq!(names, [name.as_bytes(), &b"next"[..]]);
        }
    }
    // other rows that lack columns are counted
    let text = "192.0.2.8,02:00:00:00:00:08,,600,1795197938\n".to_owned();
    let (found, unread) = read_all(Format::Kea4, &[&kea4(&text)]);
    assert_eq!((found.skipped, unread), (0, text.len() - 1));
    let found = read(
        Format::Kea4,
        &kea4(&(text.clone() + &text + &named("next") + &text + KEA4)),
    );
    assert_eq!((leases(&found).len(), found.skipped), (1, 3));
    let why = "line 2: it has too few columns";
    assert_eq!(found.why.as_deref(), Some(why));
    let long = text + &"x\n".repeat(10_000);
    assert_eq!(read(Format::Kea4, &kea4(&long)).changes.len(), 0);
}

#[test]
fn who_goes_on_in_a_file_that_was_cut_off_is_read() {
    let row = "192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,nine,0,\n";
    let duid = "1795197938 02:00:00:00:00:09 192.0.2.9 nine *\n";
    let samples: [(Format, Vec<u8>, Vec<u8>); 3] = [
        (Format::Kea4, kea4(row), row.into()),
        (Format::Dhcpd4, dhcpd4(""), dhcpd4("")),
        (Format::Dnsmasq, duid.into(), duid.into()),
    ];
    for (format, before, after) in samples {
        let mut reader = Reader::new(format);
        let torn = before.len() - 9;
        reader.feed(&before[..torn], CLOCK);
        reader.handle_cut();
        assert_eq!(reader.unread(), 0);
        // longer than any line may be, and in pieces
        for length in [1, 40_000] {
            assert_eq!(reader.feed(&vec![0; length], CLOCK).skipped, 0);
            assert_eq!(reader.unread(), 1, "a torn tail, if nothing follows");
        }
        let found = reader.feed(&[&[0_u8; 100][..], &after].concat(), CLOCK);
        assert_eq!(
            (found.changes.len(), found.skipped, reader.unread()),
            (1, 0, 0)
        );
    }
}

#[test]
fn older_and_newer_columns_of_kea_are_kept() {
    let old = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname\n\
               192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,nine\n";
    let new = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id,future\n\
               192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,1,0,nine,0,,7,a&#x2cb\n";
    for text in [old, new] {
        let set = set_of(&read(Format::Kea4, text.as_bytes()));
        assert_eq!(set.leases.len(), 1);
        let written = write(Format::Kea4, &set, text.as_bytes(), CLOCK);
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }
    let set = set_of(&read(Format::Kea4, new.as_bytes()));
    let lease = set.leases.values().next().unwrap();
    assert_eq!(lease.extra["pool_id"], "7");
    assert_eq!(lease.extra["future"], "a,b");
}

#[test]
fn a_row_of_kea_valid_for_no_time_is_gone() {
    let found = read(Format::Kea4, &kea4("192.0.2.9,,,0,1795197938,1,0,0,,0,\n"));
    assert!(matches!(found.changes.as_slice(), [Change::Gone { .. }]));
}

#[test]
fn a_lease_of_kea_for_ever_never_expires() {
    let text = kea4("192.0.2.9,02:00:00:00:00:09,,4294967295,6090164646,1,0,0,,0,\n");
    let found = read(Format::Kea4, &text);
    let lease = &leases(&found)[0];
    assert_eq!((lease.valid_s, lease.expires_ns), (INFINITE_S, None));
    assert_eq!(CLOCK.unix_s(lease.committed_ns), 1_795_197_351);
    assert_eq!(write(Format::Kea4, &set_of(&found), b"", CLOCK), text);
}

#[test]
fn states_of_later_kea_survive() {
    let text = kea4("192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,,3,\n");
    let found = read(Format::Kea4, &text);
    assert_eq!(leases(&found)[0].state, State::Free);
    assert_eq!(write(Format::Kea4, &set_of(&found), b"", CLOCK), text);
}

#[test]
fn garbage_in_dnsmasqs_file_costs_no_other_line() {
    let found = read(
        Format::Dnsmasq,
        b"1795198001 02:00:00:00:00:01 192.0.2.164 plain *\n\
          garbage\n\
          1795198001 zz 192.0.2.164 plain *\n\
          duid 00:01:00:01\n\
          1795198001 T3 2001:db8::1473 * 00:03\n",
    );
    assert_eq!((leases(&found).len(), found.skipped), (2, 2));
    assert_eq!(found.identity, Some(vec![0, 1, 0, 1]));
    assert_eq!(found.why.as_deref(), Some("line 2: it is not a lease"));
}

#[test]
fn dnsmasqs_file_holds_nothing_that_it_would_stop_at() {
    let mut set = set_of(&read(
        Format::Dnsmasq,
        b"1795198001 02:00:00:00:00:01 192.0.2.164 plain *\n1 2 2001:db8::1 * 00\n",
    ));
    for lease in set.leases.values_mut() {
        lease.hostname = b"a b\n1 2 3".to_vec();
    }
    set.identity = Some(vec![0, 1]);
    let written = write(Format::Dnsmasq, &set, b"", CLOCK);
    let expected =
        "1795198001 02:00:00:00:00:01 192.0.2.164 * *\nduid 00:01\n1 2 2001:db8::1 * 00\n";
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn an_identity_that_is_not_known_is_kept_from_the_file_before() {
    let set = Set::default();
    let before = b"duid 00:01:00:01\n";
    assert_eq!(write(Format::Dnsmasq, &set, before, CLOCK), before);
    let before = b"# x\nserver-duid \"\\000\\001\\\"\";\n";
    let written = write(Format::Dhcpd6, &set, before, CLOCK);
    assert_eq!(
        read(Format::Dhcpd6, &written).identity,
        Some(vec![0, 1, b'"'])
    );
}

#[test]
fn a_declaration_that_breaks_off_costs_no_other() {
    let mut text = b"lease 192.0.2.7 {\n  uid \"ab\n".to_vec();
    text.extend(dhcpd4(""));
    let found = read(Format::Dhcpd4, &text);
    assert_eq!((leases(&found).len(), found.skipped), (1, 1));
    assert_eq!(found.why.as_deref(), Some("line 1: it is truncated"));
}

#[test]
fn statements_in_a_lease_are_passed_over_and_never_written() {
    let text = dhcpd4(
        "on expiry { if exists x { execute (\"/bin/sh\", \"}\"); } } \
         set x = \"a\\\"; }\\nlease\"; set y = 5; option agent.circuit-id 0:4; reserved; unknown \"}\" z; uid 01:2:ff;",
    );
    let found = read(Format::Dhcpd4, &text);
    let lease = &leases(&found)[0];
    assert_eq!(lease.client.id, [1, 2, 255]);
    let names: Vec<_> = lease.extra.keys().map(String::as_str).collect();
    assert_eq!(names, ["option agent.circuit-id", "reserved", "set x"]);
    let written = write(Format::Dhcpd4, &set_of(&found), b"", CLOCK);
    assert!(!String::from_utf8_lossy(&written).contains("execute"));
    assert_eq!(set_of(&read(Format::Dhcpd4, &written)), set_of(&found));
}

#[test]
fn what_the_peer_says_never_becomes_a_statement_of_dhcpd() {
    let mut set = set_of(&read(Format::Dhcpd4, &dhcpd4("")));
    let evil = "\"; on expiry { execute(\"/bin/sh\"); } set z = \"";
    for lease in set.leases.values_mut() {
        lease.hostname = evil.as_bytes().to_vec();
        lease.client.id = evil.as_bytes().to_vec();
        for name in [
            "set x",
            "set a = 1; b",
            "set 1",
            "set Execute",
            "set ",
            "on expiry",
            "binding",
            "bootp; x",
            evil,
        ] {
            lease.extra.insert(name.to_owned(), evil.to_owned());
        }
        lease
            .extra
            .insert("set ok".to_owned(), "a\nb\\\"".to_owned());
    }
    let written = write(Format::Dhcpd4, &set, b"", CLOCK);
    let text = String::from_utf8(written.clone()).unwrap();
    // only within quotes
    let mut quoted = false;
    let mut bare = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => drop(characters.next()),
            '"' => quoted = !quoted,
            _ if quoted => assert!((' '..='~').contains(&character)),
            other => bare.push(other),
        }
    }
    assert!(
        !bare.contains("execute") && !bare.contains("on expiry"),
        "{bare}"
    );
    assert_eq!(bare.matches('{').count(), 1);
    let lease = &leases(&read(Format::Dhcpd4, &written))[0];
    assert_eq!(lease.client.id, evil.as_bytes());
    assert_eq!(lease.extra.keys().collect::<Vec<_>>(), ["set ok"]);
}

#[test]
fn what_the_peer_says_never_becomes_a_row_of_kea() {
    let plain = kea4("192.0.2.9,02:00:00:00:00:09,,600,1795197938,1,0,0,,0,\n");
    let mut set = set_of(&read(Format::Kea4, &plain));
    for lease in set.leases.values_mut() {
        lease.hostname = b"a\n192.0.2.10,,,600,1795197938,1,0,0,,0,".to_vec();
    }
    assert_eq!(write(Format::Kea4, &set, b"", CLOCK), plain);
    for name in ["subnet_id", "user_context", "fqdn_fwd", "future"] {
        let mut set = set.clone();
        for lease in set.leases.values_mut() {
            lease.extra.insert(name.to_owned(), "1,\n2".to_owned());
        }
        assert_eq!(write(Format::Kea4, &set, b"", CLOCK), kea4(""), "{name}");
    }
}

#[test]
fn only_what_the_server_can_have_leased_fits() {
    let found = read(
        Format::Kea4,
        &kea4("192.0.2.9,02:00:00:00:00:09,01:02,600,1795197938,1,0,0,n,0,\n"),
    );
    let lease = leases(&found)[0].clone();
    assert_eq!(fits(Format::Kea4, &lease), Ok(()));
    for format in [Format::Kea6, Format::Dhcpd6] {
        assert!(fits(format, &lease).is_err());
    }
    let refused = |change: &dyn Fn(&mut spared_dhcp::lease::Lease)| {
        let mut lease = lease.clone();
        change(&mut lease);
        fits(Format::Kea4, &lease).is_err()
    };
    assert!(refused(&|lease| lease.key.prefix = 24));
    assert!(refused(&|lease| lease.key.kind = Kind::Na));
    assert!(refused(&|lease| lease.client.hardware = vec![0; 21]));
    assert!(refused(&|lease| lease.client.id = vec![0; 256]));
    assert!(refused(&|lease| lease.hostname = vec![b'a'; 256]));
    assert!(refused(&|lease| lease.valid_s = 0));
    assert!(refused(&|lease| lease.valid_s = INFINITE_S));
    assert!(refused(&|lease| lease.expires_ns = None));
    assert!(refused(&|lease| drop(lease.extra.remove("subnet_id"))));
    assert!(refused(&|lease| drop(
        lease.extra.insert("subnet_id".into(), "0".into())
    )));
    assert!(refused(&|lease| drop(
        lease.extra.insert("user_context".into(), "[]".into())
    )));
    assert!(refused(&|lease| drop(
        lease.extra.insert("x".into(), "y".repeat(4096))
    )));
    let mut prefix = lease.clone();
    prefix.key.kind = Kind::Pd;
    prefix.key.address = "2001:db8::1".parse().unwrap();
    prefix.key.prefix = 64;
    assert!(fits(Format::Kea6, &prefix).is_err());
    prefix.key.address = "2001:db8::".parse().unwrap();
    assert_eq!(fits(Format::Kea6, &prefix), Ok(()));
}

#[test]
fn hostile_files_are_read_in_linear_time() {
    let time = |format, bytes: &[u8]| {
        let began = Instant::now();
        read(format, bytes);
        began.elapsed()
    };
    let patterns: [&[u8]; 9] = [
        b"{",
        b"\"",
        b"lease {",
        b"lease \n",
        b"\\",
        b",",
        b"a",
        b"#{\n",
        b"&#x\n,",
    ];
    for format in FORMATS {
        for pattern in patterns {
            let small = time(format, &pattern.repeat(50_000 / pattern.len()));
            let large = time(format, &pattern.repeat(400_000 / pattern.len()));
            // eight times the input takes eight times the time; quadratic code would take
            // sixty-four times
            assert!(
                large < small * 24 + Duration::from_millis(100),
                "{format:?} {pattern:?}"
            );
        }
    }
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    for format in FORMATS {
        let mut reader = Reader::new(format);
        for _ in 0..100 {
            reader.feed(&[b'x'; 100_000], CLOCK);
        }
        assert!(reader.unread() > 0 && reader.unread() < 1_000_000);
        assert_eq!(reader.feed(b"\n", CLOCK).skipped, 1);
        assert_eq!(reader.unread(), 0);
    }
}
