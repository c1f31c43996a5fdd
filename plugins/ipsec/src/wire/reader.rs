//! The peer's bytes, read.

use std::net::IpAddr;

use super::{BODY_MAX, Counted, LEGACY, Layout, Message, Pace, ToldSa, WORDS_MAX};
use crate::body::{parse_policy, parse_sa};
use crate::error::Malformed;
use crate::sa::{
    Body, ChildName, Direction, InterfaceName, Interfaces, Life, Mark, Policy, PolicyId, Replay,
    ReplayForm, SaId,
};
use crate::xfrm::{check_policy, check_sa};

pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    let mut reader = Reader(bytes);
    let message = match reader.u8()? {
        1 => Message::Role {
            active: reader.flag("role")?,
            layout: reader.layout()?,
        },
        2 => Message::Request,
        3 => Message::Begin {
            epoch: reader.u32()?,
            sas: reader.u32()?,
            policies: reader.u32()?,
        },
        4 => Message::Sas(reader.all(Reader::told)?),
        5 => Message::Counters(reader.all(Reader::counted)?),
        6 => Message::DeleteSas(reader.all(Reader::id)?),
        7 => Message::Policies(reader.all(Reader::policy)?),
        8 => Message::DeletePolicies(reader.all(Reader::policy_id)?),
        9 => Message::End {
            epoch: reader.u32()?,
        },
        10 => Message::InSync {
            epoch: reader.u32()?,
        },
        11 => Message::Refused {
            count: reader.u32()?,
            first: reader.all(|reader| Ok((reader.id()?, reader.u32()? as i32)))?,
        },
        12 => Message::Final,
        13 => Message::Last(reader.all(Reader::counted)?),
        14 => Message::Unsure {
            yes: reader.flag("doubt")?,
        },
        kind => return Err(Malformed::Kind(kind)),
    };
    match reader.0 {
        [] => Ok(message),
        _ => Err(Malformed::Long),
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Records up to the end.
    fn all<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut records = Vec::new();
        while !self.0.is_empty() {
            records.push(one(self)?);
        }
        Ok(records)
    }

    fn told(&mut self) -> Result<ToldSa, Malformed> {
        let body = self.body()?;
        check_sa(body.bytes())?;
        let mut sa = parse_sa(body)?;
        sa.interfaces = self.interfaces()?;
        let side = match self.flag("side")? {
            false => Direction::In,
            true => Direction::Out,
        };
        (sa.replay, sa.life) = (self.replay()?, self.life()?);
        Ok(ToldSa {
            sa,
            side,
            pace: self.pace()?,
            name: self.name()?,
        })
    }

    fn counted(&mut self) -> Result<Counted, Malformed> {
        Ok(Counted {
            id: self.id()?,
            replay: self.replay()?,
            life: self.life()?,
            pace: self.pace()?,
        })
    }

    fn policy(&mut self) -> Result<Policy, Malformed> {
        let body = self.body()?;
        check_policy(body.bytes())?;
        let mut policy = parse_policy(body)?;
        policy.id.interface = self.interface_name()?;
        Ok(policy)
    }

    fn id(&mut self) -> Result<SaId, Malformed> {
        let destination = match self.u8()? {
            4 => IpAddr::from(self.chunk::<4>()?),
            6 => IpAddr::from(self.chunk::<16>()?),
            _ => return Err(Malformed::Field("family")),
        };
        Ok(SaId {
            destination,
            spi: self.u32()?,
            protocol: self.u8()?,
            mark: self.mark()?,
        })
    }

    fn policy_id(&mut self) -> Result<PolicyId, Malformed> {
        Ok(PolicyId {
            selector: self.chunk()?,
            interface: self.interface_name()?,
            direction: self.u8()?,
            kind: self.u8()?,
            mark: self.mark()?,
            if_id: self.u32()?,
        })
    }

    fn body(&mut self) -> Result<Body, Malformed> {
        let length = usize::from(self.u16()?);
        if length > BODY_MAX {
            return Err(Malformed::Field("body"));
        }
        self.take(length).map(|bytes| Body::new(bytes.to_vec()))
    }

    fn interface_name(&mut self) -> Result<InterfaceName, Malformed> {
        let name = self.text("interface")?.unwrap_or_default();
        InterfaceName::new(&name).ok_or(Malformed::Field("interface"))
    }

    fn interfaces(&mut self) -> Result<Interfaces, Malformed> {
        let selector = self.text("interface")?;
        let offload = match self.text("interface")? {
            Some(name) => Some((name, self.u8()?)),
            None => None,
        };
        Ok(Interfaces { selector, offload })
    }

    fn replay(&mut self) -> Result<Replay, Malformed> {
        let (oseq, seq, window) = (self.u64()?, self.u64()?, self.u32()?);
        let form = match self.u8()? {
            LEGACY => ReplayForm::Legacy(self.u32()?),
            words if usize::from(words) <= WORDS_MAX => {
                let words = (0..words).map(|_| self.u32());
                ReplayForm::Extended(words.collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed::Field("window")),
        };
        if window > form.capacity() {
            return Err(Malformed::Field("window"));
        }
        Ok(Replay {
            oseq,
            seq,
            window,
            form,
        })
    }

    fn life(&mut self) -> Result<Life, Malformed> {
        Ok(Life {
            bytes: self.u64()?,
            packets: self.u64()?,
            age_s: self.u64()?,
            used_s: match self.flag("life")? {
                true => Some(self.u64()?),
                false => None,
            },
        })
    }

    fn pace(&mut self) -> Result<Pace, Malformed> {
        Ok(Pace {
            threshold: self.u32()?,
            packets_per_s: self.u32()?,
        })
    }

    fn name(&mut self) -> Result<Option<ChildName>, Malformed> {
        let Some(ike) = self.text("name")? else {
            return Ok(None);
        };
        let child = self.text("name")?.ok_or(Malformed::Field("name"))?;
        Ok(Some(ChildName { ike, child }))
    }

    fn mark(&mut self) -> Result<Mark, Malformed> {
        Ok(Mark {
            value: self.u32()?,
            mask: self.u32()?,
        })
    }

    fn layout(&mut self) -> Result<Layout, Malformed> {
        Ok(Layout {
            big_endian: self.flag("byte order")?,
            word: self.u8()?,
            sa: self.u16()?,
            policy: self.u16()?,
        })
    }

    /// Without control characters, as it is shown; None where it is empty.
    fn text(&mut self, field: &'static str) -> Result<Option<String>, Malformed> {
        let length = self.u8()?;
        let bytes = self.take(length.into())?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Field(field))?;
        if text.chars().any(char::is_control) {
            return Err(Malformed::Field(field));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Field(field)),
        }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.chunk().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }
}
