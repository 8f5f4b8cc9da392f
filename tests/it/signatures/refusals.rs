//! What is refused, and which refusal is told.

use std::time::Duration;

use hookgate::{
    clock::Timestamp,
    providers::preset,
    signature::{
        self, Encoding, Form, Guard, KeyedScheme, KeyedSecret, Message, Method, Part, Proven,
        Refusal, Scheme, Signing, Source, Test, TimestampRule, Unit, Validity,
    },
};

use super::{List, by_hand};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECRET: &str = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=";

fn keyed(scheme: &Scheme, secret: &str, not_after: Option<Timestamp>) -> KeyedSecret {
    let validity = Validity {
        not_before: None,
        not_after,
    };
    super::keyed(scheme, secret, validity)
}

fn signed_headers(scheme: &Scheme, secret: &KeyedSecret, given: &Signing<'_>) -> List {
    List::of(&scheme.sign(secret, given).expect("a secret signs").headers)
}

/// The first scheme of `provider`, a request that it signed with [`SECRET`] at [`NOW`], and its signature's header.
fn signed(provider: &str) -> (&'static Scheme, List, &'static str) {
    let scheme = &preset(provider).expect("a preset").schemes()[0];
    let given = Signing::new("msg_1", NOW, b"body");
    let headers = signed_headers(scheme, &keyed(scheme, SECRET, None), &given);
    let Source::Headers(names) = &scheme.signature else {
        panic!("{provider} signs in a header");
    };
    (scheme, headers, &names[0])
}

fn judged(
    scheme: &Scheme,
    secrets: &[KeyedSecret],
    headers: &List,
    now: Timestamp,
) -> Result<usize, Refusal> {
    super::verify(scheme, secrets, headers, b"body", now)
}

fn verify(scheme: &Scheme, headers: &List) -> Result<usize, Refusal> {
    judged(scheme, &[keyed(scheme, SECRET, None)], headers, NOW)
}

#[test]
fn each_header_must_stand_there_exactly_once() {
    let mut seen = 0;
    for provider in ["github", "shopify", "slack", "standard-webhooks", "stripe"] {
        let (scheme, good, signature) = signed(provider);
        assert_eq!(verify(scheme, &good), Ok(0), "{provider}");
        for (name, _) in &good.0 {
            seen += 1;
            let missing = match name.ends_with("timestamp") {
                true => Refusal::MissingTimestamp,
                false => Refusal::MissingSignature,
            };
            let without = good.without(name);
            assert_eq!(verify(scheme, &without), Err(missing), "{provider} {name}");
            let doubled = good.doubled(name);
            let repeated = Err(Refusal::RepeatedHeader);
            assert_eq!(verify(scheme, &doubled), repeated, "{provider} {name}");
        }
        let none = verify(scheme, &List(vec![]));
        assert_eq!(none, Err(Refusal::MissingSignature), "{provider}");
        assert!(good.0.iter().any(|(name, _)| name == signature));
    }
    assert_eq!(seen, 8, "1 + 1 + 2 + 3 + 1 headers");
}

#[test]
fn a_signature_must_be_a_whole_digest_in_its_form() {
    let (github, good, header) = signed("github");
    let value = good.value(header);
    let digits = &value["sha256=".len()..];
    let other_digit = if value.ends_with('0') { "1" } else { "0" };
    let malformed = Err(Refusal::MalformedSignature);
    for (text, expected) in [
        (format!("sha256={}", digits.to_uppercase()), Ok(0)),
        (String::new(), malformed),
        (digits.to_owned(), malformed),
        (format!("sha1={digits}"), malformed),
        (format!("SHA256={digits}"), malformed),
        (format!("{value} "), malformed),
        (format!("{value}00"), malformed),
        (value[..value.len() - 1].to_owned(), malformed),
        (value[..value.len() - 2].to_owned(), malformed),
        (format!("{}g", &value[..value.len() - 1]), malformed),
        (
            format!("{}{other_digit}", &value[..value.len() - 1]),
            Err(Refusal::SignatureMismatch),
        ),
    ] {
        assert_eq!(
            verify(github, &good.with(header, &text)),
            expected,
            "{text}"
        );
    }
    let (shopify, good, header) = signed("shopify");
    let value = good.value(header);
    for text in [
        value.trim_end_matches('='),
        &value.replace('=', ""),
        &format!("{value}="),
        &value[..40],
        &"-".repeat(44),
        // 33 and 31 bytes.
        &"A".repeat(44),
        &format!("{}==", "A".repeat(42)),
    ] {
        let verdict = verify(shopify, &good.with(header, text));
        assert_eq!(verdict, malformed, "{text}");
    }
}

