//! What commands ask a running gateway's admin listener with.

use std::{cell::RefCell, fmt, process::ExitCode, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use url::Url;

use super::{
    failed,
    https::{Answer, Https, Trust},
    out::{Ended, Unwritten},
    runtime,
};

/// Of an event with its body in base64.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where the admin listener is, and what opens it.
#[derive(clap::Args, Clone)]
pub(super) struct Admin {
    /// The gateway's admin listener.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "HOOKGATE_ADMIN",
        default_value = "http://127.0.0.1:9090"
    )]
    admin: Url,
    /// The admin token, where the gateway asks for one.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "HOOKGATE_ADMIN_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// Why there is no answer to go on with.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody answers; tells why and what to look at.
    Unreachable(String),
    Refused {
        status: StatusCode,
        /// The problem's `code`; empty when it was none.
        code: String,
        /// Names the next step.
        told: String,
        /// The problem's `faults`.
        faults: Vec<Value>,
    },
    /// Nothing that could be asked.
    Unasked(String),
    /// What was found could not be told.
    Unwritten(Unwritten),
}

/// A connection to the admin listener.
pub(super) struct Session {
    admin: Admin,
    client: Https,
    runtime: Runtime,
    /// From the first wait on: before it, ctrl-c ends the program.
    interrupts: RefCell<Option<Signal>>,
}

impl Admin {
    pub(super) fn at(admin: Url, token: Option<String>) -> Self {
        Self { admin, token }
    }

    pub(super) fn open(&self) -> Result<Session, Trouble> {
        let client = Https::new(&Trust::System).map_err(Trouble::Unasked)?;
        let runtime = runtime().map_err(|error| {
            let told = format!("cannot start threads: {error}");
            Trouble::Unasked(told)
        })?;
        Ok(Session {
            admin: self.clone(),
            client: client.with_answers_up_to(ANSWER_BYTES_MAX),
            runtime,
            interrupts: RefCell::new(None),
        })
    }

    /// One question. The JSON of a 2xx, `null` when it has none. `Err` tells in words what went wrong.
    pub(super) fn ask(&self, method: Method, path: &[&str]) -> Result<Value, String> {
        let session = self.open().map_err(|trouble| trouble.to_string())?;
        let answer = session.ask(method, path, &[], None);
        answer.map_err(|trouble| trouble.to_string())
    }
}

impl Session {
    pub(super) fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, query, None)
    }

    pub(super) fn post(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        self.ask(Method::POST, path, query, body)
    }

    /// The JSON of a 2xx, `null` when it has none.
    fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let request = self.admin.request(method, path, query, body);
        let request = request.map_err(Trouble::Unasked)?;
        let answer = self.runtime.block_on(self.client.send(request));
        read(&answer.map_err(|error| {
            let at = &self.admin.admin;
            Trouble::Unreachable(format!("{error}\nIs the gateway running (`hookgate serve`), and its admin listener at {at}? See --admin."))
        })?)
    }

    /// False: ctrl-c came, now or since the wait before.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let mut interrupts = self.interrupts.borrow_mut();
        self.runtime.block_on(async {
            if interrupts.is_none() {
                *interrupts = signal(SignalKind::interrupt()).ok();
            }
            let sleep = tokio::time::sleep(time);
            match interrupts.as_mut() {
                Some(interrupts) => tokio::select! {
                    biased;
                    _ = interrupts.recv() => false,
                    () = sleep => true,
                },
                None => {
                    sleep.await;
                    true
                }
            }
        })
    }
}

impl Admin {
    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut url = self.admin.clone();
        url.path_segments_mut()
            .map_err(|()| format!("{} cannot be called", self.admin))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map(|body| Bytes::from(body.to_string()));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.map_or_else(Full::default, Full::new));
        request.map_err(|error| format!("{} cannot be called: {error}", self.admin))
    }
}

fn read(answer: &Answer) -> Result<Value, Trouble> {
    let mut json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if answer.status.is_success() {
        return Ok(json);
    }
    let detail = json["detail"].as_str().unwrap_or_default();
    let next = match answer.status {
        StatusCode::UNAUTHORIZED => " Set HOOKGATE_ADMIN_TOKEN.",
        StatusCode::NOT_FOUND if json["code"] == "unknown_path" || json["code"].is_null() => {
            " Is that a gateway's admin listener, and as new as this program? See --admin."
        }
        _ => "",
    };
    let code = json["code"].as_str().unwrap_or_default();
    Err(Trouble::Refused {
        status: answer.status,
        code: code.to_owned(),
        told: format!("{detail}{next}"),
        faults: match json["faults"].take() {
            Value::Array(faults) => faults,
            _ => Vec::new(),
        },
    })
}

/// The exit code, and what failed told.
pub(super) fn end(done: Result<(), Trouble>) -> Ended {
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Trouble::Unwritten(unwritten)) => Err(unwritten),
        Err(trouble) => Ok(failed(trouble)),
    }
}

impl From<String> for Trouble {
    fn from(told: String) -> Self {
        Self::Unasked(told)
    }
}

impl From<Unwritten> for Trouble {
    fn from(unwritten: Unwritten) -> Self {
        Self::Unwritten(unwritten)
    }
}

impl Trouble {
    /// Whether it may be over in a moment: the gateway restarts, or its store does.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            Self::Unasked(_) | Self::Unwritten(_) => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(told) | Self::Unasked(told) => f.write_str(told),
            Self::Unwritten(unwritten) => unwritten.fmt(f),
            Self::Refused {
                status,
                told,
                faults,
                ..
            } => {
                write!(f, "{status}: {told}")?;
                for fault in faults {
                    let message = fault["message"].as_str().unwrap_or_default();
                    write!(f, "\n  {message}")?;
                }
                Ok(())
            }
        }
    }
}
