//! Rows in CBOR: the plain value, and next to it the kind of number that it is.

use std::time::Duration;

use minicbor::data::Type;

use super::{Row, Unit, Value, nanoseconds};
use crate::cbor::{Reader, Wire, Writer};
use crate::codec::Malformed;
use crate::record::record;
use crate::schema::Shape;

record! {
    /// A row of the answer to a query.
    #[derive(Debug)]
    pub struct Form {
        /// Key of the row, as "virtual_router.lan2.state".
        pub key: String = 0,
        /// Value of the row.
        pub value: Bare = 1,
        /// Unit of a number; an unknown one is none.
        pub unit: UnitNumber = 2,
        /// A number that only rises while the plugin lives.
        pub counter: bool = 3,
        /// A number that may be negative.
        pub signed: bool = 4,
    }
}

impl Wire for Row {
    fn write(&self, writer: &mut Writer) {
        let unit = UnitNumber(self.value.unit().map_or(0, Unit::to_raw));
        let counter = self.value.is_counter();
        let signed = matches!(self.value, Value::Signed { .. });
        let options = [!self.key.is_empty(), unit.0 != 0, counter, signed];
        writer.map(1 + options.into_iter().filter(|is_there| *is_there).count());
        writer.entry(0, &self.key);
        writer.number(1);
        match &self.value {
            Value::Text(text) => writer.text(text),
            Value::Flag(flag) => writer.flag(*flag),
            Value::Signed { number, .. } => writer.signed(*number),
            Value::Number(number)
            | Value::Counter(number)
            | Value::Bytes(number)
            | Value::ByteCounter(number) => writer.number(*number),
            Value::Time(time) | Value::TimeCounter(time) => writer.number(nanoseconds(*time)),
        }
        writer.entry(2, &unit);
        writer.entry(3, &counter);
        writer.entry(4, &signed);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let form = Form::read(reader)?;
        let unit = Unit::from_raw(form.unit.0);
        let value = match form.value {
            Bare::Text(text) => Value::Text(text),
            Bare::Flag(flag) => Value::Flag(flag),
            Bare::Negative(number) => Value::Signed {
                number,
                unit,
                counter: form.counter,
            },
            Bare::Number(number) if form.signed => Value::Signed {
                number: i64::try_from(number).map_err(|_| reader.fault("is too large"))?,
                unit,
                counter: form.counter,
            },
            Bare::Number(number) => unsigned(number, unit, form.counter),
        };
        let key = form.key;
        Ok(Self { key, value })
    }

    fn shape() -> Shape {
        match Form::shape() {
            Shape::Record { docs, fields, .. } => Shape::Record {
                name: "Row",
                docs,
                fields,
            },
            other => other,
        }
    }
}

fn unsigned(number: u64, unit: Option<Unit>, is_counter: bool) -> Value {
    match (unit, is_counter) {
        (None, false) => Value::Number(number),
        (None, true) => Value::Counter(number),
        (Some(Unit::Ns), false) => Value::Time(Duration::from_nanos(number)),
        (Some(Unit::Ns), true) => Value::TimeCounter(Duration::from_nanos(number)),
        (Some(Unit::Bytes), false) => Value::Bytes(number),
        (Some(Unit::Bytes), true) => Value::ByteCounter(number),
    }
}

/// Value without its unit and kind.
#[derive(Debug)]
pub enum Bare {
    Text(String),
    Flag(bool),
    Number(u64),
    Negative(i64),
}

impl Wire for Bare {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Text(text) => writer.text(text),
            Self::Flag(flag) => writer.flag(*flag),
            Self::Number(number) => writer.number(*number),
            Self::Negative(number) => writer.signed(*number),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.next_type()? {
            Type::String => Self::Text(reader.text()?.to_owned()),
            Type::Bool => Self::Flag(reader.flag()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                Self::Negative(reader.signed()?)
            }
            _ => Self::Number(reader.number()?),
        })
    }

    fn shape() -> Shape {
        Shape::Plain("tstr / bool / u64 / i64")
    }
}

/// Number of a unit, which may be unknown here.
#[derive(Debug)]
pub struct UnitNumber(u32);

impl Wire for UnitNumber {
    fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.named().map(Self)
    }

    fn absent() -> Option<Self> {
        Some(Self(0))
    }

    fn is_absent(&self) -> bool {
        self.0 == 0
    }

    fn shape() -> Shape {
        Unit::names()
    }
}
