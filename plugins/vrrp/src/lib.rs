//! VRRP: who is active.
