//! The fetcher itself, against servers over TLS that do as they please.

use std::sync::Arc;

use hookgate::{
    keys::{
        DOCUMENT_BYTES_MAX, Document, FETCH_DEADLINE, FetchFault, FetchRequest, HttpFetcher,
        KeyFetcher,
    },
    outbound::Names,
};
use rcgen::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tokio::time::timeout;

use crate::support::receiver::{Receiver, Reply};

/// A server for `localhost` and the fetcher that trusts it.
pub(super) async fn server() -> (Receiver, HttpFetcher) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let fetcher = HttpFetcher::new(Some(Arc::new(roots)), &Names::of_system()).unwrap();
    (Receiver::start_tls(config).await, fetcher)
}

fn request(url: &str) -> FetchRequest {
    FetchRequest {
        url: url.parse().unwrap(),
        allow_private: true,
        json: None,
    }
}

async fn fetch(fetcher: &HttpFetcher, request: FetchRequest) -> Result<Document, FetchFault> {
    let in_time = timeout(FETCH_DEADLINE, fetcher.fetch(&request)).await;
    in_time.unwrap_or_else(|_| Err(FetchFault("late".to_owned())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_comes_over_tls_with_how_long_it_may_be_kept() {
    let (server, fetcher) = server().await;
    let rows = [
        ("public, max-age=300, must-revalidate", Some(300)),
        ("MAX-AGE=7", Some(7)),
        ("max-age=300, no-store", Some(0)),
        ("no-cache", Some(0)),
        ("max-age=soon", None),
        ("public", None),
    ];
    for (header, seconds) in rows {
        server.script([Reply::status(200)
            .header("Cache-Control", header)
            .body("{}")]);
        let document = fetch(&fetcher, request(&server.named_url())).await.unwrap();
        assert_eq!(document.status, 200);
        assert_eq!(&document.body[..], b"{}");
        assert_eq!(
            document.max_age.map(|age| age.as_secs()),
            seconds,
            "{header}"
        );
    }
    let mut secret = request(&server.named_url());
    secret.json = Some(r#"{"secret":"s"}"#.to_owned().into());
    fetch(&fetcher, secret).await.unwrap();
    let requests = server.requests();
    let (gets, post) = requests.split_at(rows.len());
    assert!(
        gets.iter()
            .all(|get| get.method == "GET" && get.body.is_empty())
    );
    assert_eq!(post[0].method, "POST");
    assert_eq!(post[0].header("content-type"), Some("application/json"));
    assert_eq!(post[0].body, br#"{"secret":"s"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_wrong_ends() {
    let (server, fetcher) = server().await;
    let large = vec![b' '; DOCUMENT_BYTES_MAX];
    let larger = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    server.script([
        Reply::status(302).header("Location", server.named_url()),
        Reply::status(200).body(large),
        Reply::status(200).body(larger),
        Reply::endless(),
        Reply::garbage(),
        Reply::reset(),
        Reply::cut("half"),
        Reply::drip(),
        Reply::hang(),
    ]);
    let mut results = Vec::new();
    for _ in 0..9 {
        results.push(fetch(&fetcher, request(&server.named_url())).await);
    }
    // Redirects are told and not followed.
    assert_eq!(results[0].as_ref().unwrap().status, 302);
    assert_eq!(results[1].as_ref().unwrap().body.len(), DOCUMENT_BYTES_MAX);
    for (index, result) in results[2..].iter().enumerate() {
        assert!(result.is_err(), "{index}: {result:?}");
    }
    assert_eq!(server.requests().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_proves_itself_and_stands_where_it_may() {
    let (server, fetcher) = server().await;
    let (_, stranger) = self::server().await;
    let fault = async |fetcher: &HttpFetcher, request| {
        let fetched = fetch(fetcher, request).await;
        fetched.unwrap_err().to_string()
    };
    let unproven = fault(&stranger, request(&server.named_url())).await;
    assert!(unproven.contains("certificate"), "{unproven}");
    let misnamed = fault(&fetcher, request(&server.url())).await;
    assert!(misnamed.contains("certificate"), "{misnamed}");
    for url in [server.named_url(), server.url()] {
        let mut guarded = request(&url);
        guarded.allow_private = false;
        let refused = fault(&fetcher, guarded).await;
        assert!(refused.contains("allow_private"), "{refused}");
    }
    let plain = Receiver::start().await;
    let mut open = request(&plain.url());
    open.allow_private = false;
    fetch(&fetcher, open).await.unwrap();
    for url in [
        plain.named_url(),
        "http://192.0.2.1/".to_owned(),
        plain.url().replace("http://", "http://user@"),
        "file:///etc/passwd".to_owned(),
    ] {
        let refused = fault(&fetcher, request(&url)).await;
        assert_eq!(refused, "an address that is not https", "{url}");
    }
    assert_eq!((server.requests().len(), plain.requests().len()), (0, 1));
}
