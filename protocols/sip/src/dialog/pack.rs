//! The compact form in which dialogs outlive a restart.

use thiserror::Error;

/// A saved state that can't be read: of a later version, cut, or damaged.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the saved dialog state is unreadable")]
pub struct Corrupt;

/// Writes numbers (LEB128) and texts (length and octets).
#[derive(Debug, Default)]
pub(crate) struct Pack(pub(crate) Vec<u8>);

impl Pack {
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Reads what [`Pack`] wrote.
#[derive(Debug)]
pub(crate) struct Unpack<'a>(pub(crate) &'a [u8]);

impl Unpack<'_> {
    pub(crate) fn number(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Corrupt)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Corrupt)
    }

    pub(crate) fn small(&mut self) -> Result<u32, Corrupt> {
        u32::try_from(self.number()?).map_err(|_| Corrupt)
    }

    pub(crate) fn text(&mut self) -> Result<Box<str>, Corrupt> {
        let length = usize::try_from(self.number()?).map_err(|_| Corrupt)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(std::str::from_utf8(text).map_err(|_| Corrupt)?.into())
    }

    pub(crate) fn end(&self) -> Result<(), Corrupt> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Corrupt)
        }
    }
}
