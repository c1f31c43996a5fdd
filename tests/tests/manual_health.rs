// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of health names every key, and its example is accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use page::assert_page_names;
use spared_sdk::config::Config;

#[test]
fn the_page_of_health_names_every_key_with_its_scope() {
    let kinds = [
        "interface",
        "ping",
        "tcp",
        "unit",
        "process",
        "script",
        "file",
        "disk",
        "read_only",
        "sensor",
        "smart",
        "conntrack",
        "pressure",
        "route",
        "number",
    ];
    let text: String = kinds.map(|kind| format!("[[{kind}]]\n")).concat();
    let config = Config::parse(&text, "r1", &[]).expect("TOML");
    let _ = spared_health::config::read(&config);
    let faults = config
        .finish()
        .expect_err("nothing that is required is there");
    assert!(faults.iter().all(|fault| fault.why.starts_with("missing")));
    assert_page_names("spared-health.5.scd", &config);
}

#[test]
fn the_example_is_accepted_on_each_node() {
    for (name, text) in page::examples(|name| name == "health.toml") {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_health::config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| it.checks.len() > 8), "{name}");
        }
    }
}
