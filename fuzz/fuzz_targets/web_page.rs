#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| spared_fuzz_targets::web_page::run(input));
