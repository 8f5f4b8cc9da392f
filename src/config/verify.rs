//! `provider` and `verify`: how a caller proves itself.

use super::{
    SignatureVerifier, Verifier, Verify,
    credentials::{read_keys, read_signature_secrets},
    hmac::read_hmac,
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
}

impl Proven {
    pub(super) fn asks_for_certificate(&self) -> bool {
        let Verify::All(verifiers) = &self.verify else {
            return false;
        };
        let is_certificate = |one: &Verifier| matches!(one, Verifier::ClientCertificate { .. });
        verifiers.iter().any(is_certificate)
    }

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
    let beside = Beside::take(table);
    let mut proof = Proven {
        verify: Verify::Nobody,
        preset: None,
        preset_is_unknown: false,
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

/// How a verifier's own table is read; the rest stands beside it.
type Kind = for<'a> fn(Node<'a>, &mut Credentials<'a, '_>) -> Option<Verifier>;

/// The verifiers by what they are called.
const KINDS: [(&str, Kind); 6] = [
    ("api_key", |node, credentials| {
        Some(Verifier::ApiKey {
            header: read_api_key_header(node).unwrap_or_default(),
            keys: credentials.keys(),
        })
    }),
    ("bearer", |node, credentials| {
        read_empty(node);
        Some(Verifier::Bearer {
            keys: credentials.keys(),
        })
    }),
    ("basic", |node, credentials| {
        read_empty(node);
        Some(Verifier::Basic {
            keys: credentials.keys(),
        })
    }),
    ("query_key", |node, credentials| {
        Some(Verifier::QueryKey {
            name: read_parameter_name(node).unwrap_or_default(),
            keys: credentials.keys(),
        })
    }),
    ("hmac", read_signature),
    ("client_certificate", |node, _| {
        Some(Verifier::ClientCertificate {
            names: read_certificate_names(node),
        })
    }),
];

/// One of the kinds, with its keys or secrets.
fn read_verifier(node: Node<'_>) -> Option<Verifier> {
    let place = node.place.clone();
    let mut table = node.table("a table such as { bearer = {}, keys = [ … ] }")?;
    let mut kinds: Vec<_> = KINDS
        .iter()
        .filter_map(|(name, read)| Some((read, table.take(name)?)))
        .collect();
    let mut credentials = Credentials {
        keys: table.take("keys"),
        secrets: table.take("secrets"),
        place: &place,
    };
    let known = table.finish();
    let (Some((read, node)), true) = (kinds.pop(), kinds.is_empty()) else {
        if known {
            let names = KINDS.map(|(name, _)| format!("`{name}`"));
            place.fault(
                format!("none or several of {}", names.join(", ")),
                "one of them in each table; all tables of a list must pass",
            );
        }
        return None;
    };
    let verifier = read(node, &mut credentials);
    credentials.finish();
    verifier
}

/// `{ name = "key" }`: a parameter of the query string.
fn read_parameter_name(node: Node<'_>) -> Option<String> {
    const SHAPE: &str = "the name of a parameter such as \"key\"";
    let mut table = node.table("a table such as { name = \"key\" }")?;
    let name = table.require("name", SHAPE);
    table.finish();
    name?.parse(SHAPE, |text| {
        let is_name = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
        is_name.then(|| text.to_owned())
    })
}

/// `{}` for every certificate, or `{ names = ["crm.example.com"] }`.
fn read_certificate_names(node: Node<'_>) -> Vec<String> {
    const SHAPE: &str = "a list of names such as [\"crm.example.com\"]";
    let Some(mut table) = node.table("{}, or a table such as { names = [\"crm.example.com\"] }")
    else {
        return Vec::new();
    };
    let names = table.take("names");
    table.finish();
    let Some(names) = names else {
        return Vec::new();
    };
    let place = names.place.clone();
    let items = names.list(SHAPE).unwrap_or_default();
    if items.is_empty() {
        place.fault("an empty list", "at least one name, or no `names` for any");
    }
    let name = |item: &Node<'_>| {
        item.parse("a name such as \"crm.example.com\"", |text| {
            (!text.is_empty() && !text.contains('*')).then(|| text.to_owned())
        })
    };
    items.iter().filter_map(name).collect()
}

fn read_signature<'a>(node: Node<'a>, credentials: &mut Credentials<'a, '_>) -> Option<Verifier> {
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
                "`keys` with api_key, bearer, basic and query_key; `secrets` with hmac",
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
