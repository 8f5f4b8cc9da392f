//! Signing as a provider would.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Encoding, Form, KeyedSecret, Message, Method, Scheme,
    content::{Piece, Reading, Request},
    draft::Draft,
    key::Key,
};
use crate::clock::Timestamp;

/// What a provider knows when it signs a request.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The value of every signed header that is neither the timestamp nor in `headers`.
    pub id: &'a str,
    pub timestamp: Timestamp,
    pub body: &'a [u8],
    /// Values of signed headers, by name in any case.
    pub headers: &'a [(String, String)],
    /// In upper case.
    pub method: &'a str,
    /// The address that is called, with its query string.
    pub url: &'a str,
    /// The route's parameters, by name.
    pub params: &'a [(String, String)],
}

impl<'a> Signing<'a> {
    /// A POST of which no scheme signs the address or headers of its own.
    pub fn new(id: &'a str, timestamp: Timestamp, body: &'a [u8]) -> Self {
        Self {
            id,
            timestamp,
            body,
            headers: &[],
            method: "POST",
            url: "",
            params: &[],
        }
    }
}

/// What makes a request a signed one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// To be set, names in lower case: the timestamp and the other signed headers first, the signature last. None
    /// stands twice.
    pub headers: Vec<(String, String)>,
    /// Parameters to be appended to the query string, in this order, decoded.
    pub query: Vec<(String, String)>,
    /// The body to send instead, where a time or the signature stands in it.
    pub body: Option<Vec<u8>>,
}

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    #[error("no secret signs: none is there, or all have ended")]
    NoSecret,
    #[error("a public key signs nothing; give the private key that goes with it")]
    PublicKey,
    #[error("RSA with SHA-1 is only verified, no longer signed")]
    Sha1,
    #[error("the body has no place for what the scheme puts into it: JSON, or a form, is needed")]
    Body,
    #[error("the body lacks what the scheme signs, or a parameter of the route is missing")]
    Incomplete,
}

impl Scheme {
    /// What `secret` makes of the request; see [`Scheme::signing_key`] for public-key methods.
    pub fn sign(&self, secret: &KeyedSecret, given: &Signing<'_>) -> Result<Signed, SignFault> {
        self.sign_by(&[secret], given)
    }

    /// [`Scheme::sign`] with every secret that has not ended. Where the form or the source holds more than one
    /// signature, they stand there in order; elsewhere the first stands.
    pub fn sign_with_all(
        &self,
        secrets: &[KeyedSecret],
        given: &Signing<'_>,
    ) -> Result<Signed, SignFault> {
        let ended = |secret: &&KeyedSecret| {
            let not_after = secret.validity.not_after;
            not_after.is_some_and(|not_after| not_after < given.timestamp)
        };
        let current: Vec<_> = secrets.iter().filter(|secret| !ended(secret)).collect();
        self.sign_by(&current, given)
    }

    fn sign_by(&self, secrets: &[&KeyedSecret], given: &Signing<'_>) -> Result<Signed, SignFault> {
        let mut draft = Draft::new(self, given)?;
        let pairs = self.form.render_pairs(&draft.pairs);
        for element in draft.elements(self)? {
            let mut signatures = Vec::with_capacity(secrets.len());
            for secret in secrets {
                signatures.push(self.signature(secret, &draft, &element, &pairs)?);
            }
            let texts = self.form.render(&pairs, &signatures);
            draft.place(&self.signature, &element, texts)?;
        }
        Ok(draft.finish())
    }

    fn signature(
        &self,
        secret: &KeyedSecret,
        draft: &Draft<'_>,
        element: &str,
        pairs: &str,
    ) -> Result<String, SignFault> {
        let document = || draft.document().cloned();
        let body = draft.body();
        let url = draft.url();
        let message = Message {
            method: draft.given.method,
            url: &url,
            headers: draft,
            body: &body,
            document: &document,
            params: draft.given.params,
            fetched_key: None,
        };
        let request = Request::new(&message);
        let root = request.document().and_then(|root| root.pointer(element));
        let mut reading = Reading::new(self, &request, root);
        let pieces = reading.pieces(pairs.as_bytes());
        if reading.refusal.is_some() {
            return Err(SignFault::Incomplete);
        }
        let signature = secret.key.sign(self.method, &pieces)?;
        Ok(match self.encoding {
            Encoding::Hex => hex::encode(signature),
            Encoding::Base64 => STANDARD.encode(signature),
            Encoding::Text => String::from_utf8_lossy(&signature).into_owned(),
        })
    }
}

impl Key {
    fn sign(&self, method: Method, pieces: &[Piece<'_>]) -> Result<Vec<u8>, SignFault> {
        match (self, method) {
            (Self::Plain(secret, _), Method::Equal) => Ok(secret.to_vec()),
            (Self::Private(key, _), _) => {
                let content: Vec<u8> = pieces
                    .iter()
                    .flat_map(|piece| piece.bytes(b"").iter().copied())
                    .collect();
                key.sign(method, &content).ok_or(SignFault::Sha1)
            }
            _ => {
                let digest = self.digest(method, pieces);
                let digest = digest.ok_or(SignFault::PublicKey)?;
                Ok(digest.as_bytes().to_vec())
            }
        }
    }
}

impl Form {
    /// `t=1,h=x`
    fn render_pairs(&self, pairs: &[(String, String)]) -> String {
        let Self::Pairs { separator, .. } = self else {
            return String::new();
        };
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(&separator.to_string())
    }

    /// The texts that carry `signatures`: one where the form is a list, else one each.
    fn render(&self, pairs: &str, signatures: &[String]) -> Vec<String> {
        match self {
            Self::Bare { prefix } => signatures
                .iter()
                .map(|signature| format!("{prefix}{signature}"))
                .collect(),
            Self::Versions { version } => {
                let entries: Vec<_> = signatures
                    .iter()
                    .map(|signature| format!("{version},{signature}"))
                    .collect();
                vec![entries.join(" ")]
            }
            Self::Pairs {
                separator,
                signature_key,
            } => {
                let entries = signatures
                    .iter()
                    .map(|signature| format!("{signature_key}={signature}"));
                let pairs = (!pairs.is_empty()).then(|| pairs.to_owned());
                let all: Vec<_> = pairs.into_iter().chain(entries).collect();
                vec![all.join(&separator.to_string())]
            }
        }
    }
}
