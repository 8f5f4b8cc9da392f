//! `hookgate explain`: why a captured request is accepted, or refused.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    clock::{Clock, Timestamp},
    config::{
        Config, Route, SecretText, SignatureVerifier, Verifier, Verify, secret_texts,
        secret_texts_of,
    },
    ingest::{
        rejection::{Detail, Reason, Rejection},
        steps::{self, Step},
    },
    payload::Content,
    signature::jwt::TokenFault,
};

pub(super) use provider::{
    ROUTE as PROVIDER_ROUTE, configuration as provider_route, load as load_provider,
};

use super::{
    ConfigFile, EXIT_USAGE, RED,
    out::{Ended, note, say},
    rehearsal::Outcome,
};
use capture::{Capture, read_bounded};
use causes::Cause;
use keys::Presented;
use outcome::{notes, told};
use rehearsal::rehearse;
use report::{Captured, Report, Verified};
use subject::Subject;
use tokens::{TokenSubject, Verdict};

mod addresses;
mod advice;
mod bodies;
mod capture;
mod causes;
mod keys;
mod outcome;
mod provider;
mod rehearsal;
mod report;
mod request;
mod secrets;
mod subject;
mod tokens;

/// Tell what became of a request, or step by step why a captured one is accepted or refused
#[derive(clap::Args)]
#[command(
    after_help = "A REQUEST_ID is what the X-Request-Id of an answer said; a running gateway is asked what became of it. A capture is\na HAR file, a dump of `curl -v`, or plain HTTP; which it is, is seen from its content, and no gateway is asked. Neither\nsecrets nor bodies are shown: of digests the first 8 characters. Keep captures as you keep secrets: others may be in them.\n\nExamples:\n  hookgate explain 019e460c7ae53f9ac2d10000002a\n  hookgate explain --capture refused.har --route github\n  hookgate explain --capture dump.txt --body order.json --route shop --at 2026-05-20T15:30:00Z\n  hookgate explain --capture - --provider stripe --secret-env STRIPE_SECRET < request.http\n  hookgate explain --capture inspector.har --entry 3 --route github --format json\n\nExit codes: of a REQUEST_ID 0 found, 1 unknown or failed; of a capture 0 it would be accepted, 1 it would be refused;\n64 bad configuration or usage."
)]
pub(super) struct Explain {
    /// The request: what X-Request-Id said.
    #[arg(conflicts_with_all = ["capture", "route", "provider", "entry", "body", "at"])]
    request_id: Option<String>,
    #[command(flatten)]
    admin: super::admin::Admin,
    #[command(flatten)]
    file: ConfigFile,
    /// The captured request; `-` reads standard input.
    #[arg(long, value_name = "FILE|-", required_unless_present = "request_id")]
    capture: Option<PathBuf>,
    /// The route that it is for, by its name in the configuration.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["provider", "request_id"])]
    route: Option<String>,
    /// Instead of a route: the provider that is to have sent it.
    #[arg(long, value_name = "NAME", conflicts_with = "route")]
    provider: Option<String>,
    /// With --provider: the environment variable that holds the secret; may be repeated.
    #[arg(long, value_name = "VAR", requires = "provider")]
    secret_env: Vec<String>,
    /// With --provider: the address that it calls, where it signs that [default: the capture's].
    #[arg(long, value_name = "URL", requires = "provider")]
    public_url: Option<url::Url>,
    /// With --provider: one of its parameters; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "provider")]
    params: Vec<String>,
    /// Of several captured requests the one with this number, from 1.
    #[arg(long, value_name = "N")]
    entry: Option<usize>,
    /// The body, where the capture does not hold it.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// When it was received, RFC 3339 or seconds since 1970 [default: as the capture says, or now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    /// How to write what was found.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    #[value(alias = "text")]
    Table,
    Json,
}

