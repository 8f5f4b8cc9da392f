//! Listing: uids from the logs of the minutes, or from the sets of dead letters, and what they stand for.

use std::{cmp::Reverse, collections::HashMap, fmt, str::FromStr};

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::{
    super::{
        StoreError,
        listing::{EventSummary, Page, Query, StateFilter},
    },
    encoding,
    error::unexpected,
    scripts,
    shard::{Keys, Shard},
};
use crate::clock::Timestamp;

/// Events that one script call describes, and their bytes, about.
const EVENTS_A_CALL: usize = 100;
const BYTES_A_CALL: usize = 1024 * 1024;
/// Steps that one page takes; each looks at [`EVENTS_A_CALL`] at most.
const STEPS_A_PAGE: usize = 20;

const MINUTE_MS: i64 = 60_000;
/// The largest number of a uid's six bytes of milliseconds.
const LAST_MS: i64 = (1 << 48) - 1;

pub(super) async fn list(shards: &[Shard], query: &Query) -> Result<Page, StoreError> {
    let list = List { shards, query };
    if query.filter.state == Some(StateFilter::Dead) {
        list.dead().await
    } else {
        list.logged().await
    }
}

struct List<'a> {
    shards: &'a [Shard],
    query: &'a Query,
}

/// An event of a list, and where the list goes on behind it.
struct Found<P> {
    shard: usize,
    uid: Uuid,
    behind: P,
}

