//! A configuration as a tree, so that no plugin needs a reader of TOML.

use std::collections::BTreeMap;

use minicbor::data::Type;
use serde::{Deserialize, Serialize};

use crate::cbor::{Reader, Wire, Writer};
use crate::codec::{MESSAGE_MAX, Malformed};
use crate::schema::Shape;

/// Maximum nesting of tables and lists in a configuration. The table of the file counts as the first level.
pub const TABLE_DEPTH_MAX: u32 = 32;

/// Maximum bytes of a configuration in its message. The rest of the record has room for names and paths.
pub const TABLE_SIZE_MAX: usize = MESSAGE_MAX - 16 * 1024;

/// Table of a configuration: values by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigTable(pub BTreeMap<String, ConfigValue>);

/// Value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigValue {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(Float),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A table.
    Table(ConfigTable),
}

/// Number with a fraction. Two are equal if their bits are. There is only one NaN, without a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Float(u64);

impl From<f64> for Float {
    fn from(number: f64) -> Self {
        let number = if number.is_nan() { f64::NAN } else { number };
        Self(number.to_bits())
    }
}

impl From<Float> for f64 {
    fn from(Float(bits): Float) -> Self {
        Self::from_bits(bits)
    }
}

impl ConfigTable {
    /// Number of bytes that the table takes in a message.
    pub fn size(&self) -> usize {
        Writer::size_of(self)
    }
}

impl Wire for ConfigTable {
    fn write(&self, writer: &mut Writer) {
        let mut entries: Vec<(&String, &ConfigValue)> = self.0.iter().collect();
        // sorted by the encoded key, as RFC 8949 §4.2.1 requires; its first byte contains its length
        entries.sort_by_key(|(name, _)| (name.len(), name.as_bytes()));
        writer.map(entries.len());
        for (name, value) in entries {
            writer.text(name);
            value.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.deeper(read_table)
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    fn shape() -> Shape {
        Shape::Plain("config-table")
    }
}

fn read_table(reader: &mut Reader<'_>) -> Result<ConfigTable, Malformed> {
    let mut table = BTreeMap::new();
    reader.named_values(size_of::<(String, ConfigValue)>(), |reader, name| {
        if table.contains_key(name) {
            return Err(reader.fault("comes twice").of("a key of the configuration"));
        }
        table.insert(name.to_owned(), ConfigValue::read(reader)?);
        Ok(())
    })?;
    Ok(ConfigTable(table))
}

impl Wire for ConfigValue {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Flag(flag) => writer.flag(*flag),
            Self::Integer(number) => writer.signed(*number),
            Self::Float(number) => writer.float((*number).into()),
            Self::Text(text) => writer.text(text),
            Self::List(list) => writer.list(list),
            Self::Table(table) => table.write(writer),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.next_type()? {
            Type::Bool => Self::Flag(reader.flag()?),
            Type::String => Self::Text(reader.text()?.to_owned()),
            Type::F32 | Type::F64 => Self::Float(reader.float()?.into()),
            Type::Array => Self::List(reader.list()?),
            Type::Map => Self::Table(read_table(reader)?),
            _ => Self::Integer(reader.signed()?),
        })
    }

    fn shape() -> Shape {
        Shape::Plain("config-value")
    }
}
