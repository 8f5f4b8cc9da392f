//! What makes a scheme written by hand unsafe or senseless, though each of its keys is well-formed.

use crate::{
    config::reader::Place,
    signature::{Form, KeySource, Method, Part, Scheme, SecretForm, Source},
};

/// Notes the faults of `scheme`, whose table stands at `place`. `allowed`: that the body is not covered.
pub(super) fn check(scheme: &Scheme, allowed: bool, place: &Place<'_>) {
    let faults = [
        uncovered(scheme, allowed),
        secret_misplaced(scheme),
        pairs_missing(scheme),
        circular(scheme),
        unsigned_digest(scheme),
        key_misfit(scheme),
        each_without_document(scheme),
    ];
    for (key, found, expected) in faults.into_iter().flatten() {
        place.fault_at(key, found, expected);
    }
    if let Some(rule) = &scheme.timestamp
        && !covers(scheme, &rule.source)
    {
        place.warn(
            "the timestamp is not part of `signed`, so anyone can renew an old request",
            "add it to `signed` if the provider signs it; else the route rests on its `dedupe_window`",
        );
    }
}

type Found = Option<(&'static str, &'static str, &'static str)>;

/// A signature that leaves out the body would let anyone write another one.
fn uncovered(scheme: &Scheme, allowed: bool) -> Found {
    let missing = scheme.method != Method::Equal && !scheme.covers_body();
    (missing && !allowed).then_some((
        "signed",
        "a template that leaves out the body",
        "a template with {body}: what is not signed can be forged; write allow_unsigned_body = true where the \
         provider signs no more",
    ))
}

fn secret_misplaced(scheme: &Scheme) -> Found {
    let signs_secret = scheme.signed.contains(&Part::Secret);
    match (scheme.method, signs_secret) {
        (Method::Digest(_), false) => Some((
            "signed",
            "a hash without {secret}",
            "a template with {secret}: without it anyone can make the hash",
        )),
        (Method::Digest(_), true) | (_, false) => None,
        (_, true) => Some((
            "signed",
            "{secret} where it is the key already",
            "a template without {secret}, or `hash`",
        )),
    }
}

fn pairs_missing(scheme: &Scheme) -> Found {
    let reads_pair = scheme.parts().any(|part| match part {
        Part::Pair(_) => true,
        Part::Listed(listed) => matches!(*listed.list, Part::Pair(_)),
        _ => false,
    });
    let has_pairs = matches!(scheme.form, Form::Pairs { .. });
    (reads_pair && !has_pairs).then_some((
        "pairs",
        "{sig.…} in a signature without pairs",
        "`pairs` such as { separator = \",\", key = \"v1\" }",
    ))
}

/// No signature covers itself.
fn circular(scheme: &Scheme) -> Found {
    let signs = |wanted: &[Part]| scheme.signed.iter().any(|part| wanted.contains(part));
    let circular = match &scheme.signature {
        Source::Json(_) => signs(&[Part::Body, Part::SortedForm, Part::Crc32]),
        Source::Query(_) => signs(&[Part::Url, Part::Path]),
        _ => false,
    };
    circular.then_some((
        "signed",
        "a template that covers the place of the signature",
        "a template of what stands elsewhere",
    ))
}

/// The body's digest proves the body only where the signature covers it.
fn unsigned_digest(scheme: &Scheme) -> Found {
    let place = scheme.body_sha256.as_ref()?;
    (!covers(scheme, place)).then_some((
        "body_sha256",
        "a place that `signed` does not cover",
        "a place that is part of `signed`, or of the {url} in it",
    ))
}

fn key_misfit(scheme: &Scheme) -> Found {
    let public = scheme.method.has_public_key();
    match (&scheme.key, &scheme.secret_form) {
        (KeySource::Certificate { .. }, _) if !public => Some((
            "certificate",
            "a certificate where a secret is shared",
            "ed25519, ecdsa_p256 or rsa",
        )),
        (_, SecretForm::Spki) if !public => Some((
            "secret_form",
            "a public key, which anyone may know",
            "\"text\", \"hex\" or base64: a secret that both sides know",
        )),
        (_, SecretForm::Text | SecretForm::Base64OrText { .. }) if public => Some((
            "secret_form",
            "text as a public key",
            "\"spki\", \"hex\" or { base64 = \"PREFIX\" }",
        )),
        _ => None,
    }
}

/// What stands once for the whole request cannot stand for each element of it.
fn each_without_document(scheme: &Scheme) -> Found {
    let elsewhere = scheme.each.is_some() && !matches!(scheme.signature, Source::Json(_));
    elsewhere.then_some((
        "each",
        "elements whose signature stands outside of them",
        "`each` with the signature at a `json` pointer within each element",
    ))
}

/// Whether what is signed holds `place`.
fn covers(scheme: &Scheme, place: &Part) -> bool {
    let signs = |wanted: fn(&Part) -> bool| scheme.signed.iter().any(wanted);
    scheme.signed.contains(place)
        || match place {
            Part::Query(_) => signs(|part| matches!(part, Part::Url | Part::Path)),
            Part::Json(pointer) => scheme.signed.iter().any(|part| match part {
                Part::Body => true,
                Part::JsonLines(names) => names
                    .iter()
                    .any(|name| pointer.strip_prefix('/') == Some(name)),
                _ => false,
            }),
            Part::Header(name) => scheme.signed.iter().any(|part| match part {
                Part::Listed(listed) => listed.required.contains(name),
                _ => false,
            }),
            _ => false,
        }
}
