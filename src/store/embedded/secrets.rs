//! Secrets that came in handshakes: one a route.

use rusqlite::Connection;

use crate::{clock::Timestamp, config::Secret, event::RouteName, store::KeptSecret};

use super::{failure::Failure, ledger::Ledger};

impl Ledger {
    /// False: the route has one.
    pub(super) fn keep_secret(&mut self, kept: &KeptSecret) -> Result<bool, Failure> {
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached(
                "INSERT INTO secrets (route, secret, received_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (route) DO NOTHING",
            )?
            .execute((
                &*kept.route,
                kept.secret.expose(),
                kept.received_at.as_millis(),
            ))?;
        Ok(rows == 1)
    }

    /// False: the route has none.
    pub(super) fn forget_secret(&mut self, route: &RouteName) -> Result<bool, Failure> {
        self.begin()?;
        let rows = self
            .connection
            .prepare_cached("DELETE FROM secrets WHERE route = ?1")?
            .execute([&**route])?;
        Ok(rows == 1)
    }
}

/// By route.
pub(super) fn kept(connection: &Connection) -> Result<Vec<KeptSecret>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT route, secret, received_ms FROM secrets ORDER BY route")?;
    let secrets = statement.query_map([], |row| {
        Ok(KeptSecret {
            route: row.get::<_, String>(0)?.into(),
            secret: Secret::new(row.get::<_, Vec<u8>>(1)?),
            received_at: Timestamp::from_millis(row.get(2)?),
        })
    })?;
    Ok(secrets.collect::<rusqlite::Result<_>>()?)
}
