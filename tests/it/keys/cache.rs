//! Keys are fetched when they must be, once for all who wait, and kept as long as they may be.

use std::{sync::Arc, time::Instant};

use hookgate::{
    clock::{Clock, ClockHand, Timestamp},
    keys::{Asked, Asker, Found, KeyFault, Keys},
    metrics::{Labels, Metrics, RouteLabels, RouteMetrics},
    signature::jwt::{Audience, JwtAlgorithm, JwtRule, Token},
};
use serde_json::json;
use tokio::runtime::Handle;
use url::Url;

use super::{Fetcher, document, for_seconds, jwks};
use crate::support::{
    tokens::{ED25519, Signer},
    wait_for,
};

const URL: &str = "https://issuer.example/jwks";
const START: i64 = 1_700_000_000;

struct Rig {
    fetcher: Arc<Fetcher>,
    keys: Keys,
    hand: ClockHand,
    metrics: Arc<RouteMetrics>,
    asker: Asker,
    url: Url,
}

impl Rig {
    fn new() -> Self {
        let fetcher = Arc::new(Fetcher::new());
        let (clock, hand) = Clock::manual(Timestamp::from_secs(START));
        let metrics = metrics();
        Self {
            keys: Keys::new(fetcher.clone(), clock, Handle::current()),
            asker: Asker::new(metrics.clone(), Instant::now()),
            metrics,
            fetcher,
            hand,
            url: URL.parse().unwrap(),
        }
    }

    fn serve(&self, kids: &[&str]) {
        self.fetcher.answer(URL, set(kids));
    }

    fn at(&self, seconds: i64) {
        self.hand.set(Timestamp::from_secs(START + seconds));
    }

    fn asked(&self) -> Asked<'_> {
        Asked::Jwks {
            url: &self.url,
            allow_private: false,
        }
    }

    /// Whether there are keys, and among them this one.
    async fn get(&self, kid: &str) -> Result<bool, KeyFault> {
        let token = token(kid);
        let token = read(&token);
        let asked = self.asked();
        let found = self.keys.obtain(&asked, Some(&token), &self.asker);
        Ok(match &*found.await? {
            Found::Keys(keys) => keys.knows(&token),
            Found::Certificate(_) => panic!("a certificate among keys"),
        })
    }
}

fn metrics() -> Arc<RouteMetrics> {
    let route = RouteLabels {
        name: "in".into(),
        credentials: Vec::new(),
        credentials_end: Vec::new(),
        handshakes: Vec::new(),
        targets: Vec::new(),
    };
    let labels = Labels {
        routes: &[route],
        targets: &[],
        reasons: &[],
    };
    Metrics::new(&labels).unwrap().route("in").unwrap()
}

fn set(kids: &[&str]) -> hookgate::keys::Document {
    let signer = Signer::EdDsa(&ED25519);
    jwks(&kids.iter().map(|kid| signer.jwk(kid)).collect::<Vec<_>>())
}

fn token(kid: &str) -> String {
    Signer::EdDsa(&ED25519).token_with(&json!({"alg": "EdDSA", "kid": kid}), &json!({}))
}

fn read(token: &str) -> Token<'_> {
    let rule = JwtRule {
        header: "authorization".into(),
        prefix: "".into(),
        algorithms: vec![JwtAlgorithm::EdDsa].into(),
        issuers: Vec::new().into(),
        audience: Audience::Anyone,
        expires: false,
        max_age: None,
        leeway: std::time::Duration::ZERO,
        body_sha256: None,
        claims: Vec::new().into(),
    };
    rule.read(token.as_bytes()).unwrap()
}

