//! A name for every request, so that a caller and an operator can speak of the same one. It tells when the request
//! came, so that the event that it brought can be found by it.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::clock::Timestamp;

/// Makes ids of 28 hex digits: twelve are the milliseconds since 1970, eight tell this process from others, eight count.
/// They sort by time; see [`crate::store::records::time_of_id`].
pub(super) struct RequestIds {
    process: u32,
    count: AtomicU32,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self {
            process: rand::random(),
            count: AtomicU32::new(0),
        }
    }

    pub(super) fn next(&self, at: Timestamp) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(at.as_millis()).unwrap_or(0) & ((1 << 48) - 1);
        let number = u128::from(millis) << 64 | u128::from(self.process) << 32 | u128::from(count);
        let mut digits = [0; DIGITS];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
        }
        RequestId(digits)
    }
}

const DIGITS: usize = 28;

/// Text, without an allocation: every request has one.
#[derive(Clone, Copy)]
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
    use crate::store::records::{id_prefix, time_of_id};

    #[test]
    fn an_id_is_the_time_the_process_and_the_count_in_hex() {
        let ids = RequestIds {
            process: 0x00c0_ffee,
            count: AtomicU32::new(0x9abc_deff),
        };
        let at = Timestamp::from_millis(0x0123_4567_89ab);
        let id = ids.next(at);
        assert_eq!(&*id, "0123456789ab00c0ffee9abcdeff");
        assert_eq!(&*ids.next(at), "0123456789ab00c0ffee9abcdf00");
        assert_eq!(time_of_id(&id), Some(at));
        assert!(id.starts_with(&id_prefix(at)));
    }
}
