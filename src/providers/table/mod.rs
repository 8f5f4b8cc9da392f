//! The table, one function a preset: what it varies of what most providers do.
//!
//! Evidence is told in `doubts`: what is not there was read in the provider's documents, or in the source of its
//! libraries, or agrees with its published examples.

use super::{
    IdPlace, JwtKeys, Param, ParamUse, Place, Preset, Proof, handshakes,
    scheme::{
        BODY, CRC32, FIVE_MINUTES, METHOD, MINUTE, PATH, SECOND, SECRET, URL, header, hmac, is,
        json, listed, pair, param, query, standard, text, token,
    },
};
use crate::{
    payload::Content,
    signature::{Scheme, jwt::JwtRule},
};

mod business;
mod cloud;
mod commerce;
mod developer;
mod messaging;
mod retries;
mod social;
mod standard_webhooks;

pub(super) fn presets() -> Vec<Preset> {
    let mut presets: Vec<Preset> = [
        standard_webhooks::presets(),
        developer::presets(),
        commerce::presets(),
        messaging::presets(),
        social::presets(),
        business::presets(),
        cloud::presets(),
    ]
    .into_iter()
    .flatten()
    .collect();
    presets.sort_unstable_by_key(|preset| preset.name);
    for preset in &mut presets {
        preset.retried_for = retries::of(preset.name);
    }
    presets
}

const JSON: &[Content] = &[Content::Json];
const JSON_OR_FORM: &[Content] = &[Content::Json, Content::Form];
const JSON_OR_XML: &[Content] = &[Content::Json, Content::Xml];

/// A provider whose events name themselves nowhere.
const BODY_SHA256: &[IdPlace] = &[IdPlace::BodySha256];

fn signed(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    schemes: impl Into<Vec<Scheme>>,
) -> Preset {
    Preset {
        proof: Proof::Signature(schemes.into()),
        ..agreed(name, title, source)
    }
}

fn by_token(
    name: &'static str,
    title: &'static str,
    source: &'static str,
    rule: JwtRule,
    keys: JwtKeys,
) -> Preset {
    Preset {
        proof: Proof::Jwt(rule, keys),
        ..agreed(name, title, source)
    }
}

fn agreed(name: &'static str, title: &'static str, source: &'static str) -> Preset {
    Preset {
        name,
        title,
        source,
        doubts: None,
        proof: Proof::Agreed,
        event_id: BODY_SHA256,
        event_type: &[],
        keep_headers: &[],
        content: JSON,
        json_types: &[],
        dedupe_window: None,
        retried_for: None,
        handshakes: &[],
        respond: None,
        params: &[],
    }
}
