#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| spared_fuzz_targets::ipsec_ha::run(input));
