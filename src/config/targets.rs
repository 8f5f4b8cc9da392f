//! `[targets.NAME]` and `[defaults.target]`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Breaker, Jitter, Rate, Retry, RetryOn, Secret, Sign, Target, Wait,
    breaker::read_breaker,
    caution::check_cleartext,
    credentials::{read_header_value, read_signature_secrets},
    deliver::read_rate,
    reader::{Named, Node, Place, Table},
    retry::{read_retry, read_retry_on},
    scalar::{DAY, HOUR, MINUTE, NAME_SHAPE, is_name},
    tls::TlsKeys,
};
use crate::{event::TargetName, providers::preset};

const TIMEOUT_MAX: Duration = MINUTE.saturating_mul(10);
const CONCURRENCY_MAX: u64 = 10_000;

/// What a target gets when it does not say otherwise.
pub(super) struct Defaults {
    timeout: Duration,
    concurrency: usize,
    retry: Retry,
    rate: Option<Rate>,
    breaker: Option<Breaker>,
}

pub(super) fn read_defaults(mut table: Table<'_>) -> Defaults {
    let mut target = table.section("target");
    table.finish();
    let built_in = Retry {
        wait: Wait::Exponential {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: HOUR,
            jitter: Jitter::Full,
        },
        give_up_after: Some(3 * DAY),
    };
    let defaults = Defaults {
        timeout: target.duration("timeout", Duration::from_secs(10), TIMEOUT_MAX),
        concurrency: target.count("concurrency", 32, CONCURRENCY_MAX),
        retry: match target.take("retry") {
            Some(node) => read_retry(node, &built_in),
            None => built_in,
        },
        rate: target.take("rate").and_then(read_rate),
        breaker: match target.take("breaker") {
            Some(node) => read_breaker(node, Some(Breaker::default())),
            None => Some(Breaker::default()),
        },
    };
    target.finish();
    defaults
}

pub(super) struct Targets<'a> {
    pub(super) valid: BTreeMap<TargetName, Arc<Target>>,
    /// Those with faults too: a route that names one of them is not to blame.
    pub(super) names: Vec<String>,
    /// Where each of `names` stands.
    pub(super) places: Vec<Place<'a>>,
}

pub(super) fn read_targets<'a>(entries: Vec<Named<'a>>, defaults: &Defaults) -> Targets<'a> {
    let mut targets = Targets {
        valid: BTreeMap::new(),
        names: Vec::new(),
        places: Vec::new(),
    };
    for (name, place, node) in entries {
        if !is_name(&name) {
            place.fault(super::reader::quoted(&name), NAME_SHAPE);
        }
        targets.names.push(name.clone());
        targets.places.push(place);
        let target = node
            .table("a table")
            .and_then(|table| read_target(name.as_str().into(), table, defaults));
        if let Some(target) = target {
            targets.valid.insert(target.name.clone(), Arc::new(target));
        }
    }
    targets
}

fn read_target(name: TargetName, mut table: Table<'_>, defaults: &Defaults) -> Option<Target> {
    let witness = table.witness();
    let address = table.require("url", "a URL such as \"https://crm.example.com/in\"");
    let url = address.as_ref().and_then(Node::http_url);
    let headers = table.take("headers").map(read_headers).unwrap_or_default();
    let timeout = table.duration("timeout", defaults.timeout, TIMEOUT_MAX);
    let concurrency = table.count("concurrency", defaults.concurrency, CONCURRENCY_MAX);
    let retry = match table.take("retry") {
        Some(node) => read_retry(node, &defaults.retry),
        None => defaults.retry.clone(),
    };
    let retry_on = table.take("retry_on").map(read_retry_on);
    let rate = table.take("rate").and_then(read_rate).or(defaults.rate);
    let breaker = match table.take("breaker") {
        Some(node) => read_breaker(node, defaults.breaker),
        None => defaults.breaker,
    };
    let paused = table.flag("paused", false);
    let allow_private = table.flag("allow_private", false);
    if let (Some(url), Some(node)) = (&url, &address) {
        check_cleartext(url, allow_private, &node.place);
    }
    let sign = table.take("sign").and_then(read_sign);
    let tls = TlsKeys::take(&mut table);
    if url.as_ref().is_some_and(|url| url.scheme() == "http") {
        tls.refuse("a key of TLS on an http target", "an https `url`");
    }
    table.finish();
    let tls = tls.of_target();
    let inherited = (timeout, concurrency, &retry, rate, breaker);
    let fingerprint = witness.fingerprint(&format!("{inherited:?}"));
    Some(Target {
        name,
        url: url?,
        headers,
        timeout,
        concurrency,
        retry,
        retry_on: retry_on.unwrap_or(RetryOn::Default),
        paused,
        allow_private,
        rate,
        breaker,
        sign,
        tls,
        fingerprint,
    })
}

/// `{ secrets = [{ env = "NAME" }] }`. One of them never ends, so that nothing is ever sent unsigned.
fn read_sign(node: Node<'_>) -> Option<Sign> {
    const SHAPE: &str = "a table such as { secrets = [{ env = \"NAME\" }] }";
    let scheme = preset("standard-webhooks")?.schemes().first()?;
    let mut table = node.table_or_secret().table(SHAPE)?;
    let secrets = table.require("secrets", "a list of secrets such as [{ env = \"NAME\" }]");
    table.finish();
    let node = secrets?;
    let place = node.place.clone();
    let mut schemes = read_signature_secrets(node, vec![scheme.clone()]);
    let secrets = schemes.pop().map(|keyed| keyed.secrets).unwrap_or_default();
    if !secrets.is_empty()
        && secrets
            .iter()
            .all(|secret| secret.validity.not_after.is_some())
    {
        place.fault(
            "only secrets with `not_after`",
            "one without, that signs when they have ended",
        );
    }
    Some(Sign { scheme, secrets })
}

/// Headers that frame a request or that Hookgate writes itself are not the file's to set.
pub(super) fn read_headers(node: Node<'_>) -> Vec<(http::HeaderName, Secret)> {
    const SHAPE: &str = "a table such as { Authorization = { env = \"NAME\" } }";
    let Some(table) = node.secret().table(SHAPE) else {
        return Vec::new();
    };
    let mut headers: Vec<(http::HeaderName, Secret)> = Vec::new();
    let own = table.place.clone();
    for (name, place, node) in table.named() {
        let Ok(header) = http::HeaderName::try_from(&name) else {
            // It may be the whole line, with its value.
            let place = own.key("…", place.span);
            place.fault("a key that no header can have", "the name of a header");
            continue;
        };
        if is_ours(header.as_str()) {
            place.fault(format!("`{header}`"), "a header that Hookgate does not set");
        }
        if headers.iter().any(|(other, _)| *other == header) {
            place.fault(format!("`{header}` a second time"), "each header once");
        }
        if let Some(value) = read_header_value(node, header.as_str()) {
            headers.push((header, value));
        }
    }
    headers
}

/// Headers of HTTP/1.1 framing, and Hookgate's own.
pub(super) fn is_ours(header: &str) -> bool {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    FRAMING.contains(&header) || header.starts_with("hookgate-")
}
