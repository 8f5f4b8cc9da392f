//! `provider` and `verify`: how a caller proves itself.

use super::{
    Secret, SignatureVerifier, Verifier, Verify,
    credentials::{read_keys, read_signature_secrets},
    handshake,
    hmac::read_hmac,
    jwt::read_jwt,
    preset::{Beside, read_preset, read_provider},
    reader::{Node, Place, Table},
};
use crate::{
    providers::Preset,
    signature::{Part, Source, jwt::Audience},
};

/// What a route says of its callers.
pub(super) struct Proven {
    pub(super) verify: Verify,
    pub(super) preset: Option<&'static Preset>,
    /// A provider is named, but nobody knows it.
    pub(super) preset_is_unknown: bool,
    pub(super) verify_token: Option<Secret>,
}

impl Proven {
    /// Whether `header` carries what proves the caller.
    pub(super) fn holds_credential(&self, header: &str) -> bool {
        let Verify::All(verifiers) = &self.verify else {
            return false;
        };
        verifiers.iter().any(|verifier| match verifier {
            Verifier::ApiKey { header: name, .. } => name == header,
            Verifier::Signature(verifier) => {
                verifier
                    .schemes
                    .iter()
                    .any(|keyed| match &keyed.scheme.signature {
                        Source::Headers(names) | Source::Paired(names) => {
                            names.iter().any(|name| name == header)
                        }
                        Source::Numbered(name) => header
                            .strip_prefix(&**name)
                            .is_some_and(|rest| rest.starts_with('-')),
                        Source::Json(_) | Source::Query(_) => false,
                    })
            }
            Verifier::Jwt(verifier) => verifier.rule.header == header,
            Verifier::QueryKey { .. } | Verifier::ClientCertificate { .. } => false,
            Verifier::Bearer { .. } | Verifier::Basic { .. } => header == "authorization",
        })
    }
}

impl Proven {
    /// Whether what proves the caller rests on the address that was called.
    pub(super) fn signs_address(&self) -> bool {
        let Verify::All(verifiers) = &self.verify else {
            return false;
        };
        verifiers.iter().any(|verifier| match verifier {
            Verifier::Signature(verifier) => verifier.schemes.iter().any(|keyed| {
                let mut signed = keyed.scheme.signed.iter();
                signed.any(|part| matches!(part, Part::Url | Part::Path))
            }),
            Verifier::Jwt(verifier) => verifier.rule.audience == Audience::PublicUrl,
            _ => false,
        })
    }
}

/// A provider, with what goes with it, or `verify`.
pub(super) fn read_proof(table: &mut Table<'_>) -> Proven {
    let verify = table.take("verify");
    let provider = table.take("provider");
    let mut beside = Beside::take(table);
    let mut proof = Proven {
        verify: Verify::Nobody,
        preset: None,
        preset_is_unknown: false,
        verify_token: None,
    };
    match (provider, verify) {
        (None, None) => table.place.missing(
            "verify",
            "`provider` and `secrets`, or `verify`; write verify = \"none\" to accept from anyone",
        ),
        (None, Some(verify)) => {
            beside.refuse_without_provider();
            proof.verify = read_verify(verify);
        }
        (Some(provider), verify) => {
            proof.preset = read_provider(&provider);
            proof.preset_is_unknown = proof.preset.is_none();
            if let Some(preset) = proof.preset {
                let token = beside.verify_token.take();
                proof.verify_token = handshake::read_verify_token(preset, token, &table.place);
                proof.verify = read_preset(preset, beside, verify, &table.place);
            }
        }
    }
    proof
}

/// `"none"`, one table, or a list of tables that must all pass.
pub(super) fn read_verify(node: Node<'_>) -> Verify {
    const SHAPE: &str =
        "\"none\", a table such as { hmac = { … }, secrets = [ … ] }, or a list of them";
    if node.value.is_str() {
        node.parse(SHAPE, |text| (text == "none").then_some(()));
        return Verify::Nobody;
    }
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        place.fault("an empty list", SHAPE);
    }
    Verify::All(nodes.into_iter().filter_map(read_verifier).collect())
}

/// One of the five kinds, with its keys or secrets.
fn read_verifier(node: Node<'_>) -> Option<Verifier> {
    let place = node.place.clone();
    let mut table = node.table("a table such as { bearer = {}, keys = [ … ] }")?;
    let api_key = table.take("api_key");
    let bearer = table.take("bearer");
    let basic = table.take("basic");
    let hmac = table.take("hmac");
    let jwt = table.take("jwt");
    let mut credentials = Credentials {
        keys: table.take("keys"),
        secrets: table.take("secrets"),
        place: &place,
    };
    let known = table.finish();
    let verifier = match (api_key, bearer, basic, hmac, jwt) {
        (Some(node), None, None, None, None) => Some(Verifier::ApiKey {
            header: read_api_key_header(node).unwrap_or_default(),
            keys: credentials.keys(),
        }),
        (None, Some(node), None, None, None) => {
            read_empty(node);
            Some(Verifier::Bearer {
                keys: credentials.keys(),
            })
        }
        (None, None, Some(node), None, None) => {
            read_empty(node);
            Some(Verifier::Basic {
                keys: credentials.keys(),
            })
        }
        (None, None, None, Some(node), None) => read_signature(node, &mut credentials),
        (None, None, None, None, Some(node)) => read_jwt(node, credentials.secrets.take()),
        (None, None, None, None, None) if !known => return None,
        _ => {
            place.fault(
                "none or several of `api_key`, `bearer`, `basic`, `hmac` and `jwt`",
                "one of them in each table; all tables of a list must pass",
            );
            return None;
        }
    };
    credentials.finish();
    verifier
}

fn read_signature(node: Node<'_>, credentials: &mut Credentials<'_, '_>) -> Option<Verifier> {
    let secrets = credentials.secrets();
    let scheme = read_hmac(node)?;
    let schemes = secrets.map(|node| read_signature_secrets(node, vec![scheme]));
    Some(Verifier::Signature(SignatureVerifier {
        schemes: schemes.unwrap_or_default(),
        params: Vec::new(),
        secret_from_handshake: false,
    }))
}

/// What stands beside the kind of a verifier: exactly one of the two, by kind.
struct Credentials<'a, 'p> {
    keys: Option<Node<'a>>,
    secrets: Option<Node<'a>>,
    place: &'p Place<'a>,
}

impl<'a> Credentials<'a, '_> {
    fn keys(&mut self) -> Vec<super::ApiKey> {
        if self.keys.is_none() {
            let shape = "a list such as [{ name = \"crm-2026\", sha256 = \"…\" }]";
            self.place.missing("keys", shape);
        }
        self.keys.take().map(read_keys).unwrap_or_default()
    }

    fn secrets(&mut self) -> Option<Node<'a>> {
        if self.secrets.is_none() {
            self.place
                .missing("secrets", "a list of secrets such as [{ env = \"NAME\" }]");
        }
        self.secrets.take()
    }

    /// What was not asked for does not belong here.
    fn finish(self) {
        for node in [self.keys, self.secrets].into_iter().flatten() {
            node.place.fault(
                "a key that this verifier does not have",
                "`keys` with api_key, bearer and basic; `secrets` with hmac, and with jwt for HS256",
            );
        }
    }
}

fn read_api_key_header(node: Node<'_>) -> Option<String> {
    let mut table = node.table("a table such as { header = \"X-Api-Key\" }")?;
    let header = table.require("header", "the name of a header");
    table.finish();
    header?.header_name()
}

fn read_empty(node: Node<'_>) {
    if let Some(table) = node.table("{}") {
        table.finish();
    }
}
