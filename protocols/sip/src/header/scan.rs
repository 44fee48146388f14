//! The scanner all views share.

use super::FaultKind;
use crate::raw::parse::{is_space, is_token_char};

/// A position in a header value. White space includes folds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Cuts the octets for which `keep` holds off the front.
    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|octet| !keep(*octet))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    pub(crate) fn space(&mut self) -> bool {
        !self.take_while(is_space).is_empty()
    }

    /// Takes that octet if it is next.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == octet => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes a separator with white space around it.
    pub(crate) fn separator(&mut self, octet: u8) -> bool {
        let before = *self;
        self.space();
        if self.eat(octet) {
            self.space();
            return true;
        }
        *self = before;
        false
    }

    pub(crate) fn token(&mut self) -> Result<&'a str, FaultKind> {
        let token = self.take_while(is_token_char);
        if token.is_empty() {
            return Err(FaultKind::Syntax);
        }
        std::str::from_utf8(token).map_err(|_| FaultKind::Syntax)
    }

    /// Decimal digits, below 2^32.
    pub(crate) fn number(&mut self) -> Result<u32, FaultKind> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        let value = crate::raw::parse::number(digits).ok_or(FaultKind::Syntax)?;
        u32::try_from(value).map_err(|_| FaultKind::Range)
    }

    /// A quoted string with its quotes; the scanner stands on the first quote.
    pub(crate) fn quoted(&mut self) -> Result<&'a [u8], FaultKind> {
        let mut at = 1;
        loop {
            match self.rest.get(at) {
                Some(b'\\') => at += 2,
                Some(b'"') => break,
                Some(_) => at += 1,
                None => return Err(FaultKind::Syntax),
            }
        }
        let (taken, rest) = self
            .rest
            .split_at_checked(at + 1)
            .ok_or(FaultKind::Syntax)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(mut self) -> Result<(), FaultKind> {
        self.space();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FaultKind::Syntax)
        }
    }
}
