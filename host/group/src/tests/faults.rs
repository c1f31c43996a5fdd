//! Injects faults into a pair.

use super::pair::*;
use super::*;

/// Fault that is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The next word, mark or answer is lost.
    Lost,
    LinkDown,
    Plugin(usize, &'static str),
    /// The host process is killed; its workers resign.
    Host(usize),
    /// Power is lost.
    Machine(usize),
    Terminate(usize),
    ForceActive(usize),
    ForceBackup(usize),
    /// The next word arrives twice.
    Twice,
    /// All processes of spared are suspended for a second (SIGSTOP).
    Pause(usize),
}

impl Pair {
    /// Loses the next word, mark or answer, but never an ordinary advert. If an advert is lost, a lease can outlast the
    /// time that the peer waits, with or without a switchover.
    pub fn lose_next(&mut self) {
        use Happening::{Advert, Drained, Mark, Settled, Word};
        self.plan_timeouts();
        self.agenda.drop_next(|(_, happening)| {
            matches!(
                happening,
                Word(_) | Mark(..) | Advert(_, 0) | Drained(..) | Settled(..)
            )
        });
    }

    pub fn repeat_next_word(&mut self) {
        let is_word = |it: &&(_, Happening)| matches!(it.1, Happening::Word(_));
        let word = self.agenda.iter().find(is_word).cloned();
        if let Some((node, word)) = word {
            self.plan(2 * self.delays.link, node, word);
        }
    }

    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::None => {}
            Fault::Lost => self.lose_next(),
            Fault::Twice => self.repeat_next_word(),
            Fault::LinkDown => {
                self.link_down();
                self.plan(2_000 * MS, 0, Happening::LinkBack);
            }
            Fault::Plugin(node, plugin) => self.kill_plugin(node, plugin),
            Fault::Pause(node) => self.nodes[node].paused_until = self.now_ns() + 1_000 * MS,
            Fault::Host(node) => self.kill_host(node, Some(1_000 * MS)),
            Fault::Machine(node) => {
                self.nodes[node].alive = false;
                self.link_down();
            }
            Fault::Terminate(node) => self.terminate(node),
            Fault::ForceActive(node) => self.force(node, Forced::Active),
            Fault::ForceBackup(node) => self.force(node, Forced::Backup),
        }
        self.check();
    }

    pub(super) fn force(&mut self, node: usize, forced: Forced) {
        let done = self.nodes[node]
            .groups
            .handle_force(None, forced, "a test", "noon");
        done.unwrap();
        self.perform_all(node);
    }

    pub(super) fn kill_plugin(&mut self, node: usize, plugin: &str) {
        let lives = self.nodes[node].groups.followers.contains_key(plugin);
        if !self.nodes[node].alive || !lives {
            return;
        }
        if plugin == "vrrp" {
            self.nodes[node].elector_lives = false;
            for elector in self.nodes[node].electors.values_mut() {
                *elector = Elector::default();
            }
        }
        let now_ns = self.now_ns();
        let why = format!("{plugin} was killed");
        self.nodes[node]
            .groups
            .handle_plugin_down(now_ns, plugin, &why);
        self.perform_all(node);
        self.channels();
        self.plan(100 * MS, node, Happening::PluginBack(plugin.to_owned()));
    }

    pub(super) fn plugin_back(&mut self, node: usize, plugin: &str) {
        let now_ns = self.now_ns();
        let mut follower = Follower::default();
        if plugin == "vrrp" {
            self.nodes[node].elector_lives = true;
            for name in self.names.clone() {
                self.claim(node, &name);
                self.listen(node, &name);
            }
        } else {
            (follower.has_role, follower.has_settle) = (true, true);
            follower.has_drain = plugin == "ct";
        }
        let groups = &mut self.nodes[node].groups;
        groups.handle_plugin_up(now_ns, plugin, follower);
        self.plan(50 * MS, node, Happening::ChannelsBack);
    }

    // Kills the host of a node. Its workers resign, and its state in the kernel is removed at the next start.
    pub(super) fn kill_host(&mut self, node: usize, back_after: Option<u64>) {
        if !self.nodes[node].alive {
            return;
        }
        for name in self.names.clone() {
            if self.elector(node, &name).active {
                self.advert(node, &name, 0);
            }
        }
        self.nodes[node].alive = false;
        self.link_down();
        if let Some(after) = back_after {
            self.plan(after, node, Happening::HostBack);
        }
    }

    pub(super) fn terminate(&mut self, node: usize) {
        if !self.nodes[node].alive || self.nodes[node].stopping {
            return;
        }
        self.nodes[node].stopping = true;
        let now_ns = self.now_ns();
        self.nodes[node].groups.handle_leave(now_ns);
        self.perform_all(node);
        self.plan(TERM_MS * MS, node, Happening::TermOver);
        if !self.nodes[node].groups.is_switching_over() {
            self.end_term(node);
        }
    }

    pub(super) fn end_term(&mut self, node: usize) {
        if !self.nodes[node].stopping {
            return;
        }
        self.nodes[node].stopping = false;
        let groups = &mut self.nodes[node].groups;
        groups.cancel_switchovers("it took too long");
        groups.close();
        self.perform_all(node);
        for name in self.names.clone() {
            if self.elector(node, &name).active {
                self.publish(node, &name, Role::Backup, "shutdown");
            }
        }
        // Performs the rest of the stop: followers leave, addresses are removed, the process ends.
        for kernel in self.nodes[node].kernels.values_mut() {
            *kernel = Kernel::default();
        }
        self.nodes[node].alive = false;
        self.link_down();
    }
}