impl List<'_> {
    /// From minute to minute, in each from shard to shard.
    async fn logged(&self) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut place = match &self.query.cursor {
            Some(cursor) => Some(LogPlace::parse(cursor, self.query.newest_first)?),
            None => self.next_minute(None).await?.map(LogPlace::start_of),
        };
        for _ in 0..STEPS_A_PAGE {
            let Some(at) = place else {
                return Ok(page);
            };
            let (found, after) = self.log(at).await?;
            if let Some(behind) = self.add(&mut page, found).await? {
                page.next = Some(behind.cursor(self.query.newest_first));
                return Ok(page);
            }
            place = after;
        }
        page.next = place.map(|place| place.cursor(self.query.newest_first));
        Ok(page)
    }

    /// Events from this place on, and where to go on behind them all.
    async fn log(
        &self,
        at: LogPlace,
    ) -> Result<(Vec<Found<LogPlace>>, Option<LogPlace>), StoreError> {
        let Some(shard) = self.shards.get(usize::from(at.shard)) else {
            let next = self.next_minute(Some(at.minute)).await?;
            return Ok((Vec::new(), next.map(LogPlace::start_of)));
        };
        let (uids, read, _) = self.ask_log(&shard.keys, Some(at)).await?;
        let behind_shard = LogPlace {
            shard: at.shard + 1,
            read: None,
            ..at
        };
        let after = read.map_or(behind_shard, |read| LogPlace {
            read: Some(read),
            ..at
        });
        let count = uids.len() as u64;
        let found = uids.into_iter().zip(1..).map(|(uid, number)| Found {
            shard: at.shard.into(),
            uid,
            behind: match (number == count, read) {
                (true, _) => after,
                // Newest first one counts down, from where the last of these is.
                (false, read) if self.query.newest_first => LogPlace {
                    read: Some(read.unwrap_or(0) + (count - number)),
                    ..at
                },
                (false, _) => LogPlace {
                    read: Some(at.read.unwrap_or(0) + number),
                    ..at
                },
            },
        });
        Ok((found.collect(), Some(after)))
    }

    /// The next minute of any shard.
    async fn next_minute(&self, after: Option<u32>) -> Result<Option<u32>, StoreError> {
        let place = after.map(|minute| LogPlace {
            // Nothing of the minute itself is read.
            read: Some(if self.query.newest_first {
                0
            } else {
                u64::MAX >> 16
            }),
            ..LogPlace::start_of(minute)
        });
        let asked = self.shards.iter();
        let asked = asked.map(|shard| self.ask_log(&shard.keys, place));
        let minutes = try_join_all(asked).await?;
        let minutes = minutes.into_iter().filter_map(|(_, _, next)| next);
        Ok(if self.query.newest_first {
            minutes.max()
        } else {
            minutes.min()
        })
    }

    async fn ask_log(
        &self,
        keys: &Keys,
        place: Option<LogPlace>,
    ) -> Result<(Vec<Uuid>, Option<u64>, Option<u32>), StoreError> {
        let (first_ms, last_ms) = self.bounds();
        let read = place.and_then(|place| place.read);
        let mut call = keys.call(&keys.scripts.log);
        call.arg(i32::from(self.query.newest_first))
            .arg(place.map_or_else(String::new, |place| place.minute.to_string()))
            .arg(read.map_or(-1, |read| i64::try_from(read).unwrap_or(i64::MAX)))
            .arg(EVENTS_A_CALL)
            .arg(first_ms / MINUTE_MS)
            .arg(last_ms / MINUTE_MS);
        let [uids, read, next] = scripts::row(keys.run(&call).await?)?;
        let read = scripts::optional(read).map(scripts::integer).transpose()?;
        let next = scripts::optional(next).map(scripts::bytes).transpose()?;
        let read = read.map(|read| u64::try_from(read).map_err(|_| unexpected()));
        let next = next.map(|minute| {
            let minute = str::from_utf8(&minute)
                .ok()
                .and_then(|text| text.parse().ok());
            minute.ok_or_else(unexpected)
        });
        Ok((scripts::uids(uids)?, read.transpose()?, next.transpose()?))
    }

    /// By the time when they were received, over all shards and targets.
    async fn dead(&self) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut after = match &self.query.cursor {
            Some(cursor) => Some(DeadPlace::parse(cursor, self.query.newest_first)?),
            None => None,
        };
        for _ in 0..STEPS_A_PAGE {
            let (found, has_more) = self.dead_after(after).await?;
            let last = found.last().map(|found| found.behind);
            if let Some(behind) = self.add(&mut page, found).await? {
                page.next = Some(behind.cursor(self.query.newest_first));
                return Ok(page);
            }
            if !has_more {
                return Ok(page);
            }
            after = last.or(after);
        }
        page.next = after.map(|after| after.cursor(self.query.newest_first));
        Ok(page)
    }

    /// The next events with dead letters, and whether there are more.
    async fn dead_after(
        &self,
        after: Option<DeadPlace>,
    ) -> Result<(Vec<Found<DeadPlace>>, bool), StoreError> {
        let asked = self.shards.iter();
        let parts = try_join_all(asked.map(|shard| self.ask_dead(&shard.keys, after))).await?;
        let before = |a: &Uuid, b: &Uuid| {
            if self.query.newest_first {
                a > b
            } else {
                a < b
            }
        };
        // What comes after this one may not be all there is.
        let mut cut: Option<Uuid> = None;
        let mut found = Vec::new();
        for (shard, (uids, has_more)) in parts.into_iter().enumerate() {
            if let (Some(last), true) = (uids.last(), has_more)
                && cut.is_none_or(|cut| before(last, &cut))
            {
                cut = Some(*last);
            }
            found.extend(uids.into_iter().map(|uid| Found {
                shard,
                uid,
                behind: DeadPlace(uid),
            }));
        }
        if self.query.newest_first {
            found.sort_by_key(|found| Reverse(found.uid));
        } else {
            found.sort_by_key(|found| found.uid);
        }
        if let Some(cut) = cut {
            found.retain(|found| !before(&cut, &found.uid));
        }
        Ok((found, cut.is_some()))
    }

    async fn ask_dead(
        &self,
        keys: &Keys,
        after: Option<DeadPlace>,
    ) -> Result<(Vec<Uuid>, bool), StoreError> {
        let (first_ms, last_ms) = self.bounds();
        let mut call = keys.call(&keys.scripts.dead);
        call.arg(i32::from(self.query.newest_first))
            .arg(after.map_or_else(Vec::new, |after| after.0.as_bytes().to_vec()))
            .arg(EVENTS_A_CALL)
            .arg(first_ms)
            .arg(last_ms)
            .arg(self.query.filter.target.as_deref().unwrap_or(""));
        let [uids, more] = scripts::row(keys.run(&call).await?)?;
        Ok((scripts::uids(uids)?, scripts::integer(more)? != 0))
    }

    /// The first and the last millisecond in which the events that are meant were received.
    fn bounds(&self) -> (i64, i64) {
        let filter = &self.query.filter;
        let first = filter.since.map_or(0, Timestamp::as_millis);
        let until = filter.until.map(Timestamp::as_millis);
        let last = until.map_or(LAST_MS, |until| until.saturating_sub(1));
        (first.clamp(0, LAST_MS), last.clamp(-MINUTE_MS, LAST_MS))
    }

    /// Adds those that match, and tells where to go on when the page became full before the last of them was
    /// looked at, or with it.
    async fn add<P: Copy>(
        &self,
        page: &mut Page,
        found: Vec<Found<P>>,
    ) -> Result<Option<P>, StoreError> {
        let mut described = self.describe(&found).await?;
        for found in found {
            if let Some(event) = described.remove(&found.uid)
                && self.query.filter.matches(&event)
            {
                page.events.push(event);
                if page.events.len() >= self.query.limit {
                    return Ok(Some(found.behind));
                }
            }
        }
        Ok(None)
    }

    /// Those that are stored and can be read.
    async fn describe<P>(
        &self,
        found: &[Found<P>],
    ) -> Result<HashMap<Uuid, EventSummary>, StoreError> {
        let mut uids = vec![Vec::new(); self.shards.len()];
        for found in found {
            uids[found.shard].push(found.uid);
        }
        let asked = self.shards.iter().zip(&uids);
        let parts = try_join_all(asked.map(|(shard, uids)| describe(&shard.keys, uids))).await?;
        let described = parts.into_iter().flatten();
        Ok(described.map(|event| (event.uid, event)).collect())
    }
}

