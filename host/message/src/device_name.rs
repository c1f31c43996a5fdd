//! Names of the devices of virtual MACs.

use spared_contract::Family;

/// Name such as "vrrp50.lan2" or "vrrp50v6.lan2". A name above the kernel's 15 letters is cut, and ends with four
/// letters that are a hash of the whole name. It depends on nothing else, so that it is the same at each start and on
/// both nodes.
pub fn device_name(interface: &str, family: Family, vrid: u8) -> String {
    const LETTERS_MAX: usize = 15;
    const STAND_FOR: usize = 4;
    let family = match family {
        Family::V4 => "",
        Family::V6 => "v6",
    };
    let full = format!("vrrp{vrid}{family}.{interface}");
    if full.len() <= LETTERS_MAX {
        return full;
    }
    let begin: String = full.chars().take(LETTERS_MAX - STAND_FOR - 1).collect();
    format!("{begin}~{}", letters::<STAND_FOR>(&full))
}

// Letters of an FNV-1a hash. It must never change: administrators have rules with these names.
fn letters<const N: usize>(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = text.bytes().fold(0x811c_9dc5, step);
    let letter =
        |place: usize| char::from(ALPHABET[(hash >> (5 * place)) as usize % ALPHABET.len()]);
    (0..N).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_router_and_interface_and_fits() {
        assert_eq!(device_name("lan2", Family::V4, 50), "vrrp50.lan2");
        assert_eq!(device_name("lan2", Family::V6, 50), "vrrp50v6.lan2");
    }

    #[test]
    fn a_long_name_is_cut_and_differs_from_those_that_begin_like_it() {
        let name = |interface: &str| device_name(interface, Family::V4, 50);
        // a change would rename devices during an upgrade
        assert_eq!(name("enp0s31f6.4000"), "vrrp50.enp~cs2t");
        assert_eq!(name("enp0s31f6.4001"), "vrrp50.enp~v62t");
        let names: std::collections::BTreeSet<String> = (0..200)
            .map(|n| name(&format!("enp0s31f6.{n}00")))
            .collect();
        assert_eq!(names.len(), 200);
        assert!(names.iter().all(|name| name.len() <= 15));
    }
}
