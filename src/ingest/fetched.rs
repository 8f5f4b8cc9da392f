//! Verifiers whose keys are fetched. Nothing is, for a request that is refused anyway.

use std::sync::Arc;

use crate::{
    config::{JwtKeySource, JwtVerifier, SignatureVerifier, Verifier},
    keys::{Asked, Asker, Found, KeyFault, Keys},
    signature::{
        self,
        jwt::{Token, TokenFault},
        key_of_certificate,
    },
};
use url::Url;

use super::{
    authenticate::{Unproven, reason_of, token_refused},
    rejection::{Detail, Reason, Rejection},
};

/// An address that a request names is longer than any certificate's.
const URL_BYTES_MAX: usize = 1024;

/// What can be said of a verifier without a fetch.
enum Look<'v> {
    Judged(Result<Arc<str>, Rejection>),
    Token {
        verifier: &'v JwtVerifier,
        token: Token<'v>,
        /// What it says, which nothing has proven yet.
        claims: Result<(), TokenFault>,
    },
    Certificate {
        verifier: &'v SignatureVerifier,
        url: Url,
    },
}

impl Unproven<'_> {
    /// The names of the credentials that matched. 401, 503.
    ///
    /// Keys are fetched only when all else that can be checked has passed. Of a request that is refused anyway the
    /// signatures are judged by the keys that are at hand, so that the time tells little.
    pub(super) async fn check_with_fetched_keys<'v>(
        &'v self,
        verifiers: impl Iterator<Item = &'v Verifier>,
        asker: &Asker,
        keys: Option<&Keys>,
    ) -> Result<Vec<Arc<str>>, Rejection> {
        let looks: Vec<_> = verifiers.map(|one| self.look(one)).collect();
        let fetching = Fetching {
            keys,
            asker,
            allowed: looks.iter().all(Look::is_good_so_far),
        };
        let mut results = Vec::with_capacity(looks.len());
        for look in looks {
            results.push(self.judge(look, &fetching).await);
        }
        results.into_iter().collect()
    }

    async fn judge(&self, look: Look<'_>, fetching: &Fetching<'_>) -> Result<Arc<str>, Rejection> {
        match look {
            Look::Judged(result) => result,
            Look::Token {
                verifier,
                token,
                claims,
            } => {
                let found = match asked(&verifier.keys, &token) {
                    Some(asked) => fetching.find(&asked, Some(&token)).await?,
                    None => None,
                };
                match found.as_deref() {
                    Some(Found::Keys(keys)) => self.check_token(verifier, &token, Some(keys)),
                    _ => Err(token_refused(
                        claims.err().unwrap_or(TokenFault::UnknownKey),
                    )),
                }
            }
            Look::Certificate { verifier, url } => {
                let asked = Asked::Certificate { url: &url };
                match fetching.find(&asked, None).await?.as_deref() {
                    Some(Found::Certificate(certificate)) => {
                        let key = key_of_certificate(certificate, self.now);
                        let key = key.map_err(|_| Reason::ExpiredKey)?;
                        Ok(self.check_signature(verifier, Some(&key))?)
                    }
                    _ => Err(Reason::UnknownKey.into()),
                }
            }
        }
    }

    fn look<'v>(&'v self, verifier: &'v Verifier) -> Look<'v> {
        match verifier {
            Verifier::Jwt(jwt) if verifier.fetches() => match self.token(jwt) {
                Ok(token) => Look::Token {
                    claims: jwt.rule.judge(&token, &self.circumstances()),
                    verifier: jwt,
                    token,
                },
                Err(rejection) => Look::Judged(Err(rejection)),
            },
            Verifier::Signature(signed) if verifier.fetches() => {
                let url = self.as_message(signed, None, |message| {
                    signature::certificate_url(&signed.schemes, message)
                });
                match url {
                    Ok(Some(url)) if url.as_str().len() <= URL_BYTES_MAX => Look::Certificate {
                        verifier: signed,
                        url,
                    },
                    Ok(Some(_)) => Look::Judged(Err(Reason::MalformedSignature.into())),
                    Ok(None) => Look::Judged(self.check(verifier)),
                    Err(refusal) => Look::Judged(Err(reason_of(refusal).into())),
                }
            }
            _ => Look::Judged(self.check(verifier)),
        }
    }
}

impl Look<'_> {
    fn is_good_so_far(&self) -> bool {
        match self {
            Self::Judged(result) => result.is_ok(),
            Self::Token { claims, .. } => claims.is_ok(),
            Self::Certificate { .. } => true,
        }
    }
}

/// `None`: the token does not say which key.
fn asked<'v>(source: &'v JwtKeySource, token: &'v Token<'_>) -> Option<Asked<'v>> {
    match source {
        JwtKeySource::Url { url, allow_private } => Some(Asked::Jwks {
            url,
            allow_private: *allow_private,
        }),
        JwtKeySource::Plaid {
            url,
            client_id,
            secret,
        } => Some(Asked::Plaid {
            url,
            client_id,
            secret,
            kid: token.kid()?,
        }),
        JwtKeySource::Secrets(_) | JwtKeySource::File(_) => None,
    }
}

struct Fetching<'f> {
    keys: Option<&'f Keys>,
    asker: &'f Asker,
    /// Whether the request is worth it.
    allowed: bool,
}

impl Fetching<'_> {
    /// `None`: there is no such key, or none at hand where nothing may be fetched. 503.
    async fn find(
        &self,
        asked: &Asked<'_>,
        token: Option<&Token<'_>>,
    ) -> Result<Option<Arc<Found>>, Rejection> {
        let Some(keys) = self.keys else {
            return Err(Reason::KeyUnavailable.into());
        };
        if !self.allowed {
            return Ok(keys.known(asked));
        }
        match keys.obtain(asked, token, self.asker).await {
            Ok(found) => Ok(Some(found)),
            Err(KeyFault::Absent) => Ok(None),
            Err(KeyFault::Unavailable { retry_after }) => Err(Rejection::with(
                Reason::KeyUnavailable,
                Detail::RetryAfter(retry_after),
            )),
        }
    }
}
