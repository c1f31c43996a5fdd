//! Families of addresses, as 4 and 6.

use crate::Family;
use crate::cbor::{Reader, Wire, Writer};
use crate::codec::Malformed;
use crate::schema::Shape;

impl Family {
    /// Number of the family, 4 or 6.
    pub fn to_raw(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Family with the number 4 or 6.
    pub fn from_raw(number: u32) -> Option<Self> {
        match number {
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Encoding of a family. A claim with an unknown family is refused, because nothing could install it.
impl Wire for Family {
    fn write(&self, writer: &mut Writer) {
        writer.number(self.to_raw().into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let family = Self::from_raw(reader.named()?);
        family.ok_or_else(|| reader.fault("is neither 4 nor 6"))
    }

    fn shape() -> Shape {
        Shape::Named {
            name: "Family",
            docs: &[" Family of addresses."],
            values: vec![("V4", 4, &[]), ("V6", 6, &[])],
            is_closed: true,
        }
    }
}
