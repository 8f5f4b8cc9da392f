//! Every vector through the whole gateway, over HTTPS: a route for each, on one gateway whose clock is set.

use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use hookgate::{
    app::App,
    clock::{Clock, Timestamp},
    config::{Config, Verifier, Verify},
    keys::{Document, FetchFault, FetchRequest, KeyFetcher},
    providers::{IdPlace, Place, Proof},
    signature::{KeySource, Validity},
};
use http::StatusCode;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::support::{
    client::{Client, Reply},
    gateway::{complete, temporary},
};

/// In force for every certificate among the vectors.
const ANY_TIME: i64 = 1_700_000_000;
/// A route takes no secret that is shorter.
const SECRET_BYTES_MIN: usize = 8;
const LONG_SECRET: &str = "in place of a short one";

impl Vector {
    fn is_proven_by_certificate(&self) -> bool {
        let mut schemes = self.preset().schemes().iter();
        schemes.any(|scheme| matches!(scheme.key, KeySource::Certificate { .. }))
    }

    /// The table of the route, which answers in Hookgate's own words.
    fn route(&self) -> String {
        let mut lines = format!(
            "[routes.{}]\npath = \"/{}\"\nprovider = {:?}\ndeliver = []\nrespond = {{}}\n",
            self.id, self.id, self.provider
        );
        if let Some(url) = &self.url {
            let address = url.split('?').next().unwrap();
            writeln!(lines, "public_url = {address:?}").unwrap();
        }
        writeln!(lines, "{}", self.proof()).unwrap();
        if let Some(params) = self.params() {
            writeln!(lines, "params = {params}").unwrap();
        }
        if self.document().is_none() {
            lines += "content = [\"any\"]\nevent_type = { header = \"x-type\" }\n";
            let has_header = |id: &IdPlace| matches!(id, IdPlace::One(Place::Header(_)));
            if !self.preset().event_id.iter().all(has_header) {
                lines += "event_id = { body = \"sha256\" }\n";
            }
        }
        lines
    }

    /// `secrets` or `verify`.
    fn proof(&self) -> String {
        let secrets = match &self.preset().proof {
            Proof::Agreed => {
                let digest = hex::encode(Sha256::digest(&self.secrets()[0]));
                return format!(
                    "verify = {{ api_key = {{ header = \"X-Api-Key\" }}, keys = [{{ name = \"k\", sha256 = \"{digest}\" }}] }}"
                );
            }
            _ if self.is_proven_by_certificate() || self.provider == "google-pubsub" => {
                return String::new();
            }
            // The client's, with which the key is asked for.
            _ if self.provider == "plaid" => vec![LONG_SECRET],
            _ => self.secrets().iter().map(String::as_str).collect(),
        };
        let long = |secret: &&str| match secret.len() {
            SECRET_BYTES_MIN.. => json!({ "value": secret }),
            _ => json!({ "value": LONG_SECRET }),
        };
        let list: Vec<_> = secrets
            .iter()
            .map(|secret| format!("{{ value = {} }}", long(secret)["value"]))
            .collect();
        format!("secrets = [{}]", list.join(", "))
    }

    fn params(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (name, value) = match self.provider.as_str() {
            "paypal" => ("webhook_id", text(&self.extra["webhook_id"])),
            "aws-sns" => ("topic_arn", text(&self.document()?["TopicArn"])),
            "google-pubsub" => (
                "service_account",
                "pusher@proj.iam.gserviceaccount.com".to_owned(),
            ),
            "plaid" => ("client_id", "client".to_owned()),
            _ => return None,
        };
        Some(format!("{{ {name} = {value:?} }}"))
    }

    /// Gives the route the vector's own secret where that is too short for a file.
    fn give_short_secret(&self, verify: &mut Verify) {
        let [secret] = self.secrets() else { return };
        if secret.len() >= SECRET_BYTES_MIN {
            return;
        }
        let Verify::All(verifiers) = verify else {
            panic!("{}: anyone may send", self.id);
        };
        let [Verifier::Signature(verifier)] = &mut verifiers[..] else {
            panic!("{}: {verifiers:?}", self.id);
        };
        for keyed in &mut verifier.schemes {
            let scheme = &keyed.scheme;
            let secret = scheme.keyed_secret("short", secret.as_bytes(), Validity::default());
            keyed.secrets = vec![secret.unwrap()];
        }
    }

