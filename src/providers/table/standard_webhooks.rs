//! Standard Webhooks and those that sign by it.
//!
//! The id is signed. No header is kept: the id goes out as `Hookgate-Event-Id`, and a target that is signed for gets its
//! own `webhook-id`. A secret is base64 after `whsec_`; entries of unknown versions are skipped.

use std::borrow::Cow;

use super::*;
use crate::signature::{Method, SecretForm};
use IdPlace::One;
use Place::{Header, Json};

const WEBHOOK: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

pub(super) fn presets() -> Vec<Preset> {
    vec![standard_webhooks(), svix(), openai(), resend(), clerk()]
}

/// `v1` is HMAC, `v1a` ed25519: a secret `whpk_…` is a public key, and never one of HMAC.
fn standard_webhooks() -> Preset {
    Preset {
        event_id: &[One(Header("webhook-id"))],
        event_type: &[Json("/type")],
        ..signed(
            "standard-webhooks",
            "Standard Webhooks",
            "standardwebhooks.com, Standard Webhooks specification 1.0.0",
            [
                standard(WEBHOOK),
                standard(WEBHOOK)
                    .named("v1a")
                    .method(Method::Ed25519)
                    .versions("v1a")
                    .secret(SecretForm::Base64 {
                        prefix: Cow::Borrowed("whpk_"),
                        required: true,
                    }),
            ],
        )
    }
}

/// Only the `svix-` headers: a request with both families could be sent again under the id of the one that is not signed.
/// Who sends `webhook-` headers through Svix is `standard-webhooks`.
fn svix() -> Preset {
    Preset {
        event_id: &[One(Header("svix-id"))],
        event_type: &[Json("/type")],
        ..signed(
            "svix",
            "Svix",
            "docs.svix.com, Verifying Payloads; svix-webhooks",
            [standard(SVIX)],
        )
    }
}

/// A secret without `whsec_` is text.
fn openai() -> Preset {
    Preset {
        event_id: &[One(Header("webhook-id"))],
        event_type: &[Json("/type")],
        ..signed(
            "openai",
            "OpenAI",
            "openai-python and openai-node, webhooks",
            [standard(WEBHOOK).secret(SecretForm::Base64OrText {
                prefix: Cow::Borrowed("whsec_"),
            })],
        )
    }
}

/// Signs by Svix.
fn resend() -> Preset {
    Preset {
        event_id: &[One(Header("svix-id"))],
        event_type: &[Json("/type")],
        ..signed(
            "resend",
            "Resend",
            "resend.com/docs, Verify Webhooks Requests",
            [standard(SVIX)],
        )
    }
}

/// Signs by Svix.
fn clerk() -> Preset {
    Preset {
        event_id: &[One(Header("svix-id"))],
        event_type: &[Json("/type")],
        ..signed(
            "clerk",
            "Clerk",
            "clerk.com/docs, Sync Clerk data with webhooks",
            [standard(SVIX)],
        )
    }
}
