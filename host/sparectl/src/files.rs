//! Short output of `sparectl files`: the state of each tree, its time left to confirm, and what is under way. `-v`
//! shows all rows.

use std::collections::BTreeMap;

use spared_message::control::{Request, Value};

/// Rows about the state of each tree; None for another request.
pub fn brief(request: &Request, rows: &BTreeMap<String, Value>) -> Option<BTreeMap<String, Value>> {
    let Request::Plugin { name, argv } = request else {
        return None;
    };
    let is_shown = |key: &str| match key.strip_prefix("tree.") {
        Some(of_tree) => of_tree.ends_with(".state") || of_tree.contains(".goes_back_"),
        None => true,
    };
    let shown = rows.iter().filter(|(key, _)| is_shown(key));
    let shown = shown.map(|(key, value)| (key.clone(), value.clone()));
    (name == "files" && argv.is_empty()).then(|| shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tree_has_its_state_and_what_is_under_way() {
        let row = |key: &str| (key.to_owned(), Value::Text("x".to_owned()));
        let rows = [
            "tree.a.goes_back_in",
            "tree.a.state",
            "tree.a.sync",
            "tree.b.last",
            "tree.b.state",
            "transfer.size",
        ];
        let rows: BTreeMap<String, Value> = rows.map(row).into();
        let question = |argv: &[&str]| Request::Plugin {
            name: "files".to_owned(),
            argv: argv.iter().map(|it| (*it).to_owned()).collect(),
        };
        let brief = |argv| super::brief(&question(argv), &rows);
        let keys = brief(&[]).map(|it| it.into_keys().collect::<Vec<_>>());
        let wanted = [
            "transfer.size",
            "tree.a.goes_back_in",
            "tree.a.state",
            "tree.b.state",
        ]
        .map(str::to_owned);
        assert_eq!(keys.as_deref(), Some(&wanted[..]));
        assert_eq!(brief(&["diff", "a"]), None);
    }
}
