// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tools of the conntrack tests, by themselves: what was injected is what the kernel lists.

use spared_tests::flows::{self, Crowd, Transport};
use spared_tests::lab::scenario;

#[test]
fn a_crowd_is_in_the_table_with_its_translation_and_goes_again() {
    scenario(1, |lab| {
        let ns = &lab.sites[0].ns;
        let snat = "10.2.0.1".parse().ok();
        let plain = Crowd {
            mark: 0x40,
            zone: 3,
            ..Crowd::udp(700)
        };
        let translated = Crowd {
            snat,
            ..Crowd::tcp(1300)
        };
        let ipv6 = Crowd {
            ipv6: true,
            ..Crowd::tcp(20)
        };
        for crowd in [plain, translated, ipv6] {
            let harvest = crowd.create(ns)?;
            assert_eq!(
                (harvest.done, harvest.refused),
                (crowd.count, 0),
                "{harvest:?}"
            );
            assert_eq!(crowd.create(ns)?.refused, crowd.count, "made twice");
        }
        let table = flows::read(ns)?;
        assert_eq!(table.len(), 2020);
        for number in 0..1300 {
            let tuple = translated.tuple(number);
            let found = table.iter().find(|entry| entry.original == tuple);
            let entry = found.ok_or_else(|| format!("not there: {tuple}"))?;
            assert!(entry.is_translated(), "{entry}");
            assert_eq!(Some(entry.reply.destination), snat.map(Into::into));
            assert_eq!(entry.reply.destination_port, Crowd::translated_port(number));
            assert_eq!(entry.state, 3, "{entry}");
        }
        let marked = table
            .iter()
            .filter(|entry| (entry.mark, entry.zone) == (0x40, 3));
        assert_eq!(marked.count(), 700);
        assert_eq!(Crowd { mark: 7, ..plain }.update(ns)?.done, 700);
        let changed = flows::read(ns)?;
        assert!(!flows::same(&table, &changed));
        assert!(flows::differences(&table, &changed)[0].contains("mark 0x7"));
        assert!(flows::differences(&table, &table).is_empty());
        assert_eq!(plain.delete(ns)?.done, 700);
        assert_eq!(flows::count(ns)?, 1320);
        Ok(())
    });
}

#[test]
fn no_two_of_a_great_crowd_clash() {
    scenario(1, |lab| {
        let ns = &lab.sites[0].ns;
        let snat = "10.2.0.1".parse().ok();
        for transport in [Transport::Tcp, Transport::Udp] {
            let crowd = Crowd {
                transport,
                snat,
                ..Crowd::tcp(100_000)
            };
            let harvest = crowd.create(ns)?;
            assert_eq!(harvest.refused, 0, "{harvest:?}");
        }
        assert_eq!(flows::read(ns)?.len(), 200_000);
        Ok(())
    });
}
