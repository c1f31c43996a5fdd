//! Rulesets as `nft -j` prints them: how they are listed, and the objects in them.

use serde_json::Value;

/// Joins the output of nft for [`LISTING`](spared_message::firewall::LISTING), an object for each family, into one object.
///
/// # Errors
/// The output is no JSON.
pub fn ruleset_of(output: &[u8]) -> Result<Value, serde_json::Error> {
    let mut objects = Vec::new();
    for family in serde_json::Deserializer::from_slice(output).into_iter() {
        let mut family: Value = family?;
        if let Some(Value::Array(its)) = family.get_mut("nftables").map(Value::take) {
            objects.extend(its);
        }
    }
    Ok(serde_json::json!({ "nftables": objects }))
}

/// Objects of a kind, such as "chain".
pub fn objects<'r>(ruleset: &'r Value, kind: &str) -> impl Iterator<Item = &'r Value> {
    let objects = ruleset["nftables"].as_array().into_iter().flatten();
    objects.filter_map(move |object| object.get(kind))
}

/// Rules of the table that contains a chain.
pub fn rules_of_table<'r>(ruleset: &'r Value, chain: &Value) -> impl Iterator<Item = &'r Value> {
    objects(ruleset, "rule").filter(move |rule| {
        ["family", "table"]
            .iter()
            .all(|key| rule[key] == chain[key])
    })
}

/// Statements of a rule, conditions among them.
pub fn statements(rule: &Value) -> &[Value] {
    rule["expr"].as_array().map_or(&[], Vec::as_slice)
}

/// Conditions of a rule.
pub fn matches(rule: &Value) -> impl Iterator<Item = &Value> {
    statements(rule).iter().filter_map(|it| it.get("match"))
}

/// Chain in which a statement continues, if it is a jump.
pub fn target(statement: &Value) -> Option<&str> {
    let jump = statement.get("jump").or_else(|| statement.get("goto"))?;
    jump["target"].as_str()
}

/// Text of a key; empty if there is none.
pub fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object[key].as_str().unwrap_or_default()
}

/// Family, table and name of a chain or set.
pub fn place(object: &Value) -> String {
    ["family", "table", "name"]
        .map(|key| text(object, key))
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_prints_of_each_family_is_one_ruleset() {
        let printed = b"{\"nftables\": [{\"metainfo\": {}}, {\"table\": {\"family\": \"ip\"}}]}\n\
            {\"nftables\": [{\"metainfo\": {}}, {\"table\": {\"family\": \"inet\"}}]}\n";
        let ruleset = ruleset_of(printed).expect("JSON");
        let families: Vec<&Value> = objects(&ruleset, "table").map(|it| &it["family"]).collect();
        assert_eq!(families, ["ip", "inet"]);
    }

    #[test]
    fn what_is_no_object_has_no_rules() {
        for printed in ["\"nftables\"", "[1]", "7", "{\"nftables\": 7}"] {
            let ruleset = ruleset_of(printed.as_bytes()).expect("JSON");
            assert_eq!(ruleset, serde_json::json!({"nftables": []}), "{printed}");
        }
    }

    #[test]
    fn what_ends_in_the_middle_is_no_ruleset() {
        assert!(ruleset_of(b"{\"nftables\": [{\"table\": {\"flags\": \n").is_err());
    }
}
