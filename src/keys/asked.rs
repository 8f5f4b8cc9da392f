//! Where keys are asked for, and how the answer is read.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{Document, FetchFault, FetchRequest, Found};
use crate::{
    clock::Timestamp,
    config::Secret,
    signature::{CertificateFault, jwt::KeySet, key_of_certificate},
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A JWKS, at an address of the configuration.
    Jwks { url: &'a Url, allow_private: bool },
    /// An X.509 certificate, at an address that a request names and its scheme allows.
    Certificate { url: &'a Url },
    /// One of Plaid's keys, by the id that a token names
    /// (plaid.com/docs/api/webhooks/webhook-verification).
    Plaid {
        url: &'a Url,
        client_id: &'a Secret,
        secret: &'a Secret,
        kid: &'a str,
    },
}

impl Asked<'_> {
    /// Anybody can name as many as he likes.
    pub(super) fn is_named_by_the_request(&self) -> bool {
        match self {
            Self::Jwks { .. } => false,
            Self::Certificate { .. } | Self::Plaid { .. } => true,
        }
    }

    /// What is asked for, and by whom: the same name, the same answer.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Jwks { url, allow_private } => format!("jwks {allow_private} {url}"),
            Self::Certificate { url } => format!("certificate {url}"),
            Self::Plaid {
                url,
                client_id,
                secret,
                kid,
            } => {
                let mut client = Sha256::new();
                client.update(Sha256::digest(client_id.expose()));
                client.update(Sha256::digest(secret.expose()));
                format!("plaid {url} {} {kid}", hex::encode(client.finalize()))
            }
        }
    }

    pub(super) fn request(&self) -> FetchRequest {
        let (url, allow_private, json) = match self {
            Self::Jwks { url, allow_private } => (url, *allow_private, None),
            Self::Certificate { url } => (url, false, None),
            Self::Plaid {
                url,
                client_id,
                secret,
                kid,
            } => {
                let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
                let json = json!({
                    "client_id": text(client_id), "secret": text(secret), "key_id": kid,
                });
                (url, false, Some(Zeroizing::new(json.to_string())))
            }
        };
        FetchRequest {
            url: (*url).clone(),
            allow_private,
            json,
        }
    }

    pub(super) fn reader(&self) -> Reader {
        match self {
            Self::Jwks { .. } => Reader::Jwks,
            Self::Certificate { .. } => Reader::Certificate,
            Self::Plaid { .. } => Reader::Plaid,
        }
    }
}

/// How an answer is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    Jwks,
    Certificate,
    Plaid,
}

impl Reader {
    /// `None`: whoever gives the keys out says that there is no such key.
    pub(super) fn read(
        self,
        document: Document,
        now: Timestamp,
    ) -> Result<Option<Found>, FetchFault> {
        let Document { status, body, .. } = document;
        match (self, status) {
            (Self::Jwks, 200) => {
                let keys = KeySet::from_jwks(&json_of(&body)?);
                keys.map(|keys| Some(Found::Keys(keys))).map_err(fault)
            }
            (Self::Certificate, 200) => match key_of_certificate(&body, now) {
                Err(unreadable @ CertificateFault::Unreadable) => Err(fault(unreadable)),
                // Judged again whenever it is used.
                Ok(_) | Err(_) => Ok(Some(Found::Certificate(body))),
            },
            (Self::Certificate, 404 | 410) => Ok(None),
            (Self::Plaid, 200) => {
                let answer = json_of(&body)?;
                let key = answer.get("key").unwrap_or(&Value::Null);
                // Seconds; null as long as the key is in force.
                let ended_at = key.get("expired_at").and_then(Value::as_i64);
                let keys = KeySet::from_jwk(key).map_err(fault)?;
                Ok(Some(Found::Keys(
                    keys.until(ended_at.map(Timestamp::from_secs)),
                )))
            }
            (Self::Plaid, 400) if says_no_such_key(&body) => Ok(None),
            (_, status) => Err(FetchFault(format!("status {status}"))),
        }
    }
}

fn json_of(body: &Bytes) -> Result<Value, FetchFault> {
    serde_json::from_slice(body).map_err(|_| FetchFault("not JSON".into()))
}

fn says_no_such_key(body: &Bytes) -> bool {
    json_of(body).is_ok_and(|answer| answer["error_code"] == "INVALID_WEBHOOK_VERIFICATION_KEY_ID")
}

fn fault(why: impl std::fmt::Display) -> FetchFault {
    FetchFault(why.to_string())
}
