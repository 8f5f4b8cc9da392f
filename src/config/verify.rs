//! `provider` and `verify`: how a caller proves itself.

use super::{
    Secret, SignatureVerifier, Verifier, Verify,
    credentials::{read_keys, read_signature_secrets},
    handshake,
    jwt::read_jwt,
    preset::{Beside, read_preset, read_provider},
    reader::{Node, Place, Table},
    scheme,
};
use crate::{
    providers::Preset,
    signature::{KeySource, KeyedScheme, Part, Scheme, Source, jwt::Audience},
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
    pub(super) fn asks_for_certificate(&self) -> bool {
        self.has(|one| matches!(one, Verifier::ClientCertificate { .. }))
    }

    pub(super) fn reads_query(&self) -> bool {
        self.has(|one| matches!(one, Verifier::QueryKey { .. }))
    }

    fn has(&self, is: impl Fn(&Verifier) -> bool) -> bool {
        match &self.verify {
            Verify::Nobody => false,
            Verify::All(verifiers) => verifiers.iter().any(is),
        }
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
        self.has(|verifier| match verifier {
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
        // It may be the secret itself.
        let node = node.secret();
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

/// The verifiers by what they are called; signatures have their own list.
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
    ("jwt", |node, credentials| {
        read_jwt(node, credentials.secrets.take())
    }),
    ("client_certificate", |node, _| {
        Some(Verifier::ClientCertificate {
            names: read_certificate_names(node),
        })
    }),
];

/// One of the kinds, with its keys or secrets.
fn read_verifier(node: Node<'_>) -> Option<Verifier> {
    let place = node.place.clone();
    let node = node.table_or_secret();
    let mut table = node.table("a table such as { bearer = {}, keys = [ … ] }")?;
    let mut kinds: Vec<_> = KINDS
        .iter()
        .filter_map(|(name, read)| Some((read, table.take(name)?)))
        .collect();
    let mut signatures = scheme::take(&mut table);
    let mut credentials = Credentials {
        keys: table.take("keys"),
        secrets: table.take("secrets"),
        params: table.take("params"),
        place: &place,
    };
    let known = table.finish();
    let verifier = match (&mut *kinds, &mut *signatures) {
        ([_], []) => kinds
            .pop()
            .and_then(|(read, node)| read(node, &mut credentials)),
        ([], [_]) => signatures
            .pop()
            .and_then(|(kind, node)| read_signature(kind, node, &mut credentials)),
        ([], []) if !known => return None,
        _ => {
            let names = KINDS.iter().map(|(name, _)| *name);
            let names = names.chain(scheme::KINDS).chain([scheme::FIRST_OF]);
            let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
            place.fault(
                format!("none or several of {}", names.join(", ")),
                "one of them in each table; all tables of a list must pass",
            );
            return None;
        }
    };
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

fn read_signature<'a>(
    kind: &'static str,
    node: Node<'a>,
    credentials: &mut Credentials<'a, '_>,
) -> Option<Verifier> {
    let place = node.place.clone();
    let schemes = scheme::read_schemes(kind, node);
    let fetched = schemes.as_ref().is_some_and(|schemes| {
        let mut keys = schemes.iter().map(|scheme| &scheme.key);
        keys.all(|key| matches!(key, KeySource::Certificate { .. }))
    });
    let secrets = match fetched {
        true => None,
        false => credentials.secrets(),
    };
    let schemes = schemes?;
    let params = credentials.params(&schemes);
    let mixed = schemes
        .iter()
        .any(|scheme| matches!(scheme.key, KeySource::Certificate { .. }));
    if mixed && !fetched {
        place.fault(
            "schemes with secrets beside schemes with certificates",
            "one kind of key for all",
        );
    }
    let keyed = match (fetched, secrets) {
        (true, _) => schemes
            .into_iter()
            .map(|scheme| KeyedScheme {
                scheme,
                secrets: Vec::new(),
            })
            .collect(),
        (false, Some(node)) => read_signature_secrets(node, schemes),
        (false, None) => Vec::new(),
    };
    Some(Verifier::Signature(SignatureVerifier {
        schemes: keyed,
        params,
        secret_from_handshake: false,
    }))
}

/// What stands beside the kind of a verifier: exactly one of the two, by kind.
struct Credentials<'a, 'p> {
    keys: Option<Node<'a>>,
    secrets: Option<Node<'a>>,
    params: Option<Node<'a>>,
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

    /// The values of the parameters that `schemes` sign.
    fn params(&mut self, schemes: &[Scheme]) -> Vec<(String, String)> {
        let mut names: Vec<&str> = Vec::new();
        for part in schemes.iter().flat_map(Scheme::parts) {
            if let Part::Param(name) = part
                && names.iter().all(|known| known != name)
            {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Vec::new();
        }
        let Some(node) = self.params.take() else {
            let expected = format!("{{ {} = \"…\" }}, which `signed` names", names[0]);
            self.place.missing("params", expected);
            return Vec::new();
        };
        let Some(table) = node
            .table_or_secret()
            .table("a table such as { webhook_id = \"…\" }")
        else {
            return Vec::new();
        };
        let place = table.place.clone();
        let mut params = Vec::new();
        for (name, place, node) in table.named() {
            if names.iter().all(|known| **known != name) {
                place.unknown(
                    &name,
                    "a parameter that `signed` names",
                    names.iter().copied(),
                );
            } else if let Some(text) = node.string("a string") {
                params.push((name, text.to_owned()));
            }
        }
        for name in names {
            if params.iter().all(|(known, _)| known != name) {
                place.missing(name, "the value that `signed` names");
            }
        }
        params
    }

    /// What was not asked for does not belong here.
    fn finish(self) {
        for node in [self.keys, self.secrets, self.params].into_iter().flatten() {
            node.place.fault(
                "a key that this verifier does not have",
                "`keys` with api_key, bearer, basic and query_key; `secrets` with signatures, and with jwt for HS256; `params` where `signed` names some",
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
