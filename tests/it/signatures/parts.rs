//! The parts of signed content against values worked out by hand.

use std::time::Duration;

use hookgate::signature::{TimestampRule, Unit};

use super::{
    Form, KeyedScheme, List, Message, Part, Refusal, Scheme, Signing, Source, Timestamp, Validity,
    by_hand, keyed, signature,
};
use crate::support::sign::hmac_sha256;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECRET: &str = "a secret of parts";
const URL: &str = "https://hooks.example.com/in/a%20b?x=1&y=a+b%21";

struct Request<'r> {
    headers: &'r [(&'r str, &'r str)],
    body: &'r [u8],
    params: &'r [(String, String)],
}

impl Request<'_> {
    /// What `scheme` says when `content` was signed.
    fn judge(&self, scheme: &Scheme, content: &[u8]) -> Result<usize, Refusal> {
        let mac = hex::encode(hmac_sha256(SECRET.as_bytes(), &[content]));
        let own = |(name, value): &(&str, &str)| {
            let value = value.replace("SIGNATURE", &mac);
            ((*name).to_owned(), value.into_bytes())
        };
        let mut headers: Vec<_> = self.headers.iter().map(own).collect();
        if headers.iter().all(|(name, _)| name != "x-signature") {
            headers.push(("x-signature".to_owned(), format!("is:{mac}").into_bytes()));
        }
        let headers = List(headers);
        let keyed = [KeyedScheme {
            scheme: scheme.clone(),
            secrets: vec![keyed(scheme, SECRET, Validity::default())],
        }];
        let message = Message {
            method: "PUT",
            url: URL,
            headers: &headers,
            body: self.body,
            document: &|| serde_json::from_slice(self.body).ok(),
            params: self.params,
            fetched_key: None,
        };
        signature::verify(&keyed, &message, NOW).map(|proven| proven.secret)
    }
}

fn request<'r>(headers: &'r [(&'r str, &'r str)], body: &'r str) -> Request<'r> {
    Request {
        headers,
        body: body.as_bytes(),
        params: &[],
    }
}

#[test]
fn every_part_stands_for_what_it_says() {
    let json =
        r#"{"a":{"b":"x\ny"},"n":1130,"f":1.5,"t":true,"z":null,"l":[{"k":"v"}],"A":"1","C":"3"}"#;
    let form = "b=2&a=1&a=0&a=1&c=%2B+";
    let headers = [("x-a", "A"), ("x-b", " B "), ("x-list", "X-B, x-a")];
    for (template, body, content) in [
        (
            "{method} {url}",
            "",
            "PUT https://hooks.example.com/in/a%20b?x=1&y=a+b%21",
        ),
        ("{path}", "", "/in/a%2520b?x%253D1%2526y%253Da%252Bb%252521"),
        ("{query:x},{query:y}", "", "1,a b!"),
        (
            "{json:/a/b}|{json:/n}|{json:/f}|{json:/t}|{json:/z}|{json:/l/0/k}|{json:/none}",
            json,
            "x\ny|1130|1.5|true||v|",
        ),
        ("{json_lines:A,B,C}", json, "A\n1\nC\n3\n"),
        ("{sorted_form}", form, "a0a1b2c+ "),
        ("{crc32}.{body}", "123456789", "3421780262.123456789"),
        (
            "{listed:names:header:x-list:,:x-a}.{body}",
            "b",
            "x-b:B;x-a:A.b",
        ),
        ("{listed:values:header:x-list:,}.{body}", "b", "B.A.b"),
        ("{header:x-a}{header:x-b}", "", "A B "),
        ("{{}{body}", "b", "{}b"),
    ] {
        let scheme = by_hand(template);
        let request = request(&headers, body);
        assert_eq!(
            request.judge(&scheme, content.as_bytes()),
            Ok(0),
            "{template}"
        );
        let other = format!("{content}?");
        let mismatch = Err(Refusal::SignatureMismatch);
        assert_eq!(
            request.judge(&scheme, other.as_bytes()),
            mismatch,
            "{template}"
        );
    }
}

