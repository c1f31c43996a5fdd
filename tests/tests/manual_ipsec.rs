// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of ipsec names every key, and its example is accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use page::assert_page_names;
use spared_sdk::config::Config;

#[test]
fn the_page_of_ipsec_names_every_key_with_its_scope() {
    let config = Config::parse("[adopt]\n", "r1", &[]).expect("TOML");
    let _ = spared_ipsec::config::read(&config);
    assert_eq!(config.finish(), Ok(()), "nothing is required");
    assert_page_names("spared-ipsec.5.scd", &config);
}

#[test]
fn the_example_is_accepted_on_each_node() {
    for (name, text) in page::examples(|name| name == "ipsec.toml") {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_ipsec::config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| it.endpoints.len() == 1), "{name}");
        }
    }
}

#[test]
fn an_empty_file_is_enough() {
    let config = Config::parse("", "r1", &[]).expect("TOML");
    let settings = spared_ipsec::config::read(&config);
    assert_eq!(config.finish(), Ok(()));
    assert_eq!(settings, Some(spared_ipsec::config::Settings::default()));
}
