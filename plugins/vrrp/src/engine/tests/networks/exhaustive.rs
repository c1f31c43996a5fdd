//! Every fault of one network while the other one is whole, with every kind of stations, and what a pair does about it.

use std::collections::HashSet;

use super::super::lab::carriage::{Carriage, Kind, Ways};
use super::super::lab::{MS, SECOND};
use super::bed::{Bed, FAILBACK_NS, HOLD_NS, NETWORKS, NOBODY, PREFERRED, STATIONS, Setup};
use super::expected::{Fault, Said, Told};
use super::{assert_none, judge_all};

const COUNT: usize = Carriage::COUNT * STATIONS.len() * Setup::COUNT;
/// Time after which E3's verdict is due.
const VERDICT_NS: u64 = 2 * SECOND;
/// Duration of a fault. E3 asks stations again within it. E15 has a verdict, waits for E9's hold (twice or four times
/// as long after the first changes), moves the role, and has another verdict.
const LASTS_NS: u64 = 14 * SECOND;
/// Time for which the role must stay after a repair: the first frame that passes ends E15's verdict.
const STAYS_NS: u64 = 3 * SECOND;
/// Time within which all is as configured after a repair, or after an administrator has reported one.
const MENDED_NS: u64 = 5 * SECOND + HOLD_NS + FAILBACK_NS;
/// Distance of the sample's cases, and their number: each value of one dimension occurs with each value of each other
/// one.
const STRIDE: usize = 40_503;
const SAMPLE: usize = 1600;

/// Case by a number below [`COUNT`]: a pair, its stations, and the fault of the network.
#[derive(Clone, Copy)]
struct Case {
    setup: usize,
    stations: usize,
    carriage: Carriage,
}

impl Case {
    fn numbered(number: usize) -> Case {
        let (bed, carriage) = (number / Carriage::COUNT, number % Carriage::COUNT);
        let (setup, stations) = (bed / STATIONS.len(), bed % STATIONS.len());
        let mut carriage = Carriage::numbered(carriage);
        if !Setup::numbered(setup).vmac {
            // without `vmac` there are no such frames
            carriage.0[1] = Ways::Both;
        }
        Case {
            setup,
            stations,
            carriage,
        }
    }

    fn bed(self) -> usize {
        self.setup * STATIONS.len() + self.stations
    }

    /// Values of all dimensions.
    fn values(self) -> Vec<usize> {
        let Carriage(ways) = self.carriage;
        let ways = ways.map(|way| Ways::ALL.iter().position(|it| *it == way).expect("listed"));
        let bits = [0, 1, 2].map(|bit| (self.setup >> bit) & 1);
        ways.into_iter()
            .chain([self.stations])
            .chain(bits)
            .collect()
    }
}

/// Beds for each setup and each kind of stations on the first network.
fn beds() -> Vec<Bed> {
    let setups = (0..Setup::COUNT).map(Setup::numbered);
    let beds = setups.flat_map(|setup| {
        let settled = setup.settled();
        STATIONS.map(|stations| settled.with_stations([stations, NOBODY]))
    });
    beds.collect()
}

fn judge(settled: &Bed, case: Case) -> Result<(), String> {
    let mut bed = settled.clone();
    let stations = STATIONS[case.stations];
    let (carriage, setup) = (case.carriage, bed.setup);
    let fault = Fault {
        carriage,
        stations,
        vmac: setup.vmac,
    };
    let mut judged = breaks(&mut bed, fault);
    if judged.is_ok() {
        judged = is_mended(&mut bed, fault);
    }
    judged.map_err(|why| {
        format!(
            "{setup:?} {stations:?} {carriage:?}: {why}{}",
            bed.history()
        )
    })
}

