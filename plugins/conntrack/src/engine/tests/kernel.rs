//! A simulated kernel.

use std::collections::{BTreeMap, HashSet, VecDeque};

use spared_netlink::attributes;

use super::super::kernel_events::{By, Event};
use super::super::{How, KernelChange, Subscription};
use crate::codec::expectation;
use crate::flow::{Flow, TCP, Tcp, status};

const ENOENT: i32 = 2;
const ENOMEM: i32 = 12;
const EEXIST: i32 = 17;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;
/// Attribute that names the connection to which one belongs; here it holds its [`name`].
pub(super) const MASTER: u16 = spared_netlink::constants::CTA_TUPLE_MASTER;

/// Flows by original tuple, with the second of their end.
pub(super) type Flows = BTreeMap<Vec<u8>, (Flow, u64)>;

/// Simulated connection table, as far as the engine can observe it.
pub(super) struct Kernel {
    pub(super) flows: Flows,
    pub(super) limit: usize,
    pub(super) subscription: Subscription,
    /// Events that were not read yet; beyond `buffer` they are lost.
    pub(super) events: VecDeque<(Event, By)>,
    pub(super) buffer: usize,
    /// Number of events that are read in one turn.
    pub(super) reads: usize,
    pub(super) overrun: bool,
    /// Names of the flows left in a dump. It is filled when it is requested, one piece ahead.
    pub(super) dump: Option<VecDeque<Vec<u8>>>,
    pub(super) piece: Vec<Flow>,
    pub(super) hidden: HashSet<Vec<u8>>,
    /// Requests are not answered.
    pub(super) broken: bool,
    /// The table cannot be read.
    pub(super) is_unreadable: bool,
    pub(super) dumps: usize,
    /// Names of flows that are refused.
    pub(super) refused: HashSet<Vec<u8>>,
    pub(super) expectations: Vec<Vec<u8>>,
    pub(super) deletes: usize,
    pub(super) creates: usize,
    pub(super) updates: usize,
    pub(super) loosened: usize,
}

const KIND: crate::wire::Kind = crate::wire::Kind::Gone(crate::wire::Why::Ended);

pub(super) fn name(flow: &Flow) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::wire::record(
        &mut bytes,
        KIND,
        &Flow {
            incarnation: 0,
            ..flow.clone()
        },
    );
    bytes
}

impl Kernel {
    pub(super) fn new() -> Self {
        Self {
            flows: BTreeMap::new(),
            limit: usize::MAX,
            subscription: Subscription::Nothing,
            events: VecDeque::new(),
            buffer: usize::MAX,
            reads: usize::MAX,
            overrun: false,
            dump: None,
            piece: Vec::new(),
            hidden: HashSet::new(),
            broken: false,
            is_unreadable: false,
            dumps: 0,
            refused: HashSet::new(),
            expectations: Vec::new(),
            deletes: 0,
            creates: 0,
            updates: 0,
            loosened: 0,
        }
    }

    pub(super) fn tell(&mut self, event: Event, by: By) {
        let heard = match (&event, self.subscription) {
            (_, Subscription::Nothing) => false,
            (Event::Gone(_), _) | (Event::Changed(_), Subscription::Copies) => true,
            (_, subscription) => subscription == Subscription::All,
        };
        let (Event::New(flow) | Event::Changed(flow) | Event::Gone(flow)) = &event else {
            return;
        };
        if !heard || self.hidden.contains(&name(flow)) {
            return;
        }
        if self.events.len() >= self.buffer {
            self.overrun = true;
        } else {
            self.events.push_back((event, by));
        }
    }

    /// Handles a packet: the flow is created or changed, or only its time.
    pub(super) fn traffic(&mut self, now_s: u64, flow: &Flow) {
        let expires_s = now_s + u64::from(flow.timeout_s.unwrap_or(0));
        let mut flow = flow.clone();
        if let Some((there, _)) = self.flows.get(&name(&flow)) {
            // a liberal entry stays liberal, and a packet that changes nothing causes no event
            let flags = there.tcp.map(|tcp| tcp.flags);
            flow.tcp
                .iter_mut()
                .for_each(|tcp| tcp.flags = flags.unwrap_or(tcp.flags));
        }
        let flow = &flow;
        let before = self.flows.insert(name(flow), (flow.clone(), expires_s));
        let whole = Flow {
            timeout_s: None,
            ..flow.clone()
        };
        match before {
            None => self.tell(Event::New(flow.clone()), By::Traffic),
            Some((before, _)) => {
                let before = Flow {
                    timeout_s: None,
                    ..before
                };
                if before != whole {
                    self.tell(Event::Changed(flow.clone()), By::Traffic);
                }
            }
        }
    }

    /// Deletes a flow, as an administrator does.
    pub(super) fn end(&mut self, now_s: u64, flow: &Flow) {
        self.destroy(Some(now_s), flow, By::Request);
    }

    /// Destroys a flow, now or at its end.
    pub(super) fn destroy(&mut self, now_s: Option<u64>, flow: &Flow, by: By) {
        if let Some((flow, expires_s)) = self.flows.remove(&name(flow)) {
            let last = Flow {
                timeout_s: now_s.map(|now_s| expires_s.saturating_sub(now_s) as u32),
                ..flow
            };
            self.tell(Event::Gone(last), by);
        }
    }

