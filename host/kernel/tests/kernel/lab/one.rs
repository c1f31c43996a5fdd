//! Methods for one group. They use the methods for several groups, which are the only ones that the
//! host calls.

use spared_kernel::{FenceState, Installed, Kernel, KernelError};

pub trait OneGroup {
    fn grant_lease(&mut self, name: &str) -> Result<(), String>;
    fn revoke_lease(&mut self, name: &str) -> Result<(), KernelError>;
    fn carry_lease(&mut self, name: &str) -> Result<(), KernelError>;
    fn end_carry(&mut self, name: &str) -> Result<(), KernelError>;
    fn install(&mut self, name: &str) -> Result<Installed, KernelError>;
    fn prepare(&mut self, name: &str) -> Result<(), KernelError>;
    fn remove(&mut self, name: &str) -> Vec<KernelError>;
    fn announce(&mut self, name: &str);
    fn fence_status(&self, name: &str) -> FenceState;
}

impl OneGroup for Kernel {
    fn grant_lease(&mut self, name: &str) -> Result<(), String> {
        self.grant_leases(&[(name, false)]).remove(0)
    }

    fn revoke_lease(&mut self, name: &str) -> Result<(), KernelError> {
        self.revoke_leases(&[name])
    }

    fn carry_lease(&mut self, name: &str) -> Result<(), KernelError> {
        self.carry_leases(&[name])
    }

    fn end_carry(&mut self, name: &str) -> Result<(), KernelError> {
        self.end_carries(&[name])
    }

    fn install(&mut self, name: &str) -> Result<Installed, KernelError> {
        self.install_all(&[name]).remove(0)
    }

    fn prepare(&mut self, name: &str) -> Result<(), KernelError> {
        self.prepare_all(&[name]).remove(0)
    }

    fn remove(&mut self, name: &str) -> Vec<KernelError> {
        self.remove_all(&[name])
    }

    fn announce(&mut self, name: &str) {
        self.announce_all([name]);
    }

    fn fence_status(&self, name: &str) -> FenceState {
        self.fence_states().of(name)
    }
}
