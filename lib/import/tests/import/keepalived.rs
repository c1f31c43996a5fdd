//! Behaviour of keepalived 2.2.7 that its configuration does not show: the files do the same, and the list tells it.

use spared_import::{Import, Outcome};

use crate::common::{items, of, of_with};

/// An instance on an interface and with a VRID of its own, with these lines.
fn instance(name: &str, number: u8, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth{number}\nvirtual_router_id {number}\nvirtual_ipaddress {{\n10.0.{number}.1\n}}\n{lines}\n}}\n"
    )
}

fn imported(text: &str) -> Import {
    of(text).expect("readable")
}

fn told(import: &Import) -> String {
    items(import).join("\n")
}

/// Outcome of the first line that is this one.
fn outcome(import: &Import, text: &str, line: &str) -> Outcome {
    let number = text.lines().position(|it| it == line).expect("a line") + 1;
    let mut outcomes = import.sources.outcomes().iter();
    *outcomes.find(|it| it.0.line == number).expect("counted").1
}

#[test]
fn an_address_that_keepalived_advertises_twice_goes_before_all_else() {
    let twice = "virtual_ipaddress {\n10.0.1.1\n10.0.1.2\n10.0.1.2\n}\n";
    for text in [
        instance("a", 1, twice),
        instance("a", 1, "virtual_ipaddress {\n10.0.1.2\n}")
            + &instance("b", 2, "virtual_ipaddress {\n10.0.1.2\n}"),
    ] {
        let import = imported(&text);
        let list = told(&import);
        assert!(
            list.contains("10.0.1.2: the address is there already; keepalived has it twice"),
            "{list}"
        );
        let first = &import.steps[0];
        assert!(
            first.what.contains("10.0.1.2") && first.what.starts_with("on both: take"),
            "{first:?}"
        );
        assert_eq!(first.commands, ["systemctl reload keepalived"]);
    }
    // no advert has excluded ones
    let import = imported(&instance(
        "a",
        1,
        "virtual_ipaddress_excluded {\n10.0.1.1\n}",
    ));
    assert!(told(&import).contains("once is enough"));
    assert!(import.steps[0].what.contains("see which node is backup"));
}
