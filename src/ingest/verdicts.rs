//! Why a verifier refused a request, in words. Names are told, never what was sent or expected.

use std::sync::Arc;

use crate::{
    config::{ApiKey, JwtKeySource, JwtVerifier, SignatureVerifier, Verifier},
    signature,
    store::records::Step,
};

use super::{
    authenticate::Unproven,
    inquest::{failed, passed},
    rejection::{Reason, Rejection},
    steps,
};

/// Names that are told of many.
const NAMES_MAX: usize = 8;

/// `refused`: of a verifier whose key is fetched, why the request was refused at last.
pub(super) fn of(
    unproven: &Unproven<'_>,
    verifier: &Verifier,
    refused: Option<&Rejection>,
) -> Vec<Step> {
    match verifier {
        Verifier::ApiKey { header, keys } => {
            let place = format!("the header {header}");
            vec![of_key(unproven, verifier, "api key", &place, keys)]
        }
        Verifier::Bearer { keys } => {
            let place = "a bearer token in the header authorization";
            vec![of_key(unproven, verifier, "bearer token", place, keys)]
        }
        Verifier::Basic { keys } => {
            let place = "user and password in the header authorization";
            vec![of_key(unproven, verifier, "basic", place, keys)]
        }
        Verifier::QueryKey { name, keys } => {
            let place = format!("the parameter {name} of the query string");
            vec![of_key(unproven, verifier, "query key", &place, keys)]
        }
        Verifier::Signature(signed) => of_signature(unproven, verifier, signed, refused),
        Verifier::Jwt(jwt) => vec![of_token(unproven, verifier, jwt, refused)],
        Verifier::ClientCertificate { names } => vec![match unproven.check(verifier) {
            Ok(_) => passed("client certificate", "shown, and of the right name"),
            Err(rejection) if rejection.reason == Reason::MissingCredentials => {
                failed("client certificate", "none was shown")
            }
            Err(_) => {
                let told = format!("it is of none of {}, or has ended", names.join(", "));
                failed("client certificate", told)
            }
        }],
    }
}

fn of_key(
    unproven: &Unproven<'_>,
    verifier: &Verifier,
    step: &str,
    place: &str,
    keys: &[ApiKey],
) -> Step {
    let rejection = match unproven.check(verifier) {
        Ok(name) => return passed(step, format!("{name} matches")),
        Err(rejection) => rejection,
    };
    let names = named(keys.iter().map(|key| &key.name));
    let told = match rejection.reason {
        Reason::MissingCredentials => format!("{place} is missing"),
        Reason::RepeatedHeader => format!("{place} stands there more than once"),
        Reason::ExpiredKey => format!("{place} is one of {names}, but not in force now"),
        _ => format!("{place} is none of {names}"),
    };
    failed(step, told)
}

fn of_signature(
    unproven: &Unproven<'_>,
    verifier: &Verifier,
    signed: &SignatureVerifier,
    refused: Option<&Rejection>,
) -> Vec<Step> {
    let is_proven = unproven.check(verifier);
    let mut told: Vec<_> = unproven
        .explained(signed)
        .into_iter()
        // The beginning of a digest is of use beside a capture of the request, and not without.
        .filter(|step| step.step != "digest" && (is_proven.is_err() || step.ok == Some(true)))
        .filter_map(|step| {
            let name = match step.step {
                "signature" => "signature".to_owned(),
                other => format!("signature: {other}"),
            };
            Some(Step {
                name,
                passed: step.ok?,
                told: step.told,
            })
        })
        .collect();
    let is_told = told.iter().any(|step| !step.passed);
    match (is_proven, refused) {
        (Ok(_), _) => {}
        (Err(_), Some(refused)) => {
            let reason = refused.reason.as_str();
            told.push(failed(
                "signature: certificate",
                format!("it is fetched; {reason}"),
            ));
        }
        (Err(rejection), None) if !is_told => {
            told.push(failed("signature", words(rejection.reason)));
        }
        (Err(_), None) => {}
    }
    told
}

fn of_token(
    unproven: &Unproven<'_>,
    verifier: &Verifier,
    jwt: &JwtVerifier,
    refused: Option<&Rejection>,
) -> Step {
    let header = &jwt.rule.header;
    let at_hand = match unproven.token(jwt) {
        Err(rejection) => Err(rejection),
        Ok(token) => match &jwt.keys {
            JwtKeySource::Secrets(_) | JwtKeySource::File(_) => unproven.check(verifier).map(drop),
            JwtKeySource::Url { .. } | JwtKeySource::Plaid { .. } => jwt
                .rule
                .judge(&token, &unproven.circumstances())
                .map_err(super::authenticate::token_refused),
        },
    };
    let told = match (&at_hand, refused) {
        (Err(rejection), _) | (Ok(()), Some(rejection)) => match rejection.cause() {
            Some(fault) => format!("in the header {header}: {fault}"),
            None => format!("in the header {header}: {}", words(rejection.reason)),
        },
        (Ok(()), None) => return passed("token", format!("in the header {header}")),
    };
    failed("token", told)
}

fn words(reason: Reason) -> String {
    reason.as_str().replace('_', " ")
}

/// Those of many keys.
fn named<'k>(names: impl Iterator<Item = &'k Arc<str>>) -> String {
    let names: Vec<_> = names.map(|name| &**name).collect();
    let told = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>();
    let keys = match names.len() {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    };
    let more = match names.len() > NAMES_MAX {
        true => ", …",
        false => "",
    };
    format!("{keys} ({}{more})", told.join(", "))
}

impl Unproven<'_> {
    fn explained(&self, verifier: &SignatureVerifier) -> Vec<steps::Step> {
        let explanation = self.as_message(verifier, None, |message| {
            self.with_schemes(verifier, |schemes| {
                signature::explain(schemes, message, self.now)
            })
        });
        steps::of_signature(verifier, &explanation, self.now)
    }
}
