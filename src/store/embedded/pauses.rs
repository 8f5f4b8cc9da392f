//! Targets that an operator has paused.

use rusqlite::Connection;

use crate::event::TargetName;

use super::{
    failure::Failure,
    ledger::{Answer, Ledger},
};

impl Ledger {
    pub(super) fn pause_target(&mut self, target: &TargetName) -> Result<Answer, Failure> {
        self.begin()?;
        self.connection
            .prepare_cached("INSERT INTO pauses (target) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([&**target])?;
        Ok(Answer::Done)
    }

    /// False: it was not paused.
    pub(super) fn resume_target(&mut self, target: &TargetName) -> Result<bool, Failure> {
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached("DELETE FROM pauses WHERE target = ?1")?
            .execute([&**target])?;
        Ok(rows == 1)
    }
}

/// By name.
pub(super) fn kept(connection: &Connection) -> Result<Vec<TargetName>, Failure> {
    let mut statement = connection.prepare_cached("SELECT target FROM pauses ORDER BY target")?;
    let targets = statement.query_map([], |row| Ok(row.get::<_, String>(0)?.into()))?;
    Ok(targets.collect::<rusqlite::Result<_>>()?)
}
