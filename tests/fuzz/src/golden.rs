//! The golden bytes of the messages between the daemon and a plugin.

const GOLDEN: &str = include_str!("../../../abi/contract/golden.txt");

/// Records whose title begins so, and some that are nested or long without end.
pub fn records(title: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = GOLDEN.lines().collect();
    let wanted = lines.chunks(3).filter(|lines| lines[0].starts_with(title));
    let mut records: Vec<Vec<u8>> = wanted.map(|lines| bytes(lines[2].trim())).collect();
    let head = [0xa2, 0, 2, 1, 0xa1, 9];
    for value in [
        &[0x81; 1000][..],
        &[0xc1; 1000],
        &[0x9b; 9],
        &[0x5b; 9],
        &[0x9f, 0xff],
    ] {
        records.push([&head[..], value].concat());
    }
    // findings of a pair's status that say nothing, and failures that do
    for (kind, key) in [(12, 7), (2, 2)] {
        let head = [0xa2, 0, kind, 1, 0xa1, key, 0x99, 0x0c, 0x00];
        records.push([&head[..], &[0xa0; 0xc00]].concat());
    }
    records
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    digits
        .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
