//! What is refused, and which refusal is told.

use std::time::Duration;

use hookgate::{
    clock::Timestamp,
    providers::preset,
    signature::{KeyedSecret, Part, Refusal, Scheme, Signing, TimestampRule, Unit},
};

use super::List;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECRET: &str = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=";

impl List {
    fn with(&self, name: &str, value: &str) -> Self {
        let mut list = self.without(name);
        list.0.push((name.to_owned(), value.to_owned()));
        list
    }

    fn without(&self, name: &str) -> Self {
        let others = self.0.iter().filter(|(known, _)| known != name);
        Self(others.cloned().collect())
    }

    fn doubled(&self, name: &str) -> Self {
        let mut list = self.clone();
        list.0.push((name.to_owned(), self.value(name).to_owned()));
        list
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.expect("the header is there").1
    }
}

fn keyed(scheme: &Scheme, secret: &str, not_after: Option<Timestamp>) -> KeyedSecret {
    let keyed = scheme.keyed_secret("S", secret.as_bytes(), not_after);
    keyed.expect("the secret has the scheme's form")
}

/// A request that `provider` signed with [`SECRET`] at [`NOW`], the scheme, and the header of its signature.
fn signed(provider: &str) -> (&'static Scheme, List, &'static str) {
    let scheme = &preset(provider).expect("a preset").scheme;
    let given = Signing {
        id: "msg_1",
        timestamp: NOW,
        body: b"body",
        headers: &[],
    };
    let headers = scheme.sign(&keyed(scheme, SECRET, None), &given);
    (scheme, List(headers), &scheme.header)
}

fn verify(scheme: &Scheme, headers: &List) -> Result<usize, Refusal> {
    scheme.verify(&[keyed(scheme, SECRET, None)], headers, b"body", NOW)
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
    let given = Signing {
        id: "",
        timestamp: NOW,
        body: b"body",
        headers: &[(name.to_owned(), text.to_owned())],
    };
    let secret = keyed(slack, SECRET, None);
    let signature = List(as_it_stands.sign(&secret, &given));
    let scheme = Scheme {
        timestamp: Some(TimestampRule {
            source: Part::Header(name.into()),
            unit,
            past: Duration::from_secs(5),
            future: Some(Duration::from_secs(2)),
        }),
        ..slack.clone()
    };
    let headers = good.with(name, text).with(header, signature.value(header));
    scheme.verify(&[secret], &headers, b"body", now)
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
    assert_eq!(scheme.verify(&secrets, &good, b"body", long_ago), Ok(0));
    let huge = good.with(header, "t=9223372036854775807,v1=00");
    let verdict = scheme.verify(&secrets, &huge, b"body", long_ago);
    assert_eq!(verdict, Err(Refusal::MalformedSignature));
    let (_, signature) = good.value(header).split_once(',').expect("t=…,v1=…");
    let huge = good.with(header, &format!("t=9223372036854775807,{signature}"));
    let verdict = scheme.verify(&secrets, &huge, b"body", long_ago);
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
        let verdict = scheme.verify(&secrets, &good, b"body", NOW);
        assert_eq!(verdict, expected, "{secrets:?}");
    }
}

#[test]
fn the_weightiest_refusal_is_told() {
    let (scheme, good, header) = signed("standard-webhooks");
    let late = Timestamp::from_secs(NOW.as_secs() + 301);
    let expired = [keyed(scheme, SECRET, Some(NOW))];
    let told = |headers: &List| scheme.verify(&expired, headers, b"body", late);

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
