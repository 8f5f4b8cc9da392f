//! Which layout of keys a Redis holds: one that this program does not read must be told at the start, since every
//! claim would fail later.

use redis::{Cmd, Value};

use super::{
    super::{OpenError, StoreError},
    connection::Connection,
    scripts::{self, PREFIX},
};

/// The layout that `common.lua` tells of.
const FORMAT: &str = "2";

/// Notes the format in a Redis that holds nothing of Hookgate's yet.
pub(super) async fn check(connection: &Connection) -> Result<(), OpenError> {
    let failed = |error: StoreError| OpenError(format!("cannot use Redis: {error}"));
    let ask = async |name: &str, key: &str| {
        let mut command = Cmd::new();
        command.arg(name).arg(format!("{PREFIX}{key}"));
        connection.send(&command).await.map_err(failed)
    };
    // Every layout has had this set. Asked first: whoever made it has noted the format before.
    let is_used = ask("EXISTS", "targets").await? == Value::Int(1);
    let known = match ask("GET", "format").await? {
        Value::Nil => None,
        value => Some(scripts::bytes(value).map_err(failed)?),
    };
    match known.as_deref() {
        Some(format) if format == FORMAT.as_bytes() => Ok(()),
        None if !is_used => {
            let mut command = Cmd::new();
            command
                .arg("SET")
                .arg(format!("{PREFIX}format"))
                .arg(FORMAT);
            connection.send(&command).await.map(drop).map_err(failed)
        }
        other => Err(OpenError(format!(
            "Redis holds events in format {}, and this version of hookgate reads format {FORMAT}; run the version \
             that wrote them until all is delivered, or use another Redis",
            other.map_or("1 (before 0.1.0)".into(), String::from_utf8_lossy)
        ))),
    }
}
