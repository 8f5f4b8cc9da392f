//! `hookgate send`: signed test events, as the provider would send them.

use std::{
    io::Read as _, num::NonZeroU32, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::{Config, Route, Server, Tls},
};

use super::{
    BOLD, ConfigFile, EXIT_USAGE, GREEN, RED, explain, failed,
    https::{Answer, Https, Trust, read_pem},
    out::{Ended, Unwritten, note, say},
    runtime,
    samples::{self, Naming},
    sign::{Flaw, Signer, Unsigned},
};

mod traffic;

/// Send events to a running gateway, signed as the route's provider would
#[derive(clap::Args)]
#[command(
    after_help = "Without --body a small sample is sent that the route takes. An API key is not in the configuration, only its\ndigest is: give it with --key or in HOOKGATE_KEY (for Basic authentication: USER:PASSWORD). Where a public key is\nconfigured, the private one signs: --signing-key. Several events are told of together, as is what Ctrl-C ends.\n\nExamples:\n  hookgate send --route github\n  hookgate send --route glia --key demo-glia-key\n  hookgate send --route shop --body order.json --header 'X-Tenant: acme'\n  hookgate send --route tickets --url https://hooks.example.com --id evt-1\n  hookgate send --route github --count 1000 --rate 100/s\n  hookgate send --route github --duplicate          the same event twice\n  hookgate send --route github --bad-signature      must be answered 401\n  hookgate send --route stripe --stale              signed just outside the tolerance: 401, too\n  hookgate send --provider stripe --secret-env STRIPE_SECRET --url https://hooks.example.com/stripe\n\nExit codes: 0 accepted or duplicate (2xx), 1 anything else, 64 bad configuration or usage."
)]
pub(super) struct Send {
    #[command(flatten)]
    file: ConfigFile,
    /// The route, by its name in the configuration.
    #[arg(long, value_name = "NAME", required_unless_present = "provider")]
    route: Option<String>,
    /// Instead of a route: the provider to send as; --url is then the whole address.
    #[arg(long, value_name = "NAME", conflicts_with = "route", requires = "url")]
    provider: Option<String>,
    /// With --provider: the environment variable that holds the secret.
    #[arg(long, value_name = "VAR", requires = "provider")]
    secret_env: Vec<String>,
    /// With --provider: one of its parameters; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "provider")]
    params: Vec<String>,
    /// The file to send as the body; `-` reads standard input.
    #[arg(long, value_name = "FILE|-")]
    body: Option<PathBuf>,
    /// Where the gateway is, without the route's path [default: https on the configured `listen`].
    #[arg(long, value_name = "BASE")]
    url: Option<url::Url>,
    /// PEM of the certificates to trust [default: the kept self-signed one, or the system's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM of the certificate to show to a gateway that asks for one.
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    cert: Option<PathBuf>,
    /// PEM of that certificate's key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// The event's id [default: a new one for each].
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
    /// The private key of a provider that signs with one: PEM (PKCS #8).
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The `kid` of a token that is signed with --signing-key.
    #[arg(long, value_name = "KID", requires = "signing_key")]
    key_id: Option<String>,
    /// How many events.
    #[arg(long, value_name = "N", default_value = "1")]
    count: NonZeroU32,
    /// How many a second, or a minute: `100/s`, `30/m` [default: one when the one before is answered].
    #[arg(long, value_parser = traffic::pace)]
    rate: Option<Duration>,
    /// Send each event twice.
    #[arg(long)]
    duplicate: bool,
    /// Change one bit of the signature, or of the key or token.
    #[arg(long, conflicts_with = "stale")]
    bad_signature: bool,
    /// Sign just outside the tolerance.
    #[arg(long)]
    stale: bool,
}

/// What was prepared once for all events.
struct Prepared {
    config: Config,
    route: Arc<Route>,
    url: String,
    body: Option<Vec<u8>>,
    headers: HeaderMap,
    signing_key: Option<Zeroizing<Vec<u8>>>,
}

