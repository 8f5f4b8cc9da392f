//! Certificates: from where they may come, and what is taken from them.

use hookgate::{
    clock::Timestamp,
    signature::{
        Algorithm, CertificateFault, Encoding, KeySource, KeyedScheme, Message, Method, Part,
        Refusal, Scheme, Signing, Source, certificate_url, key_of_certificate,
    },
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};

use super::{List, by_hand, keys::RSA};

fn source(hosts: &[&str], path_ends: &str) -> KeySource {
    KeySource::Certificate {
        url: Part::Header("x-cert-url".into()),
        hosts: hosts.iter().map(|host| (*host).to_owned().into()).collect(),
        path_ends: path_ends.to_owned().into(),
    }
}

#[test]
fn an_address_is_allowed_only_as_it_is_meant() {
    let sns = source(
        &[
            "sns.{region}.amazonaws.com",
            "sns.{region}.amazonaws.com.cn",
        ],
        ".pem",
    );
    for url in [
        "https://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.us-gov-west-1.amazonaws.com/a.pem",
        "https://sns.cn-north-1.amazonaws.com.cn/Simple-0.pem",
    ] {
        assert_eq!(sns.allowed(url).map(String::from).as_deref(), Some(url));
    }
    for url in [
        "",
        "sns.eu-west-1.amazonaws.com/a.pem",
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "ftp://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem2",
        "https://sns.eu-west-1.amazonaws.com/a.pem?x",
        "https://sns.eu-west-1.amazonaws.com/a?.pem",
        "https://sns.eu-west-1.amazonaws.com/a#.pem",
        "https://sns.eu-west-1.amazonaws.com/../a.pem",
        "https://sns.eu-west-1.amazonaws.com/%2e%2e/a.pem",
        "https://sns.eu-west-1.amazonaws.com/\\a.pem",
        "https://sns.eu-west-1.amazonaws.com\\@evil.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com:443/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-west-1.amazonaws.com./a.pem",
        "https://SNS.eu-west-1.amazonaws.com/a.pem",
        "https://user@sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://sns.amazonaws.com/a.pem",
        "https://sns..amazonaws.com/a.pem",
        // Buckets, which are anybody's.
        "https://sns.s3.amazonaws.com/a.pem",
        "https://sns.s3-eu-west-1.amazonaws.com/a.pem",
        "https://sns.s3-website-eu-west-1.amazonaws.com/a.pem",
        "https://sns.s3.amazonaws.com.cn/a.pem",
        "https://sns.elb.amazonaws.com/a.pem",
        "https://sns.eu-1.amazonaws.com/a.pem",
        "https://sns.-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-.amazonaws.com/a.pem",
        "https://bucket.s3.amazonaws.com/a.pem",
        "https://sns.s3.evil.amazonaws.com/a.pem",
        "https://127.0.0.1/a.pem",
        "https://[::1]/a.pem",
        " https://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem\n",
        "https://sns.eu\t-west-1.amazonaws.com/a.pem",
    ] {
        assert_eq!(sns.allowed(url), None, "{url:?}");
    }
    let paypal = source(&["*.paypal.com"], "");
    for url in [
        "https://api.paypal.com/c",
        "https://api.sandbox.paypal.com/c/CERT-1",
    ] {
        assert!(paypal.allowed(url).is_some(), "{url}");
    }
    for url in [
        "https://paypal.com/c",
        "https://evilpaypal.com/c",
        "https://paypal.com.evil.example/c",
    ] {
        assert_eq!(paypal.allowed(url), None, "{url}");
    }
    assert_eq!(KeySource::Secrets.allowed("https://api.paypal.com/c"), None);
}

fn scheme() -> Scheme {
    Scheme {
        method: Method::Rsa(Algorithm::Sha256),
        encoding: Encoding::Base64,
        key: source(&["*.example.com"], ""),
        ..by_hand("{body}")
    }
}

fn keyless(scheme: Scheme) -> [KeyedScheme; 1] {
    [KeyedScheme {
        scheme,
        secrets: Vec::new(),
    }]
}

