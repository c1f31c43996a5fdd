// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of web names every key, and its example is accepted. A program of its own, as two plugins do not fit
//! into one.

mod page;

use std::fs;

use page::{assert_page_names, docs};
use spared_sdk::config::Config;
use spared_web::config;

#[test]
fn the_page_of_web_names_every_key_with_its_scope() {
    let config = Config::parse("", "r1", &[]).expect("TOML");
    let settings = config::read(&config);
    assert!(settings.is_some(), "an empty file is enough");
    assert_page_names("spared-web.5.scd", &config);
}

#[test]
fn the_examples_are_accepted_on_each_node() {
    let page = fs::read_to_string(docs().join("man/spared-web.5.scd")).expect("the page");
    let (_, example) = page.split_once("# EXAMPLE\n\n```\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let mut examples = page::examples(|name| name == "web.toml");
    examples.push(("the page".to_owned(), example.to_owned()));
    let nodes = ["r1", "r2"].map(str::to_owned);
    for (name, text) in examples {
        for node in &nodes {
            let config = Config::parse(&text, node, &nodes).expect("TOML");
            let settings = config::read(&config);
            assert_eq!(config.finish(), Ok(()), "{name}");
            assert!(settings.is_some_and(|it| it.login.is_possible()), "{name}");
        }
    }
}
