use spared_message::word::ConfigValue;
use spared_verdict::{GroupFacts, NodeFacts};

use super::*;

/// Two nodes whose words arrive immediately.
struct Pair {
    nodes: [Peer; 2],
}

impl Pair {
    fn new(files: [&[(&str, &str)]; 2]) -> Self {
        let mut pair = Self {
            nodes: [Peer::default(), Peer::default()],
        };
        for (node, files) in pair.nodes.iter_mut().zip(files) {
            node.set_files(read(files));
            node.handle_up();
        }
        pair.deliver();
        pair
    }

    fn deliver(&mut self) {
        for from in [0, 1].into_iter().cycle() {
            let words: Vec<Word> = std::iter::from_fn(|| self.nodes[from].poll_word()).collect();
            for word in &words {
                self.hear(1 - from, word.clone());
            }
            if words.is_empty() && self.nodes.iter().all(|node| node.words.is_empty()) {
                return;
            }
        }
    }

    fn hear(&mut self, node: usize, word: Word) {
        // words cross the link as JSON
        let word = serde_json::from_str(&serde_json::to_string(&word).unwrap()).unwrap();
        let node = &mut self.nodes[node];
        match word {
            Word::Digests { files } => node.handle_digests(files),
            Word::WantKeys { files } => node.handle_want_keys(files),
            Word::Keys { file, keys } => node.handle_keys(file, keys),
            Word::Status(facts) => node.handle_facts(Instant::now(), *facts),
            other => panic!("{other:?}"),
        }
    }

    fn differences(&self) -> [Vec<String>; 2] {
        [0, 1].map(|node| {
            let found = self.nodes[node].differences().iter();
            found.map(|it| it.sentence("peer")).collect()
        })
    }
}

fn read(files: &[(&str, &str)]) -> BTreeMap<String, File> {
    let files = files.iter();
    files
        .map(|(name, text)| ((*name).to_owned(), File::Keys(keys::flatten(text, &[]))))
        .collect()
}

#[test]
fn equal_files_are_compared_by_their_digest_alone() {
    let files: &[(&str, &str)] = &[("vrrp.toml", "a = 1"), ("spared.toml", "")];
    let pair = Pair::new([files, files]);
    assert_eq!(pair.differences(), [vec![], Vec::<String>::new()]);
    assert!(pair.nodes[0].theirs.is_empty());
}

#[test]
fn both_nodes_find_what_differs() {
    let pair = Pair::new([
        &[("vrrp.toml", "a = 1\nb = 2"), ("dhcp.toml", "")],
        &[("vrrp.toml", "a = 1\nb = 3"), ("sets.toml", "")],
    ]);
    assert_eq!(
        pair.differences(),
        [
            [
                "dhcp.toml: the file: here present, peer absent",
                "vrrp.toml: b: here 2, peer 3",
                "sets.toml: the file: here absent, peer present",
            ],
            [
                "sets.toml: the file: here present, peer absent",
                "vrrp.toml: b: here 3, peer 2",
                "dhcp.toml: the file: here absent, peer present",
            ]
        ]
    );
}

#[test]
fn both_nodes_have_one_digest_of_what_is_compared() {
    let digests = |pair: &Pair| [0, 1].map(|node| pair.nodes[node].digest().expect("files"));
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1 # left")], &[("vrrp.toml", "a = 1")]]);
    let [r1, r2] = digests(&pair);
    assert_eq!((&r1, r1.len()), (&r2, 8));
    pair.nodes[1].set_files(read(&[("vrrp.toml", "a = 2")]));
    let [_, other] = digests(&pair);
    assert_ne!(r1, other);
    pair.nodes[1].set_files(read(&[("vrrp.toml", "a = 1"), ("sets.toml", "")]));
    assert_ne!(r1, digests(&pair)[1], "a file that only one node has");
    assert_eq!(Peer::default().digest(), None);
}

#[test]
fn a_reload_ends_a_difference_on_both() {
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1")], &[("vrrp.toml", "a = 2")]]);
    assert!(pair.differences().iter().all(|found| found.len() == 1));
    pair.nodes[1].set_files(read(&[("vrrp.toml", "a = 1")]));
    pair.deliver();
    assert!(pair.differences().iter().all(Vec::is_empty));
    pair.nodes[0].set_files(read(&[("vrrp.toml", "a = 3")]));
    pair.deliver();
    assert!(pair.differences().iter().all(|found| found.len() == 1));
}