async fn describe(keys: &Keys, mut uids: &[Uuid]) -> Result<Vec<EventSummary>, StoreError> {
    let mut events = Vec::with_capacity(uids.len());
    while !uids.is_empty() {
        let mut call = keys.call(&keys.scripts.describe);
        call.arg(BYTES_A_CALL);
        for uid in &uids[..uids.len().min(EVENTS_A_CALL)] {
            call.arg(uid.as_bytes());
        }
        let described = scripts::array(keys.run(&call).await?)?;
        let (asked, rest) = uids
            .split_at_checked(described.len().max(1))
            .ok_or_else(unexpected)?;
        for (uid, described) in asked.iter().zip(described) {
            events.extend(encoding::summary(*uid, described)?);
        }
        uids = rest;
    }
    Ok(events)
}

/// Where a list from the logs goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogPlace {
    minute: u32,
    shard: u16,
    /// How many of the shard's uids of this minute are before the place (newest first: how many are left).
    read: Option<u64>,
}

impl LogPlace {
    fn start_of(minute: u32) -> Self {
        Self {
            minute,
            shard: 0,
            read: None,
        }
    }

    fn cursor(self, newest_first: bool) -> String {
        let read = self.read.map_or_else(String::new, |read| read.to_string());
        let Self { minute, shard, .. } = self;
        format!("{}-{minute}-{shard}-{read}", kind("log", newest_first))
    }

    fn parse(cursor: &str, newest_first: bool) -> Result<Self, StoreError> {
        let mut parts = parts(cursor, &kind("log", newest_first))?;
        let place = Self {
            minute: part(&mut parts)?,
            shard: part(&mut parts)?,
            read: match parts.next() {
                Some("") => None,
                Some(read) => Some(read.parse().map_err(|_| StoreError::BadCursor)?),
                None => return Err(StoreError::BadCursor),
            },
        };
        end(place, parts)
    }
}

/// Behind which event a list of dead letters goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeadPlace(Uuid);

impl DeadPlace {
    fn cursor(self, newest_first: bool) -> String {
        format!("{}-{}", kind("dead", newest_first), self.0.simple())
    }

    fn parse(cursor: &str, newest_first: bool) -> Result<Self, StoreError> {
        let mut parts = parts(cursor, &kind("dead", newest_first))?;
        let uid = parts.next().unwrap_or_default();
        let uid = Uuid::try_parse(uid).map_err(|_| StoreError::BadCursor)?;
        end(Self(uid), parts)
    }
}

/// Of a list: a cursor of another one is refused.
fn kind(of: impl fmt::Display, newest_first: bool) -> String {
    format!("{of}{}", if newest_first { "n" } else { "o" })
}

fn parts<'a>(
    cursor: &'a str,
    kind: &str,
) -> Result<impl Iterator<Item = &'a str> + use<'a>, StoreError> {
    let mut parts = cursor.split('-');
    if parts.next() == Some(kind) {
        Ok(parts)
    } else {
        Err(StoreError::BadCursor)
    }
}

fn part<'a, T: FromStr>(parts: &mut impl Iterator<Item = &'a str>) -> Result<T, StoreError> {
    let part = parts.next().and_then(|part| part.parse().ok());
    part.ok_or(StoreError::BadCursor)
}

fn end<'a, T>(place: T, mut parts: impl Iterator<Item = &'a str>) -> Result<T, StoreError> {
    if parts.next().is_none() {
        Ok(place)
    } else {
        Err(StoreError::BadCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_fits_no_other_list() {
        for read in [None, Some(0), Some(70_000)] {
            let place = LogPlace {
                minute: 29_833_333,
                shard: 3,
                read,
            };
            let cursor = place.cursor(true);
            assert_eq!(LogPlace::parse(&cursor, true).unwrap(), place);
            assert!(LogPlace::parse(&cursor, false).is_err());
            assert!(DeadPlace::parse(&cursor, true).is_err());
            assert!(LogPlace::parse(&format!("{cursor}-"), true).is_err());
        }
        let place = DeadPlace(Uuid::from_u128(7));
        let cursor = place.cursor(false);
        assert_eq!(DeadPlace::parse(&cursor, false).unwrap(), place);
        assert!(DeadPlace::parse(&cursor, true).is_err());
        assert!(LogPlace::parse(&cursor, false).is_err());
    }
}
