//! Simulates an elector that follows the rules of VRRP, and acts as a successor.

use spared_contract::{Cause, Directive};

use super::pair::*;
use super::*;

impl Pair {
    pub(super) fn listen(&mut self, node: usize, name: &str) {
        let at_ns = self.now_ns() + down_ns(node);
        let elector = self.elector(node, name);
        (elector.active, elector.at_ns) = (false, at_ns);
        self.elect(node, name, at_ns);
    }

    pub(super) fn hear(&mut self, node: usize, name: &str, priority: u8) {
        if !self.nodes[node].elector_lives {
            return;
        }
        let now_ns = self.now_ns();
        let elector = self.elector(node, name);
        match (elector.active, priority) {
            (false, 0) if elector.successor => self.publish(node, name, Role::Active, "switchover"),
            (false, 0) => {
                elector.at_ns = now_ns + SKEW;
                self.elect(node, name, now_ns + SKEW);
            }
            (false, _) => {
                elector.at_ns = now_ns + down_ns(node);
                self.elect(node, name, now_ns + down_ns(node));
            }
            (true, 0) => {}
            // Both are active: one of them becomes backup.
            (true, _) if node == 1 => self.publish(node, name, Role::Backup, "conflict"),
            (true, _) => {}
        }
    }

    pub(super) fn elect_now(&mut self, node: usize, name: &str) {
        let now_ns = self.now_ns();
        if !self.nodes[node].elector_lives || self.elector(node, name).at_ns > now_ns {
            return;
        }
        let elector = self.elector(node, name);
        if !elector.active && now_ns > elector.at_ns + ADVERT {
            // The node was suspended, and may have missed adverts.
            return self.listen(node, name);
        }
        if !elector.active {
            if !elector.forced_backup && !elector.barred {
                self.publish(node, name, Role::Active, "silent");
            }
            return;
        }
        self.advert(node, name, 100);
    }

    pub(super) fn advert(&mut self, node: usize, name: &str, priority: u8) {
        let now_ns = self.now_ns();
        let kernel = self.kernel(node, name);
        if priority == 0 {
            kernel.lease_until = 0;
        } else if now_ns < kernel.lease_until {
            kernel.lease_until = now_ns + LEASE;
        } else {
            // The fence blocks the advert, and the elector notices.
            return self.publish(node, name, Role::Backup, "late");
        }
        let heard = Happening::Advert(name.to_owned(), priority);
        self.plan(self.delays.wire, 1 - node, heard);
        if priority > 0 {
            let at_ns = now_ns + ADVERT;
            self.elector(node, name).at_ns = at_ns;
            self.elect(node, name, at_ns);
        }
    }

    pub(super) fn publish(&mut self, node: usize, name: &str, role: Role, reason: &str) {
        self.number += 1;
        let number = self.number;
        self.asked.insert((node, number), (name.to_owned(), role));
        let ticket = Ticket {
            plugin: "vrrp".to_owned(),
            number,
            part: 0,
        };
        let kind = match reason {
            "switchover" => CauseKind::Switchover,
            _ => CauseKind::Other,
        };
        let now_ns = self.now_ns();
        let publication = Publication {
            role,
            reopens: false,
            cause: Cause::new(kind, reason),
            sent_ns: now_ns,
        };
        let groups = &mut self.nodes[node].groups;
        groups.handle_publish(now_ns, ticket, name, publication);
        self.perform_all(node);
    }

    pub(super) fn answered(&mut self, node: usize, number: u64, status: i32) {
        let Some((name, role)) = self.asked.remove(&(node, number)) else {
            return;
        };
        let was = self.elector(node, &name).active;
        if role == Role::Active && status == 0 {
            self.elector(node, &name).active = true;
            return self.advert(node, &name, 100);
        }
        self.listen(node, &name);
        if was {
            // This is longer than the successor waits.
            let at_ns = self.now_ns() + 2 * down_ns(node);
            self.elector(node, &name).at_ns = at_ns;
            self.elect(node, &name, at_ns);
            self.advert(node, &name, 0);
        }
    }

    pub(super) fn directive(&mut self, node: usize, directive: &Directive) {
        let forced = directive.forced == Forced::Backup;
        let elector = self.elector(node, &directive.group);
        elector.successor = directive.prepared;
        elector.forced_backup = forced;
        let was_barred = std::mem::replace(&mut elector.barred, !directive.eligible);
        if was_barred && directive.eligible && !elector.active {
            self.listen(node, &directive.group);
        }
        let elector = self.elector(node, &directive.group);
        let leaves = elector.active && (directive.release || directive.resign);
        if leaves && self.nodes[node].elector_lives {
            self.publish(node, &directive.group, Role::Backup, "switchover");
        }
    }
}

fn down_ns(node: usize) -> u64 {
    ACTIVE_DOWN + SKEW * node as u64
}