fn breaks(bed: &mut Bed, fault: Fault) -> Result<(), String> {
    bed.lab.set_carriage(NETWORKS[0], fault.carriage);
    bed.run(VERDICT_NS);
    for group in 0..bed.setup.groups {
        if !fault.hear_each_other() && !is_said(bed, group) {
            return Err("2 s later nothing is said".to_owned());
        }
    }
    bed.run(HOLD_NS);
    for (group, first) in groups(bed) {
        if fault.moves_for_life(first) {
            moved_to(bed, group, first, 1 - first)?;
        }
    }
    bed.run(LASTS_NS - HOLD_NS - VERDICT_NS);
    is_as_expected(bed, fault)
}

/// Groups, each with its preferred node.
fn groups(bed: &Bed) -> impl Iterator<Item = (usize, usize)> + use<> {
    (0..bed.setup.groups).zip(PREFERRED)
}

/// True if both nodes report a fault of the group, with or without a link.
fn is_said(bed: &Bed, group: usize) -> bool {
    (0..2).all(|node| !bed.said(node, group).is_empty())
}

fn moved_to(bed: &Bed, group: usize, first: usize, expected: usize) -> Result<(), String> {
    let (active, moves) = (bed.active(group), bed.moves(group));
    if active == [expected] && moves == usize::from(expected != first) {
        Ok(())
    } else {
        Err(format!(
            "{group}: {active:?} is active, not {expected}, after {moves} moves"
        ))
    }
}

fn is_as_expected(bed: &Bed, fault: Fault) -> Result<(), String> {
    for (group, first) in groups(bed) {
        let expected = fault.active(first);
        moved_to(bed, group, first, expected)?;
        if expected != first && fault.is_proven(first) && !fault.is_proven(expected) {
            return Err(format!(
                "{group}: it moved to where the network is not proven"
            ));
        }
        let told = fault.told(first);
        if told.unheard == Said::Yes && !is_said(bed, group) {
            return Err(format!("{group}: nothing is said, not {told:?}"));
        }
        for node in 0..2 {
            is_told(&bed.said(node, group), told, [first, expected])
                .map_err(|why| format!("{group}: r{} says {why}", node + 1))?;
        }
    }
    never_two_answer(bed)
}

/// Checks that a node reports what must be reported, of the node that was active first and of the one that is now.
fn is_told(said: &[String], told: Told, [first, active]: [usize; 2]) -> Result<(), String> {
    let row = |key: &str, node: usize| format!("interface.lan1.{key} Text(\"r{}: ", node + 1);
    let rows = [
        (told.dropped, row("virtual_mac_dropped", active)),
        (told.unanswered, row("virtual_mac_unanswered", active)),
        (told.before, row("virtual_mac_was_dropped", first)),
    ];
    for (expected, row) in &rows {
        let is_said = said.iter().any(|it| it.starts_with(row));
        if *expected != Said::Maybe && *expected != is_said.into() {
            return Err(format!("{said:?}, not {told:?}"));
        }
    }
    let is_unheard = |it: &str| it.contains("lan1.unheard") || it == "check lan1";
    let is_known = |it: &&String| {
        let is_row = rows.iter().any(|(_, row)| it.starts_with(row));
        is_row || told.unheard == Said::Yes && is_unheard(it)
    };
    match said.iter().find(|it| !is_known(it)) {
        Some(_) => Err(format!("{said:?}, not {told:?}")),
        None => Ok(()),
    }
}

fn is_mended(bed: &mut Bed, fault: Fault) -> Result<(), String> {
    let mended = Fault {
        carriage: Carriage::WHOLE,
        ..fault
    };
    bed.forget();
    bed.lab.set_carriage(NETWORKS[0], mended.carriage);
    let is_remembered = groups(bed).any(|(_, first)| fault.told(first).before != Said::No);
    if is_remembered {
        bed.run(STAYS_NS);
        for (group, first) in groups(bed).filter(|(_, first)| fault.moves_for_identity(*first)) {
            let moved = 1 - first;
            moved_to(bed, group, moved, moved)?;
            let told = Told {
                before: Said::Yes,
                ..mended.told(first)
            };
            for node in 0..2 {
                is_told(&bed.said(node, group), told, [first, moved])
                    .map_err(|why| format!("{group}: after the mend r{} says {why}", node + 1))?;
            }
        }
    }
    bed.settle(MENDED_NS, is_remembered.then_some(0))?;
    for (group, first) in groups(bed) {
        let (moves, moved) = (bed.moves(group), usize::from(fault.active(first) != first));
        if moves != moved {
            return Err(format!(
                "{group}: {moves} moves, not {moved}, after it was mended"
            ));
        }
    }
    never_two_answer(bed)
}