    async fn send(&self, client: &Client) -> Reply {
        let query = self.url.as_deref().and_then(|url| url.split_once('?'));
        let query = query.map_or(String::new(), |(_, query)| format!("?{query}"));
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let method = self.method.parse().unwrap();
        let path = format!("/{}{query}", self.id);
        client.send(method, &path, &headers, self.body()).await
    }

    fn assert_answer(&self, reply: &Reply) {
        if !self.valid {
            assert_eq!(
                reply.status,
                StatusCode::UNAUTHORIZED,
                "{}: {}",
                self.id,
                reply.text()
            );
            return;
        }
        assert_eq!(
            reply.status,
            StatusCode::OK,
            "{}: {}",
            self.id,
            reply.text()
        );
        assert_eq!(reply.outcome(), "accepted", "{}", self.id);
        let json = reply.json();
        let id = json["id"].as_str().unwrap();
        match &self.expected_event_id {
            // A deploy's id comes again in each of its states.
            Some(expected) if self.provider == "netlify" => {
                assert_eq!(id, format!("{expected}|ready"), "{}", self.id);
            }
            Some(expected) => assert_eq!(id, expected, "{}", self.id),
            None => {}
        }
    }
}

/// Gives out the keys of the vectors at the addresses of their owners.
struct Owners {
    certificate: String,
    jwks: Value,
    jwk: Value,
}

impl Owners {
    fn of(vectors: &[Vector]) -> Self {
        let extra = |provider: &str, name: &str| {
            let vector = vectors.iter().find(|vector| vector.provider == provider);
            vector.unwrap().extra[name].clone()
        };
        let certificate = extra("aws-sns", "cert_pem");
        assert_eq!(certificate, extra("paypal", "cert_pem"));
        Self {
            certificate: certificate.as_str().unwrap().to_owned(),
            jwks: extra("google-pubsub", "jwks"),
            jwk: extra("plaid", "jwk"),
        }
    }
}

#[async_trait]
impl KeyFetcher for Owners {
    async fn fetch(&self, request: &FetchRequest) -> Result<Document, FetchFault> {
        let asked = request.json.as_ref().map(|json| json.as_str());
        let body = match request.url.as_str() {
            "https://www.googleapis.com/oauth2/v3/certs" => self.jwks.to_string(),
            "https://production.plaid.com/webhook_verification_key/get"
                if asked.is_some_and(|json| json.contains(LONG_SECRET)) =>
            {
                json!({ "key": self.jwk }).to_string()
            }
            url if url.starts_with("https://sns.us-west-2.amazonaws.com/")
                || url.starts_with("https://api.paypal.com/") =>
            {
                self.certificate.clone()
            }
            other => return Err(FetchFault(format!("nobody has {other}"))),
        };
        Ok(Document {
            status: 200,
            max_age: None,
            body: Bytes::from(body),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vector_gets_its_verdict_and_its_id_over_https() {
    let vectors = Vector::all();
    let routes: String = vectors.iter().map(Vector::route).collect();
    let directory = temporary();
    let text = complete(&routes, "127.0.0.1:0", "127.0.0.1:0");
    let config = Config::parse(&text, "routes.toml", directory.path(), &|_| None);
    let mut config = config.unwrap_or_else(|faults| panic!("{faults}"));
    for vector in &vectors {
        let found = config
            .routes
            .iter_mut()
            .find(|route| *route.name == vector.id);
        let route = Arc::get_mut(found.unwrap()).unwrap();
        vector.give_short_secret(&mut route.verify);
        // What is signed is judged here, and handshakes elsewhere.
        route.handshakes = &[];
    }
    let (clock, hand) = Clock::manual(Timestamp::from_secs(ANY_TIME));
    let owners = Arc::new(Owners::of(&vectors));
    let app = App::start_with(config, clock, Some(owners)).await.unwrap();
    let client = Client::https(app.public_addr(), app.certificate_pem());

    let mut seen: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for vector in &vectors {
        hand.step(Timestamp::from_secs(vector.now_unix.unwrap_or(ANY_TIME)));
        vector.assert_answer(&vector.send(&client).await);
        seen.entry(vector.provider.clone()).or_default()[usize::from(vector.valid)] += 1;
    }
    assert_eq!(seen, tally());
    app.stop().await;
}
