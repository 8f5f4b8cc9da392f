//! What a route says of its provider's handshakes: `verify_token`, and a secret that comes with one.

use toml::de::DeValue;

use super::{
    Secret, credentials,
    reader::{Node, Place},
};
use crate::providers::{Effect, HandshakeProof, Preset};

/// The token that the provider repeats when the address is registered.
pub(super) fn read_verify_token(
    preset: &Preset,
    node: Option<Node<'_>>,
    route: &Place<'_>,
) -> Option<Secret> {
    let shown = |proof: HandshakeProof| matches!(proof, HandshakeProof::VerifyToken(_));
    let wanted = preset.handshakes.iter().any(|row| shown(row.proof));
    match node {
        Some(node) if wanted => credentials::read_verify_token(node),
        Some(node) => {
            let found = format!("a verify token, but {} shows none", preset.title);
            node.place.fault(found, "none");
            None
        }
        None => {
            if wanted {
                route.warn(
                    format!(
                        "{} cannot register this address before `verify_token` says what it shows then",
                        preset.title
                    ),
                    "add `verify_token = { env = \"NAME\" }`",
                );
            }
            None
        }
    }
}

/// Whether `secrets` is `[{ handshake = true }]`, and where that stands. A fault when others stand beside it.
pub(super) fn of_handshake<'a>(secrets: &Node<'a>) -> Option<Place<'a>> {
    let DeValue::Array(items) = &secrets.value else {
        return None;
    };
    let entry = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::Table(entries) => entries.get("handshake").map(|value| {
            let truth = matches!(value.get_ref(), DeValue::Boolean(true));
            truth && entries.len() == 1
        }),
        _ => None,
    };
    let found: Vec<bool> = items.iter().filter_map(entry).collect();
    if found.is_empty() {
        return None;
    }
    if found != [true] || items.len() > 1 {
        secrets.place.fault(
            "a secret from a handshake that does not stand alone",
            "[{ handshake = true }], or secrets that are known",
        );
    }
    Some(secrets.place.clone())
}

/// Not every provider gives a secret.
pub(super) fn check_keeps(preset: &Preset, place: &Place<'_>) {
    let keeps = |effect: Effect| matches!(effect, Effect::KeepSecret(_));
    if !preset.handshakes.iter().any(|row| keeps(row.effect)) {
        place.fault(
            format!("a secret from a handshake, but {} gives none", preset.title),
            "a list of secrets such as [{ env = \"NAME\" }]",
        );
    }
}