impl Explain {
    pub(super) fn run(self) -> Ended {
        if let Some(id) = &self.request_id {
            return request::explain(id, &self.admin, matches!(self.format, Format::Json));
        }
        let report = match self.report() {
            Ok(report) => report,
            Err(message) => {
                note!("{RED}error{RED:#}: {message}");
                return Ok(EXIT_USAGE.into());
            }
        };
        match self.format {
            Format::Table => report.print()?,
            Format::Json => match serde_json::to_string_pretty(&report) {
                Ok(text) => say!("{text}")?,
                Err(error) => return Ok(super::failed(error)),
            },
        }
        Ok(match report.outcome.accepted {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    /// `Err` is a fault of usage, in words.
    fn report(&self) -> Result<Report, String> {
        let capture = self.read()?;
        let (at, from) = match (self.at, capture.at) {
            (Some(at), _) => (at, "argument"),
            (None, Some(at)) => (at, "capture"),
            (None, None) => (Clock::system().now(), "now"),
        };
        let source = self.source(&capture)?;
        let config = source.load()?;
        let route = &**super::send::find(&config, source.route())?;
        let inquest = Inquest {
            source: &source,
            capture: &capture,
            at,
            secrets: source.secrets(),
            body: match capture.method.as_str() {
                "GET" => capture.query.as_deref().unwrap_or_default().as_bytes(),
                _ => &capture.body,
            },
        };
        let verifiers = match &route.verify {
            Verify::Nobody => Vec::new(),
            Verify::All(verifiers) => {
                let all = verifiers.iter().enumerate();
                all.map(|(index, verifier)| inquest.verify(route, index, verifier))
                    .collect::<Result<_, _>>()?
            }
        };
        Ok(Report {
            capture: Captured {
                kind: capture.kind,
                method: capture.method.clone(),
                path: capture.path.clone(),
                headers: capture.headers.len(),
                body_bytes: capture.body.len(),
                received_at: at.to_string(),
                received_at_from: from,
            },
            judged_by: self.told(),
            outcome: told(&inquest.play(None, &capture)?),
            notes: notes(route, &capture, source.is_provider()),
            verifiers,
        })
    }

    /// What it is judged by, in words.
    fn told(&self) -> String {
        match (&self.route, &self.provider) {
            (Some(route), _) => format!("route {route}"),
            (None, provider) => format!("provider {}", provider.as_deref().unwrap_or_default()),
        }
    }

    fn read(&self) -> Result<Capture, String> {
        let path = self.capture.as_deref().unwrap_or(Path::new("-"));
        let name = path.display();
        let bytes = match path.to_str() {
            Some("-") => read_bounded(std::io::stdin().lock()),
            _ => std::fs::File::open(path)
                .map_err(|error| error.to_string())
                .and_then(read_bounded),
        };
        let bytes = bytes.map_err(|error| format!("cannot read the capture {name}: {error}"))?;
        let body = self.body.as_ref().map(|path| {
            let read = std::fs::File::open(path).map_err(|error| error.to_string());
            let read = read.and_then(read_bounded);
            read.map_err(|error| format!("cannot read the body {}: {error}", path.display()))
        });
        let capture = Capture::parse(&bytes, self.entry, body.transpose()?);
        capture.map_err(|fault| format!("the capture {name}: {fault}"))
    }

    fn source(&self, capture: &Capture) -> Result<Source, String> {
        if let Some(route) = &self.route {
            return Ok(Source::File {
                path: self.file.config.clone(),
                route: route.clone(),
            });
        }
        provider::configuration_for(
            self.provider.as_deref().unwrap_or_default(),
            &self.secret_env,
            &self.params,
            &capture.method,
            self.public_url
                .clone()
                .or_else(|| provider::called(capture))
                .as_ref(),
        )
        .map(Source::Provider)
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp::from_secs(seconds));
    }
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| Timestamp::from_millis(at.as_millisecond()))
        .map_err(|_| "expected a time such as 2026-05-20T15:30:00Z, or seconds since 1970".into())
}

/// What the route is read from.
enum Source {
    File {
        path: PathBuf,
        route: String,
    },
    /// A configuration with this one route.
    Provider(String),
}

impl Source {
    fn is_provider(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    fn route(&self) -> &str {
        match self {
            Self::File { route, .. } => route,
            Self::Provider(_) => provider::ROUTE,
        }
    }

    fn load(&self) -> Result<Config, String> {
        let config = match self {
            Self::File { path, .. } => Config::load(path),
            Self::Provider(text) => return provider::load(text, "--public-url"),
        };
        config.map_err(|faults| faults.to_string())
    }

    fn secrets(&self) -> Vec<SecretText> {
        match self {
            Self::File { path, route } => secret_texts(path, route),
            Self::Provider(text) => secret_texts_of(text, Path::new(""), provider::ROUTE),
        }
    }
}

struct Inquest<'a> {
    source: &'a Source,
    capture: &'a Capture,
    at: Timestamp,
    secrets: Vec<SecretText>,
    /// What is signed as the body: of a GET its query.
    body: &'a [u8],
}

impl Inquest<'_> {
    /// Anew each time: a configuration is not copied.
    fn play(&self, only: Option<usize>, capture: &Capture) -> Result<Outcome, String> {
        rehearse(
            self.source.load()?,
            self.source.route(),
            only,
            capture,
            self.at,
        )
    }

