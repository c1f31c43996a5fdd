//! Connections that are there. When there are too many, one that waits for a request gives way: the oldest one of the
//! address that has most of them. So those who open many hold up themselves. Those that have just come have time to ask
//! first; meanwhile others wait in the kernel, where they take none of this process's memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::quota::{Limit, network_of};
use crate::config::is_local;

/// All connections, oldest first.
#[derive(Clone, Debug)]
pub struct Crowd {
    limit: Limit,
    waiting: Waiting,
    members: Arc<Mutex<Members>>,
}

/// Connections that wait for a request: how many may do so, and the age from which on one of them gives way.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub most: usize,
    pub from_age: Duration,
}

#[derive(Debug, Default)]
struct Members {
    last: u64,
    all: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    number: u64,
    network: IpAddr,
    admitted: Instant,
    is_waiting: Arc<AtomicBool>,
    task: Option<AbortHandle>,
}

impl Crowd {
    pub fn new(limit: Limit, waiting: Waiting) -> Self {
        Self {
            limit,
            waiting,
            members: Arc::default(),
        }
    }

    /// Admits a connection until its place is dropped.
    pub fn admit(&self, now: Instant, address: IpAddr) -> Admission {
        let most = match is_local(address) {
            true => self.limit.of_this_node,
            false => self.limit.of_address,
        };
        let network = network_of(address);
        let mut members = self.members();
        let own = members.all.iter().filter(|it| it.network == network);
        if own.count() >= most as usize {
            return Admission::Refused;
        }
        let Waiting { most, from_age } = self.waiting;
        while members.waiting().count() >= most {
            if members.make_room(now, from_age).is_none() {
                return Admission::Later;
            }
        }
        if members.all.len() >= self.limit.all as usize
            && members.make_room(now, Duration::ZERO).is_none()
        {
            return Admission::Refused;
        }
        members.last += 1;
        let (number, is_waiting) = (members.last, Arc::new(AtomicBool::new(true)));
        members.all.push(Member {
            number,
            network,
            admitted: now,
            is_waiting: is_waiting.clone(),
            task: None,
        });
        Admission::Place(Place {
            number,
            is_waiting,
            crowd: self.clone(),
        })
    }

    /// Notes the task of an admitted connection, by which it can be ended.
    pub fn set_task(&self, number: u64, task: AbortHandle) {
        let mut members = self.members();
        let member = members.all.iter_mut().find(|it| it.number == number);
        match member {
            Some(member) => member.task = Some(task),
            None => task.abort(),
        }
    }

    /// Number of connections that are there.
    pub fn count(&self) -> u32 {
        u32::try_from(self.members().all.len()).unwrap_or(u32::MAX)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // a panic elsewhere leaves the list valid
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn waiting(&self) -> impl Iterator<Item = &Member> {
        self.all.iter().filter(|it| it.is_waiting())
    }

    /// Ends a connection that waits: the oldest one of the networks that have most. None if none waits, or if that one is
    /// younger.
    fn make_room(&mut self, now: Instant, from_age: Duration) -> Option<()> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for member in self.waiting() {
            *counts.entry(member.network).or_default() += 1;
        }
        let most = counts.values().max()?;
        let is_next =
            |it: &Member| it.is_waiting() && counts.get(&it.network).is_some_and(|it| it == most);
        let at = self.all.iter().position(is_next)?;
        if now.saturating_duration_since(self.all[at].admitted) < from_age {
            return None;
        }
        if let Some(task) = self.all.remove(at).task {
            task.abort();
        }
        Some(())
    }
}

impl Member {
    fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }
}

/// Answer to a connection that asks for a place.
#[derive(Debug)]
pub enum Admission {
    Place(Place),
    /// So many have just come that one has to wait until the first of them has asked, or gives way.
    Later,
    /// Its address has too many, or all are in use.
    Refused,
}

/// Place of a connection, which ends with it.
#[derive(Debug)]
pub struct Place {
    number: u64,
    is_waiting: Arc<AtomicBool>,
    crowd: Crowd,
}