fn never_two_answer(bed: &Bed) -> Result<(), String> {
    let overlap_ns = bed.lab.longest_overlap_ns();
    if overlap_ns > 2 * bed.lab.latency_ns {
        Err(format!("two nodes answer for {} ms", overlap_ns / MS))
    } else {
        Ok(())
    }
}

/// Cases of the sample.
fn sample() -> Vec<Case> {
    let numbers = (0..SAMPLE).map(|place| place * STRIDE % COUNT);
    numbers.map(Case::numbered).collect()
}

#[test]
fn each_value_of_two_dimensions_is_in_the_sample_of_faults() {
    let found = |cases: &[Case]| {
        let values = cases.iter().map(|case| case.values());
        let pairs = values.flat_map(|values| {
            let all: Vec<(usize, usize)> = values.into_iter().enumerate().collect();
            let pairs = all
                .iter()
                .flat_map(|one| all.iter().map(move |other| (*one, *other)));
            pairs.collect::<Vec<_>>()
        });
        pairs.collect::<HashSet<_>>()
    };
    let all: Vec<Case> = (0..COUNT).map(Case::numbered).collect();
    assert_eq!(found(&sample()).len(), found(&all).len());
}

#[test]
fn a_sample_of_faults_of_one_network_does_what_the_rules_say() {
    let (beds, cases) = (beds(), sample());
    let failures = judge_all(cases.len(), |place| {
        let case = cases[place];
        judge(&beds[case.bed()], case)
    });
    assert_none(&failures, cases.len());
}

/// A filter drops UDP on the way to r2: ARP passes, and the stations are gone.
#[test]
fn an_answer_of_the_peer_is_no_proof_where_its_heartbeats_are_lost() {
    let Carriage(mut ways) = Carriage::WHOLE;
    ways[Kind::Heartbeats as usize] = Ways::From(1);
    for setup in 0..Setup::COUNT {
        let case = Case {
            setup,
            stations: STATIONS.len() - 1,
            carriage: Carriage(ways),
        };
        let settled = Setup::numbered(setup).settled();
        let bed = settled.with_stations([STATIONS[case.stations], NOBODY]);
        assert_eq!(judge(&bed, case), Ok(()));
    }
}

/// The station on r2's side, which answered last, no longer hears r1's questions. The one on r1's side answers.
#[test]
fn a_station_that_is_silent_leaves_the_word_to_another_one() {
    let Carriage(mut ways) = Carriage::WHOLE;
    ways[Kind::Virtual as usize] = Ways::From(1);
    ways[Kind::Broadcast as usize] = Ways::From(1);
    let (setup, stations) = (1, 3);
    let case = Case {
        setup,
        stations,
        carriage: Carriage(ways),
    };
    let bed = Setup::numbered(setup).settled();
    let bed = bed.with_stations([STATIONS[stations], NOBODY]);
    assert_eq!(judge(&bed, case), Ok(()));
}

#[test]
#[ignore = "for as long as one likes"]
fn every_fault_of_one_network_does_what_the_rules_say() {
    let beds = beds();
    let is_new = |number: &usize| {
        let case = Case::numbered(*number);
        case.carriage == Carriage::numbered(*number % Carriage::COUNT)
    };
    let cases: Vec<Case> = (0..COUNT).filter(is_new).map(Case::numbered).collect();
    let failures = judge_all(cases.len(), |place| {
        let case = cases[place];
        judge(&beds[case.bed()], case)
    });
    assert_none(&failures, cases.len());
    println!("every fault of one network: {}", cases.len());
}
