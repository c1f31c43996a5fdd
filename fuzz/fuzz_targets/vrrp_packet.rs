//! Whatever a wire brings: the parsers of adverts and of neighbour discovery must not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_vrrp::wire::{frame, neighbour};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(advert) = frame::parse(bytes) {
        assert!(advert.interval_ns > 0);
        assert!(advert.addresses.iter().count() > 0);
    }
    let _ = (neighbour::station(bytes), neighbour::speaker(bytes));
});