#[test]
fn any_entry_of_a_list_may_match_and_others_are_skipped() {
    let (scheme, good, header) = signed("standard-webhooks");
    let value = good.value(header).to_owned();
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let malformed = Err(Refusal::MalformedSignature);
    for (text, expected) in [
        (format!("{wrong} {value}"), Ok(0)),
        (format!("{value} {wrong}"), Ok(0)),
        (format!("v1,! v1a,x  v1 {value}"), Ok(0)),
        (format!("{}{value}", format!("{wrong} ").repeat(15)), Ok(0)),
        (
            format!("{}{value}", format!("{wrong} ").repeat(16)),
            malformed,
        ),
        (format!("{value}{}", " v1a,x".repeat(16)), malformed),
        (value.replace("v1,", "v1a,"), malformed),
        (value.replace("v1,", "V1,"), malformed),
        ("v1,! v1,".to_owned(), malformed),
        (wrong.to_owned(), Err(Refusal::SignatureMismatch)),
    ] {
        assert_eq!(
            verify(scheme, &good.with(header, &text)),
            expected,
            "{text}"
        );
    }
}

#[test]
fn pairs_are_read_whatever_their_order_and_an_ambiguous_one_is_refused() {
    let (scheme, good, header) = signed("stripe");
    let value = good.value(header);
    let (time, signature) = value.split_once(',').expect("t=…,v1=…");
    let malformed = Err(Refusal::MalformedSignature);
    for (text, expected) in [
        (format!("{signature}, {time}"), Ok(0)),
        (format!("{time},v1=00,{signature},v0=1"), Ok(0)),
        (
            format!("{time},{}", signature.replace("v1", "v0")),
            malformed,
        ),
        (time.to_owned(), malformed),
        (format!("{time},{value}"), malformed),
        (format!("t=1,{signature},{time}"), malformed),
        (signature.to_owned(), Err(Refusal::MissingTimestamp)),
        (format!("t=,{signature}"), Err(Refusal::StaleTimestamp)),
        (format!("{value}{}", ",v1=1".repeat(15)), malformed),
    ] {
        assert_eq!(
            verify(scheme, &good.with(header, &text)),
            expected,
            "{text}"
        );
    }
}

/// What a scheme with the tolerance −5 s … +2 s says of each timestamp, signed as it stands.
fn judge(unit: Unit, text: &str, now: Timestamp) -> Result<usize, Refusal> {
    let (slack, good, header) = signed("slack");
    let name = "x-slack-request-timestamp";
    let as_it_stands = Scheme {
        timestamp: None,
        ..slack.clone()
    };
    let as_given = [(name.to_owned(), text.to_owned())];
    let given = Signing {
        headers: &as_given,
        ..Signing::new("", NOW, b"body")
    };
    let secret = keyed(slack, SECRET, None);
    let signature = signed_headers(&as_it_stands, &secret, &given);
    let scheme = Scheme {
        timestamp: Some(TimestampRule {
            source: Part::Header(name.into()),
            unit,
            past: Some(Duration::from_secs(5)),
            future: Some(Duration::from_secs(2)),
        }),
        ..slack.clone()
    };
    let headers = good.with(name, text).with(header, signature.value(header));
    judged(&scheme, &[secret], &headers, now)
}

