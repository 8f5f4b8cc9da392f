//! `provider`, and what stands beside it.

use super::{
    JwtKeySource, JwtVerifier, Secret, SignatureVerifier, Verifier, Verify,
    credentials::{read_signature_secrets, read_token_secrets},
    handshake,
    jwt::{KEY_URL_SHAPE, key_url},
    reader::{Node, Place, Table, quoted},
    scheme::TOLERANCE_MAX,
    verify::read_verify,
};
use crate::{
    providers::{
        JwtKeys, PRESETS, Param, ParamUse, Preset, Proof, bind_rule, bind_schemes, preset,
    },
    signature::{KeySource, KeyedScheme, Scheme, jwt::JwtRule},
};

const PARAM_CHARS_MAX: usize = 1024;
const PARAMS_SHAPE: &str = "a table such as { webhook_id = \"…\" }";

/// The keys that go with `provider`, as far as they are there.
pub(super) struct Beside<'a> {
    secrets: Option<Node<'a>>,
    scheme: Option<Node<'a>>,
    tolerance: Option<Node<'a>>,
    params: Option<Node<'a>>,
    pub(super) verify_token: Option<Node<'a>>,
}

impl<'a> Beside<'a> {
    pub(super) fn take(table: &mut Table<'a>) -> Self {
        Self {
            secrets: table.take("secrets"),
            scheme: table.take("scheme"),
            tolerance: table.take("tolerance"),
            params: table.take("params"),
            verify_token: table.take("verify_token"),
        }
    }

    pub(super) fn refuse_without_provider(self) {
        const FOUND: &str = "a key that goes with `provider`";
        let movable = [self.secrets, self.tolerance, self.params];
        for node in movable.into_iter().flatten() {
            node.place.fault(FOUND, "it within `verify`");
        }
        for node in [self.scheme, self.verify_token].into_iter().flatten() {
            node.place.fault(FOUND, "`provider`, or not this key");
        }
    }
}

pub(super) fn read_provider(node: &Node<'_>) -> Option<&'static Preset> {
    let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    let name = node.string("the name of a provider")?;
    let known = preset(name);
    if known.is_none() {
        let expected = format!("one of {}", names.join(", "));
        node.place.unknown(name, &expected, names);
    }
    known
}

/// What proves a provider's requests: its own proof, and the verifiers beside it, all of which must pass.
pub(super) fn read_preset(
    preset: &Preset,
    mut beside: Beside<'_>,
    verify: Option<Node<'_>>,
    route: &Place<'_>,
) -> Verify {
    let params = read_params(preset, beside.params.take(), route);
    let own = match &preset.proof {
        Proof::Signature(schemes) => {
            let schemes = varied_schemes(preset, schemes, &mut beside, &params);
            Some(read_signature(
                preset,
                schemes,
                params,
                beside.secrets,
                route,
            ))
        }
        Proof::Jwt(rule, keys) => {
            let rule = varied_rule(preset, rule, &mut beside, &params);
            Some(read_token(
                preset,
                rule,
                *keys,
                &params,
                beside.secrets,
                route,
            ))
        }
        Proof::Agreed => {
            refuse(preset, beside);
            if verify.is_none() {
                let expected = format!(
                    "how {} proves itself here, e.g. {{ api_key = {{ header = \"X-Api-Key\" }}, keys = [ … ] }}",
                    preset.title
                );
                route.missing("verify", expected);
            }
            return verify.map_or(Verify::Nobody, read_verify);
        }
    };
    let mut verifiers: Vec<_> = own.into_iter().flatten().collect();
    if let Some(node) = verify {
        let place = node.place.clone();
        match read_verify(node) {
            Verify::All(further) => verifiers.extend(further),
            Verify::Nobody => place.fault(
                "\"none\" beside `provider`",
                "verifiers that must pass too, or no `verify`",
            ),
        }
    }
    Verify::All(verifiers)
}

/// `Agreed` has none of the keys of a proof of its own.
fn refuse(preset: &Preset, beside: Beside<'_>) {
    let nodes = [beside.secrets, beside.scheme, beside.tolerance];
    for node in nodes.into_iter().flatten() {
        let found = format!("a key that {} has no use for", preset.name);
        node.place.fault(found, "`verify` beside `provider`");
    }
}

/// The values of the preset's parameters, by name.
fn read_params<'p>(
    preset: &'p Preset,
    node: Option<Node<'_>>,
    route: &Place<'_>,
) -> Vec<(&'p Param, String)> {
    let required: Vec<_> = preset
        .params
        .iter()
        .filter(|param| param.required)
        .collect();
    let Some(node) = node else {
        for param in required {
            route.missing(
                "params",
                format!("{{ {} = \"…\" }}: {}", param.name, param.meaning),
            );
        }
        return Vec::new();
    };
    if preset.params.is_empty() {
        node.place.fault(
            format!("parameters, but {} has none", preset.name),
            "no `params`",
        );
        return Vec::new();
    }
    let Some(mut table) = node.table_or_secret().table(PARAMS_SHAPE) else {
        return Vec::new();
    };
    let mut params = Vec::new();
    for param in preset.params {
        let Some(node) = table.take(param.name) else {
            if param.required {
                table.place.missing(param.name, param.meaning);
            }
            continue;
        };
        let value = read_param(&node.secret(), param.meaning);
        params.extend(value.map(|value| (param, value)));
    }
    table.finish();
    params
}

