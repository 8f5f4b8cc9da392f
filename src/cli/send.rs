//! `hookgate send`: one signed test event, as the provider would send it.

use std::{io::Read as _, path::PathBuf, process::ExitCode};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use uuid::Uuid;

use crate::{
    clock::Clock,
    config::{Config, Route, Server, Tls},
};

use super::{
    BOLD, ConfigFile, EXIT_USAGE, GREEN, RED, failed,
    https::{Answer, Https, Trust, read_pem},
    runtime,
    samples::{self, Naming},
    sign::{Signer, Unsigned},
};

/// Send one event to a running gateway, signed as the route's provider would
#[derive(clap::Args)]
#[command(
    after_help = "Without --body a small sample is sent that the route takes. An API key is not in the configuration, only its\ndigest is: give it with --key or in HOOKGATE_KEY (for Basic authentication: USER:PASSWORD).\n\nExamples:\n  hookgate send --route github\n  hookgate send --route glia --key demo-glia-key\n  hookgate send --route shop --body order.json --header 'X-Tenant: acme'\n  hookgate send --route tickets --url https://hooks.example.com --id evt-1\n\nExit codes: 0 accepted or duplicate (2xx), 1 anything else, 64 bad configuration or usage."
)]
pub(super) struct Send {
    #[command(flatten)]
    file: ConfigFile,
    /// The route, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    route: String,
    /// The file to send as the body; `-` reads standard input.
    #[arg(long, value_name = "FILE|-")]
    body: Option<PathBuf>,
    /// Where the gateway is, without the route's path [default: https on the configured `listen`].
    #[arg(long, value_name = "BASE")]
    url: Option<url::Url>,
    /// PEM of the certificates to trust [default: the kept self-signed one, or the system's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The event's id [default: a new one].
    #[arg(long)]
    id: Option<String>,
    /// The event's type, where the route reads one.
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// One more header; may be repeated, and replaces one that would be sent.
    #[arg(long = "header", value_name = "K: V")]
    headers: Vec<String>,
    /// The API key, token or USER:PASSWORD that proves the caller.
    #[arg(long, env = "HOOKGATE_KEY", hide_env_values = true)]
    key: Option<String>,
}

impl Send {
    pub(super) fn run(self) -> ExitCode {
        let config = match self.file.load_quietly() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let prepared = self
            .request(&config)
            .and_then(|request| Ok((request, self.client(&config.server)?)));
        let (request, client) = match prepared {
            Ok(prepared) => prepared,
            Err(message) => return usage(&message),
        };
        let line = format!("{} {}", request.method(), request.uri());
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return failed(format_args!("cannot start threads: {error}")),
        };
        anstream::println!("{BOLD}{line}{BOLD:#}");
        match runtime.block_on(client.send(request)) {
            Ok(answer) => tell(&answer),
            Err(error) => failed(format_args!(
                "{error}\nIs the gateway running (`hookgate serve`), and does its certificate name this host? \
                 See --url and --ca."
            )),
        }
    }

    /// `Err` is a fault of usage, in words.
    fn request(&self, config: &Config) -> Result<Request<Full<Bytes>>, String> {
        let route = find(config, &self.route)?;
        let url = self.target(config, route)?;
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let body = self.read_body(route)?;
        let unsigned = Unsigned {
            id: &id,
            event_type: self.event_type.as_deref(),
            at: Clock::system().now(),
            body: &body,
            headers: parse_headers(&self.headers)?,
        };
        let signer = Signer {
            route,
            key: self.key.as_deref(),
        };
        let headers = signer.headers(unsigned)?;
        let method = route.methods.first().map_or("POST", String::as_str);
        request(method, &url, headers, body)
    }

    fn target(&self, config: &Config, route: &Route) -> Result<String, String> {
        let base = match &self.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{}", reachable(config.server.listen)?),
        };
        Ok(format!("{base}{}", route.path))
    }

    fn read_body(&self, route: &Route) -> Result<Bytes, String> {
        let Some(path) = &self.body else {
            let naming = Naming {
                id: self.id.as_deref(),
                event_type: self.event_type.as_deref(),
                now: Clock::system().now(),
            };
            return Ok(samples::body_for(route, &naming).to_string().into());
        };
        let mut bytes = Vec::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
            _ => std::fs::read(path).map(|read| bytes = read),
        };
        read.map_err(|error| format!("cannot read the body {}: {error}", path.display()))?;
        Ok(bytes.into())
    }

    /// Trusts what was asked for, else the certificate that a gateway of this configuration has made for itself.
    fn client(&self, server: &Server) -> Result<Https, String> {
        let pem = match (&self.ca, &server.tls) {
            (Some(path), _) => Some(read_pem(path)?),
            (None, Tls::SelfSigned { directory }) if self.url.is_none() => {
                let path = directory.join("localhost.crt");
                let hint = |error| format!("{error}; `hookgate serve` makes it at its first start");
                Some(read_pem(&path).map_err(hint)?)
            }
            _ => None,
        };
        Https::new(&pem.as_deref().map_or(Trust::System, Trust::Pem))
    }
}

/// The route of this name; `Err` tells which there are.
pub(super) fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Route, String> {
    let found = config.routes.iter().find(|route| &*route.name == name);
    found.map(|route| &**route).ok_or_else(|| {
        let names: Vec<_> = config.routes.iter().map(|route| &*route.name).collect();
        format!(
            "no route is called {name:?}; there are {}",
            names.join(", ")
        )
    })
}

/// An address that can be connected to, for one that is listened on.
fn reachable(mut listen: std::net::SocketAddr) -> Result<std::net::SocketAddr, String> {
    if listen.port() == 0 {
        return Err(
            "the configured `listen` has no fixed port: say where the gateway is with --url".into(),
        );
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(listen)
}

fn parse_headers(lines: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::try_from(name.trim()).ok()?;
            Some((name, HeaderValue::try_from(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or("a --header looks like 'X-Tenant: acme'")?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// `Err` is a fault of usage, in words.
pub(super) fn request(
    method: &str,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let method = Method::try_from(method).map_err(|error| error.to_string())?;
    let built = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body));
    let mut request = built.map_err(|error| format!("{url} cannot be called: {error}"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn tell(answer: &Answer) -> ExitCode {
    let colour = if answer.status.is_success() {
        GREEN
    } else {
        RED
    };
    anstream::println!(
        "{colour}{}{colour:#} in {:.1} ms",
        answer.status,
        answer.took.as_secs_f64() * 1000.0
    );
    anstream::println!("{}", answer.text());
    anstream::println!(
        "request id: {}",
        answer.header("x-request-id").unwrap_or("none")
    );
    if answer.status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage(message: &str) -> ExitCode {
    anstream::eprintln!("{RED}error{RED:#}: {message}");
    EXIT_USAGE.into()
}