/// What would else be left out of the signed text could be put into the request.
#[test]
fn what_is_no_text_is_not_signed_as_if_it_were_missing() {
    let scheme = by_hand("{json:/a}|{json:/b}");
    for (body, expected) in [
        (r#"{"a":"x"}"#, Ok(0)),
        (r#"{"a":"x","b":null}"#, Ok(0)),
        (r#"{"a":"x","b":["y"]}"#, Err(Refusal::MalformedSignature)),
        (r#"{"a":"x","b":{"c":1}}"#, Err(Refusal::MalformedSignature)),
        (r#"{"a":"x","b":[]}"#, Err(Refusal::MalformedSignature)),
    ] {
        assert_eq!(request(&[], body).judge(&scheme, b"x|"), expected, "{body}");
    }
}

/// Amazon signs its messages so: who may choose one member of them, the message, must not choose the others by it.
#[test]
fn no_member_but_the_first_holds_a_line_break() {
    let scheme = by_hand("{json_lines:Message,Topic,Type}");
    let signed = "Message\na\nTopic\nours\nType\nx\nTopic\ntheirs\nType\nx\n";
    let judge = |body: &str| request(&[], body).judge(&scheme, signed.as_bytes());
    let as_signed = r#"{"Message":"a\nTopic\nours\nType\nx","Topic":"theirs","Type":"x"}"#;
    assert_eq!(judge(as_signed), Ok(0));
    for shifted in [
        r#"{"Message":"a","Topic":"ours","Type":"x\nTopic\ntheirs\nType\nx"}"#,
        r#"{"Message":"a","Topic":"ours\nType\nx\nTopic\ntheirs","Type":"x"}"#,
    ] {
        assert_eq!(
            judge(shifted),
            Err(Refusal::MalformedSignature),
            "{shifted}"
        );
    }
}

/// They stand in the address already.
#[test]
fn of_a_get_whose_address_is_signed_the_fields_are_not_signed_again() {
    let get = |template: &str, content: &[u8]| {
        let scheme = by_hand(template);
        let mac = hmac_sha256(SECRET.as_bytes(), &[content]);
        let headers = List(Vec::new()).with("x-signature", &format!("is:{}", hex::encode(mac)));
        let message = Message {
            method: "GET",
            url: "https://a.example/in?b=2&a=1",
            ..Message::new(&headers, b"b=2&a=1")
        };
        let keyed = [KeyedScheme {
            secrets: vec![keyed(&scheme, SECRET, Validity::default())],
            scheme,
        }];
        signature::verify(&keyed, &message, NOW).map(|proven| proven.secret)
    };
    let address = "{url}{sorted_form}";
    assert_eq!(get(address, b"https://a.example/in?b=2&a=1"), Ok(0));
    let twice = get(address, b"https://a.example/in?b=2&a=1a1b2");
    assert_eq!(twice, Err(Refusal::SignatureMismatch));
    assert_eq!(get("{sorted_form}", b"a1b2"), Ok(0));
    assert_eq!(get("{sorted_form}", b""), Err(Refusal::SignatureMismatch));
}

#[test]
fn a_parameter_of_the_route_is_signed_and_must_be_there() {
    let scheme = by_hand("{param:id}.{body}");
    let params = [("id".to_owned(), "WH-1".to_owned())];
    let with = Request {
        params: &params,
        ..request(&[], "b")
    };
    assert_eq!(with.judge(&scheme, b"WH-1.b"), Ok(0));
    let without = request(&[], "b");
    assert_eq!(
        without.judge(&scheme, b".b"),
        Err(Refusal::MalformedSignature)
    );
}

#[test]
fn what_a_request_lists_as_signed_must_hold_what_is_required() {
    let scheme = by_hand("{listed:names:header:x-list:,:x-list,x-time}");
    let malformed = Err(Refusal::MalformedSignature);
    let good = [("x-list", "x-list,x-time"), ("x-time", "1")];
    assert_eq!(
        request(&good, "").judge(&scheme, b"x-list:x-list,x-time;x-time:1"),
        Ok(0)
    );
    let short = [("x-list", "x-list"), ("x-time", "1")];
    assert_eq!(
        request(&short, "").judge(&scheme, b"x-list:x-list"),
        malformed
    );
    let missing = [("x-list", "x-list,x-time,x-none"), ("x-time", "1")];
    let verdict =
        request(&missing, "").judge(&scheme, b"x-list:x-list,x-time,x-none;x-time:1;x-none:");
    assert_eq!(verdict, Err(Refusal::MissingSignature));
    let twice = [
        ("x-list", "x-list,x-time"),
        ("x-time", "1"),
        ("x-time", "1"),
    ];
    let verdict = request(&twice, "").judge(&scheme, b"x-list:x-list,x-time;x-time:1");
    assert_eq!(verdict, Err(Refusal::RepeatedHeader));
    let many = format!("x-list,x-time{}", ",x-a".repeat(100));
    let many = [("x-list", &*many), ("x-time", "1"), ("x-a", "")];
    assert_eq!(request(&many, "").judge(&scheme, b""), malformed);
}

#[test]
fn a_header_that_lists_and_signs_is_read_as_pairs() {
    // As Hook0 does.
    let scheme = Scheme {
        form: Form::Pairs {
            separator: ',',
            signature_key: "v1".into(),
        },
        timestamp: Some(TimestampRule {
            source: Part::Pair("t".into()),
            unit: Unit::Seconds,
            past: Some(Duration::from_secs(300)),
            future: None,
        }),
        ..by_hand("{sig.t}.{sig.h}.{listed:values:sig.h: }.{body}")
    };
    let headers = [
        ("x-signature", "t=1700000000,h=x-a x-b,v1=SIGNATURE"),
        ("x-a", "A"),
        ("x-b", "B"),
    ];
    let content = b"1700000000.x-a x-b.A.B.body";
    assert_eq!(request(&headers, "body").judge(&scheme, content), Ok(0));
    let spaced = [
        ("x-signature", "t=1700000000; h=x-a; v1=SIGNATURE"),
        ("x-a", "A"),
    ];
    let by_semicolon = Scheme {
        form: Form::Pairs {
            separator: ';',
            signature_key: "v1".into(),
        },
        ..scheme.clone()
    };
    let content = b"1700000000.x-a.A.body";
    assert_eq!(
        request(&spaced, "body").judge(&by_semicolon, content),
        Ok(0)
    );
    let verdict = request(&spaced, "body").judge(&scheme, content);
    assert_eq!(verdict, Err(Refusal::MalformedSignature));
}

#[test]
fn a_parameter_that_stands_twice_is_refused() {
    let scheme = Scheme {
        signature: Source::Query("sig".into()),
        form: Form::Bare { prefix: "".into() },
        ..by_hand("{body}")
    };
    let key = keyed(&scheme, SECRET, Validity::default());
    let signed = scheme.sign(&key, &Signing::new("", NOW, b"b")).unwrap();
    let [(name, value)] = &signed.query[..] else {
        panic!("{signed:?}")
    };
    let judge = |url: &str| {
        let keyed = [KeyedScheme {
            scheme: scheme.clone(),
            secrets: vec![key.clone()],
        }];
        let none = List(Vec::new());
        let message = Message {
            url,
            ..Message::new(&none, b"b")
        };
        signature::verify(&keyed, &message, NOW).map(|proven| proven.secret)
    };
    assert_eq!(judge(&format!("https://a.example/?{name}={value}")), Ok(0));
    assert_eq!(
        judge(&format!("https://a.example/?a#?{name}={value}")),
        Err(Refusal::MissingSignature)
    );
    let twice = format!("https://a.example/?{name}={value}&{name}={value}");
    assert_eq!(judge(&twice), Err(Refusal::RepeatedHeader));
    assert_eq!(
        judge("https://a.example/?sig="),
        Err(Refusal::MalformedSignature)
    );
    assert_eq!(judge(""), Err(Refusal::MissingSignature));
}

#[test]
fn a_form_with_a_hundred_thousand_fields_is_refused() {
    let many = "a=1&".repeat(100_000);
    let verdict = request(&[], &many).judge(&by_hand("{sorted_form}"), b"");
    assert_eq!(verdict, Err(Refusal::MalformedSignature));
}
