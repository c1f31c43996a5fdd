// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual page of service names every key, and its examples are accepted. A program of its own, as
//! two plugins do not fit into one.

mod page;

use page::assert_page_names;
use spared_sdk::config::Config;
use spared_service::config::{self, Kind, Settings};

#[test]
fn the_page_of_service_names_every_key_with_its_scope() {
    let kinds = [
        "service",
        "interface",
        "sysctl",
        "nftables",
        "file",
        "route",
    ];
    let text: String = kinds.map(|kind| format!("[[{kind}]]\n")).concat();
    let text = format!("{text}[maintenance]\n");
    let config = Config::parse(&text, "r1", &[]).expect("TOML");
    let _ = config::read(&config);
    let faults = config
        .finish()
        .expect_err("nothing that is required is there");
    assert!(faults.iter().all(|fault| fault.why.starts_with("missing")));
    assert_page_names("spared-service.5.scd", &config);
}

#[test]
fn the_examples_are_accepted_on_each_node() {
    let wanted = |name: &str| name == "service.toml" || name.starts_with("services-");
    let examples = page::examples(wanted);
    assert_eq!(examples.len(), 6);
    for (name, text) in examples {
        for node in ["r1", "r2"] {
            assert!(services(&name, &text, node) >= 3, "{name}");
        }
    }
}

/// What stands behind "#" is for those who have that instead: it is as right.
#[test]
fn the_units_that_the_examples_offer_instead_are_accepted() {
    let mut offers = 0;
    for (name, text) in page::examples(|name| name.starts_with("services-")) {
        for (at, line) in text.lines().enumerate() {
            let Some(offer) = line.strip_prefix("# units") else {
                continue;
            };
            let text = format!("[[service]]\nunits{offer}\n");
            assert!(services(&format!("{name}:{}", at + 1), &text, "r1") >= 1);
            offers += 1;
        }
    }
    assert!(offers >= 4, "{offers} offers");
}

#[test]
fn the_page_s_own_example_is_accepted() {
    let page = std::fs::read_to_string(page::docs().join("man/spared-service.5.scd"));
    let page = page.expect("the page is there");
    let (_, example) = page.split_once("# EXAMPLE\n\n```\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    assert_eq!(services("the page", example, "r1"), 6);
}

fn services(name: &str, text: &str, node: &str) -> usize {
    let config = Config::parse(text, node, &[]).expect("TOML");
    let settings: Option<Settings> = config::read(&config);
    assert_eq!(config.finish(), Ok(()), "{name}");
    let items = settings.expect("no fault").items;
    let services = items.iter();
    services
        .filter(|item| matches!(item.kind, Kind::Service { .. }))
        .count()
}
