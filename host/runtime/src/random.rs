//! Random words, for what nobody may guess.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Hexadecimal digits of a token: 128 random bits.
pub(crate) const TOKEN_DIGITS: usize = 32;

/// A new token.
pub(crate) fn token() -> Result<String, Errno> {
    let mut random = [0_u8; TOKEN_DIGITS / 2];
    let mut filled = 0;
    while filled < random.len() {
        filled += getrandom(&mut random[filled..], GetRandomFlags::empty())?;
    }
    Ok(format!("{:0TOKEN_DIGITS$x}", u128::from_ne_bytes(random)))
}
