//! Records of requests: a sorted set of them and one of their bodies, see `keep_records.lua`.

use bytes::Bytes;
use redis::Value;

use super::{
    super::{
        StoreError,
        records::{RECORD_BODIES_BYTES_MAX, RECORDS_MAX, Record, RecordPage, RecordQuery},
    },
    error::unexpected,
    scripts,
    shard::Keys,
};

/// What one script call keeps: enough, and soon done.
const KEPT_A_CALL: usize = 100;
const BODY_BYTES_A_CALL: usize = 1 << 20;
/// What one command reads, and how many of them one call of a list makes.
const READ_A_COMMAND: usize = 200;
const COMMANDS_A_LIST: usize = 10;

pub(super) async fn keep(keys: &Keys, records: &[Record]) -> Result<(), StoreError> {
    let mut records = records.iter().peekable();
    while records.peek().is_some() {
        let mut call = keys.call(&keys.scripts.keep_records);
        call.arg(RECORDS_MAX).arg(RECORD_BODIES_BYTES_MAX);
        let (mut kept, mut bytes) = (0, 0);
        while let Some(record) =
            records.next_if(|_| kept < KEPT_A_CALL && bytes < BODY_BYTES_A_CALL)
        {
            let body = record.body_bytes().map_or(&[][..], |body| &body[..]);
            call.arg(&record.request_id).arg(record.to_json()).arg(body);
            kept += 1;
            bytes += body.len();
        }
        keys.run(&call).await?;
    }
    Ok(())
}

pub(super) async fn find(keys: &Keys, request_id: &str) -> Result<Option<Record>, StoreError> {
    let Some(json) = kept_of(keys, "records", request_id).await? else {
        return Ok(None);
    };
    let body = kept_of(keys, "record-bodies", request_id).await?;
    Ok(Record::from_json(request_id, &json, body.map(Bytes::from)))
}

/// What is kept in this set under an id.
async fn kept_of(keys: &Keys, set: &str, request_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    // An exclamation mark is next to a space.
    let (first, end) = (format!("[{request_id} "), format!("({request_id}!"));
    let found = range(keys, set, &end, &first, 1).await?;
    Ok(found.into_iter().next().map(|(_, kept)| kept))
}

/// Ids and what is kept under them, newest first.
async fn range(
    keys: &Keys,
    set: &str,
    end: &str,
    first: &str,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(format!("{}{set}", keys.prefix))
        .arg(end)
        .arg(first)
        .arg(&["BYLEX", "REV", "LIMIT", "0"])
        .arg(limit);
    let members = scripts::array(keys.connection.send(&command).await?)?;
    members.into_iter().map(member).collect()
}

fn member(member: Value) -> Result<(String, Vec<u8>), StoreError> {
    let mut id = scripts::bytes(member)?;
    let space = id.iter().position(|&byte| byte == b' ');
    let kept = id.split_off(space.ok_or_else(unexpected)?);
    let id = String::from_utf8(id).map_err(|_| unexpected())?;
    Ok((id, kept[1..].to_vec()))
}

pub(super) async fn list(keys: &Keys, query: &RecordQuery) -> Result<RecordPage, StoreError> {
    let first = query
        .first_id()
        .map_or_else(|| "-".to_owned(), |id| format!("[{id}"));
    let mut end = query.end_id()?;
    let mut page = RecordPage::default();
    for _ in 0..COMMANDS_A_LIST {
        let before = end.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let read = range(keys, "records", &before, &first, READ_A_COMMAND).await?;
        let is_last = read.len() < READ_A_COMMAND;
        let count = read.len();
        end = None;
        for (place, (id, json)) in read.into_iter().enumerate() {
            let record = Record::from_json(&id, &json, None);
            page.records
                .extend(record.filter(|record| query.filter.matches(record)));
            let more = !is_last || place + 1 < count;
            if page.records.len() == query.limit {
                page.next = more.then_some(id);
                return Ok(page);
            }
            end = Some(id);
        }
        if is_last {
            return Ok(page);
        }
    }
    page.next = end;
    Ok(page)
}
