use serde_json::{Map, Value};

use super::*;
use crate::config::Pointer;

pub(super) fn plan(pointers: &[&str]) -> Plan {
    let parsed: Vec<_> = pointers
        .iter()
        .map(|text| Pointer::parse(text).unwrap())
        .collect();
    Plan::new(&parsed)
}

fn scan<'a>(pointers: &[&str], body: &'a str) -> Vec<Found<'a>> {
    plan(pointers).scan(body.as_bytes()).unwrap()
}

fn refusal(pointers: &[&str], body: &[u8]) -> JsonFault {
    match plan(pointers).scan(body) {
        Ok(found) => panic!("{body:?} was taken, {found:?}"),
        Err(fault) => fault,
    }
}

#[test]
fn each_kind_of_value_is_found_at_its_pointer() {
    let body = r#" {"a": {"b/c": [null, true, "x\n", "plain", {"~": {}}]},
        "i": -9223372036854775808, "u": 18446744073709551615, "big": 18446744073709551616,
        "f": 1.0, "e": 1e3, "": "empty key", "0": []} "#;
    let string = |text: &'static str| Found::String(text.into());
    let table = [
        ("", Found::Object),
        ("/a", Found::Object),
        ("/a/b~1c", Found::Array),
        ("/a/b~1c/0", Found::Null),
        ("/a/b~1c/1", Found::Bool(true)),
        ("/a/b~1c/2", string("x\n")),
        ("/a/b~1c/3", string("plain")),
        ("/a/b~1c/4/~0", Found::Object),
        ("/a/b~1c/5", Found::Missing),
        ("/a/b~1c/03", Found::Missing),
        ("/a/b~1c/-", Found::Missing),
        ("/a/b~1c/+3", Found::Missing),
        ("/i", Found::Integer(i64::MIN.into())),
        ("/u", Found::Integer(u64::MAX.into())),
        ("/big", Found::Number(18446744073709551616.0)),
        ("/f", Found::Number(1.0)),
        ("/e", Found::Number(1000.0)),
        ("/", string("empty key")),
        ("/0", Found::Array),
        ("/A", Found::Missing),
        ("/i/b", Found::Missing),
        // The same pointer twice is answered twice.
        ("/a/b~1c/1", Found::Bool(true)),
    ];
    let found = scan(&table.each_ref().map(|(pointer, _)| *pointer), body);
    assert_eq!(found.len(), table.len());
    for ((pointer, expected), found) in table.iter().zip(&found) {
        assert_eq!(found, expected, "{pointer}");
    }
}

#[test]
fn only_a_canonical_index_leads_into_an_array() {
    for (pointer, expected) in [
        ("/1", Found::Integer(8)),
        ("/0", Found::Integer(7)),
        ("/01", Found::Missing),
        ("/00", Found::Missing),
        ("/+1", Found::Missing),
        ("/-", Found::Missing),
        ("/", Found::Missing),
        ("/2", Found::Missing),
        ("/18446744073709551617", Found::Missing),
    ] {
        assert_eq!(scan(&[pointer], "[7, 8]"), [expected], "{pointer}");
    }
}

