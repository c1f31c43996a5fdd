// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tools of the conntrack tests, by themselves: what was injected is what the kernel lists.

use std::time::Duration;

use spared_tests::flows::{
    self, Control, Crowd, Ends, Eyes, Mode, Questions, Session, Transfer, Transport,
};
use spared_tests::lab::{CLIENT, VIRTUAL, Wire, scenario};
use spared_tests::router::Ruleset;

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
fn no_two_of_a_great_crowd_are_alike() {
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

/// r1 without any daemon, with the addresses on it.
#[test]
fn every_kind_of_talk_passes_a_strict_firewall() {
    const LIMIT: Duration = Duration::from_secs(3);
    scenario(1, |lab| {
        let [inside, outside] = Wire::BOTH.map(|wire| wire.ipv4(VIRTUAL));
        lab.sites[0].ns.ip(&format!(
            "addr add {inside}/24 dev lan\naddr add {outside}/24 dev wan\n"
        ))?;
        let rules = Ruleset {
            objects: "ct helper ftp { type \"ftp\" protocol tcp; l3proto ip; }".to_owned(),
            mangle: "tcp dport 21 ct helper set \"ftp\"".to_owned(),
            forward: "ct state new tcp dport != { 21, 22, 80 } drop".to_owned(),
            ..Ruleset::snat()
        };
        rules.load(&lab.sites[0])?;
        let eyes = Eyes::open(lab)?;
        let to = |port| Ends::plain(&lab.lan, &lab.wan, (Wire::Wan.ipv4(CLIENT), port).into());
        let mut control = Control::open(to(21))?;
        for mode in [Mode::Passive, Mode::Active] {
            let announced = control.announce(mode)?;
            let awaited = flows::expectations(&lab.sites[0].ns)?;
            assert_eq!(awaited.len(), 1, "{mode:?}: {awaited:#?}");
            announced.open()?.exchange()?;
            control.rest()?;
        }
        let mut session = Session::open(to(22))?;
        session.say(LIMIT)?;
        let mut questions = Questions::open(to(53))?;
        questions.ask(LIMIT)?;
        assert_eq!(questions.seen()[0].ip(), outside);
        let transfer = Transfer::start(to(80), 3_000_000)?;
        transfer.wait_moves(LIMIT)?;
        let (own, seen) = (transfer.own, transfer.seen);
        transfer.finish(LIMIT)?;
        eyes.check([own, to(80).to], [seen, to(80).to]);
        flows::flush(&lab.sites[0].ns)?;
        assert_eq!(flows::count(&lab.sites[0].ns)?, 0);
        assert!(session.say(LIMIT).is_err(), "it goes on without its flow");
        Ok(())
    });
}
