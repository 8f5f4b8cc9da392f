//! `/api/v1/config` and `/api/v1/reload`: which configuration is served, and taking the next.

use actix_web::{
    HttpRequest,
    web::{Data, Json},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    State,
    control::{self, Refusal, Standing},
    guard::{MayChange, MayRead},
    moment::Moment,
    parameters::Parameters,
    problem::Problem,
};
use crate::config::{self, StoreUrl};

/// How the gateway stands with its configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigShown {
    /// Of the program.
    version: &'static str,
    /// The file; `null` where it was not started from one.
    path: Option<String>,
    /// When what is served was loaded.
    loaded_at: Moment,
    last_attempt: LastAttempt,
    /// What is served, but should not stay so.
    warnings: Vec<Warning>,
    /// Key paths whose new values count only after a restart.
    needs_restart: Vec<String>,
    store: StoreKind,
    routes: usize,
    targets: usize,
}

/// When the configuration was last read, and what came of it.
#[derive(Serialize, ToSchema)]
struct LastAttempt {
    at: Moment,
    result: LoadResult,
    /// Everything that is wrong with a file that is not valid.
    faults: Vec<Fault>,
    /// Why a valid one cannot be used.
    unusable: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LoadResult {
    /// It is served.
    Ok,
    /// The one before is served on.
    Failed,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StoreKind {
    Embedded,
    Redis,
}

/// One thing that is wrong with the configuration, and where.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    file: String,
    /// From 1; 0 when the fault is about the file as a whole.
    line: usize,
    /// From 1, in characters; 0 when the fault is about the file as a whole.
    column: usize,
    /// The key path; empty for a fault of syntax.
    key: String,
    /// What stands there; `null`: nothing does.
    found: Option<String>,
    /// What should stand there; `null`: nothing.
    expected: Option<String>,
    /// A name that comes close to what was found.
    did_you_mean: Option<String>,
    /// All of that in one line.
    message: String,
}

/// Something that loads but should not stay, and where.
#[derive(Serialize, ToSchema)]
struct Warning {
    file: String,
    line: usize,
    column: usize,
    key: String,
    message: String,
    /// The next step.
    hint: String,
}

/// Which configuration is served.
#[utoipa::path(get, path = "/api/v1/config", tag = "configuration", operation_id = "get_config",
    responses((status = 200, description = "How it stands", body = ConfigShown)))]
pub(super) async fn get(
    _: MayRead,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<ConfigShown>, Problem> {
    Parameters::none(&request)?;
    Ok(Json(ConfigShown::of(&state.sources.control.standing())))
}

/// What a reload changed. All of it is in use.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    routes: Changes,
    targets: Changes,
    /// Key paths whose new values count only after a restart.
    needs_restart: Vec<String>,
}

/// By name.
#[derive(Serialize, ToSchema)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

/// Reads the configuration again and, if it is valid, goes on with it. Answers when that is done.
#[utoipa::path(post, path = "/api/v1/reload", tag = "configuration", operation_id = "reload",
    responses(
        (status = 200, description = "What changed", body = Reloaded),
        (status = 422, description = "The file is not valid (all faults are told) or cannot be used: nothing changed"),
    ))]
pub(super) async fn reload(
    may: MayChange,
    request: HttpRequest,
    state: Data<State>,
) -> Result<Json<Reloaded>, Problem> {
    Parameters::none(&request)?;
    tracing::info!(by = %may.by, "an operator asks for a reload");
    match state.sources.control.reload().await {
        Ok(applied) => Ok(Json(Reloaded {
            routes: Changes::of(applied.routes),
            targets: Changes::of(applied.targets),
            needs_restart: applied.needs_restart,
        })),
        Err(Refusal::Faults(faults)) => Err(Problem::invalid_config(
            faults.iter().map(Fault::of).collect(),
        )),
        Err(Refusal::Unusable(why)) => Err(Problem::unusable_config(&why)),
    }
}

impl Changes {
    fn of(changes: control::Changes) -> Self {
        Self {
            added: changes.added,
            removed: changes.removed,
            changed: changes.changed,
        }
    }
}

impl ConfigShown {
    fn of(standing: &Standing) -> Self {
        let config = &standing.config;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            path: standing
                .path
                .as_ref()
                .map(|path| path.display().to_string()),
            loaded_at: standing.loaded_at.into(),
            last_attempt: LastAttempt::of(standing),
            warnings: config.warnings.iter().map(Warning::of).collect(),
            needs_restart: standing.needs_restart.clone(),
            store: match config.store.url {
                StoreUrl::Embedded { .. } => StoreKind::Embedded,
                StoreUrl::Redis(_) => StoreKind::Redis,
            },
            routes: config.routes.len(),
            targets: config.targets.len(),
        }
    }
}

impl LastAttempt {
    fn of(standing: &Standing) -> Self {
        let (result, faults, unusable) = match &standing.last_result {
            Ok(()) => (LoadResult::Ok, &[][..], None),
            Err(Refusal::Faults(faults)) => (LoadResult::Failed, &faults[..], None),
            Err(Refusal::Unusable(why)) => (LoadResult::Failed, &[][..], Some(why.clone())),
        };
        Self {
            at: standing.last_attempt_at.into(),
            result,
            faults: faults.iter().map(Fault::of).collect(),
            unusable,
        }
    }
}

impl Fault {
    fn of(fault: &config::Fault) -> Self {
        Self {
            file: fault.file.clone(),
            line: fault.line,
            column: fault.column,
            key: fault.key.clone(),
            found: fault.found.clone(),
            expected: fault.expected.clone(),
            did_you_mean: fault.did_you_mean.clone(),
            message: fault.to_string(),
        }
    }
}

impl Warning {
    fn of(warning: &config::Warning) -> Self {
        Self {
            file: warning.file.clone(),
            line: warning.line,
            column: warning.column,
            key: warning.key.clone(),
            message: warning.message.clone(),
            hint: warning.hint.clone(),
        }
    }
}