fn is_unavailable(result: Result<bool, KeyFault>) -> bool {
    matches!(result, Err(KeyFault::Unavailable { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_as_long_as_their_owner_says_within_bounds() {
    const DAY: i64 = 86_400;
    let rows = [
        (None, 900),
        (Some(300), 300),
        (Some(0), 60),
        (Some(59), 60),
        (Some(10 * DAY as u64), DAY),
    ];
    for (max_age, kept) in rows {
        let rig = Rig::new();
        rig.fetcher.answer(
            URL,
            match max_age {
                Some(seconds) => for_seconds(set(&["a"]), seconds),
                None => set(&["a"]),
            },
        );
        for (at, fetches) in [(0, 1), (kept - 1, 1), (kept, 2), (kept + 1, 2)] {
            rig.at(at);
            assert_eq!(rig.get("a").await, Ok(true), "{max_age:?} at {at}");
            assert_eq!(rig.fetcher.fetches(), fetches, "{max_age:?} at {at}");
        }
        assert_eq!(rig.metrics.key_fetched.get(), 2);
        assert_eq!(rig.metrics.key_fetch_failed.get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fetch_serves_all_who_wait_and_no_more_wait_than_may() {
    const WAITERS_MAX: usize = 256;
    let rig = Arc::new(Rig::new());
    rig.serve(&["a"]);
    rig.fetcher.open.send_replace(false);
    let waiting: Vec<_> = (0..WAITERS_MAX + 50)
        .map(|_| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.get("a").await })
        })
        .collect();
    // Those who found no place are told so while the others wait.
    wait_for("fifty to be turned away", async || {
        let ended = waiting.iter().filter(|one| one.is_finished()).count();
        (ended == 50).then_some(())
    })
    .await;
    assert_eq!(rig.fetcher.fetches(), 1);
    rig.fetcher.open.send_replace(true);
    let mut served = 0;
    for one in waiting {
        let result = one.await.unwrap();
        served += usize::from(result == Ok(true));
        assert!(result == Ok(true) || is_unavailable(result));
    }
    assert_eq!((served, rig.fetcher.fetches()), (WAITERS_MAX, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_ends_no_fetch() {
    let rig = Arc::new(Rig::new());
    rig.serve(&["a"]);
    rig.fetcher.open.send_replace(false);
    let gone = tokio::spawn({
        let rig = rig.clone();
        async move { rig.get("a").await }
    });
    wait_for("the fetch to begin", async || {
        (rig.fetcher.fetches() == 1).then_some(())
    })
    .await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    rig.fetcher.open.send_replace(true);
    assert_eq!(rig.get("a").await, Ok(true));
    assert_eq!(rig.fetcher.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kid_is_asked_for_once_a_minute() {
    let rig = Rig::new();
    rig.serve(&["a"]);
    assert_eq!(rig.get("a").await, Ok(true));
    // The set is new: whoever does not know the key now has none such.
    for kid in ["b", "c", "b"] {
        assert_eq!(rig.get(kid).await, Ok(false));
    }
    assert_eq!(rig.fetcher.fetches(), 1);
    rig.serve(&["a", "b"]);
    rig.at(59);
    assert_eq!(rig.get("b").await, Ok(false));
    rig.at(60);
    assert_eq!(rig.get("b").await, Ok(true));
    assert_eq!(rig.fetcher.fetches(), 2);
    for _ in 0..20 {
        assert_eq!(rig.get("forged").await, Ok(false));
    }
    assert_eq!(rig.fetcher.fetches(), 2);
    // That it cannot be asked for is not the caller's fault, and costs those nothing whose key is known.
    rig.fetcher.fail(URL);
    rig.at(120);
    assert!(is_unavailable(rig.get("d").await));
    assert!(is_unavailable(rig.get("d").await));
    assert_eq!(rig.get("a").await, Ok(true));
    assert_eq!(rig.fetcher.fetches(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_serve_on_for_a_day_while_their_address_fails() {
    const DAY: i64 = 86_400;
    let rig = Rig::new();
    rig.serve(&["a"]);
    assert_eq!(rig.get("a").await, Ok(true));
    let broken = [
        (900, None),
        (1_000, Some(document(500, "{}"))),
        (2_000, Some(document(200, "<html>"))),
        (3_000, Some(document(200, r#"{"keys":[]}"#))),
        (4_000, Some(document(301, ""))),
        (900 + DAY - 1, None),
    ];
    for (index, (after, broken)) in broken.into_iter().enumerate() {
        match broken {
            Some(broken) => rig.fetcher.answer(URL, broken),
            None => rig.fetcher.fail(URL),
        }
        rig.at(after);
        assert_eq!(rig.get("a").await, Ok(true), "{after}");
        let failed = index as u64 + 1;
        wait_for("the fetch to end", async || {
            (rig.metrics.key_fetch_failed.get() == failed).then_some(())
        })
        .await;
        // It was tried, and is not tried again at once.
        rig.at(after + 9);
        assert_eq!(rig.get("a").await.is_ok(), after < 900 + DAY - 9, "{after}");
        assert_eq!(rig.fetcher.fetches() as u64, 1 + failed, "{after}");
    }
    rig.at(900 + DAY + 10);
    assert!(is_unavailable(rig.get("a").await));
    // It is well again, and found to be so after ten seconds.
    rig.serve(&["a"]);
    rig.at(900 + DAY + 19);
    assert!(is_unavailable(rig.get("a").await));
    rig.at(900 + DAY + 20);
    assert_eq!(rig.get("a").await, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_back_proves_nothing_once_its_time_is_up() {
    let rig = Rig::new();
    rig.serve(&["a"]);
    assert_eq!(rig.get("a").await, Ok(true));
    rig.serve(&["b"]);
    rig.at(899);
    assert_eq!(rig.get("a").await, Ok(true));
    rig.at(900);
    assert_eq!(rig.get("a").await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_fails_is_asked_every_ten_seconds() {
    let rig = Rig::new();
    for (at, fetches) in [(0, 1), (1, 1), (9, 1), (10, 2), (15, 2), (20, 3)] {
        rig.at(at);
        assert!(is_unavailable(rig.get("a").await), "{at}");
        assert_eq!(rig.fetcher.fetches(), fetches, "{at}");
    }
    assert_eq!(rig.metrics.key_fetch_failed.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_no_such_key_is_believed_for_a_minute() {
    let rig = Rig::new();
    let url: Url = "https://sns.eu-west-1.amazonaws.com/x.pem".parse().unwrap();
    rig.fetcher.answer(url.as_str(), document(404, "no"));
    let asked = Asked::Certificate { url: &url };
    for (at, fetches) in [(0, 1), (59, 1), (60, 2)] {
        rig.at(at);
        let found = rig.keys.obtain(&asked, None, &rig.asker).await;
        assert_eq!(found.unwrap_err(), KeyFault::Absent, "{at}");
        assert_eq!(rig.fetcher.fetches(), fetches, "{at}");
    }
    // Of a JWKS, at an address of the configuration, it is a mistake of ours.
    rig.fetcher.answer(URL, document(404, "no"));
    assert!(is_unavailable(rig.get("a").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_requests_name_are_few_a_minute_and_few_in_all() {
    let rig = Rig::new();
    let certificate = rcgen::generate_simple_self_signed(["signer.example".to_owned()]).unwrap();
    let good: Url = "https://sns.eu-west-1.amazonaws.com/good.pem"
        .parse()
        .unwrap();
    let answer = for_seconds(document(200, certificate.cert.pem()), 86_400);
    rig.fetcher.answer(good.as_str(), answer);
    let get = async |url: &Url, asker: &Asker| {
        let asked = Asked::Certificate { url };
        let found = rig.keys.obtain(&asked, None, asker).await;
        found.map(|found| matches!(&*found, Found::Certificate(_)))
    };
    assert_eq!(get(&good, &rig.asker).await, Ok(true));
    // The route has nine more fetches; another route has its own.
    for number in 0..50 {
        let url = good.join(&format!("forged-{number}.pem")).unwrap();
        assert!(is_unavailable(get(&url, &rig.asker).await));
    }
    assert_eq!(rig.fetcher.fetches(), 10);
    // Two thousand addresses that fail do not push out the one that does not.
    let mut failed = 0;
    for route in 0..200 {
        let asker = Asker::new(rig.metrics.clone(), Instant::now());
        for number in 0..10 {
            let url = good.join(&format!("{route}/{number}.pem")).unwrap();
            failed += usize::from(is_unavailable(get(&url, &asker).await));
        }
    }
    assert_eq!((failed, rig.fetcher.fetches()), (2_000, 2_010));
    assert_eq!(get(&good, &rig.asker).await, Ok(true));
    assert_eq!(rig.fetcher.fetches(), 2_010);
    assert!(rig.keys.kept() <= 1_024, "{} are kept", rig.keys.kept());
    // Nor do those who use up the fetches keep the one that is known from being asked for again.
    rig.at(86_400);
    let forged = good.join("forged.pem").unwrap();
    assert!(is_unavailable(get(&forged, &rig.asker).await));
    assert_eq!(get(&good, &rig.asker).await, Ok(true));
    assert_eq!(rig.fetcher.fetches(), 2_011);
}
