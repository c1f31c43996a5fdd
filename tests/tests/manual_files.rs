// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of files names every key, and its example is accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use page::assert_page_names;
use spared_sdk::config::{Config, local};

#[test]
fn the_page_of_files_names_every_key_with_its_scope() {
    let config = Config::parse("[[tree]]\n", "r1", &[]).expect("TOML");
    let _ = spared_tree::config::read(&config);
    let faults = config
        .finish()
        .expect_err("nothing that is required is there");
    assert!(faults.iter().all(|fault| fault.why == "missing"));
    // the other half's keys
    let _ = config.root().text(local("trees"));
    let _ = config.root().flag(local("config_from_peer"));
    assert_page_names("spared-files.5.scd", &config);
}

#[test]
fn the_example_is_accepted_on_each_node() {
    for (name, text) in page::examples(|name| name.starts_with("files")) {
        for node in ["r1", "r2"] {
            let config = Config::parse(&text, node, &[]).expect("TOML");
            let settings = spared_tree::config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| it.trees.len() >= 3), "{name}");
        }
    }
}