    /// Why this verifier alone would refuse the request.
    fn refusal(&self, index: usize, capture: &Capture) -> Result<Option<Rejection>, String> {
        let refusal = self.play(Some(index), capture)?.err();
        Ok(refusal.filter(|refusal| matches!(refusal.reason.status(), 401 | 503)))
    }

    fn verify(&self, route: &Route, index: usize, verifier: &Verifier) -> Result<Verified, String> {
        if let Verifier::ClientCertificate { .. } = verifier {
            return Ok(Verified {
                kind: "client certificate",
                proven: None,
                reason: None,
                steps: vec![Step::new(
                    "certificate",
                    None,
                    "a capture does not hold the caller's certificate",
                )],
                causes: Vec::new(),
            });
        }
        let refusal = self.refusal(index, self.capture)?;
        let reason = refusal.as_ref().map(|refusal| refusal.reason.as_str());
        let is_without_key = refusal
            .as_ref()
            .is_some_and(|refusal| refusal.reason == Reason::KeyUnavailable);
        let (kind, steps, causes) = match verifier {
            Verifier::Signature(verifier) => {
                let (kind, steps, causes) = self.signature(route, verifier, refusal.is_some());
                match is_without_key {
                    true => (kind, steps, vec![Cause::key_unavailable()]),
                    false => (kind, steps, causes),
                }
            }
            Verifier::Jwt(verifier) => {
                let subject = TokenSubject {
                    capture: self.capture,
                    body: self.body,
                    public_url: route.public_url.as_ref().map(url::Url::as_str),
                    verifier,
                    secrets: &self.secrets,
                    now: self.at,
                };
                let verdict = match &refusal {
                    None => Verdict::Proven,
                    Some(_) if is_without_key => Verdict::WithoutKey,
                    Some(refusal) => Verdict::Refused(token_fault(refusal)),
                };
                ("token", subject.steps(verdict), subject.causes(verdict))
            }
            other => {
                let presented = Presented::of(other);
                let passes = |moved: &Capture| matches!(self.refusal(index, moved), Ok(None));
                let causes = presented
                    .as_ref()
                    .zip(reason)
                    .map(|(presented, reason)| presented.causes(self.capture, reason, passes));
                let steps = presented.map(|presented| presented.steps(self.capture, reason));
                (
                    kind(other),
                    steps.unwrap_or_default(),
                    causes.unwrap_or_default(),
                )
            }
        };
        Ok(Verified {
            kind,
            proven: Some(refusal.is_none()),
            reason,
            steps,
            causes,
        })
    }

    fn signature(
        &self,
        route: &Route,
        verifier: &SignatureVerifier,
        is_refused: bool,
    ) -> (&'static str, Vec<Step>, Vec<Cause>) {
        let url = route.called(self.capture.query.as_deref());
        let content_type = self.capture.header("content-type").next();
        let content_type = content_type.and_then(|value| std::str::from_utf8(value).ok());
        let content = match self.capture.method.as_str() {
            "GET" => Content::Form,
            _ => {
                Content::of(content_type, &route.content, &route.json_types).unwrap_or(Content::Any)
            }
        };
        let subject = Subject {
            capture: self.capture,
            body: self.body,
            content,
            url: &url,
            verifier,
            secrets: &self.secrets,
            now: self.at,
        };
        let explanation = subject.explain();
        let steps = steps::of_signature(verifier, &explanation, self.at);
        let causes = match is_refused {
            true => causes::find(&subject, &explanation),
            false => Vec::new(),
        };
        ("signature", steps, causes)
    }
}

fn kind(verifier: &Verifier) -> &'static str {
    match verifier {
        Verifier::ApiKey { .. } => "API key",
        Verifier::Bearer { .. } => "bearer token",
        Verifier::Basic { .. } => "basic authentication",
        Verifier::QueryKey { .. } => "key in the query string",
        Verifier::Signature(_) => "signature",
        Verifier::Jwt(_) => "token",
        Verifier::ClientCertificate { .. } => "client certificate",
    }
}

fn token_fault(refusal: &Rejection) -> TokenFault {
    match &refusal.detail {
        Detail::Token(fault) => *fault,
        _ => TokenFault::Missing,
    }
}
