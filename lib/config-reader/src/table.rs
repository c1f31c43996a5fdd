//! Conversion of a configuration from TOML to the form that is sent to plugins, and back.

use spared_contract::{ConfigTable, ConfigValue, Failure, TABLE_DEPTH_MAX};
use toml::Value;

use super::{escape, join};

/// Converts a file to the table that its plugin is sent.
///
/// # Errors
/// The text is not TOML, has a date, or is nested too deeply, and where.
pub fn table(text: &str) -> Result<ConfigTable, Failure> {
    let table = text.parse::<toml::Table>();
    let table = table.map_err(|error| Failure::of_whole(error.message()))?;
    table_of(&table, "", 1)
}

fn table_of(table: &toml::Table, path: &str, depth: u32) -> Result<ConfigTable, Failure> {
    let entry = |(name, value): (&String, &Value)| {
        let value = value_of(value, &join(path, &escape(name)), depth + 1)?;
        Ok((name.clone(), value))
    };
    table
        .iter()
        .map(entry)
        .collect::<Result<_, _>>()
        .map(ConfigTable)
}

fn value_of(value: &Value, path: &str, depth: u32) -> Result<ConfigValue, Failure> {
    let refused = |why: String| {
        let key = path.to_owned();
        Err(Failure { key, why })
    };
    if depth > TABLE_DEPTH_MAX && matches!(value, Value::Array(_) | Value::Table(_)) {
        return refused(format!("nested more than {TABLE_DEPTH_MAX} times"));
    }
    Ok(match value {
        Value::Boolean(flag) => ConfigValue::Flag(*flag),
        Value::Integer(number) => ConfigValue::Integer(*number),
        Value::Float(number) => ConfigValue::Float((*number).into()),
        Value::String(text) => ConfigValue::Text(text.clone()),
        Value::Datetime(date) => {
            return refused(format!(
                "found the date {date}, allowed is a text: \"{date}\""
            ));
        }
        Value::Array(list) => {
            let element = |(position, value): (usize, &Value)| {
                value_of(value, &format!("{path}.{position}"), depth + 1)
            };
            ConfigValue::List(
                list.iter()
                    .enumerate()
                    .map(element)
                    .collect::<Result<_, _>>()?,
            )
        }
        Value::Table(table) => ConfigValue::Table(table_of(table, path, depth)?),
    })
}

pub(super) fn toml_of(ConfigTable(table): &ConfigTable) -> toml::Table {
    let entry = |(name, value): (&String, &ConfigValue)| (name.clone(), toml_value_of(value));
    table.iter().map(entry).collect()
}

fn toml_value_of(value: &ConfigValue) -> Value {
    match value {
        ConfigValue::Flag(flag) => Value::Boolean(*flag),
        ConfigValue::Integer(number) => Value::Integer(*number),
        ConfigValue::Float(number) => Value::Float((*number).into()),
        ConfigValue::Text(text) => Value::String(text.clone()),
        ConfigValue::List(list) => Value::Array(list.iter().map(toml_value_of).collect()),
        ConfigValue::Table(table) => Value::Table(toml_of(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_table_and_the_table_a_file_again() {
        let file = "a = 1\nb = -9223372036854775808\nc = [0.5, -inf, nan, 1e300]\nd = \"\\u0000\\\"\\n'''\"\ne = []\n\
            f = [1, \"x\", [true], { g = 1 }]\npriority = { r1 = 200, r2 = 100 }\n\"x.y \\\\\" = ''\n\
            [empty]\n[[group]]\nname = \"office\"\n[[group.interface]]\nvrid = 50\n[[group.interface]]\n[[group]]\n";
        let tree = table(file).unwrap();
        assert_eq!(table(&toml_of(&tree).to_string()), Ok(tree.clone()));
        assert_eq!(
            toml_of(&tree).to_string(),
            file.parse::<toml::Table>().unwrap().to_string()
        );
        assert_eq!(table("a = -nan"), table("a = nan"));
        assert_eq!(table(""), Ok(ConfigTable::default()));
    }

    #[test]
    fn what_is_no_toml_has_a_date_or_is_nested_too_deeply_is_refused_by_its_path() {
        let refused = |file: &str| table(file).unwrap_err();
        let not_toml = Failure::of_whole("unclosed array, expected `]`");
        assert_eq!(refused("start = ["), not_toml);
        let date = refused("[[a]]\n\"b.c\" = [1, 2026-11-22]\n");
        assert_eq!(date.key, "a.0.b\\.c.1");
        assert_eq!(
            date.why,
            "found the date 2026-11-22, allowed is a text: \"2026-11-22\""
        );
        let lists = |count| format!("a = {}{}\n", "[".repeat(count), "]".repeat(count));
        let most = TABLE_DEPTH_MAX as usize - 1;
        assert!(table(&lists(most)).is_ok());
        assert_eq!(refused(&lists(most + 1)).why, "nested more than 32 times");
        let tables = |count| format!("[{}a]\n", "a.".repeat(count - 1));
        assert!(table(&tables(most)).is_ok());
        assert_eq!(refused(&tables(most + 1)).why, "nested more than 32 times");
    }
}