#[test]
fn a_difference_that_has_ended_is_not_told_again_when_the_files_differ_in_another_key() {
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1")], &[("vrrp.toml", "a = 2")]]);
    pair.nodes[1].set_files(read(&[("vrrp.toml", "a = 1")]));
    pair.deliver();
    assert!(pair.differences().iter().all(Vec::is_empty));
    pair.nodes[0].set_files(read(&[("vrrp.toml", "a = 1\nb = 2")]));
    assert!(!pair.nodes[0].is_compared());
    assert_eq!(pair.differences()[0], [""; 0]);
    pair.deliver();
    let expected = ["vrrp.toml: b: here 2, peer absent"];
    assert_eq!(pair.differences()[0], expected);
    assert!(pair.nodes[0].is_compared());
}

#[test]
fn a_reload_of_equal_files_makes_a_difference_on_both() {
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1")], &[("vrrp.toml", "a = 1")]]);
    pair.nodes[0].set_files(read(&[("vrrp.toml", "a = 3")]));
    pair.deliver();
    assert!(pair.differences().iter().all(|found| found.len() == 1));
}

#[test]
fn a_file_whose_plugin_has_not_spoken_yet_does_not_differ() {
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1")], &[("vrrp.toml", "a = 2")]]);
    let unknown = BTreeMap::from([("vrrp.toml".to_owned(), File::Unknown)]);
    pair.nodes[0].set_files(unknown);
    pair.deliver();
    assert!(pair.differences().iter().all(Vec::is_empty));
}

#[test]
fn nothing_is_compared_until_the_other_node_has_said_its_keys() {
    let mut peer = Peer::default();
    peer.set_files(read(&[("vrrp.toml", "a = 1")]));
    peer.handle_up();
    assert!(!peer.is_compared());
    let theirs = keys::flatten("a = 2", &[]);
    let digests = [("vrrp.toml".to_owned(), keys::digest(&theirs))];
    peer.handle_digests(digests.into());
    assert!(!peer.is_compared());
    peer.handle_keys("vrrp.toml".to_owned(), theirs);
    assert!(peer.is_compared());
    peer.handle_up();
    assert!(!peer.is_compared());
}

#[test]
fn what_was_known_ends_with_the_link() {
    let mut pair = Pair::new([&[("vrrp.toml", "a = 1")], &[("vrrp.toml", "a = 2")]]);
    pair.nodes[0].handle_facts(Instant::now(), NodeFacts::default());
    pair.nodes[0].handle_down();
    assert!(pair.nodes[0].differences().is_empty());
    assert_eq!(pair.nodes[0].facts(), None);
    assert_eq!(pair.nodes[0].ask(Instant::now(), None, String::new()), None);
}

#[test]
fn facts_are_told_when_it_changes_and_every_two_seconds() {
    let start = Instant::now();
    let mut peer = Peer::default();
    let facts = NodeFacts {
        quality: 73,
        ..NodeFacts::default()
    };
    peer.update(start, facts.clone());
    assert_eq!(peer.poll_word(), None);
    peer.handle_up();
    while peer.poll_word().is_some() {}
    let mut told = |at: Instant, quality: u8| {
        let quality = NodeFacts {
            quality,
            ..facts.clone()
        };
        peer.update(at, quality);
        peer.poll_word().is_some()
    };
    assert!(told(start, 73));
    assert!(!told(start + FACTS_EVERY / 2, 73));
    assert!(told(start + FACTS_EVERY / 2, 74));
    assert!(!told(start + FACTS_EVERY, 74));
    assert!(told(start + FACTS_EVERY * 2, 74));
}