    pub(super) fn expire(&mut self, now_s: u64) {
        let ended = |(_, expires_s): &(Flow, u64)| *expires_s <= now_s;
        let flows: Vec<Flow> = self
            .flows
            .values()
            .filter(|it| ended(it))
            .map(|it| it.0.clone())
            .collect();
        flows
            .iter()
            .for_each(|flow| self.destroy(None, flow, By::Traffic));
    }

    pub(super) fn write(&mut self, now_s: u64, change: &KernelChange) -> Result<(), i32> {
        let (key, flow) = (name(&change.flow), &change.flow);
        let expires_s = now_s + u64::from(change.timeout_s);
        match &change.how {
            How::Create { exclusive } => {
                if let Some((there, _)) = self.flows.get(&key) {
                    return match () {
                        () if *exclusive => Err(EEXIST),
                        () if !flow.is_plain() => Err(EOPNOTSUPP),
                        () if there.status & !flow.status & status::ASSURED != 0 => Err(EBUSY),
                        () => self.update(flow, expires_s, true),
                    };
                }
                let same = |(there, _): &(Flow, u64)| there.reply == flow.reply;
                let conflict = !flow.is_plain() && self.flows.values().any(same);
                let masters = attributes(&flow.extra).filter(|(kind, _)| *kind == MASTER);
                let mut missing = masters.filter(|(_, name)| !self.flows.contains_key(*name));
                match () {
                    () if self.refused.contains(&key) => return Err(EINVAL),
                    () if missing.next().is_some() => return Err(ENOENT),
                    () if conflict => return Err(EEXIST),
                    () if self.flows.len() >= self.limit => return Err(ENOMEM),
                    () => {}
                }
                assert!(
                    flow.original.protocol != TCP || flow.tcp.is_some(),
                    "a TCP flow without a state"
                );
                self.creates += 1;
                let flow = Flow {
                    incarnation: 0,
                    policy_timeout_s: 0,
                    ..flow.clone()
                };
                self.flows.insert(key, (flow, expires_s));
                Ok(())
            }
            How::Update { with_status } => self.update(flow, expires_s, *with_status),
            How::Refresh => match self.flows.get_mut(&key) {
                Some((_, ends)) => {
                    *ends = expires_s;
                    Ok(())
                }
                None => Err(ENOENT),
            },
            How::Loosen => {
                let (there, _) = self.flows.get_mut(&key).ok_or(ENOENT)?;
                self.loosened += 1;
                there
                    .tcp
                    .iter_mut()
                    .for_each(|tcp| tcp.flags = tcp.flags.map(|it| it | 8));
                Ok(())
            }
            How::Delete => {
                self.deletes += 1;
                self.flows.remove(&key).map(drop).ok_or(ENOENT)
            }
            How::DeleteReply => {
                self.deletes += 1;
                self.flows.retain(|_, (there, _)| there.reply != flow.reply);
                Ok(())
            }
            How::Expect(yes, request) => {
                let of = |it: &Vec<u8>| expectation::is_same(it, request);
                let known = self.expectations.iter().position(of);
                if let Some(known) = known {
                    self.expectations.remove(known);
                }
                let master = expectation::master(request).ok_or(ENOENT)?;
                let mut flows = self.flows.values();
                if !flows.any(|(flow, _)| flow.original == master.original) {
                    return Err(ENOENT);
                }
                if *yes {
                    self.expectations.push(request.clone());
                }
                Ok(())
            }
        }
    }

    pub(super) fn update(
        &mut self,
        flow: &Flow,
        expires_s: u64,
        with_status: bool,
    ) -> Result<(), i32> {
        let (there, ends) = self.flows.get_mut(&name(flow)).ok_or(ENOENT)?;
        if with_status {
            if there.status & !flow.status & status::ASSURED != 0 {
                return Err(EBUSY);
            }
            there.status |= flow.status;
        }
        self.updates += 1;
        there.mark = flow.mark;
        there.tcp = flow.tcp.or(there.tcp);
        if flow.timeout_s.is_some() {
            *ends = expires_s;
        }
        Ok(())
    }

    pub(super) fn find(&self, now_s: u64, flow: &Flow) -> Option<Flow> {
        let (flow, expires_s) = self.flows.get(&name(flow))?;
        Some(Flow {
            timeout_s: Some(expires_s.saturating_sub(now_s) as u32),
            ..flow.clone()
        })
    }

    pub(super) fn listed(&self, now_s: u64) -> Vec<Flow> {
        let flows = self.flows.values().map(|(flow, expires_s)| Flow {
            timeout_s: Some(expires_s.saturating_sub(now_s) as u32),
            ..flow.clone()
        });
        flows.collect()
    }

    /// Returns the table without times, for comparison.
    pub(super) fn table(&self) -> Vec<Flow> {
        // only a copy is liberal
        let bare = |tcp: Tcp| Tcp {
            flags: tcp.flags.map(|flags| flags & 7),
            ..tcp
        };
        let flows = self.listed(0).into_iter().map(|flow| Flow {
            timeout_s: None,
            tcp: flow.tcp.map(bare),
            ..flow
        });
        flows.collect()
    }
}