#[test]
fn the_tolerance_is_inclusive_on_both_sides() {
    let at = Timestamp::from_millis;
    let stale = Err(Refusal::StaleTimestamp);
    for (unit, text, now, expected) in [
        (Unit::Seconds, "100", at(105_000), Ok(0)),
        (Unit::Seconds, "100", at(105_999), Ok(0)),
        (Unit::Seconds, "100", at(106_000), stale),
        (Unit::Seconds, "100", at(98_000), Ok(0)),
        (Unit::Seconds, "100", at(97_999), stale),
        (Unit::Millis, "100000", at(105_000), Ok(0)),
        (Unit::Millis, "100000", at(105_001), stale),
        (Unit::Millis, "100000", at(98_000), Ok(0)),
        (Unit::Millis, "100000", at(97_999), stale),
    ] {
        assert_eq!(judge(unit, text, now), expected, "{unit:?} {text} {now:?}");
    }
}

#[test]
fn a_timestamp_is_digits_only() {
    let now = Timestamp::from_secs(100);
    assert_eq!(judge(Unit::Seconds, "0100", now), Ok(0));
    for text in [
        "",
        "+100",
        "-100",
        " 100",
        "100 ",
        "100.0",
        "1e2",
        "0x64",
        "\u{661}\u{660}\u{660}",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999999999999999999",
    ] {
        for unit in [Unit::Seconds, Unit::Millis] {
            let verdict = judge(unit, text, now);
            assert_eq!(verdict, Err(Refusal::StaleTimestamp), "{text:?}");
        }
    }
}

#[test]
fn an_unchecked_future_still_refuses_what_is_no_number() {
    let (scheme, good, header) = signed("stripe");
    let long_ago = Timestamp::from_secs(0);
    let secrets = [keyed(scheme, SECRET, None)];
    assert_eq!(judged(scheme, &secrets, &good, long_ago), Ok(0));
    let huge = good.with(header, "t=9223372036854775807,v1=00");
    let verdict = judged(scheme, &secrets, &huge, long_ago);
    assert_eq!(verdict, Err(Refusal::MalformedSignature));
    let (_, signature) = good.value(header).split_once(',').expect("t=…,v1=…");
    let huge = good.with(header, &format!("t=9223372036854775807,{signature}"));
    let verdict = judged(scheme, &secrets, &huge, long_ago);
    assert_eq!(verdict, Err(Refusal::StaleTimestamp));
}

#[test]
fn the_secret_that_matched_is_told_and_an_expired_one_proves_nothing() {
    let (scheme, good, _) = signed("github");
    let before = Timestamp::from_millis(NOW.as_millis() - 1);
    let other = keyed(scheme, "another secret", None);
    let current = keyed(scheme, SECRET, None);
    let ending = keyed(scheme, SECRET, Some(NOW));
    let expired = keyed(scheme, SECRET, Some(before));
    for (secrets, expected) in [
        (vec![other.clone(), current.clone()], Ok(1)),
        (vec![current.clone(), other.clone()], Ok(0)),
        (vec![current.clone(), current.clone()], Ok(0)),
        (vec![expired.clone(), other.clone(), current], Ok(2)),
        (vec![ending], Ok(0)),
        (vec![other.clone(), expired], Err(Refusal::ExpiredKey)),
        (vec![other], Err(Refusal::SignatureMismatch)),
        (vec![], Err(Refusal::SignatureMismatch)),
    ] {
        let verdict = judged(scheme, &secrets, &good, NOW);
        assert_eq!(verdict, expected, "{secrets:?}");
    }
}

