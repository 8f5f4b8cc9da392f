//! What an operator can ask of the running gateway, whichever way: signal, API or the change of a file.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    config::{Config, Fault},
    store::{StoreError, handover},
};

/// The gateway, as the one who runs it sees it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Reads the configuration again and, if it is valid, goes on with it: the same as SIGHUP. One at a time; what is
    /// asked for while one is under way is answered by the next one.
    async fn reload(&self) -> ReloadResult;

    /// The configuration that is served.
    fn config(&self) -> Arc<Config>;

    /// For `GET /api/v1/config`.
    fn standing(&self) -> Standing;

    /// Where the target's deliveries pass. `None`: no such target.
    fn gate(&self, target: &str) -> Option<Arc<handover::Gate>>;

    /// Sends the target nothing more, here and from every gateway that shares the store, until [`Control::resume`].
    /// False: no such target.
    async fn pause(&self, target: &str) -> Result<bool, StoreError>;

    /// Ends an operator's pause, not one by the file.
    async fn resume(&self, target: &str) -> Result<Resumed, StoreError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    Resumed,
    /// Nobody had paused it.
    NotPaused,
    /// The configuration says `paused = true`. An operator's pause, if there was one, is over.
    PausedByFile,
    /// No such target.
    Unknown,
}

/// What came of a reload.
pub type ReloadResult = Result<Applied, Refusal>;

/// A configuration that is in use now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub routes: Changes,
    pub targets: Changes,
    /// Key paths whose new values count only after a restart. All else of the file is in use.
    pub needs_restart: Vec<String>,
}

/// By name, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

/// Why a configuration is not in use: the one before it stays, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file is not valid. Never empty.
    Faults(Vec<Fault>),
    /// It is, but what it names cannot be used, e.g. a certificate whose key is another. Never holds a secret.
    Unusable(String),
}

/// One fault a line.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(reason) => f.write_str(reason),
            Self::Faults(faults) => {
                for (index, fault) in faults.iter().enumerate() {
                    let between = if index > 0 { "\n" } else { "" };
                    write!(f, "{between}{fault}")?;
                }
                Ok(())
            }
        }
    }
}

/// How the gateway stands with its configuration.
#[derive(Clone, Debug)]
pub struct Standing {
    /// `None`: it was not started from a file, and is not reloaded.
    pub path: Option<PathBuf>,
    /// What is served, with its warnings.
    pub config: Arc<Config>,
    /// When that was loaded.
    pub loaded_at: Timestamp,
    /// When a load was last tried.
    pub last_attempt_at: Timestamp,
    /// What came of it.
    pub last_result: Result<(), Refusal>,
    /// Key paths whose new values count only after a restart.
    pub needs_restart: Vec<String>,
}
