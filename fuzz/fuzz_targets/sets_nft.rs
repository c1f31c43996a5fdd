//! Whatever the kernel lists of sets: no bytes panic, and what is an element fits its set. What the
//! peer says is of the target `replica`; the values in it are here.
//!
//! Input: one byte (bit 0: the bytes are a peer's value), then bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_sets::element::{Key, Shape};
use spared_sets::nft::{self, Handles, Intervals, SetInfo};
use spared_sets::store::decode;

const SHAPE: Shape = Shape { key_type: 7, key_len: 4, data_len: 0, timeouts: true, intervals: true };

fuzz_target!(|input: &[u8]| {
    let Some((flags, bytes)) = input.split_first() else { return };
    if flags & 1 != 0 {
        let key = Key([1, 2, 3, 4].into());
        if let Ok(element) = decode(&key, bytes) {
            assert!(element.life.is_none_or(|life| life.left_ms <= life.timeout_ms));
        }
        return;
    }
    let info = nft::info(bytes).unwrap_or(SetInfo {
        shape: SHAPE,
        default_timeout_ms: 0,
        concatenated: false,
        handles: Handles::default(),
    });
    let _ = (nft::set_of_elements(bytes), nft::table_handle(bytes));
    let mut intervals = Intervals::default();
    for listed in nft::listed(bytes, &info) {
        intervals.take(listed);
    }
    let whole = intervals.finish();
    assert!(whole.iter().all(|element| info.shape.fits(&element.key)));
});
