//! Numbers, texts, lists and addresses in CBOR.

use std::net::IpAddr;

use super::{Reader, Wire, Writer};
use crate::codec::Malformed;
use crate::schema::{Field, Shape};

/// Implements `Wire` for numbers without a sign. An absent key means 0.
macro_rules! numbers {
    ($($number:ty: $name:literal,)+) => {$(
        impl Wire for $number {
            fn write(&self, writer: &mut Writer) {
                writer.number(u64::from(*self));
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                reader.small()
            }

            fn absent() -> Option<Self> {
                Some(0)
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }

            fn shape() -> Shape {
                Shape::Plain($name)
            }
        }
    )+};
}

numbers! {
    u8: "u8",
    u32: "u32",
    u64: "u64",
}

impl Wire for i32 {
    fn write(&self, writer: &mut Writer) {
        writer.signed((*self).into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = reader.signed()?;
        Self::try_from(number).map_err(|_| reader.fault("is too large"))
    }

    fn absent() -> Option<Self> {
        Some(0)
    }

    fn is_absent(&self) -> bool {
        *self == 0
    }

    fn shape() -> Shape {
        Shape::Plain("i32")
    }
}

impl Wire for bool {
    fn write(&self, writer: &mut Writer) {
        writer.flag(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.flag()
    }

    fn absent() -> Option<Self> {
        Some(false)
    }

    fn is_absent(&self) -> bool {
        !*self
    }

    fn shape() -> Shape {
        Shape::Plain("bool")
    }
}

impl Wire for String {
    fn write(&self, writer: &mut Writer) {
        writer.text(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.text()?.to_owned())
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn shape() -> Shape {
        Shape::Plain("tstr")
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, writer: &mut Writer) {
        writer.list(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.list()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, writer: &mut Writer) {
        if let Some(value) = self {
            value.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        T::read(reader).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn shape() -> Shape {
        T::shape()
    }
}

impl Wire for [u8; 6] {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes = reader.bytes()?.try_into();
        bytes.map_err(|_| reader.fault("has not 6 bytes"))
    }

    fn absent() -> Option<Self> {
        Some([0; 6])
    }

    fn is_absent(&self) -> bool {
        *self == [0; 6]
    }

    fn shape() -> Shape {
        Shape::Plain("mac")
    }
}

impl Wire for IpAddr {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::V4(address) => writer.bytes(&address.octets()),
            Self::V6(address) => writer.bytes(&address.octets()),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes = reader.bytes()?;
        if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
            return Ok(octets.into());
        }
        let octets = <[u8; 16]>::try_from(bytes);
        let octets = octets.map_err(|_| reader.fault("has neither 4 nor 16 bytes"))?;
        Ok(octets.into())
    }

    fn shape() -> Shape {
        Shape::Plain("address")
    }
}

/// Two values that belong together, as the entries 0 and 1 of a map.
impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, writer: &mut Writer) {
        let entries = usize::from(!self.0.is_absent()) + usize::from(!self.1.is_absent());
        writer.map(entries);
        writer.entry(0, &self.0);
        writer.entry(1, &self.1);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (mut first, mut second) = (None, None);
        reader.map(|reader, key| match key {
            0 => reader.field(&mut first, "entry 0 of a pair"),
            1 => reader.field(&mut second, "entry 1 of a pair"),
            _ => reader.skip(),
        })?;
        let first = super::present(first, reader, "entry 0 of a pair")?;
        let second = super::present(second, reader, "entry 1 of a pair")?;
        Ok((first, second))
    }

    fn absent() -> Option<Self> {
        Some((A::absent()?, B::absent()?))
    }

    fn is_absent(&self) -> bool {
        self.0.is_absent() && self.1.is_absent()
    }

    fn shape() -> Shape {
        Shape::Map(vec![Field::of::<A>(0, "", &[]), Field::of::<B>(1, "", &[])])
    }
}