#[test]
fn facts_are_outdated_until_they_arrive_well_after_a_change_here() {
    let start = Instant::now();
    let mut peer = Peer::default();
    let outdated = |peer: &Peer| peer.outdated_groups().into_iter().collect::<Vec<_>>();
    peer.handle_up();
    peer.handle_change(start, "office");
    assert_eq!(outdated(&peer), [""; 0], "no facts");
    peer.handle_facts(start, NodeFacts::default());
    assert_eq!(
        outdated(&peer),
        ["office"],
        "they may have been on their way"
    );
    // a peer whose role is the same sends its facts again
    peer.handle_facts(start + FACTS_EVERY, NodeFacts::default());
    assert_eq!(outdated(&peer), [""; 0]);
    peer.handle_change(start + FACTS_EVERY * 2, "dmz");
    assert_eq!(outdated(&peer), ["dmz"]);
    peer.handle_facts(start + FACTS_EVERY * 3, NodeFacts::default());
    assert_eq!(outdated(&peer), [""; 0]);
}

#[test]
fn a_peer_that_reports_nothing_any_more_is_silent_until_it_does() {
    let start = Instant::now();
    let mut peer = Peer::default();
    peer.handle_up();
    assert_eq!(peer.silent(start + 9 * FACTS_OLD), None, "nothing yet");
    peer.handle_facts(start, NodeFacts::default());
    assert_eq!(peer.silent(start + FACTS_OLD / 2), None);
    let late = start + FACTS_OLD;
    assert_eq!(peer.silent(late), Some(FACTS_OLD));
    assert!(peer.facts().is_some());
    peer.handle_facts(late, NodeFacts::default());
    assert_eq!(peer.silent(late), None);
    peer.handle_down();
    assert_eq!(peer.silent(late + FACTS_OLD), None);
}

#[test]
fn a_question_is_answered_once_or_runs_out() {
    let start = Instant::now();
    let mut peer = Peer::default();
    peer.handle_up();
    let first = peer.ask(start + Duration::from_secs(1), None, "a".to_owned());
    let second = peer.ask(start + Duration::from_secs(2), None, "b".to_owned());
    assert!(peer.handle_answer(first.unwrap()));
    assert!(!peer.handle_answer(first.unwrap()));
    assert_eq!(peer.next_timeout(), Some(start + Duration::from_secs(2)));
    assert_eq!(peer.handle_timeout(start + Duration::from_secs(1)), [0; 0]);
    let late = peer.handle_timeout(start + Duration::from_secs(2));
    assert_eq!(late, [second.unwrap()]);
    assert!(!peer.handle_answer(second.unwrap()));
}

#[test]
fn a_question_without_an_answer_is_asked_once_more_within_its_time() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut peer = Peer::default();
    peer.handle_up();
    while peer.poll_word().is_some() {}
    let mut ask = |text: &str| peer.ask(at(1000), Some(at(500)), text.to_owned()).unwrap();
    let [lost, answered] = [ask("lost"), ask("answered")];
    for _ in 0..2 {
        assert!(matches!(peer.poll_word(), Some(Word::Ask { .. })));
    }
    assert!(peer.handle_answer(answered));
    assert_eq!(peer.next_timeout(), Some(at(500)));
    assert_eq!(peer.handle_timeout(at(499)), [0; 0]);
    assert_eq!(peer.poll_word(), None);
    assert_eq!(peer.handle_timeout(at(500)), [0; 0]);
    let request = "lost".to_owned();
    assert_eq!(
        peer.poll_word(),
        Some(Word::Ask {
            id: lost,
            request,
            is_order: false
        })
    );
    assert_eq!(peer.next_timeout(), Some(at(1000)));
    assert_eq!(peer.handle_timeout(at(999)), [0; 0]);
    assert_eq!(peer.poll_word(), None);
    assert_eq!(peer.handle_timeout(at(1000)), [lost]);
}

/// Delivers the queued words of a node to its peer. Returns orders, each with true if the peer may begin it.
fn deliver(from: &mut Peer, to: &mut Peer, now: Instant) -> Vec<(String, bool)> {
    let mut begun = Vec::new();
    while let Some(word) = from.poll_word() {
        match word {
            Word::Ask {
                id,
                request,
                is_order: true,
            } => to.hold(id, request),
            Word::MayBegin { id } => to.handle_may_begin(now, id),
            Word::Begin { id, is_wanted } => {
                begun.extend(to.take_held(id).map(|request| (request, is_wanted)));
            }
            _ => {}
        }
    }
    begun
}

