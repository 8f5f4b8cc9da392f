//! A preset in words.

use crate::{
    providers::{BodyCoverage, Coverage, IdPlace, JwtKeys, Place, Preset, Proof},
    signature::{
        Algorithm, Encoding, Form, Method, Scheme, Source,
        jwt::{Audience, JwtRule},
        template_text,
    },
};

pub(super) struct Words<'p>(pub(super) &'p Preset);

impl Words<'_> {
    /// A line a scheme.
    pub(super) fn proof(&self) -> Vec<String> {
        match &self.0.proof {
            Proof::Signature(schemes) => {
                let named = |scheme: &Scheme| match schemes.len() {
                    1 => of_scheme(scheme),
                    _ => format!("{}: {}", scheme.name, of_scheme(scheme)),
                };
                schemes.iter().map(named).collect()
            }
            Proof::Jwt(rule, keys) => vec![of_rule(rule, *keys)],
            Proof::Agreed => vec!["verify, as agreed".to_owned()],
        }
    }

    pub(super) fn event_id(&self) -> String {
        let ids = self.0.event_id.iter().map(|id| match id {
            IdPlace::One(place) => of_place(place).to_owned(),
            IdPlace::Joined(places) => {
                let places: Vec<_> = places.iter().map(of_place).collect();
                places.join(" + ")
            }
            IdPlace::BodySha256 => "SHA-256 of the body".to_owned(),
        });
        ids.collect::<Vec<_>>().join(", else ")
    }

    pub(super) fn event_type(&self) -> String {
        let places: Vec<_> = self.0.event_type.iter().map(of_place).collect();
        places.join(", else ")
    }

    pub(super) fn handshakes(&self) -> String {
        let names: Vec<_> = self.0.handshakes.iter().map(|one| one.name).collect();
        names.join(", ")
    }

    /// What the schemes cover; where they differ, by their names.
    pub(super) fn covered(&self) -> String {
        let coverage = self.0.coverage();
        let Some((_, first)) = coverage.first() else {
            return "nothing".to_owned();
        };
        if coverage.iter().all(|(_, other)| other == first) {
            return of_coverage(*first);
        }
        let each = coverage
            .iter()
            .map(|(name, coverage)| format!("{name}: {}", of_coverage(*coverage)));
        each.collect::<Vec<_>>().join("; ")
    }
}

fn of_coverage(coverage: Coverage) -> String {
    let body = match coverage.body {
        BodyCoverage::Whole => "body",
        BodyCoverage::Fields => "fields of the body",
        BodyCoverage::Checksum => "checksum of the body",
        BodyCoverage::Nothing => "",
    };
    match (body, coverage.id) {
        ("", true) => "id".to_owned(),
        ("", false) => "nothing".to_owned(),
        (body, true) => format!("{body}, id"),
        (body, false) => body.to_owned(),
    }
}

pub(super) fn of_body(coverage: BodyCoverage) -> &'static str {
    match coverage {
        BodyCoverage::Whole => "whole",
        BodyCoverage::Fields => "fields",
        BodyCoverage::Checksum => "checksum",
        BodyCoverage::Nothing => "nothing",
    }
}

fn of_place(place: &Place) -> &'static str {
    match place {
        Place::Json(text) | Place::Header(text) => text,
    }
}

fn of_scheme(scheme: &Scheme) -> String {
    let place = of_source(&scheme.signature);
    let each = scheme
        .each
        .as_deref()
        .map_or(String::new(), |pointer| format!(" of each {pointer}"));
    if scheme.method == Method::Equal {
        return format!("the secret in {place}{each}");
    }
    let encoding = match scheme.encoding {
        Encoding::Hex => " hex",
        Encoding::Base64 => " base64",
        Encoding::Text => "",
    };
    let prefix = match &scheme.form {
        Form::Bare { prefix } if prefix.is_empty() => String::new(),
        Form::Bare { prefix } => format!(" after {prefix}"),
        Form::Pairs { signature_key, .. } => format!(" at {signature_key}"),
        Form::Versions { version } => format!(" at {version}"),
    };
    // Line breaks are shown, not made.
    let signed = template_text(&scheme.signed).replace('\n', "\\n");
    let method = of_method(scheme.method);
    format!("{method}{encoding} of {signed} in {place}{prefix}{each}")
}

fn of_method(method: Method) -> String {
    match method {
        Method::Hmac(algorithm) => format!("HMAC-{}", of_algorithm(algorithm)),
        Method::Digest(algorithm) => of_algorithm(algorithm).to_owned(),
        Method::Equal => "equality".to_owned(),
        Method::Ed25519 => "Ed25519".to_owned(),
        Method::EcdsaP256 => "ECDSA P-256".to_owned(),
        Method::Rsa(algorithm) => format!("RSA-{}", of_algorithm(algorithm)),
    }
}

fn of_algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha1 => "SHA1",
        Algorithm::Sha256 => "SHA256",
        Algorithm::Sha512 => "SHA512",
    }
}

fn of_source(source: &Source) -> String {
    match source {
        Source::Headers(names) => names.join(" or "),
        Source::Numbered(name) => format!("{name}-1, -2, …"),
        Source::Paired(names) => names.join(" and "),
        Source::Json(pointer) => pointer.to_string(),
        Source::Query(name) => format!("?{name}="),
    }
}

fn of_rule(rule: &JwtRule, keys: JwtKeys) -> String {
    let algorithms: Vec<_> = rule.algorithms.iter().map(|one| one.name()).collect();
    let keys = match keys {
        JwtKeys::Secrets => "",
        JwtKeys::Jwks(_) => ", keys by JWKS",
        JwtKeys::Plaid(_) => ", keys asked for one by one",
    };
    let audience = match rule.audience {
        Audience::PublicUrl => ", for the address",
        Audience::Anyone | Audience::These(_) => "",
    };
    let body = match &rule.body_sha256 {
        Some(claim) => format!(", SHA-256 of the body in {claim}"),
        None => String::new(),
    };
    let algorithms = algorithms.join(" or ");
    format!(
        "token {algorithms} in {}{audience}{body}{keys}",
        rule.header
    )
}
