//! charon with its plugin `ha`, as far as the engine sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::kernel::Kernel;
use super::{policies, tunnel};
use crate::engine::{Deleter, Engine, NotTold};
use crate::sa::Body;
use crate::sessions::message::{Kind, Message};
use crate::sessions::written::{VIP, Written};
use crate::sessions::{IkeSpis, RunningIke};

/// First part of the SPIs of inbound SAs.
const INBOUND: u32 = 0xc000_0000;
const OUTBOUND: u32 = 0xd000_0000;

#[derive(Default)]
pub struct Charon {
    pub has_ha: bool,
    /// Version of messages that it ignores all others for; None: it takes any.
    pub version: Option<u8>,
    /// IKE SAs, each with the one whose place it takes.
    pub ikes: BTreeMap<IkeSpis, Option<IkeSpis>>,
    /// Children by number, with their IKE SA.
    pub children: BTreeMap<u32, IkeSpis>,
    /// It answers for its IKE SAs.
    pub is_active: bool,
    /// Children that it cannot add.
    pub fails: BTreeSet<u32>,
    /// Connections that it does not have.
    pub lacks: BTreeSet<String>,
    /// It reads its messages late, every second time.
    pub is_busy: bool,
    pub tells: usize,
    pub message_ids: BTreeMap<IkeSpis, u32>,
    pub vips: BTreeSet<IkeSpis>,
    /// It was asked for all that it has told so far.
    pub is_resynced: bool,
}

impl Charon {
    /// Messages of a client that has connected, with children.
    pub fn connected(ike: IkeSpis, children: &[u32]) -> Vec<Vec<u8>> {
        let mut messages = vec![Written::new(Kind::IkeAdd, ike).bytes()];
        messages.extend(children.iter().map(|number| Self::child(ike, *number)));
        messages.push(Written::new(Kind::IkeUpdate, ike).end().bytes());
        messages
    }

    pub fn child(ike: IkeSpis, number: u32) -> Vec<u8> {
        let child = Written::new(Kind::ChildAdd, ike);
        child.spis(INBOUND + number, OUTBOUND + number).bytes()
    }

    pub fn child_deleted(ike: IkeSpis, number: u32) -> Vec<u8> {
        let child = Written::new(Kind::ChildDelete, ike);
        child.spis(INBOUND + number, OUTBOUND + number).bytes()
    }

    pub fn disconnected(ike: IkeSpis) -> Vec<u8> {
        Written::new(Kind::IkeDelete, ike).bytes()
    }

    pub fn rekeyed(old: IkeSpis, new: IkeSpis) -> Vec<Vec<u8>> {
        vec![
            Written::new(Kind::IkeAdd, new).rekeys(old).bytes(),
            Written::new(Kind::IkeDelete, old).bytes(),
            Written::new(Kind::IkeUpdate, new).end().bytes(),
        ]
    }

    /// Takes an order to answer for its IKE SAs, or not to.
    pub fn set_segment(&mut self, now_ns: u64, engine: &mut Engine, is_active: bool, version: u8) {
        if !self.has_ha {
            return engine
                .handle_segment(now_ns, Err(NotTold::Refused("nobody listens".to_owned())));
        }
        if self.version.is_none_or(|it| it == version) {
            self.is_active = is_active;
        }
        engine.handle_segment(now_ns, Ok(()));
    }

    /// Its list of IKE SAs.
    pub fn running(&self) -> BTreeMap<IkeSpis, RunningIke> {
        let running = RunningIke {
            end: Some(VIP.into()),
            is_initiator: false,
            is_ikev1: false,
        };
        self.ikes.keys().map(|it| (*it, running)).collect()
    }

    pub fn missing(&self, mut names: BTreeSet<String>) -> BTreeSet<String> {
        names.retain(|it| self.lacks.contains(it));
        names
    }

    pub fn tell(
        &mut self,
        now_ns: u64,
        kernel: &mut Kernel,
        messages: &[Body],
    ) -> Result<(), NotTold> {
        if !self.has_ha {
            return Err(NotTold::Refused("nobody listens".to_owned()));
        }
        self.tells += 1;
        if self.is_busy && self.tells % 2 == 1 {
            return Err(NotTold::Busy);
        }
        for message in messages {
            self.read(
                now_ns,
                kernel,
                &Message::read(message.bytes()).expect("a message"),
            );
        }
        Ok(())
    }

    pub fn has_read(&mut self) -> bool {
        self.tells += 1;
        !self.is_busy || self.tells % 2 == 0
    }

    fn read(&mut self, now_ns: u64, kernel: &mut Kernel, message: &Message) {
        if self.version.is_some_and(|it| it != message.version) {
            return;
        }
        if message.kind == Kind::SegmentDrop {
            return self.is_active = true;
        }
        if message.kind == Kind::Resync {
            assert!(!self.is_active, "it would rekey all children");
            return self.is_resynced = true;
        }
        let ike = message.ike.expect("an IKE SA");
        match message.kind {
            Kind::IkeAdd => {
                assert!(
                    !self.ikes.contains_key(&ike),
                    "a second one would have other keys"
                );
                let replaced = message.rekeyed.filter(|it| self.ikes.remove(it).is_some());
                let children = self.children.values_mut();
                children
                    .filter(|it| Some(**it) == replaced)
                    .for_each(|it| *it = ike);
                self.ikes.insert(ike, replaced);
            }
            Kind::IkeUpdate if message.remote_vips.is_empty() => {
                assert!(self.ikes.contains_key(&ike));
            }
            Kind::IkeUpdate => drop(self.vips.insert(ike)),
            Kind::MidInitiator | Kind::MidResponder => {
                self.message_ids.extend(message.mid.map(|it| (ike, it)));
            }
            Kind::ChildAdd => self.add_child(now_ns, kernel, ike, message),
            Kind::IkeDelete => self.end_ike(kernel, ike),
            _ => panic!("{:?} is not for it", message.kind),
        }
    }

    /// Ends an IKE SA and its children, with all that the kernel has of them.
    fn end_ike(&mut self, kernel: &mut Kernel, ike: IkeSpis) {
        assert!(self.ikes.remove(&ike).is_some(), "it never had it");
        let of_ike = self.children.iter().filter(|(_, it)| **it == ike);
        let of_ike: Vec<u32> = of_ike.map(|(number, _)| *number).collect();
        for number in of_ike {
            self.children.remove(&number);
            for sa in tunnel(number) {
                kernel.delete_sa(&sa.id, Deleter::Daemon);
            }
            for policy in policies(number) {
                kernel.delete_policy(&policy.id, Deleter::Daemon);
            }
        }
    }

    /// Adds SAs and policies of a child; it fails if the kernel has such SAs.
    fn add_child(&mut self, now_ns: u64, kernel: &mut Kernel, ike: IkeSpis, message: &Message) {
        assert!(self.ikes.contains_key(&ike), "its IKE SA is not there");
        let number = message.inbound_spi.expect("an SPI") - INBOUND;
        if self.fails.contains(&number) {
            return;
        }
        if tunnel(number)
            .into_iter()
            .all(|sa| kernel.add_sa(now_ns, sa))
        {
            policies(number)
                .into_iter()
                .for_each(|it| kernel.put_policy(it));
            self.children.insert(number, ike);
        }
    }
}
