//! The forms of a capture, and what is wrong with one.

use super::*;

fn curl(headers: &str, body: &str) -> String {
    format!(
        "*   Trying 127.0.0.1:8443...\n* Connected to hooks.example.com\n> POST /hooks/github HTTP/1.1\n\
         > Host: hooks.example.com\n> Content-Type: application/json\n{headers}>\n\
         * upload completely sent off: 5 bytes\n{body}\n< HTTP/1.1 401 Unauthorized\n\
         < content-type: application/problem+json\n<\n{{\"status\":401}}\n"
    )
}

#[test]
fn a_dump_of_curl_is_read_with_its_body_in_it_or_beside_it() {
    let signature = github(SECRET, BODY.as_bytes());
    let headers = format!("> X-GitHub-Delivery: 1\n> X-Hub-Signature-256: {signature}\n");
    let length = format!("{headers}> Content-Length: {}\n", BODY.len());
    let explained = explain("github", curl(&length, BODY).as_bytes(), &[], &[]);
    assert_eq!(explained.code, Some(0), "{}", explained.all);
    assert_eq!(explained.report["capture"]["kind"], "a dump of curl -v");
    assert_eq!(explained.report["capture"]["body_bytes"], BODY.len());

    // Without a length the dump's own line end belongs to what it shows, perhaps.
    let explained = explain("github", curl(&headers, BODY).as_bytes(), &[], &[]);
    let causes = explained.causes();
    assert_eq!(causes[0].0, "body_changed", "{causes:?}");
    assert!(
        causes[0].1.contains("without the line end after it"),
        "{causes:?}"
    );

    let directory = temporary();
    let file = directory.path().join("body.json");
    std::fs::write(&file, BODY).unwrap();
    let body = ["--body", file.to_str().unwrap()];
    let explained = explain("github", curl(&length, "").as_bytes(), &[], &body);
    assert_eq!(explained.code, Some(0), "{}", explained.all);

    let twice = curl(&length, BODY) + &curl("", BODY);
    let second = explain("github", twice.as_bytes(), &[], &["--entry", "2"]);
    assert_eq!(second.causes()[0].0, "no_signature");
    let first = explain("github", twice.as_bytes(), &[], &["--entry", "1"]);
    assert_eq!(first.code, Some(0), "{}", first.all);
}

/// With `--trace-time` each line of curl's begins with its time; the answer's `Date` says when the request came.
#[test]
fn a_dump_of_curl_tells_its_time_by_the_answer() {
    let signature = stripe(SECRET, &AT.to_string(), BODY.as_bytes());
    let length = BODY.len();
    let dump = |date: &str| {
        format!(
            "14:02:55.070636 *   Trying 127.0.0.1:8443...\n14:02:55.075818 > POST /hooks/stripe HTTP/1.1\n\
             14:02:55.075818 > Content-Type: application/json\n14:02:55.075818 > Content-Length: {length}\n\
             14:02:55.075818 > Stripe-Signature: {signature}\n14:02:55.075818 > \n\
             14:02:55.075977 }} [{length} bytes data]\n{BODY}\n14:02:55.077337 < HTTP/1.1 200 OK\n\
             14:02:55.077417 < Date: {date}\n14:02:55.077436 < \n< date: Thu, 01 Jan 1970 00:00:00 GMT\n"
        )
    };
    let timely = dump("Wed, 20 May 2026 15:30:01 GMT");
    let explained = explain_as_told("stripe", timely.as_bytes(), &[], &[]);
    assert_eq!(explained.code, Some(0), "{}", explained.all);
    assert_eq!(explained.report["capture"]["received_at_from"], "capture");
    let late = dump("Wed, 20 May 2026 16:30:01 GMT");
    let explained = explain_as_told("stripe", late.as_bytes(), &[], &[]);
    assert_eq!(explained.causes()[0].0, "clock_off", "{}", explained.all);
    for date in ["yesterday", ""] {
        let explained = explain_as_told("stripe", dump(date).as_bytes(), &[], &[]);
        assert_eq!(explained.report["capture"]["received_at_from"], "now");
    }
}

