//! What commands ask a running gateway's admin listener with.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use url::Url;

use super::{
    https::{Answer, Https, Trust},
    runtime,
};

/// Where the admin listener is, and what opens it.
#[derive(clap::Args, Clone)]
pub(super) struct Admin {
    /// The gateway's admin listener.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:9090",
        env = "HOOKGATE_ADMIN"
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

impl Admin {
    pub(super) fn at(admin: Url, token: Option<String>) -> Self {
        Self { admin, token }
    }

    /// The JSON of a 2xx, `null` when it has none. `Err` tells in words what went wrong.
    pub(super) fn ask(&self, method: Method, path: &[&str]) -> Result<Value, String> {
        let request = self.request(method, path)?;
        let client = Https::new(&Trust::System)?;
        let runtime = runtime().map_err(|error| format!("cannot start threads: {error}"))?;
        let answer = runtime.block_on(client.send(request)).map_err(|error| {
            let at = &self.admin;
            format!("{error}\nIs the gateway running (`hookgate serve`), and its admin listener at {at}? See --admin.")
        })?;
        read(&answer)
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<Request<Full<Bytes>>, String> {
        let mut url = self.admin.clone();
        url.path_segments_mut()
            .map_err(|()| format!("{} cannot be called", self.admin))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::default());
        request.map_err(|error| format!("{} cannot be called: {error}", self.admin))
    }
}

fn read(answer: &Answer) -> Result<Value, String> {
    let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if answer.status.is_success() {
        return Ok(json);
    }
    let detail = json["detail"].as_str().unwrap_or_default();
    let next = match answer.status {
        StatusCode::UNAUTHORIZED => " Set HOOKGATE_ADMIN_TOKEN.",
        _ => "",
    };
    Err(format!("{}: {detail}{next}", answer.status))
}