impl Place {
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Flag that says whether the connection waits for a request; only then it may have to give way.
    pub fn waiting(&self) -> Arc<AtomicBool> {
        self.is_waiting.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number;
        self.crowd.members().all.retain(|it| it.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        all: 5,
        of_address: 3,
        of_this_node: 4,
    };

    fn waiting(most: usize) -> Waiting {
        let from_age = Duration::ZERO;
        Waiting { most, from_age }
    }

    fn placed(crowd: &Crowd, last: u8) -> Option<Place> {
        match crowd.admit(Instant::now(), [192, 0, 2, last].into()) {
            Admission::Place(place) => Some(place),
            Admission::Later | Admission::Refused => None,
        }
    }

    fn numbers(crowd: &Crowd) -> Vec<u64> {
        crowd.members().all.iter().map(|it| it.number).collect()
    }

    #[test]
    fn who_has_most_gives_way_and_never_a_request() {
        let crowd = Crowd::new(LIMIT, waiting(5));
        let admit = |last: u8| placed(&crowd, last);
        let first: Vec<Place> = (0..3).filter_map(|_| admit(1)).collect();
        assert!(first.len() == 3 && admit(1).is_none(), "of one address");
        let others = [admit(2), admit(3)];
        assert_eq!(numbers(&crowd), [1, 2, 3, 4, 5]);
        // the oldest has a request in hand
        first[0].waiting().store(false, Ordering::Relaxed);
        let newer = admit(4);
        assert_eq!(numbers(&crowd), [1, 3, 4, 5, 6]);
        drop(first);
        assert_eq!(numbers(&crowd), [4, 5, 6]);
        for place in others.iter().chain([&newer]).flatten() {
            place.waiting().store(false, Ordering::Relaxed);
        }
        let last = [admit(5), admit(6)];
        for place in last.iter().flatten() {
            place.waiting().store(false, Ordering::Relaxed);
        }
        assert!(admit(7).is_none(), "nobody waits");
        drop((others, newer, last));
        assert_eq!(crowd.count(), 0);
    }

    #[test]
    fn those_that_wait_are_fewer_than_those_that_are_served() {
        let crowd = Crowd::new(LIMIT, waiting(2));
        let admit = |last: u8| placed(&crowd, last);
        let served: Vec<Place> = [1, 2].into_iter().filter_map(admit).collect();
        for place in &served {
            place.waiting().store(false, Ordering::Relaxed);
        }
        let waiting: Vec<Place> = [3, 3, 3, 4].into_iter().filter_map(admit).collect();
        assert_eq!((waiting.len(), numbers(&crowd)), (4, vec![1, 2, 5, 6]));
        drop((served, waiting));
        assert_eq!(crowd.count(), 0);
    }

    #[test]
    fn those_that_have_just_come_have_time_to_ask_and_more_come_later() {
        let (start, from_age) = (Instant::now(), Duration::from_millis(100));
        let crowd = Crowd::new(LIMIT, Waiting { most: 3, from_age });
        let mut places = Vec::new();
        let mut admit = |after: Duration, last: u8| {
            match crowd.admit(start + after, [192, 0, 2, last].into()) {
                Admission::Place(place) => places.push(place),
                Admission::Later => return None,
                Admission::Refused => panic!("refused"),
            }
            places.last().map(Place::waiting)
        };
        let first = [1, 2, 2].map(|last| admit(Duration::ZERO, last));
        assert!(first.iter().all(Option::is_some));
        assert!(admit(from_age / 2, 3).is_none(), "all are young");
        // one has asked
        if let Some(waiting) = &first[2] {
            waiting.store(false, Ordering::Relaxed);
        }
        assert!(admit(from_age / 2, 2).is_some());
        // the oldest one has to give way only if no address has more
        assert!(admit(from_age, 4).is_some());
        assert_eq!(numbers(&crowd), [1, 3, 4, 5]);
        assert!(admit(from_age, 4).is_some());
        assert_eq!(numbers(&crowd), [3, 4, 5, 6]);
        drop(places);
        assert_eq!(crowd.count(), 0);
    }
}