#[test]
fn the_weightiest_refusal_is_told() {
    let (scheme, good, header) = signed("standard-webhooks");
    let late = Timestamp::from_secs(NOW.as_secs() + 301);
    let expired = [keyed(scheme, SECRET, Some(NOW))];
    let told = |headers: &List| judged(scheme, &expired, headers, late);

    assert_eq!(told(&good), Err(Refusal::StaleTimestamp));
    let wrong = good.with("webhook-id", "another");
    assert_eq!(told(&wrong), Err(Refusal::StaleTimestamp));
    let malformed = wrong.with(header, "v1,");
    assert_eq!(told(&malformed), Err(Refusal::MalformedSignature));
    let no_timestamp = malformed.without("webhook-timestamp");
    assert_eq!(told(&no_timestamp), Err(Refusal::MissingTimestamp));
    let no_id = no_timestamp.without("webhook-id");
    assert_eq!(told(&no_id), Err(Refusal::MissingSignature));
    let repeated = no_id.doubled(header);
    assert_eq!(told(&repeated), Err(Refusal::RepeatedHeader));
}

/// What all of `schemes` say of a POST of `body` with its document.
fn verify_all(schemes: &[(&Scheme, &str)], headers: &List, body: &[u8]) -> Result<Proven, Refusal> {
    let keyed: Vec<_> = schemes
        .iter()
        .map(|(scheme, secret)| KeyedScheme {
            scheme: (*scheme).clone(),
            secrets: vec![keyed(scheme, secret, None)],
        })
        .collect();
    let message = Message {
        document: &|| serde_json::from_slice(body).ok(),
        ..Message::new(headers, body)
    };
    signature::verify(&keyed, &message, NOW)
}

#[test]
fn the_first_scheme_that_applies_judges_alone() {
    let new = Scheme {
        signature: Source::Headers(vec!["x-new".into()].into()),
        ..by_hand("{body}")
    };
    let old = by_hand("{body}");
    let both = [(&new, "the new secret"), (&old, "the old secret")];
    let headers = |scheme: &Scheme, secret: &str| {
        let given = Signing::new("", NOW, b"body");
        signed_headers(scheme, &keyed(scheme, secret, None), &given)
    };
    let by_old = headers(&old, "the old secret");
    let by_new = headers(&new, "the new secret");
    let verdict = |headers: &List| verify_all(&both, headers, b"body");
    assert_eq!(verdict(&by_old).map(|proven| proven.scheme), Ok(1));
    assert_eq!(verdict(&by_new).map(|proven| proven.scheme), Ok(0));
    // A wrong signature of the stronger scheme is not made good by a right one of the weaker.
    for wrong in ["is:00", "", "is:"] {
        let downgraded = by_old.with("x-new", wrong);
        assert_eq!(
            verdict(&downgraded),
            Err(Refusal::MalformedSignature),
            "{wrong:?}"
        );
    }
    let wrong = headers(&new, "the old secret");
    let downgraded = by_old.with("x-new", wrong.value("x-new"));
    assert_eq!(verdict(&downgraded), Err(Refusal::SignatureMismatch));
    let none = List(Vec::new());
    assert_eq!(verdict(&none), Err(Refusal::MissingSignature));
    assert_eq!(
        verify_all(&[], &by_old, b"body"),
        Err(Refusal::MissingSignature)
    );
}

#[test]
fn a_scheme_whose_guards_do_not_hold_judges_nothing() {
    let guarded = |test: Test| Scheme {
        guards: vec![Guard {
            place: Part::Header("x-version".into()),
            test,
        }]
        .into(),
        ..by_hand("{body}")
    };
    let missing = Err(Refusal::MissingSignature);
    for (test, value, expected) in [
        (Test::Present, Some(""), Ok(0)),
        (Test::Present, None, missing),
        (Test::Is("v1".into()), Some("v1"), Ok(0)),
        (Test::Is("v1".into()), Some("V1"), missing),
        (Test::Is("v1".into()), Some("v11"), missing),
        (Test::StartsWith("v".into()), Some("V1"), Ok(0)),
        (Test::StartsWith("v1".into()), Some("v"), missing),
        (Test::Contains("alg=a".into()), Some("key=1,alg=a"), Ok(0)),
        (Test::Contains("alg=a".into()), Some("key=1,alg=b"), missing),
        (Test::Contains("alg=a".into()), Some(""), missing),
    ] {
        let scheme = guarded(test.clone());
        let given = Signing::new("", NOW, b"body");
        let good = signed_headers(&scheme, &keyed(&scheme, SECRET, None), &given);
        assert_eq!(verify(&scheme, &good), Ok(0), "{test:?} as signed");
        let headers = match value {
            Some(value) => good.with("x-version", value),
            None => good.without("x-version"),
        };
        assert_eq!(verify(&scheme, &headers), expected, "{test:?} {value:?}");
        let twice = good.doubled("x-version");
        let repeated = Err(Refusal::RepeatedHeader);
        assert_eq!(verify(&scheme, &twice), repeated, "{test:?}");
    }
}