fn read_param(node: &Node<'_>, meaning: &str) -> Option<String> {
    let fits = |text: &str| {
        (1..=PARAM_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    node.parse(meaning, |text| fits(text).then(|| text.to_owned()))
}

/// The preset's schemes as the route wants them.
fn varied_schemes(
    preset: &Preset,
    schemes: &[Scheme],
    beside: &mut Beside<'_>,
    params: &[(&Param, String)],
) -> Vec<Scheme> {
    let mut schemes = match &beside.scheme {
        None => schemes.to_vec(),
        Some(node) => chosen(preset, schemes, node),
    };
    if let Some(node) = beside.tolerance.take() {
        let tolerance = node.duration(TOLERANCE_MAX);
        let mut timed = schemes
            .iter_mut()
            .filter_map(|scheme| scheme.timestamp.as_mut())
            .peekable();
        if timed.peek().is_none() {
            refuse_tolerance(preset, &node);
        }
        for rule in timed {
            // A provider that checks only the past goes on so; one that checks nothing is now checked both ways.
            if rule.future.is_some() || rule.past.is_none() {
                rule.future = tolerance.or(rule.future);
            }
            rule.past = tolerance.or(rule.past);
        }
    }
    bind_schemes(&mut schemes, params);
    schemes
}

fn refuse_tolerance(preset: &Preset, node: &Node<'_>) {
    let found = format!("a tolerance, but {} signs no time", preset.name);
    node.place.fault(found, "none");
}

/// All of them after a fault.
fn chosen(preset: &Preset, schemes: &[Scheme], node: &Node<'_>) -> Vec<Scheme> {
    let names: Vec<_> = schemes.iter().map(|scheme| &*scheme.name).collect();
    let Some(name) = node.string("the name of a scheme") else {
        return schemes.to_vec();
    };
    match schemes.iter().find(|scheme| scheme.name == name) {
        Some(scheme) => vec![scheme.clone()],
        None => {
            let expected = format!("one of {}'s: {}", preset.name, names.join(", "));
            node.place.unknown(name, &expected, names);
            schemes.to_vec()
        }
    }
}

fn read_signature(
    preset: &Preset,
    schemes: Vec<Scheme>,
    params: Vec<(&Param, String)>,
    secrets: Option<Node<'_>>,
    route: &Place<'_>,
) -> Option<Verifier> {
    let fetched = schemes
        .iter()
        .all(|scheme| matches!(scheme.key, KeySource::Certificate { .. }));
    let without_secrets = |schemes: Vec<Scheme>| {
        let keyed = |scheme| KeyedScheme {
            scheme,
            secrets: Vec::new(),
        };
        schemes.into_iter().map(keyed).collect()
    };
    let kept = secrets.as_ref().and_then(handshake::of_handshake);
    if let Some(place) = &kept {
        handshake::check_keeps(preset, place);
    }
    let schemes = match secrets {
        Some(_) if kept.is_some() => without_secrets(schemes),
        Some(node) if fetched => {
            let found = format!("secrets, but {} is proven by a certificate", preset.name);
            node.place.fault(found, "none");
            return None;
        }
        Some(node) => read_signature_secrets(node, schemes),
        None if fetched => without_secrets(schemes),
        None => {
            route.missing("secrets", "a list of secrets such as [{ env = \"NAME\" }]");
            return None;
        }
    };
    let signed = |(param, value): (&Param, String)| {
        (param.purpose == ParamUse::Signed).then(|| (param.name.to_owned(), value))
    };
    Some(Verifier::Signature(SignatureVerifier {
        schemes,
        params: params.into_iter().filter_map(signed).collect(),
        secret_from_handshake: kept.is_some(),
    }))
}

/// The preset's rule as the route wants it.
fn varied_rule(
    preset: &Preset,
    rule: &JwtRule,
    beside: &mut Beside<'_>,
    params: &[(&Param, String)],
) -> JwtRule {
    let mut rule = rule.clone();
    if let Some(node) = beside.scheme.take() {
        let found = format!("a scheme, but {} has one token", preset.name);
        node.place.fault(found, "no `scheme`");
    }
    if let Some(node) = beside.tolerance.take() {
        match (&mut rule.max_age, node.duration(TOLERANCE_MAX)) {
            (Some(age), Some(tolerance)) => *age = tolerance,
            (None, _) => refuse_tolerance(preset, &node),
            (Some(_), None) => {}
        }
    }
    bind_rule(&mut rule, params);
    rule
}

fn read_token(
    preset: &Preset,
    rule: JwtRule,
    keys: JwtKeys,
    params: &[(&Param, String)],
    secrets: Option<Node<'_>>,
    route: &Place<'_>,
) -> Option<Verifier> {
    let param = |purpose| {
        let found = params.iter().find(|(param, _)| param.purpose == purpose);
        found.map(|(_, value)| value.as_str())
    };
    let url = |own: &str| {
        let text = param(ParamUse::KeyUrl).unwrap_or(own);
        let url = key_url(text);
        if url.is_none() {
            let found = format!("{}, which is no address of keys", quoted(text));
            route.fault(found, KEY_URL_SHAPE);
        }
        url
    };
    let keys = match (keys, secrets) {
        (JwtKeys::Jwks(_), Some(node)) => {
            let found = format!("secrets, but the keys of {} are public", preset.name);
            node.place.fault(found, "none");
            return None;
        }
        (JwtKeys::Jwks(own), None) => JwtKeySource::Url {
            url: url(own)?,
            allow_private: false,
        },
        (_, None) => {
            route.missing("secrets", "a list of secrets such as [{ env = \"NAME\" }]");
            return None;
        }
        (JwtKeys::Secrets, Some(node)) => JwtKeySource::Secrets(read_token_secrets(node)),
        (JwtKeys::Plaid(own), Some(node)) => {
            let place = node.place.clone();
            let mut secrets = read_token_secrets(node);
            if secrets.len() > 1 {
                place.fault("several secrets", "the one that goes with `client_id`");
            }
            JwtKeySource::Plaid {
                url: url(own)?,
                client_id: Secret::new(param(ParamUse::Client)?),
                secret: secrets.pop()?.secret,
            }
        }
    };
    Some(Verifier::Jwt(JwtVerifier { rule, keys }))
}
