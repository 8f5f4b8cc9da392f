//! jq's errors, without the values that they hold: those come from bodies, and the text is kept and logged.

use jaq_json::{Error, Val};

use super::compile::OURS;

/// What jq says besides values: each begins and is told like this.
const PHRASES: [(&str, &str); 6] = [
    (
        "invalid path expression",
        "that is no path: it cannot be assigned to",
    ),
    ("invalid regex", "that is no regular expression"),
    ("split input and separator", "split needs strings"),
    ("cannot parse ", "cannot parse a value"),
    ("index ", "an index out of bounds"),
    ("invalid ", "an invalid value"),
];
const KINDS: [&str; 8] = [
    "integer",
    "number",
    "string",
    "array",
    "boolean",
    "object",
    "iterable (array or object)",
    "rangeable (array or string)",
];
const OPERATORS: [&str; 5] = ["+", "-", "*", "/", "%"];
/// Of a text from the expression.
const QUOTED_BYTES_MAX: usize = 120;

/// Only words of ours and words of the expression, which the operator wrote.
pub(super) fn without_values(error: Error, expression: &str) -> String {
    // What `error(…)` was given, or a text of jq's own.
    let text = match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        _ => return "its own `error`".to_owned(),
    };
    if let Some(value) = text.strip_prefix("cannot index ") {
        let by = value.rsplit(" with ").next().unwrap_or_default();
        return format!(
            "cannot index {} with {}",
            kind(value),
            shown(by, expression)
        );
    }
    if let Some(value) = text.strip_prefix("cannot use ") {
        let wanted = KINDS
            .iter()
            .find(|kind| text.ends_with(&format!(" as {kind}")));
        let wanted = wanted.copied().unwrap_or("what is needed");
        return format!("cannot use {} as {wanted}", kind(value));
    }
    if let Some(value) = text.strip_prefix("cannot calculate ") {
        // The operator stands between two values, either of which may hold one.
        let operators = OPERATORS
            .iter()
            .filter(|sign| text.contains(&format!(" {sign} ")));
        let operators: Vec<_> = operators.collect();
        return match operators[..] {
            [sign] => format!("cannot calculate {} {sign} another value", kind(value)),
            _ => format!("cannot calculate with {}", kind(value)),
        };
    }
    let sources = [expression, OURS];
    let written = |source: &&str| source.contains(&format!("\"{text}\""));
    if text.len() <= QUOTED_BYTES_MAX && sources.iter().any(written) {
        return format!("error: {text}");
    }
    let known = PHRASES.iter().find(|(phrase, _)| text.starts_with(phrase));
    known.map_or("its own `error`", |(_, told)| told).to_owned()
}

/// What kind of value a text begins with.
fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"' | b'b') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'0'..=b'9' | b'-' | b'N' | b'I') => "a number",
        _ => "a value",
    }
}

/// The name of a member is told if the expression names it too.
fn shown(by: &str, expression: &str) -> String {
    let name = by.strip_prefix('"').and_then(|by| by.strip_suffix('"'));
    let names = |name: &&str| {
        let ways = [format!("\"{name}\""), format!(".{name}")];
        name.len() <= QUOTED_BYTES_MAX && ways.iter().any(|way| expression.contains(way))
    };
    let named = name.filter(names);
    named.map_or_else(|| kind(by).to_owned(), |name| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use crate::expression::{Question, compile::compile, evaluate::evaluate};

    const CANARY: &str = "canary-7d1f";

    fn failure(expression: &str, document: &str) -> String {
        let filter = compile(expression).unwrap_or_else(|faults| panic!("{faults:?}"));
        let document = document.as_bytes();
        match evaluate(Question::When, &filter, expression, document) {
            Err(failure) => failure,
            Ok(answer) => panic!("{expression}: {answer:?}"),
        }
    }

    #[test]
    fn errors_are_told_without_values() {
        let document = format!(
            r#"{{"s":"{CANARY}","n":4711471147,"t":"{CANARY} with \"s\"","o":{{"{CANARY}":"{CANARY}"}},"l":["{CANARY}"]}}"#
        );
        for (expression, told) in [
            (".n.s", "cannot index a number with \"s\""),
            (".s[\"x\"]", "cannot index a string with \"x\""),
            (".l[.s]", "cannot index an array with a string"),
            // Where the values of two meet is not told by the text.
            (".s[.t]", "cannot index a string with a value"),
            (
                ".s | .[]",
                "cannot use a string as iterable (array or object)",
            ),
            (".o | ascii_downcase", "cannot use an object as string"),
            (".o + 1", "cannot calculate an object + another value"),
            (".o - .l", "cannot calculate an object - another value"),
            ("error(\"no customer\")", "error: no customer"),
            (".s | error", "its own `error`"),
            (".o | error", "its own `error`"),
            ("error", "its own `error`"),
            (".s | fromjson", "cannot parse a value"),
            (".s | tonumber", "cannot parse a value"),
            (".s | fromdate", "its own `error`"),
            (".s | test(\"(\")", "that is no regular expression"),
            (
                ".s | length = 1",
                "that is no path: it cannot be assigned to",
            ),
        ] {
            let found = failure(expression, &document);
            assert_eq!(found, told, "{expression}");
        }
    }

    #[test]
    fn no_error_of_any_function_holds_a_value() {
        let document = format!(
            r#"[{{"{CANARY}":"{CANARY}"}},["{CANARY}"],"{CANARY}","\"{CANARY}\" with {CANARY} as array + ",47114711,true,null]"#
        );
        let mut failures = 0;
        for function in [
            "ascii_downcase",
            "explode",
            "implode",
            "tonumber",
            "fromjson",
            "fromdate",
            "mktime",
            "gmtime",
            "strptime(.)",
            "strftime(.)",
            "test(.)",
            "split(.)",
            "join(.)",
            "ltrimstr(.)",
            "length",
            "keys",
            "has(.)",
            "contains(.)",
            "inside(.)",
            "indices(.)",
            "from_entries",
            "to_entries",
            "add",
            "min_by(.a)",
            "group_by(.a)",
            "sort",
            "flatten",
            "floor",
            "sqrt",
            "pow(.; .)",
            "range(.)",
            "limit(.; 1)",
            "-(.)",
            ". + 1",
            ". - .",
            ". * .",
            ". / 0",
            ". % 0",
            ".[.]",
            ".[1:\"a\"]",
            ".a",
            ".[]",
            "error",
            "error({a: .})",
            "@base64d",
            "@urid",
            "@csv",
            "@sh",
            "tojson | error",
            "getpath(.)",
            "setpath(.; 1)",
            "delpaths(.)",
            "tobytes",
            "ltrimstr(1)",
            "splits(.)",
            "bsearch(.)",
            "transpose",
            "toboolean",
            "trim",
            "todate",
            "first(.[])",
            "walk(error)",
            "with_entries(error)",
            "paths(error)",
            "@html",
            "@json | fromdate",
            "ascii",
        ] {
            for item in 0..7 {
                let expression = format!(".[{item}] | {function}");
                let Ok(filter) = compile(&expression) else {
                    continue;
                };
                let found = evaluate(
                    Question::Transform,
                    &filter,
                    &expression,
                    document.as_bytes(),
                );
                let Err(failure) = found else { continue };
                failures += 1;
                for canary in [CANARY, "47114711"] {
                    assert!(!failure.contains(canary), "{expression}: {failure}");
                }
            }
        }
        assert!(failures > 100, "only {failures} failures");
    }
}