#[test]
fn ten_thousand_signatures_are_refused_and_not_tried() {
    let malformed = Err(Refusal::MalformedSignature);
    let (scheme, good, header) = signed("standard-webhooks");
    let many = format!("{} ", good.value(header)).repeat(10_000);
    assert_eq!(verify(scheme, &good.with(header, &many)), malformed);
    let (scheme, good, header) = signed("stripe");
    let entry = good
        .value(header)
        .split_once(',')
        .expect("t=…,v1=…")
        .1
        .to_owned();
    let many = format!(
        "{}{}",
        good.value(header),
        format!(",{entry}").repeat(10_000)
    );
    assert_eq!(verify(scheme, &good.with(header, &many)), malformed);

    let numbered = Scheme {
        signature: Source::Numbered("x-signature".into()),
        ..by_hand("{body}")
    };
    let given = Signing::new("", NOW, b"body");
    let good = signed_headers(&numbered, &keyed(&numbered, SECRET, None), &given);
    let mut many = good.without("x-signature-1");
    for number in 1..=10_000 {
        many.0
            .push((format!("x-signature-{number}"), b"is:00".to_vec()));
    }
    assert_eq!(verify(&numbered, &many), malformed);
    let value = good.value("x-signature-1");
    assert_eq!(
        verify(&numbered, &good.with("x-signature-100", value)),
        Ok(0)
    );
    let beyond = List(Vec::new()).with("x-signature-101", value);
    assert_eq!(verify(&numbered, &beyond), Err(Refusal::MissingSignature));
}

#[test]
fn each_of_several_headers_belongs_to_its_secret() {
    let scheme = Scheme {
        signature: Source::Paired(vec!["x-first".into(), "x-second".into()].into()),
        ..by_hand("{body}")
    };
    let [one, other] =
        ["the first secret", "the second secret"].map(|text| keyed(&scheme, text, None));
    let given = Signing::new("", NOW, b"body");
    let both = [one.clone(), other.clone()];
    let signed = scheme.sign_with_all(&both, &given).expect("secrets sign");
    let good = List::of(&signed.headers);
    let verdict = |headers: &List| judged(&scheme, &both, headers, NOW);
    assert_eq!(verdict(&good), Ok(0));
    assert_eq!(verdict(&good.without("x-second")), Ok(0));
    assert_eq!(verdict(&good.without("x-first")), Ok(1));
    assert_eq!(verdict(&good.with("x-first", "is:00")), Ok(1));
    let swapped = good
        .with("x-first", good.value("x-second"))
        .with("x-second", good.value("x-first"));
    assert_eq!(verdict(&swapped), Err(Refusal::SignatureMismatch));
    assert_eq!(
        verdict(&good.doubled("x-second")),
        Err(Refusal::RepeatedHeader)
    );
}

#[test]
fn the_first_header_that_is_there_holds_the_signature() {
    let scheme = Scheme {
        signature: Source::Headers(vec!["x-new".into(), "x-old".into()].into()),
        ..by_hand("{body}")
    };
    let given = Signing::new("", NOW, b"body");
    let good = signed_headers(&scheme, &keyed(&scheme, SECRET, None), &given);
    let fallback = List(Vec::new()).with("x-old", good.value("x-new"));
    assert_eq!(verify(&scheme, &fallback), Ok(0));
    let empty = fallback.with("x-new", "");
    assert_eq!(verify(&scheme, &empty), Err(Refusal::MalformedSignature));
    let twice = fallback.with("x-new", "").doubled("x-new");
    assert_eq!(verify(&scheme, &twice), Err(Refusal::RepeatedHeader));
}

