//! Every fault of one network while the other one is whole, with every kind of stations, and what a pair does about it.

use std::collections::HashSet;

use super::super::lab::carried_frames::{CarriedFrames, Directions, Kind};
use super::super::lab::{MS, SECOND};
use super::bed::{
    FAILBACK_NS, HOLD_NS, NETWORKS, NOBODY, NetworkBed, PREFERRED, PairConfig, STATIONS,
};
use super::expected::{Fault, RequiredReports, Requirement};
use super::{assert_none, check_all};

const COUNT: usize = CarriedFrames::COUNT * STATIONS.len() * PairConfig::COUNT;
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
    carried_frames: CarriedFrames,
}

impl Case {
    fn numbered(number: usize) -> Case {
        let (bed, carried_frames) = (number / CarriedFrames::COUNT, number % CarriedFrames::COUNT);
        let (setup, stations) = (bed / STATIONS.len(), bed % STATIONS.len());
        let mut carried_frames = CarriedFrames::numbered(carried_frames);
        if !PairConfig::numbered(setup).vmac {
            // without `vmac` there are no such frames
            carried_frames.0[1] = Directions::Both;
        }
        Case {
            setup,
            stations,
            carried_frames,
        }
    }

    fn bed(self) -> usize {
        self.setup * STATIONS.len() + self.stations
    }

    /// Values of all dimensions.
    fn values(self) -> Vec<usize> {
        let CarriedFrames(ways) = self.carried_frames;
        let ways = ways.map(|way| {
            Directions::ALL
                .iter()
                .position(|it| *it == way)
                .expect("listed")
        });
        let bits = [0, 1, 2].map(|bit| (self.setup >> bit) & 1);
        ways.into_iter()
            .chain([self.stations])
            .chain(bits)
            .collect()
    }
}

/// Beds for each setup and each kind of stations on the first network.
fn beds() -> Vec<NetworkBed> {
    let setups = (0..PairConfig::COUNT).map(PairConfig::numbered);
    let beds = setups.flat_map(|setup| {
        let settled = setup.settled();
        STATIONS.map(|stations| settled.with_stations([stations, NOBODY]))
    });
    beds.collect()
}

fn check_case(settled: &NetworkBed, case: Case) -> Result<(), String> {
    let mut bed = settled.clone();
    let stations = STATIONS[case.stations];
    let (carried_frames, setup) = (case.carried_frames, bed.setup);
    let fault = Fault {
        carried_frames,
        stations,
        vmac: setup.vmac,
    };
    let mut judged = check_during_fault(&mut bed, fault);
    if judged.is_ok() {
        judged = check_after_fault(&mut bed, fault);
    }
    judged.map_err(|why| {
        format!(
            "{setup:?} {stations:?} {carried_frames:?}: {why}{}",
            bed.history()
        )
    })
}

