//! A name for every request, so that a caller and an operator can speak of the same one.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering},
};

/// Makes ids of 24 hex digits: eight that tell this process from others, sixteen that count.
pub(super) struct RequestIds {
    process: u32,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            process: rand::random(),
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let number = u128::from(self.process) << 64 | u128::from(count);
        let mut digits = [0; DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
        }
        RequestId(digits)
    }
}

const DIGITS: usize = 24;

/// Text, without an allocation: every request has one.
pub(super) struct RequestId([u8; DIGITS]);

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        // Hex digits are always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_process_and_the_count_in_hex() {
        let ids = RequestIds {
            process: 0x00c0_ffee,
            count: AtomicU64::new(0x1234_5678_9abc_deff),
        };
        assert_eq!(&*ids.next(), "00c0ffee123456789abcdeff");
        assert_eq!(&*ids.next(), "00c0ffee123456789abcdf00");
    }
}
