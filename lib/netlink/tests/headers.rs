//! Compares the constants with the system's kernel headers, using a C compiler.

use std::process::Command;

const HEADERS: [&str; 13] = [
    "linux/if_addr.h",
    "linux/if_link.h",
    "linux/in.h",
    "linux/netconf.h",
    "linux/netfilter.h",
    "linux/netfilter/nf_conntrack_common.h",
    "linux/netfilter/nf_conntrack_tcp.h",
    "linux/netfilter/nf_tables.h",
    "linux/netfilter/nfnetlink.h",
    "linux/netfilter/nfnetlink_conntrack.h",
    "linux/netfilter/nfnetlink_queue.h",
    "linux/rtnetlink.h",
    "linux/xfrm.h",
];

// Spared's own numbers, which no header has.
const OURS: [&str; 5] = [
    "ADDRESS_PROTOCOL",
    "ROUTE_PROTOCOL",
    "FOLLOWING_ROUTE_PROTOCOL",
    "TUNNEL_ROUTE_PROTOCOL",
    "DEVICE_ALIAS",
];

#[test]
fn constants_agree_with_the_kernel_headers() {
    let mut program = String::new();
    for header in HEADERS {
        program += &format!("#include <{header}>\n");
    }
    let mut compared = 0;
    for (name, value) in constants() {
        program += &format!("_Static_assert({name} == {value}, \"{name}\");\n");
        compared += 1;
    }
    assert!(
        compared > 150,
        "only {compared} constants were found in constants.rs"
    );
    let path = std::env::temp_dir().join(format!("spared-headers-{}.c", std::process::id()));
    std::fs::write(&path, &program).expect("write the program");
    let result = Command::new("cc").arg("-fsyntax-only").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    match result {
        Err(error) => println!("skipped: no C compiler ({error})"),
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

fn constants() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../src/constants.rs")
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("pub const ")?.split_once(": ")?;
            let (_, value) = rest.trim_end_matches(';').split_once(" = ")?;
            (!OURS.contains(&name)).then_some((name, value))
        })
}