fn check_during_fault(bed: &mut NetworkBed, fault: Fault) -> Result<(), String> {
    bed.lab
        .set_carried_frames(NETWORKS[0], fault.carried_frames);
    bed.run(VERDICT_NS);
    for group in 0..bed.setup.groups {
        if !fault.hear_each_other() && !is_reported_by_both(bed, group) {
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
fn groups(bed: &NetworkBed) -> impl Iterator<Item = (usize, usize)> + use<> {
    (0..bed.setup.groups).zip(PREFERRED)
}

/// True if both nodes report a fault of the group, with or without a link.
fn is_reported_by_both(bed: &NetworkBed, group: usize) -> bool {
    (0..2).all(|node| !bed.reports(node, group).is_empty())
}

fn moved_to(bed: &NetworkBed, group: usize, first: usize, expected: usize) -> Result<(), String> {
    let (active, moves) = (bed.active(group), bed.moves(group));
    if active == [expected] && moves == usize::from(expected != first) {
        Ok(())
    } else {
        Err(format!(
            "{group}: {active:?} is active, not {expected}, after {moves} moves"
        ))
    }
}

fn is_as_expected(bed: &NetworkBed, fault: Fault) -> Result<(), String> {
    for (group, first) in groups(bed) {
        let expected = fault.active(first);
        moved_to(bed, group, first, expected)?;
        if expected != first && fault.is_proven(first) && !fault.is_proven(expected) {
            return Err(format!(
                "{group}: it moved to where the network is not proven"
            ));
        }
        let required = fault.required_reports(first);
        if required.unheard == Requirement::Yes && !is_reported_by_both(bed, group) {
            return Err(format!("{group}: nothing is said, not {required:?}"));
        }
        for node in 0..2 {
            check_reports(&bed.reports(node, group), required, [first, expected])
                .map_err(|why| format!("{group}: r{} says {why}", node + 1))?;
        }
    }
    never_two_answer(bed)
}

/// Checks that a node reports what must be reported, of the node that was active first and of the one that is now.
fn check_reports(
    reports: &[String],
    required: RequiredReports,
    [first, active]: [usize; 2],
) -> Result<(), String> {
    let row = |key: &str, node: usize| format!("interface.lan1.{key} Text(\"r{}: ", node + 1);
    let rows = [
        (required.dropped, row("virtual_mac_dropped", active)),
        (required.unanswered, row("virtual_mac_unanswered", active)),
        (required.before, row("virtual_mac_was_dropped", first)),
    ];
    for (expected, row) in &rows {
        let is_reported = reports.iter().any(|it| it.starts_with(row));
        if *expected != Requirement::Maybe && *expected != is_reported.into() {
            return Err(format!("{reports:?}, not {required:?}"));
        }
    }
    let is_unheard = |it: &str| it.contains("lan1.unheard") || it == "check lan1";
    let is_known = |it: &&String| {
        let is_row = rows.iter().any(|(_, row)| it.starts_with(row));
        is_row || required.unheard == Requirement::Yes && is_unheard(it)
    };
    match reports.iter().find(|it| !is_known(it)) {
        Some(_) => Err(format!("{reports:?}, not {required:?}")),
        None => Ok(()),
    }
}

fn check_after_fault(bed: &mut NetworkBed, fault: Fault) -> Result<(), String> {
    let mended = Fault {
        carried_frames: CarriedFrames::ALL,
        ..fault
    };
    bed.forget();
    bed.lab
        .set_carried_frames(NETWORKS[0], mended.carried_frames);
    let is_remembered =
        groups(bed).any(|(_, first)| fault.required_reports(first).before != Requirement::No);
    if is_remembered {
        bed.run(STAYS_NS);
        for (group, first) in groups(bed).filter(|(_, first)| fault.moves_for_identity(*first)) {
            let moved = 1 - first;
            moved_to(bed, group, moved, moved)?;
            let required = RequiredReports {
                before: Requirement::Yes,
                ..mended.required_reports(first)
            };
            for node in 0..2 {
                check_reports(&bed.reports(node, group), required, [first, moved])
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

fn never_two_answer(bed: &NetworkBed) -> Result<(), String> {
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
    let failures = check_all(cases.len(), |place| {
        let case = cases[place];
        check_case(&beds[case.bed()], case)
    });
    assert_none(&failures, cases.len());
}

/// A filter drops UDP on the way to r2: ARP passes, and the stations are gone.
#[test]
fn an_answer_of_the_peer_is_no_proof_where_its_heartbeats_are_lost() {
    let CarriedFrames(mut ways) = CarriedFrames::ALL;
    ways[Kind::Heartbeats as usize] = Directions::From(1);
    for setup in 0..PairConfig::COUNT {
        let case = Case {
            setup,
            stations: STATIONS.len() - 1,
            carried_frames: CarriedFrames(ways),
        };
        let settled = PairConfig::numbered(setup).settled();
        let bed = settled.with_stations([STATIONS[case.stations], NOBODY]);
        assert_eq!(check_case(&bed, case), Ok(()));
    }
}

/// The station on r2's side, which answered last, no longer hears r1's questions. The one on r1's side answers.
#[test]
fn a_station_that_is_silent_leaves_the_word_to_another_one() {
    let CarriedFrames(mut ways) = CarriedFrames::ALL;
    ways[Kind::Virtual as usize] = Directions::From(1);
    ways[Kind::Broadcast as usize] = Directions::From(1);
    let (setup, stations) = (1, 3);
    let case = Case {
        setup,
        stations,
        carried_frames: CarriedFrames(ways),
    };
    let bed = PairConfig::numbered(setup).settled();
    let bed = bed.with_stations([STATIONS[stations], NOBODY]);
    assert_eq!(check_case(&bed, case), Ok(()));
}

#[test]
#[ignore = "for as long as one likes"]
fn every_fault_of_one_network_does_what_the_rules_say() {
    let beds = beds();
    let is_new = |number: &usize| {
        let case = Case::numbered(*number);
        case.carried_frames == CarriedFrames::numbered(*number % CarriedFrames::COUNT)
    };
    let cases: Vec<Case> = (0..COUNT).filter(is_new).map(Case::numbered).collect();
    let failures = check_all(cases.len(), |place| {
        let case = cases[place];
        check_case(&beds[case.bed()], case)
    });
    assert_none(&failures, cases.len());
    println!("every fault of one network: {}", cases.len());
}