impl Send {
    pub(super) fn run(self) -> Ended {
        let config = match &self.provider {
            None => match self.file.load_quietly() {
                Ok(config) => config,
                Err(code) => return Ok(code),
            },
            Some(provider) => match self.provider_config(provider) {
                Ok(config) => config,
                Err(message) => return Ok(usage(&message)),
            },
        };
        let prepared = self.prepare(config).and_then(|prepared| {
            // A fault of usage is told before anything is sent.
            let first = self.request(&prepared)?;
            let client = self.client(&prepared.config.server)?;
            Ok((prepared, first, client))
        });
        let (prepared, first, client) = match prepared {
            Ok(prepared) => prepared,
            Err(message) => return Ok(usage(&message)),
        };
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return Ok(failed(format_args!("cannot start threads: {error}"))),
        };
        let line = format!("{} {}", first.method(), shown(&first.uri().to_string()));
        say!("{BOLD}{line}{BOLD:#}")?;
        if self.count.get() > 1 {
            let plan = traffic::Plan {
                count: self.count.get(),
                every: self.rate,
                copies: if self.duplicate { 2 } else { 1 },
            };
            let next = || self.request(&prepared);
            return runtime.block_on(traffic::send(plan, first, next, &client));
        }
        let mut code = ExitCode::SUCCESS;
        let copy = self.duplicate.then(|| first.clone());
        for request in std::iter::once(first).chain(copy) {
            match runtime.block_on(client.send(request)) {
                Ok(answer) => {
                    tell(&answer)?;
                    if !answer.status.is_success() {
                        code = ExitCode::FAILURE;
                    }
                }
                Err(error) => {
                    return Ok(failed(format_args!(
                        "{error}\nIs the gateway running (`hookgate serve`), and does its certificate name this host? \
                         See --url and --ca."
                    )));
                }
            }
        }
        Ok(code)
    }

    /// `Err` is a fault of usage, in words.
    fn prepare(&self, config: Config) -> Result<Prepared, String> {
        let name = self.route.as_deref().unwrap_or(explain::PROVIDER_ROUTE);
        let route = find(&config, name)?.clone();
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(path).map(Zeroizing::new);
            bytes.map_err(|error| format!("cannot read the key {}: {error}", path.display()))
        };
        Ok(Prepared {
            url: self.target(&config, &route)?,
            body: self.read_body()?,
            headers: parse_headers(&self.headers)?,
            signing_key: self.signing_key.as_ref().map(read).transpose()?,
            route,
            config,
        })
    }

    fn provider_config(&self, provider: &str) -> Result<Config, String> {
        let url = self.url.as_ref();
        let text = explain::provider_route(provider, &self.secret_env, &self.params, url)?;
        explain::load_provider(&text, "--url")
    }

    /// The next event. `Err` is a fault of usage, in words.
    fn request(&self, prepared: &Prepared) -> Result<Request<Full<Bytes>>, String> {
        let route = &*prepared.route;
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let now = Clock::system().now();
        let body = match &prepared.body {
            Some(body) => self.renamed(route, body, &id),
            None => samples::sample(
                route,
                &Naming {
                    id: self.id.as_deref(),
                    event_type: self.event_type.as_deref(),
                    now,
                },
            ),
        };
        let signer = Signer {
            signing_key: prepared.signing_key.as_ref().map(|key| key.as_slice()),
            key_id: self.key_id.as_deref(),
            flaw: match (self.bad_signature, self.stale) {
                (true, _) => Some(Flaw::BadSignature),
                (false, true) => Some(Flaw::Stale),
                (false, false) => None,
            },
            ..Signer::new(route, self.key.as_deref())
        };
        let method = route.methods.first().map_or("POST", String::as_str);
        let mut url = prepared.url.clone();
        if method == "GET" {
            url = format!("{url}?{}", String::from_utf8_lossy(&body));
        }
        let ready = signer.ready(&Unsigned {
            id: &id,
            event_type: self.event_type.as_deref(),
            at: now,
            url: &url,
            body: &body,
            headers: prepared.headers.clone(),
        })?;
        let body = match method {
            "GET" => Bytes::new(),
            _ => ready.body.into(),
        };
        request(method, &ready.url, ready.headers, body)
    }

    /// Of several events with one body each has an id of its own, where a JSON body holds it.
    fn renamed(&self, route: &Route, body: &[u8], id: &str) -> Vec<u8> {
        let is_one = self.count.get() == 1 || self.id.is_some();
        let document = serde_json::from_slice(body).ok().filter(|_| !is_one);
        match document.and_then(|document| samples::named(route, document, id)) {
            Some(document) => document.to_string().into_bytes(),
            None => body.to_vec(),
        }
    }

    fn target(&self, config: &Config, route: &Route) -> Result<String, String> {
        if let (Some(_), Some(url)) = (&self.provider, &self.url) {
            return Ok(url.to_string());
        }
        let base = match &self.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{}", reachable(config.server.listen)?),
        };
        Ok(format!("{base}{}", route.path))
    }

    fn read_body(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(path) = &self.body else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
            _ => std::fs::read(path).map(|read| bytes = read),
        };
        read.map_err(|error| format!("cannot read the body {}: {error}", path.display()))?;
        Ok(Some(bytes))
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
        let trust = pem.as_deref().map_or(Trust::System, Trust::Pem);
        match (&self.cert, &self.cert_key) {
            (Some(cert), Some(key)) => {
                let key = std::fs::read_to_string(key)
                    .map(Zeroizing::new)
                    .map_err(|error| format!("cannot read the key {}: {error}", key.display()))?;
                Https::showing(&trust, Some((&read_pem(cert)?, &key)))
            }
            _ => Https::new(&trust),
        }
    }
}

/// The route of this name; `Err` tells which there are.
pub(super) fn find<'c>(config: &'c Config, name: &str) -> Result<&'c Arc<Route>, String> {
    let found = config.routes.iter().find(|route| &*route.name == name);
    found.ok_or_else(|| {
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

/// Without the values of the query string: keys and signatures may stand in it.
fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

fn tell(answer: &Answer) -> Result<(), Unwritten> {
    let colour = if answer.status.is_success() {
        GREEN
    } else {
        RED
    };
    say!(
        "{colour}{}{colour:#} in {:.1} ms",
        answer.status,
        answer.took.as_secs_f64() * 1000.0
    )?;
    say!("{}", answer.text())?;
    say!(
        "request id: {}",
        answer.header("x-request-id").unwrap_or("none")
    )
}

fn usage(message: &str) -> ExitCode {
    note!("{RED}error{RED:#}: {message}");
    EXIT_USAGE.into()
}