#[test]
fn har_entries_carry_their_time_and_their_bytes() {
    let signature = stripe(SECRET, &AT.to_string(), BODY.as_bytes());
    let entry = |post: Value| {
        json!({
            "startedDateTime": "2026-05-20T15:30:01.000Z",
            "request": {
                "method": "POST",
                "url": "https://hooks.example.com/hooks/stripe",
                "headers": [
                    { "name": ":authority", "value": "hooks.example.com" },
                    { "name": "Content-Type", "value": "application/json" },
                    { "name": "Stripe-Signature", "value": signature },
                ],
                "postData": post,
            },
        })
    };
    let text = entry(json!({ "mimeType": "application/json", "text": BODY }));
    let base64 = entry(json!({ "text": BASE64_STANDARD.encode(BODY), "encoding": "base64" }));
    let none: &[&str] = &[];
    for (har, more) in [
        (json!({ "log": { "entries": [text.clone()] } }), none),
        (
            json!({ "log": { "entries": [json!({}), base64.clone()] } }),
            &["--entry", "2"],
        ),
        (text, none),
        (base64, none),
    ] {
        let explained = explain_as_told("stripe", har.to_string().as_bytes(), &[], more);
        assert_eq!(explained.code, Some(0), "{}", explained.all);
        assert!(
            explained.all.contains("as the capture says"),
            "{}",
            explained.all
        );
    }
}

#[test]
fn plain_http_may_be_chunked() {
    let signature = github(SECRET, BODY.as_bytes());
    let (one, two) = BODY.split_at(10);
    let capture = format!(
        "POST https://hooks.example.com/hooks/github HTTP/1.1\r\nContent-Type: application/json\r\n\
         X-GitHub-Delivery: 1\r\nX-Hub-Signature-256: {signature}\r\nTransfer-Encoding: chunked\r\n\r\n\
         a\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        two.len()
    );
    let explained = explain("github", capture.as_bytes(), &[], &[]);
    assert_eq!(explained.code, Some(0), "{}", explained.all);
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let directory = temporary();
    let routes = "[routes.open]\npath = \"/open\"\nverify = \"none\"\nevent_id = { body = \"sha256\" }\ndeliver = []\n";
    std::fs::write(directory.path().join("routes.toml"), routes).unwrap();
    let request = |url: &str| json!({ "method": "POST", "url": url, "headers": [] });
    let several = json!({ "log": { "entries": [
        { "request": request("https://a.example/") }, { "request": request("https://a.example/") },
    ] } });
    let rows = [
        ("", &[][..], "found nothing; expected a HAR file"),
        ("\n\nhello\n", &[], "line 3: found something else"),
        ("{\n  \"log\": nonsense\n}", &[], "line 2: found a fault of JSON's syntax"),
        ("{}", &[], "found no log.entries"),
        (&several.to_string(), &[], "found 2 entries; expected one, or --entry N (1 to 2)"),
        (&several.to_string(), &["--entry", "3"], "found no entry 3"),
        (&json!({ "request": request("nowhere") }).to_string(), &[], "no entry.request.url"),
        (
            &json!({ "request": { "method": "POST", "url": "https://a.example/", "headers": [1] } }).to_string(),
            &[],
            "entry.request.headers[0]",
        ),
        ("POST / HTTP/1.1\ncanary\n\n", &[], "line 2: found no header; expected `Name: value`"),
        ("POST nowhere HTTP/1.1\n\n", &[], "line 1: found no request line"),
        ("POST / HTTP/1.1\nContent-Length: 5\n\n", &[], "found no body, though Content-Length announces one"),
        ("> POST / HTTP/1.1\ncanary\n", &[], "line 2: found a line of another kind"),
        ("POST / HTTP/1.1\n\n", &["--at", "yesterday"], "expected a time such as"),
    ];
    for (capture, more, expected) in rows {
        let arguments = ["explain", "--capture", "-", "--route", "open"];
        let (code, told) = fault(directory.path(), &[&arguments[..], more].concat(), capture);
        assert_eq!(code, Some(64), "{capture}: {told}");
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
    let (code, told) = fault(
        directory.path(),
        &["explain", "--capture", "-", "--route", "nobody"],
        "POST / HTTP/1.1\n\n",
    );
    assert_eq!(code, Some(64));
    assert!(told.contains("there are open"), "{told}");
    let huge = "POST / HTTP/1.1\n\n".to_owned() + &"a".repeat(16 * 1024 * 1024);
    let (code, told) = fault(
        directory.path(),
        &["explain", "--capture", "-", "--route", "open"],
        &huge,
    );
    assert_eq!(code, Some(64));
    assert!(told.contains("larger than 16 MiB"), "{told}");
}
