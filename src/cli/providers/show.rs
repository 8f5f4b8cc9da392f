//! A preset as the routes.toml that it stands for.

use std::fmt::Display;

use crate::{
    config::schemes_text,
    payload::Content,
    providers::{IdPlace, JwtKeys, Param, ParamUse, Place, Preset, Proof, bind_rule, bind_schemes},
    signature::{
        KeySource, Part, Scheme,
        jwt::{Audience, JwtRule},
    },
};

/// A whole route that delivers nowhere; its names of secrets and parameters are to be filled in.
pub(super) fn toml(preset: &Preset) -> String {
    let mut lines = Lines::default();
    lines.comment(format_args!("{}. Source: {}.", preset.title, preset.source));
    if let Some(doubts) = preset.doubts {
        lines.comment(format_args!("Not verified with the provider: {doubts}."));
    }
    for caveat in preset.caveats() {
        lines.comment(format_args!("Mind that {caveat}."));
    }
    for handshake in preset.handshakes {
        lines.comment(format_args!(
            "The handshake `{}` is answered only with provider = \"{}\".",
            handshake.name, preset.name
        ));
    }
    for (param, value) in params(preset) {
        lines.comment(format_args!("{value} stands for {}.", param.meaning));
    }
    lines.line(format_args!("[routes.{}]", preset.name));
    lines.line(format_args!("path = \"/hooks/{}\"", preset.name));
    if needs_address(&preset.proof) {
        let url = format!("https://hooks.example.com/hooks/{}", preset.name);
        lines.key("public_url", quoted(&url));
    }
    if let Proof::Jwt(_, JwtKeys::Plaid(_)) = preset.proof {
        by_name(&mut lines, preset);
    }
    lines.key(
        "content",
        list(preset.content.iter().map(|one| quoted(name_of(*one)))),
    );
    if !preset.json_types.is_empty() {
        lines.key("json_types", list(preset.json_types.iter().map(quoted)));
    }
    lines.key("event_id", list(preset.event_id.iter().map(event_id)));
    if !preset.event_type.is_empty() {
        lines.key("event_type", list(preset.event_type.iter().map(place)));
    }
    if !preset.keep_headers.is_empty() {
        lines.key("keep_headers", list(preset.keep_headers.iter().map(quoted)));
    }
    if let Some(window) = preset.dedupe_window {
        lines.key("dedupe_window", quoted(&format!("{}s", window.as_secs())));
    }
    if let Some((content_type, body)) = preset.respond {
        let (content_type, body) = (quoted(&content_type), quoted(&body));
        let value = format!("{{ content_type = {content_type}, body = {body} }}");
        lines.key("respond", value);
    }
    proof(&mut lines, preset);
    lines.0
}

/// What the example has in the place of the operator's own values.
fn params(preset: &Preset) -> Vec<(&Param, String)> {
    let required = preset.params.iter().filter(|param| param.required);
    required
        .map(|param| (param, param.name.to_uppercase()))
        .collect()
}

fn secrets(preset: &Preset) -> String {
    let name = preset.name.to_uppercase().replace('-', "_");
    format!("[{{ env = \"{name}_SECRET\" }}]")
}

/// Its keys are asked for in a way of its own, which nothing else stands for.
fn by_name(lines: &mut Lines, preset: &Preset) {
    lines.key("provider", quoted(&preset.name));
    lines.key("secrets", secrets(preset));
    let params = params(preset);
    let params = params
        .iter()
        .map(|(param, value)| format!("{} = {}", param.name, quoted(value)));
    let params: Vec<_> = params.collect();
    lines.key("params", format!("{{ {} }}", params.join(", ")));
}

/// The last of the route, since a table of its own is easier to read.
fn proof(lines: &mut Lines, preset: &Preset) {
    let deliver = "deliver = []";
    match &preset.proof {
        Proof::Signature(schemes) => {
            let mut schemes = schemes.clone();
            let params = params(preset);
            bind_schemes(&mut schemes, &params);
            lines.line(deliver);
            verify(lines, preset);
            lines.line(schemes_text(&schemes));
            if schemes
                .iter()
                .any(|scheme| scheme.key == KeySource::Secrets)
            {
                lines.key("secrets", secrets(preset));
            }
            let signed = params
                .iter()
                .filter(|(param, _)| param.purpose == ParamUse::Signed)
                .map(|(param, value)| format!("{} = {}", param.name, quoted(value)));
            let signed: Vec<_> = signed.collect();
            if !signed.is_empty() {
                lines.key("params", format!("{{ {} }}", signed.join(", ")));
            }
        }
        Proof::Jwt(_, JwtKeys::Plaid(_)) => lines.line(deliver),
        Proof::Jwt(rule, keys) => {
            let mut rule = rule.clone();
            bind_rule(&mut rule, &params(preset));
            lines.line(deliver);
            verify(lines, preset);
            lines.key("jwt", rule_text(&rule, *keys));
            if *keys == JwtKeys::Secrets {
                lines.key("secrets", secrets(preset));
            }
        }
        Proof::Agreed => {
            lines.line(deliver);
            lines.line("");
            lines.comment("As agreed with the provider, for example:");
            lines.line(format_args!("[routes.{}.verify]", preset.name));
            lines.line("api_key = { header = \"X-Api-Key\" }");
            let digest = "0123456789abcdef".repeat(4);
            lines.line(format_args!(
                "keys = [{{ name = \"{}\", sha256 = \"{digest}\" }}]",
                preset.name
            ));
        }
    }
}

