//! The ready-made store: two of them in a pair.

use crate::map::{Map, PutError};
use crate::wire::{KEY_MAX, VALUE_MAX};
use crate::{Change, Config, Replica, Store, Token};

type Texts = Map<String, String>;

const S: u64 = 1_000_000_000;

struct Node {
    replica: Replica<Texts>,
    map: Texts,
}

/// Two nodes, the first one active; the second decides if the roles do not.
struct Duo([Node; 2]);

impl Duo {
    fn new(make: impl Fn(Texts) -> Texts) -> Self {
        let mut duo = Self([1, 2].map(|key| Node {
            replica: Replica::new(Config::new(key, key, ["texts"])),
            map: make(Map::new(key)),
        }));
        duo.0[0].replica.handle_groups(["office".to_owned()].into());
        duo.link();
        duo
    }

    fn link(&mut self) {
        for it in &mut self.0 {
            it.replica.handle_down(&mut it.map);
            it.replica.handle_up(&mut it.map);
        }
        self.run();
    }

    /// Carries all pending messages through the channel.
    fn run(&mut self) {
        let mut turns = 0;
        let mut is_busy = true;
        while is_busy {
            turns += 1;
            assert!(turns < 10_000, "turns in a circle");
            is_busy = self.carry(0, 1) | self.carry(1, 0);
            for it in &mut self.0 {
                let is_due = it.replica.next_timeout(S) == Some(S);
                if is_due {
                    it.replica.handle_timeout(S, &mut it.map);
                }
                is_busy |= is_due;
            }
        }
    }

    fn carry(&mut self, from: usize, to: usize) -> bool {
        let it = &mut self.0[from];
        let Some(message) = it.replica.poll_message(S, &mut it.map) else {
            return false;
        };
        let message = message.to_vec();
        it.replica.sent();
        let it = &mut self.0[to];
        it.replica.handle_message(S, &mut it.map, &message).unwrap();
        true
    }

    fn put(&mut self, node: usize, key: &str, value: &str) -> Result<(), PutError> {
        let it = &mut self.0[node];
        it.map.put(key.to_owned(), value.to_owned())?;
        it.replica
            .changed(S, &mut it.map, 0, &key.to_owned(), Change::Put);
        self.run();
        Ok(())
    }

    fn remove(&mut self, node: usize, key: &str) {
        let it = &mut self.0[node];
        assert!(it.map.remove(&key.to_owned()));
        it.replica
            .changed(S, &mut it.map, 0, &key.to_owned(), Change::Deleted);
        self.run();
    }

    fn get(&self, node: usize, key: &str) -> Option<&str> {
        self.0[node].map.get(&key.to_owned()).map(String::as_str)
    }

    /// Keys that the peer changed, polled from the map.
    fn updates(&mut self, node: usize) -> Vec<String> {
        std::iter::from_fn(|| self.0[node].map.poll_update()).collect()
    }

    fn in_sync(&self, node: usize) -> Result<(), String> {
        let it = &self.0[node];
        it.replica.in_sync(&it.map)
    }
}

#[test]
fn what_one_puts_and_removes_is_so_at_the_other_and_told_there_once() {
    let mut duo = Duo::new(|map| map);
    duo.put(0, "a", "1").unwrap();
    duo.put(0, "a", "2").unwrap();
    duo.put(0, "b", "3").unwrap();
    assert_eq!((duo.get(1, "a"), duo.get(1, "b")), (Some("2"), Some("3")));
    assert_eq!(duo.updates(1), ["a", "b"]);
    duo.remove(0, "a");
    assert_eq!(duo.get(1, "a"), None);
    assert_eq!(duo.updates(1), ["a"]);
    assert_eq!(duo.updates(0), [""; 0], "own changes are not told");
    assert_eq!(duo.in_sync(0).and(duo.in_sync(1)), Ok(()));
}

#[test]
fn many_records_survive_a_restart_of_either_node() {
    let mut duo = Duo::new(|map| map);
    for number in 0..100 {
        duo.put(0, &format!("{number}"), "value").unwrap();
    }
    for node in [0, 1] {
        let key = duo.0[node].replica.config.node;
        let groups = duo.0[node].replica.active.clone();
        let life = 10 + key;
        duo.0[node].replica = Replica::new(Config::new(life, key, ["texts"]));
        duo.0[node].replica.handle_groups(groups);
        duo.0[node].map = Map::new(life);
        duo.link();
        for node in [0, 1] {
            assert_eq!(duo.0[node].map.count(), 100);
            assert_eq!(duo.in_sync(node), Ok(()));
        }
    }
}

#[test]
fn a_backups_change_is_undone_unless_the_map_says_otherwise() {
    let mut duo = Duo::new(|map| map);
    duo.put(0, "a", "1").unwrap();
    duo.updates(1);
    duo.put(1, "a", "2").unwrap();
    duo.put(1, "b", "3").unwrap();
    assert_eq!((duo.get(1, "a"), duo.get(1, "b")), (Some("1"), None));
    assert_eq!(duo.updates(1), ["a", "b"]);

    let mut duo = Duo::new(Map::with_changes_of_backups);
    duo.put(0, "a", "1").unwrap();
    duo.put(1, "a", "2").unwrap();
    duo.remove(1, "a");
    duo.put(1, "b", "3").unwrap();
    assert_eq!((duo.get(0, "a"), duo.get(0, "b")), (None, Some("3")));
}

#[test]
fn a_full_map_refuses_and_says_so() {
    let mut duo = Duo::new(|map| map);
    duo.0[1].map = Map::new(9).limited_to(1);
    duo.put(0, "a", "1").unwrap();
    duo.put(0, "b", "2").unwrap();
    assert_eq!((duo.get(1, "a"), duo.get(1, "b")), (Some("1"), None));
    assert!(duo.0[1].map.is_full() && duo.in_sync(1).is_err());
    assert_eq!(duo.put(1, "c", "3"), Err(PutError::Full(1)));
    duo.put(0, "a", "4").unwrap();
    assert_eq!(duo.get(1, "a"), Some("4"), "a record that is there changes");
}

#[test]
fn what_the_peer_would_not_understand_is_not_put() {
    let mut map: Texts = Map::new(1);
    let long = "k".repeat(KEY_MAX + 1);
    for key in ["", "a\nb", "\u{1b}[31m", &long] {
        let put = map.put(key.to_owned(), String::new());
        assert_eq!(put, Err(PutError::Key), "{key:?}");
    }
    let long = "v".repeat(VALUE_MAX + 1);
    assert_eq!(map.put("a".to_owned(), long), Err(PutError::Value));
    assert_eq!(map.count(), 0);
    map.put("k".repeat(KEY_MAX), "v".repeat(VALUE_MAX)).unwrap();
}

#[test]
fn a_value_of_the_peer_that_is_none_is_garbage() {
    let mut map: Map<String, u64> = Map::new(1);
    let token = Token {
        pair: 0,
        ordinal: 0,
    };
    for value in [&[1, 2][..], &[0; 9]] {
        assert!(map.apply(0, &"a".to_owned(), value, token).is_err());
    }
    assert!(map.apply(0, &"a".to_owned(), &[0; 8], token).is_ok());
    assert!(map.holds(0, &"a".to_owned(), &[0; 8]));
    assert!(!map.holds(0, &"a".to_owned(), &[0; 7]));
    let mut texts: Texts = Map::new(1);
    let value = [0xff];
    assert!(texts.apply(0, &"a".to_owned(), &value, token).is_err());
}