#[test]
fn the_request_names_the_address_and_without_the_key_it_proves_nothing() {
    let now = Timestamp::from_secs(1_700_000_000);
    let schemes = keyless(scheme());
    let key = scheme()
        .signing_key("RSA", RSA.serialize_pem().as_bytes())
        .unwrap();
    let signed = scheme()
        .sign(&key, &Signing::new("", now, b"body"))
        .unwrap();
    let mut headers = List::of(&signed.headers);
    let wanted = |headers: &List| {
        let url = certificate_url(&schemes, &Message::new(headers, b"body"));
        url.map(|url| url.map(String::from))
    };
    assert_eq!(wanted(&headers), Err(Refusal::MissingSignature));
    headers
        .0
        .push(("x-cert-url".to_owned(), b"https://evil.example/c".to_vec()));
    assert_eq!(wanted(&headers), Err(Refusal::MalformedSignature));
    let named = headers.with("x-cert-url", "https://a.example.com/c");
    assert_eq!(
        wanted(&named),
        Ok(Some("https://a.example.com/c".to_owned()))
    );
    assert_eq!(
        wanted(&named.doubled("x-cert-url")),
        Err(Refusal::RepeatedHeader)
    );
    assert_eq!(
        wanted(&named.without("x-signature")),
        Err(Refusal::MissingSignature)
    );
    let by_secret = keyless(by_hand("{body}"));
    assert_eq!(
        certificate_url(&by_secret, &Message::new(&named, b"body")),
        Ok(None)
    );
    assert_eq!(
        certificate_url(&[], &Message::new(&named, b"body")),
        Ok(None)
    );

    let verdict = |fetched_key: Option<&[u8]>| {
        let message = Message {
            fetched_key,
            ..Message::new(&named, b"body")
        };
        hookgate::signature::verify(&schemes, &message, now).map(|proven| proven.secret)
    };
    let own = RSA.subject_public_key_info();
    let other = KeyPair::generate().unwrap().subject_public_key_info();
    assert_eq!(verdict(Some(&own)), Ok(0));
    for key in [None, Some(&other[..]), Some(b"no key")] {
        assert_eq!(verdict(key), Err(Refusal::SignatureMismatch));
    }
}

#[test]
fn the_key_is_taken_from_a_certificate_that_is_valid_now() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2025, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let [start, end] = [1_704_067_200, 1_735_689_600];
    let chain = certificate.pem() + &RSA.public_key_pem();
    for bytes in [
        certificate.pem().as_bytes(),
        chain.as_bytes(),
        certificate.der(),
    ] {
        let taken = |now: i64| key_of_certificate(bytes, Timestamp::from_secs(now));
        assert_eq!(taken(start), Ok(key.subject_public_key_info()));
        assert_eq!(taken(end), Ok(key.subject_public_key_info()));
        assert_eq!(taken(start - 1), Err(CertificateFault::Early));
        assert_eq!(taken(end + 1), Err(CertificateFault::Expired));
    }
    let pem = certificate.pem();
    for garbage in ["", "garbage", &pem[..200], &RSA.public_key_pem()] {
        let taken = key_of_certificate(garbage.as_bytes(), Timestamp::from_secs(start));
        assert_eq!(taken, Err(CertificateFault::Unreadable), "{garbage}");
    }
}

#[test]
fn a_certificate_stands_where_the_scheme_says_in_json_too() {
    let scheme = Scheme {
        signature: Source::Json("/sig".into()),
        key: KeySource::Certificate {
            url: Part::Json("/cert".into()),
            hosts: vec!["*.example.com".into()].into(),
            path_ends: ".pem".into(),
        },
        ..scheme()
    };
    let none = List(Vec::new());
    let body = br#"{"sig":"AAAA","cert":"https://a.example.com/c.pem"}"#;
    let message = Message {
        document: &|| serde_json::from_slice(body).ok(),
        ..Message::new(&none, body)
    };
    let url = certificate_url(&keyless(scheme), &message);
    assert_eq!(
        url.unwrap().unwrap().as_str(),
        "https://a.example.com/c.pem"
    );
}