fn verify(lines: &mut Lines, preset: &Preset) {
    lines.line("");
    lines.line(format_args!("[routes.{}.verify]", preset.name));
}

fn needs_address(proof: &Proof) -> bool {
    let signs = |scheme: &Scheme| {
        let mut parts = scheme.signed.iter();
        parts.any(|part| matches!(part, Part::Url | Part::Path))
    };
    match proof {
        Proof::Signature(schemes) => schemes.iter().any(signs),
        Proof::Jwt(rule, _) => rule.audience == Audience::PublicUrl,
        Proof::Agreed => false,
    }
}

/// An inline table of what differs from nothing.
fn rule_text(rule: &JwtRule, keys: JwtKeys) -> String {
    let mut keys_of = Vec::new();
    if let JwtKeys::Jwks(url) = keys {
        keys_of.push(format!("jwks_url = {}", quoted(&url)));
    }
    let algorithms = rule.algorithms.iter().map(|one| quoted(&one.name()));
    keys_of.push(format!("header = {}", quoted(&rule.header)));
    keys_of.push(format!("prefix = {}", quoted(&rule.prefix)));
    keys_of.push(format!("algorithms = {}", list(algorithms)));
    if !rule.issuers.is_empty() {
        keys_of.push(format!(
            "issuer = {}",
            list(rule.issuers.iter().map(quoted))
        ));
    }
    match &rule.audience {
        Audience::PublicUrl => {}
        Audience::Anyone => keys_of.push("audience = false".to_owned()),
        Audience::These(names) => {
            keys_of.push(format!("audience = {}", list(names.iter().map(quoted))));
        }
    }
    keys_of.push(format!("expires = {}", rule.expires));
    if let Some(age) = rule.max_age {
        keys_of.push(format!("max_age = \"{}s\"", age.as_secs()));
    }
    keys_of.push(format!("leeway = \"{}s\"", rule.leeway.as_secs()));
    if let Some(claim) = &rule.body_sha256 {
        keys_of.push(format!("body_sha256 = {}", quoted(claim)));
    }
    if !rule.claims.is_empty() {
        let claims = rule.claims.iter().map(|(name, value)| match &**value {
            "true" | "false" => format!("{name} = {value}"),
            value => format!("{name} = {}", quoted(&value)),
        });
        let claims: Vec<_> = claims.collect();
        keys_of.push(format!("claims = {{ {} }}", claims.join(", ")));
    }
    format!("{{ {} }}", keys_of.join(", "))
}

fn event_id(id: &IdPlace) -> String {
    let pointer = |place: &Place| match place {
        Place::Json(pointer) => quoted(pointer),
        Place::Header(name) => format!("{{ header = {} }}", quoted(name)),
    };
    match id {
        IdPlace::One(one) => place(one),
        IdPlace::BodySha256 => "{ body = \"sha256\" }".to_owned(),
        IdPlace::Joined(places) => {
            let headers = places.iter().filter_map(|one| match one {
                Place::Header(name) => Some(quoted(name)),
                Place::Json(_) => None,
            });
            let headers: Vec<_> = headers.collect();
            match headers.len() == places.len() {
                true => format!("{{ header = [{}] }}", headers.join(", ")),
                false => format!("{{ json = {} }}", list(places.iter().map(pointer))),
            }
        }
    }
}

fn place(place: &Place) -> String {
    match place {
        Place::Json(pointer) => format!("{{ json = {} }}", quoted(pointer)),
        Place::Header(name) => format!("{{ header = {} }}", quoted(name)),
    }
}

const fn name_of(content: Content) -> &'static str {
    match content {
        Content::Json => "json",
        Content::Form => "form",
        Content::Xml => "xml",
        Content::Any => "any",
    }
}

/// None of what is quoted here needs an escape.
fn quoted(text: &(impl Display + ?Sized)) -> String {
    format!("\"{text}\"")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: impl Display) {
        self.0 += &format!("{line}\n");
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn comment(&mut self, text: impl Display) {
        self.line(format_args!("# {text}"));
    }
}