#[test]
fn a_string_without_escapes_is_borrowed() {
    let found = scan(&["/a", "/b"], r#"{"a": "lent", "b": "m\u0061de"}"#);
    assert!(matches!(&found[0], Found::String(Cow::Borrowed("lent"))));
    assert!(matches!(&found[1], Found::String(Cow::Owned(text)) if text == "made"));
}

#[test]
fn a_document_may_be_any_value() {
    for (body, expected) in [
        ("null", Found::Null),
        (" 7\r\n\t", Found::Integer(7)),
        ("\"\u{feff}\"", Found::String("\u{feff}".into())),
        ("[[], {}]", Found::Array),
        ("\"\\ud83d\\ude00\"", Found::String("\u{1f600}".into())),
        ("1e308", Found::Number(1e308)),
        ("1e-999", Found::Number(0.0)),
    ] {
        assert_eq!(scan(&[""], body), [expected], "{body}");
        assert_eq!(scan(&[], body), [], "{body}");
    }
}

/// Bodies that are no JSON, each with the line and column of the fault. The faults stand where no
/// pointer leads, so that what is skipped is checked too.
const INVALID: &[(&[u8], usize, usize)] = &[
    (b"", 1, 1),
    (b" ", 1, 1),
    (b"\n\n", 3, 1),
    (b"\xef\xbb\xbf{}", 1, 1),
    (b"{} x", 1, 4),
    (b"{}{}", 1, 3),
    (b"{\"a\":1}\n\n,", 3, 1),
    (b"{\"a\":1,}", 1, 8),
    (b"[1,]", 1, 4),
    (b"[1 2]", 1, 4),
    (b"{'a':1}", 1, 2),
    (b"{a:1}", 1, 2),
    (b"{1:1}", 1, 2),
    (b"{\"a\" 1}", 1, 6),
    (b"{\"a\":\n  tru}", 2, 6),
    (b"[NaN]", 1, 2),
    (b"[Infinity]", 1, 2),
    (b"[01]", 1, 3),
    (b"[+1]", 1, 2),
    (b"[.5]", 1, 2),
    (b"[1.]", 1, 4),
    (b"[-]", 1, 3),
    (b"[1e999]", 1, 6),
    (b"[-1e999]", 1, 7),
    (b"[\"\\ud800\"]", 1, 9),
    (b"[\"\\udc00\"]", 1, 8),
    (b"[\"\\ud800\\u0041\"]", 1, 14),
    (b"[\"\\x\"]", 1, 4),
    (b"[\"a\nb\"]", 2, 1),
    (b"[\"\x00\"]", 1, 3),
    (b"[\"open", 1, 6),
    (b"[[1]", 1, 4),
    (b"[\"a\",\n \"\xff\"]", 2, 3),
    (b"\n{\"\xed\xa0\x80\":1}", 2, 3),
    (b"{\"a\":1}\xc3", 1, 8),
    (b"[1] // comment", 1, 5),
];

#[test]
fn what_is_no_json_is_refused_with_its_position() {
    assert!(!INVALID.is_empty());
    for (body, line, column) in INVALID {
        let shown = String::from_utf8_lossy(body);
        for pointers in [&[][..], &["/a"], &["/0"], &[""]] {
            let fault = refusal(pointers, body);
            assert!(
                matches!(fault.kind, JsonFaultKind::Invalid(_)),
                "{shown:?}: {fault}"
            );
            assert_eq!(
                (fault.line, fault.column),
                (*line, *column),
                "{shown:?}: {fault}"
            );
        }
    }
}

#[test]
fn a_fault_never_tells_the_body() {
    for body in [
        r#"{"hush": hush}"#,
        r#"{"a": 1, "hush" }"#,
        r#"["hush\q"]"#,
        r#"["hush"] hush"#,
        r#"hush"#,
        r#"{"a": "hush", "a": "hush"}"#,
        r#"{hush: 1}"#,
    ] {
        let fault = refusal(&["/a"], body.as_bytes());
        assert!(!format!("{fault} {fault:?}").contains("hush"), "{fault}");
    }
}

fn nested(levels: usize, open: &str, inner: &str, close: &str) -> String {
    open.repeat(levels) + inner + &close.repeat(levels)
}

#[test]
fn sixty_four_levels_are_taken_and_one_more_is_not() {
    for (levels, open, inner, close) in [
        (1, "[", "", "]"),
        (1, "{\"a\":", "1", "}"),
        // Brackets and escaped quotes in strings do not count.
        (2, "[{\"]\\\"[\": ", "\"[[\"", "}]"),
    ] {
        let most = DEPTH_MAX / levels;
        plan(&[])
            .scan(nested(most, open, inner, close).as_bytes())
            .unwrap();

        let prefix = "\n ".to_owned() + &open.repeat(most);
        let body = prefix.clone() + "[ \n]" + &close.repeat(most);
        let fault = refusal(&["/a"], body.as_bytes());
        assert_eq!(fault.kind, JsonFaultKind::TooDeep, "{body}");
        // The position is that of the bracket behind the prefix, whose line began at its newline.
        assert_eq!((fault.line, fault.column), (2, prefix.len()), "{body}");
    }
}

#[test]
fn a_bomb_of_brackets_is_refused_without_overflow() {
    let fault = refusal(&[], &vec![b'['; 1 << 20]);
    assert_eq!((fault.kind, fault.column), (JsonFaultKind::TooDeep, 65));
}

#[test]
fn a_repeated_key_on_the_way_to_a_pointer_is_refused() {
    for (body, pointer, line, column) in [
        (r#"{"a":{"b":1},"a":{"b":1}}"#, "/a", 1, 16),
        (r#"{"a":{"b":1,"b":2}}"#, "/a/b", 1, 15),
        ("{\"a\":1,\n\"\\u0061\" \n\n :2}", "/a", 2, 8),
        (r#"{"x":[{"y/z":1},{"y/z":1,"y/z":2}]}"#, "/x/1/y~1z", 1, 30),
    ] {
        let fault = refusal(&["/a/b", "/x/1/y~1z"], body.as_bytes());
        let expected = JsonFault {
            kind: JsonFaultKind::DuplicateKey(pointer.to_owned()),
            line,
            column,
        };
        assert_eq!(fault, expected, "{body}");
    }
}

#[test]
fn a_repeated_key_elsewhere_is_none_of_our_business() {
    let body = r#"{"z":1,"z":2,"a":{"c":1,"c":2,"b":3},"q":{"a":1,"a":2}}"#;
    assert_eq!(scan(&["/a/b"], body), [Found::Integer(3)]);
}

/// The depth of a random document.
const DOCUMENT: usize = 5;

/// SplitMix64: small, and the same everywhere.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn key(&mut self) -> &'static str {
        ["a", "b", "0", "1", "~", "/", "", "\"\\\u{1f600}"][self.below(8) as usize]
    }

    fn value(&mut self, depth: usize) -> Value {
        // A document is a container, or hardly any pointer would lead anywhere.
        let kind = match depth {
            0 => self.below(7),
            DOCUMENT => 7 + self.below(4),
            _ => self.below(11),
        };
        match kind {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::from(self.below(u64::MAX)),
            3 => Value::from(self.below(1 << 40) as i64 - (1 << 39)),
            4 => Value::from(self.below(1 << 20) as f64 / 1024.0 - 500.0),
            5 | 6 => Value::from(self.key()),
            7 | 8 => (0..self.below(5)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let entries = (0..self.below(6)).map(|_| (self.key(), self.value(depth - 1)));
                let object: Map<_, _> = entries
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect();
                Value::Object(object)
            }
        }
    }

    fn pointer(&mut self) -> String {
        (0..self.below(5))
            .map(|_| "/".to_owned() + &self.key().replace('~', "~0").replace('/', "~1"))
            .collect()
    }
}

fn expected(value: Option<&Value>) -> Found<'_> {
    match value {
        None => Found::Missing,
        Some(Value::Null) => Found::Null,
        Some(Value::Bool(value)) => Found::Bool(*value),
        Some(Value::String(text)) => Found::String(text.into()),
        Some(Value::Array(_)) => Found::Array,
        Some(Value::Object(_)) => Found::Object,
        Some(Value::Number(number)) => match (number.as_i128(), number.as_f64()) {
            (Some(integer), _) => Found::Integer(integer),
            (None, Some(float)) => Found::Number(float),
            (None, None) => panic!("{number} is no number"),
        },
    }
}

#[test]
fn random_documents_give_what_a_tree_gives() {
    let mut random = Seeded(7);
    let mut hits = 0;
    for round in 0..2000 {
        let document = random.value(DOCUMENT);
        let pointers: Vec<String> = (0..12).map(|_| random.pointer()).collect();
        let text = match round % 2 {
            0 => serde_json::to_string(&document).unwrap(),
            _ => serde_json::to_string_pretty(&document).unwrap(),
        };
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
        for (pointer, found) in pointers.iter().zip(scan(&pointers, &text)) {
            assert_eq!(
                found,
                expected(document.pointer(pointer)),
                "{pointer} in {text}"
            );
            hits += usize::from(found != Found::Missing && !pointer.is_empty());
        }
    }
    assert!(hits > 1000, "only {hits} pointers led anywhere");
}
