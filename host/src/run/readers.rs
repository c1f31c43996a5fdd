//! Threads that read for the loop what a disk or the kernel may delay: the configuration's files and the machine's
//! settings.

use std::path::PathBuf;
use std::time::Instant;

use spared_config::Setup;
use spared_node::NodeConfig;
use spared_node::files::Files;
use spared_node::machine::{Machine, MachineState, ReadRequest};

#[derive(Debug)]
pub(super) struct Readers {
    files: Files,
    machine: Machine,
}

impl Readers {
    pub(super) fn start(config: &NodeConfig, state: PathBuf) -> Self {
        Self {
            files: Files::start(config.options(), state, config.setup()),
            machine: Machine::start(),
        }
    }

    /// Compares the files with this configuration from now on.
    pub(super) fn set_in_force(&self, setup: &Setup) {
        self.files.set(setup);
    }

    /// Returns true if it is time to say what to read of the machine.
    pub(super) fn is_machine_due(&mut self, now: Instant) -> bool {
        self.machine.is_due(now)
    }

    pub(super) fn read_machine(&mut self, request: ReadRequest) {
        self.machine.set(request);
    }

    /// Returns true if the machine was read since the last call.
    pub(super) fn take_is_machine_new(&self) -> bool {
        self.machine.take_is_new()
    }

    /// Returns the latest state of the machine; None until it was read once.
    pub(super) fn machine_state(&self) -> Option<MachineState> {
        self.machine.read()
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }
}
