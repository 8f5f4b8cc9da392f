//! `[log]`: how much is written.

use std::num::NonZeroU32;

use super::{Log, reader::Table};

const ACCEPTED_LINES: u32 = 100;

pub(super) fn read_log(mut table: Table<'_>) -> Log {
    let lines = table
        .take("accepted_lines_per_second")
        .map_or(Some(u64::from(ACCEPTED_LINES)), |node| {
            node.integer(0..=1_000_000)
        });
    table.finish();
    let lines = lines.and_then(|lines| u32::try_from(lines).ok());
    Log {
        accepted_lines_per_second: lines.and_then(NonZeroU32::new),
    }
}
