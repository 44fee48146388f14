//! Nonces: minted without state, judged by their own text, remembered once an answer was right
//! (`decisions.md` 6).

use super::Cause;
use super::compute::Hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq;

/// Bounds of [`Nonces`].
#[derive(Clone, Copy, Debug)]
pub struct NonceSettings {
    /// How long a nonce is good, in milliseconds.
    pub lifetime: u64,
    /// Most nonces remembered. The oldest makes room, and whatever is not newer than it is then
    /// asked again rather than trusted again.
    pub capacity: usize,
}

impl Default for NonceSettings {
    fn default() -> Self {
        Self {
            lifetime: 24 * 3_600_000,
            capacity: 200_000,
        }
    }
}

/// What is inside a good nonce: when it was minted, and a number that tells those of one
/// millisecond apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mint {
    /// Milliseconds on the caller's clock.
    pub at: u64,
    /// Distinguishes nonces of the same instant.
    pub salt: u32,
}

/// The nonces of one server.
#[derive(Debug)]
pub struct Nonces {
    secret: [u8; 32],
    settings: NonceSettings,
    /// Nonces from before this process: what was used of them is not known.
    started: u64,
    /// Nothing at or below this is trusted unless remembered.
    floor: u64,
    used: BTreeMap<Mint, Use>,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    account: u128,
    window: Window,
}

/// Which of the newest 256 counts were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    top: u32,
    /// Bit n: `top - n` was used.
    bits: [u64; 4],
}

impl Window {
    /// A window in which everything up to `top` counts as used.
    fn closed(top: u32) -> Self {
        Self {
            top,
            bits: [u64::MAX; 4],
        }
    }

    /// Marks a count as used; false if it was, or lies behind the window, or is zero.
    pub fn admit(&mut self, count: u32) -> bool {
        if count == 0 {
            return false;
        }
        if count > self.top {
            self.shift(count - self.top);
            self.top = count;
        }
        let behind = self.top - count;
        let Some(word) = self.bits.get_mut((behind / 64) as usize) else {
            return false;
        };
        let bit = 1_u64 << (behind % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn shift(&mut self, by: u32) {
        let words = (by / 64) as usize;
        let rest = by % 64;
        let old = self.bits;
        let word = |at: Option<usize>| at.and_then(|at| old.get(at)).copied().unwrap_or(0);
        for (at, slot) in self.bits.iter_mut().enumerate() {
            let low = word(at.checked_sub(words));
            let below = word(at.checked_sub(words + 1));
            *slot = match rest {
                0 => low,
                _ => (low << rest) | (below >> (64 - rest)),
            };
        }
    }
}

impl Nonces {
    /// With a secret that outlives the process; `now` in milliseconds since the epoch.
    pub fn new(secret: [u8; 32], settings: NonceSettings, now: u64) -> Self {
        Self {
            secret,
            settings,
            started: now,
            floor: 0,
            used: BTreeMap::new(),
        }
    }

    /// A new nonce. `salt` must differ for nonces of the same millisecond.
    pub fn mint(&self, now: u64, salt: u32, realm: &str) -> String {
        let mint = Mint { at: now, salt };
        format!("{now:012x}{salt:08x}{}", self.seal(mint, realm).as_str())
    }

    fn seal(&self, mint: Mint, realm: &str) -> Hex {
        // HMAC takes keys of any length: this can't fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            return Hex::of(&[]);
        };
        mac.update(&mint.at.to_be_bytes());
        mac.update(&mint.salt.to_be_bytes());
        mac.update(realm.as_bytes());
        Hex::of(mac.finalize().into_bytes().get(..16).unwrap_or_default())
    }

    /// Whether a nonce is ours and young enough.
    ///
    /// # Errors
    /// [`Cause::ForgedNonce`] or [`Cause::OldNonce`].
    pub fn judge(&self, nonce: &str, realm: &str, now: u64) -> Result<Mint, Cause> {
        let mint = self.open(nonce, realm).ok_or(Cause::ForgedNonce)?;
        let forgotten = mint.at <= self.floor && !self.used.contains_key(&mint);
        if forgotten || now.saturating_sub(mint.at) > self.settings.lifetime {
            return Err(Cause::OldNonce);
        }
        Ok(mint)
    }

    fn open(&self, nonce: &str, realm: &str) -> Option<Mint> {
        let good = nonce.len() == 52 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
        if !good {
            return None;
        }
        let mint = Mint {
            at: u64::from_str_radix(nonce.get(..12)?, 16).ok()?,
            salt: u32::from_str_radix(nonce.get(12..20)?, 16).ok()?,
        };
        let seal = self.seal(mint, realm);
        let same = seal.as_bytes().ct_eq(nonce.get(20..)?.as_bytes());
        bool::from(same).then_some(mint)
    }

    /// Records a use. Only after the digest was found right: nobody can burn another's counts.
    ///
    /// # Errors
    /// [`Cause::ForeignNonce`] or [`Cause::Replayed`].
    pub fn record(&mut self, mint: Mint, account: u128, count: Option<u32>) -> Result<(), Cause> {
        let old = mint.at < self.started;
        let known = self.used.get_mut(&mint);
        if known.is_none() && self.used.len() >= self.settings.capacity {
            self.make_room();
            if mint.at <= self.floor {
                return Err(Cause::OldNonce);
            }
        }
        let entry = self.used.entry(mint).or_insert_with(|| Use {
            account,
            // Of a nonce from before a restart the first count seen is taken and all before it
            // count as used.
            window: match count {
                Some(count) if old && count > 0 => Window::closed(count - 1),
                _ => Window::default(),
            },
        });
        if entry.account != account {
            return Err(Cause::ForeignNonce);
        }
        match count {
            Some(count) if !entry.window.admit(count) => Err(Cause::Replayed),
            _ => Ok(()),
        }
    }

    fn make_room(&mut self) {
        if let Some((oldest, _)) = self.used.pop_first() {
            self.floor = self.floor.max(oldest.at);
        }
    }

    /// Forgets what is too old to be taken anyway.
    pub fn expire(&mut self, now: u64) {
        let Some(limit) = now.checked_sub(self.settings.lifetime) else {
            return;
        };
        self.used = self.used.split_off(&Mint { at: limit, salt: 0 });
        self.floor = self.floor.max(limit.saturating_sub(1));
    }

    /// Nonces remembered.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}