#[test]
fn an_order_is_begun_only_while_the_node_that_sent_it_waits_for_it() {
    let start = Instant::now();
    let at = |s| start + Duration::from_secs(s);
    let (mut here, mut there) = (Peer::default(), Peer::default());
    here.handle_up();
    there.handle_up();
    let lasts = Duration::from_secs(6);
    let order = |here: &mut Peer| here.order(at(6), lasts, "switch".to_owned()).unwrap();

    let id = order(&mut here);
    assert_eq!(deliver(&mut here, &mut there, at(5)), []);
    assert_eq!(deliver(&mut there, &mut here, at(5)), []);
    let begun = deliver(&mut here, &mut there, at(5));
    assert_eq!(begun, [("switch".to_owned(), true)]);
    // the order has its full time from then on
    assert_eq!(here.handle_timeout(at(10)), [0; 0]);
    assert_eq!(here.handle_timeout(at(11)), [id]);

    // the other node was suspended for longer than anybody waits
    let late = order(&mut here);
    assert_eq!(here.handle_timeout(at(11)), [late]);
    deliver(&mut here, &mut there, at(60));
    deliver(&mut there, &mut here, at(60));
    let begun = deliver(&mut here, &mut there, at(60));
    assert_eq!(begun, [("switch".to_owned(), false)]);
    assert_eq!(there.take_held(late), None);

    // an order that is never answered takes no place
    for _ in 0..SERVED_MAX + 3 {
        order(&mut here);
        here.give_up();
    }
    deliver(&mut here, &mut there, at(61));
    assert_eq!(there.unconfirmed_orders.len(), SERVED_MAX);
    there.handle_down();
    assert!(there.unconfirmed_orders.is_empty());
}

#[test]
fn a_question_that_is_asked_once_more_is_served_once() {
    let mut peer = Peer::default();
    peer.handle_up();
    assert!(!peer.is_serving(7));
    assert!(peer.handle_ask(7));
    assert!(peer.is_serving(7));
    peer.answer(7, String::new());
    assert!(!peer.is_serving(7));
}

#[test]
fn a_node_that_asks_too_much_is_not_served() {
    let mut peer = Peer::default();
    peer.handle_up();
    while peer.poll_word().is_some() {}
    for id in 0..SERVED_MAX as u64 {
        assert!(peer.handle_ask(id));
    }
    assert!(!peer.handle_ask(77));
    peer.answer(77, String::new());
    assert_eq!(peer.poll_word(), None);
    peer.answer(3, String::new());
    assert!(matches!(peer.poll_word(), Some(Word::Answer { id: 3, .. })));
    assert!(peer.handle_ask(77));
}

#[test]
fn a_lying_node_costs_a_bounded_amount() {
    let mut peer = Peer::default();
    peer.set_files(read(&[("vrrp.toml", "a = 1")]));
    peer.handle_up();
    let many = |n: usize| (0..n).map(|n| (format!("file{n}.toml"), "x".to_owned()));
    let keys = |n: usize| many(n).map(|(key, _)| (key, ConfigValue::default()));
    peer.handle_digests(many(10_000).collect());
    peer.handle_keys("other.toml".to_owned(), keys(10).collect());
    assert!(peer.theirs.is_empty());
    peer.handle_keys("vrrp.toml".to_owned(), keys(100_000).collect());
    assert!(peer.differences().len() <= DIFFERENCES_MAX);
    let groups = many(100_000).map(|(name, _)| GroupFacts {
        name,
        ..GroupFacts::default()
    });
    let facts = NodeFacts {
        quality: 255,
        groups: groups.collect(),
        ..NodeFacts::default()
    };
    peer.handle_facts(Instant::now(), facts);
    let facts = peer.facts().unwrap();
    assert_eq!(facts.quality, 100);
    assert!(facts.groups.len() <= 256);
}

#[test]
fn a_file_that_one_word_wants_many_times_is_told_once() {
    let mut node = Peer::default();
    node.set_files(read(&[("vrrp.toml", "a = 1")]));
    node.handle_up();
    while node.poll_word().is_some() {}
    node.handle_want_keys(vec!["vrrp.toml".to_owned(); 100]);
    let words = std::iter::from_fn(|| node.poll_word());
    assert_eq!(words.count(), 1);
}