#[test]
fn a_secret_is_compared_whole() {
    let scheme = Scheme {
        method: Method::Equal,
        encoding: Encoding::Text,
        signed: vec![].into(),
        form: Form::Bare { prefix: "".into() },
        ..by_hand("{body}")
    };
    let sent = |text: &str| verify(&scheme, &List(Vec::new()).with("x-signature", text));
    assert_eq!(sent(SECRET), Ok(0));
    assert_eq!(sent(""), Err(Refusal::MalformedSignature));
    for text in [
        &SECRET[1..],
        &SECRET[..9],
        &format!("{SECRET} "),
        &SECRET.to_lowercase(),
    ] {
        assert_eq!(sent(text), Err(Refusal::SignatureMismatch), "{text:?}");
    }
}

#[test]
fn every_element_must_pass() {
    let scheme = Scheme {
        signature: Source::Json("/sig".into()),
        signed: signature::parse_template("{json:/id}")
            .expect("a template")
            .into(),
        each: Some("/items/*/item".into()),
        ..by_hand("{body}")
    };
    let verdict = |body: &str| verify_all(&[(&scheme, SECRET)], &List(Vec::new()), body.as_bytes());
    let unsigned = r#"{"items":[{"item":{"id":"a"}},{"item":{"id":"b"}}]}"#;
    let given = Signing::new("", NOW, unsigned.as_bytes());
    let signed = scheme
        .sign(&keyed(&scheme, SECRET, None), &given)
        .expect("a secret signs");
    let good = String::from_utf8(signed.body.expect("the body holds it")).expect("JSON");
    assert!(verdict(&good).is_ok(), "{good}");
    for (body, expected) in [
        (
            good.replacen(r#""b""#, r#""c""#, 1),
            Refusal::SignatureMismatch,
        ),
        (good.replacen("is:", "is", 1), Refusal::MalformedSignature),
        (
            good.replacen(r#""sig""#, r#""gis""#, 1),
            Refusal::MissingSignature,
        ),
        (
            good.replacen(r#""item""#, r#""elem""#, 1),
            Refusal::MalformedSignature,
        ),
        (unsigned.to_owned(), Refusal::MissingSignature),
        (r#"{"items":[]}"#.to_owned(), Refusal::MissingSignature),
        (r#"{"items":{}}"#.to_owned(), Refusal::MalformedSignature),
        ("{}".to_owned(), Refusal::MalformedSignature),
        ("no JSON".to_owned(), Refusal::MissingSignature),
        (
            format!(
                r#"{{"items":[{}{{"item":{{}}}}]}}"#,
                r#"{"item":{}},"#.repeat(1_000)
            ),
            Refusal::MalformedSignature,
        ),
    ] {
        let told: String = body.chars().take(80).collect();
        assert_eq!(verdict(&body), Err(expected), "{told}");
    }
}

#[test]
fn a_digest_of_the_body_is_checked_where_the_signature_covers_only_it() {
    let scheme = Scheme {
        body_sha256: Some(Part::Header("x-digest".into())),
        ..by_hand("{header:x-digest}")
    };
    let given = Signing::new("", NOW, b"body");
    let good = signed_headers(&scheme, &keyed(&scheme, SECRET, None), &given);
    assert_eq!(verify(&scheme, &good), Ok(0));
    let secrets = [keyed(&scheme, SECRET, None)];
    let other = super::verify(&scheme, &secrets, &good, b"bodi", NOW);
    assert_eq!(other, Err(Refusal::SignatureMismatch));
    for digest in ["", "00", "no hex"] {
        let headers = good.with("x-digest", digest);
        assert_eq!(
            verify(&scheme, &headers),
            Err(Refusal::MalformedSignature),
            "{digest}"
        );
    }
    let missing = good.without("x-digest");
    assert_eq!(verify(&scheme, &missing), Err(Refusal::MissingSignature));
}
