//! The presets: what `provider = "…"` stands for. Data, one table.

use std::{sync::LazyLock, time::Duration};

use crate::{
    payload::Content,
    signature::{
        Guard, Part, Scheme, Test,
        jwt::{Audience, JwtRule},
    },
};

mod coverage;
mod handshake;
pub mod handshakes;
mod scheme;
mod table;

pub use coverage::{Asked, BodyCoverage, Coverage, Id, scheme_coverage};
pub use handshake::{
    Answer, AnswerBody, AnswerHeader, Condition, Effect, Handshake, HandshakeProof, Value,
};

/// What is known of a provider.
#[derive(Debug)]
pub struct Preset {
    /// What `provider = "…"` names.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The document that says so, in words.
    pub source: &'static str,
    /// What could not be verified with the provider, in words.
    pub doubts: Option<&'static str>,
    pub proof: Proof,
    /// The first that exists gives the event id.
    pub event_id: &'static [IdPlace],
    /// The first that exists gives the event type.
    pub event_type: &'static [Place],
    /// In lower case. Never a signature, a token or a cookie.
    pub keep_headers: &'static [&'static str],
    /// What the route takes when it does not say otherwise.
    pub content: &'static [Content],
    /// Content types that hold JSON though they do not say so, e.g. `text/plain`.
    pub json_types: &'static [&'static str],
    /// How long an id is remembered when the route does not say: where the same body comes for different events.
    pub dedupe_window: Option<Duration>,
    /// How long after an event the provider may still send it again. `None`: not known.
    pub retried_for: Option<Duration>,
    pub handshakes: &'static [Handshake],
    /// Content type and body of the answer to an event, where the provider wants one of its own.
    pub respond: Option<(&'static str, &'static str)>,
    /// What a route says in `params`.
    pub params: &'static [Param],
}

impl Preset {
    /// The schemes of a provider that signs; empty for others.
    pub fn schemes(&self) -> &[Scheme] {
        match &self.proof {
            Proof::Signature(schemes) => schemes,
            Proof::Jwt(..) | Proof::Agreed => &[],
        }
    }
}

/// How the provider proves itself.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are some sixty of them")]
pub enum Proof {
    /// In order of preference; see [`Scheme`].
    Signature(Vec<Scheme>),
    Jwt(JwtRule, JwtKeys),
    /// As the operator and the provider agree: `verify` stands beside `provider`.
    Agreed,
}

/// Where a provider's tokens get their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// The route's secrets (HS256).
    Secrets,
    /// A JWKS at this address.
    Jwks(&'static str),
    /// Plaid's, at this address: one key by its id, asked for with the client's id and secret.
    Plaid(&'static str),
}

/// Where an event id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdPlace {
    One(Place),
    /// All must exist; joined.
    Joined(&'static [Place]),
    /// The provider names its events nowhere: the same body is the same event.
    BodySha256,
}

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer into the document; `*` stands for every element of a list.
    Json(&'static str),
    /// A header's name in lower case.
    Header(&'static str),
}

/// What only the route can say of a provider.
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub meaning: &'static str,
    pub required: bool,
    pub purpose: ParamUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamUse {
    /// It is one of the signed parts.
    Signed,
    /// The request must hold it here.
    Place(Place),
    /// The token must hold it in this claim.
    Claim(&'static str),
    /// Whom the token must be for, instead of `public_url`.
    Audience,
    /// Where the token's keys are asked for, instead of the provider's own address.
    KeyUrl,
    /// Whom the provider knows the asker as.
    Client,
}

/// The preset that `provider = "name"` stands for.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// Every preset, by name.
pub static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(table::presets);

/// What the request must hold, as the parameters say.
pub fn bind_schemes(schemes: &mut [Scheme], params: &[(&Param, String)]) {
    for (param, value) in params {
        let place = match param.purpose {
            ParamUse::Place(Place::Json(pointer)) => Part::Json(pointer.into()),
            ParamUse::Place(Place::Header(name)) => Part::Header(name.into()),
            _ => continue,
        };
        for scheme in schemes.iter_mut() {
            scheme.guards.to_mut().push(Guard {
                place: place.clone(),
                test: Test::Is(value.clone().into()),
            });
        }
    }
}

/// What the token must hold, as the parameters say.
pub fn bind_rule(rule: &mut JwtRule, params: &[(&Param, String)]) {
    for (param, value) in params {
        let value = value.clone().into();
        match param.purpose {
            ParamUse::Claim(claim) => rule.claims.to_mut().push((claim.into(), value)),
            ParamUse::Audience => rule.audience = Audience::These(vec![value].into()),
            _ => {}
        }
    }
}
