//! One evaluation, within the worker.

use std::io::{self, Write};

use jaq_json::{
    Val,
    read::parse_single,
    write::{Pp, write},
};
use serde::de::IgnoredAny;

use super::{Answer, OUTPUT_BYTES_MAX, Question, compile::Filter, wording};

/// `Err` says why it failed, without a word of the document.
pub(super) fn evaluate(
    question: Question,
    filter: &Filter,
    expression: &str,
    document: &[u8],
) -> Result<Answer, String> {
    let document = parse_single(document).map_err(|_| "the body is not JSON".to_owned())?;
    let mut values = filter.values(document);
    let first = values.next().transpose();
    let first = first.map_err(|error| wording::without_values(error, expression))?;
    match (question, first) {
        (Question::When, None | Some(Val::Null | Val::Bool(false))) => Ok(Answer::No),
        (Question::When, Some(_)) => Ok(Answer::Yes),
        (Question::Transform, None) => Err("it makes no value, and one is to be sent".to_owned()),
        (Question::Transform, Some(value)) => match values.next() {
            None => Ok(Answer::Document(json(&value)?)),
            Some(Ok(_)) => Err("it makes several values, and one is to be sent".to_owned()),
            Some(Err(error)) => Err(wording::without_values(error, expression)),
        },
    }
}

/// jq's values are more than JSON's: what is not JSON is not sent.
fn json(value: &Val) -> Result<Vec<u8>, String> {
    let mut bounded = Bounded(Vec::new());
    write(&mut bounded, &Pp::default(), 0, value)
        .map_err(|_| format!("its output is over {OUTPUT_BYTES_MAX} bytes"))?;
    let text = std::str::from_utf8(&bounded.0).ok();
    let is_json = text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match is_json {
        true => Ok(bounded.0),
        false => Err(
            "its output is not JSON: a number that is not finite, bytes, or a key that is no string"
                .to_owned(),
        ),
    }
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::compile::compile;

    fn answer(question: Question, expression: &str, document: &str) -> Result<Answer, String> {
        let filter = compile(expression).unwrap_or_else(|faults| panic!("{faults:?}"));
        evaluate(question, &filter, expression, document.as_bytes())
    }

    fn transformed(expression: &str, document: &str) -> Result<String, String> {
        match answer(Question::Transform, expression, document)? {
            Answer::Document(json) => Ok(String::from_utf8(json).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_value_decides_by_the_truth_of_jq() {
        for (expression, wanted) in [
            (".priority == \"high\"", true),
            (".priority == \"low\"", false),
            (".missing", false),
            ("null", false),
            ("false, true", false),
            ("true, false", true),
            ("empty", false),
            ("0", true),
            ("\"\"", true),
            ("[]", true),
            (".priority | test(\"^h\")", true),
            ("true, error(\"never reached\")", true),
        ] {
            let expected = if wanted { Answer::Yes } else { Answer::No };
            let found = answer(Question::When, expression, r#"{"priority":"high"}"#);
            assert_eq!(found, Ok(expected), "{expression}");
        }
    }

    #[test]
    fn a_transform_makes_one_value_of_json() {
        for (expression, expected) in [
            (
                ".",
                r#"{"id":12345678901234567890123,"x":1.10,"s":"ä\u0000\"","l":[]}"#,
            ),
            (
                "{b: .id, a: .x}",
                r#"{"b":12345678901234567890123,"a":1.10}"#,
            ),
            ("null", "null"),
            (".s | @base64", r#""w6QAIg==""#),
            ("1, empty", "1"),
        ] {
            let document = r#" {"id":12345678901234567890123,"x":1.10,"s":"ä\u0000\"","l":[]} "#;
            assert_eq!(
                transformed(expression, document).unwrap(),
                expected,
                "{expression}"
            );
        }
        for (expression, why) in [
            ("empty", "makes no value"),
            ("1, 2", "makes several values"),
            (".[]", "makes several values"),
            ("nan", "not JSON"),
            ("infinite", "not JSON"),
            ("{(1|tostring): [nan]}", "not JSON"),
            ("{(\"a\"|tobytes): 1}", "not JSON"),
            ("\"ä\" | tobytes", "not JSON"),
            ("\"x\" * 2000000", "over 1048576 bytes"),
        ] {
            let failed = transformed(expression, r#"[1,2]"#).unwrap_err();
            assert!(failed.contains(why), "{expression}: {failed}");
        }
    }

    #[test]
    fn what_jaq_leaves_out_is_there() {
        for (expression, expected) in [
            (".[0] | IN(\"b\", \"a\\\"b\")", "true"),
            (".[0] | IN(\"b\", \"c\")", "false"),
            ("IN(.[]; 1.5, 7)", "true"),
            ("[{k: 1, v: 2}] | INDEX(.k)", r#"{"1":{"k":1,"v":2}}"#),
            ("\"xax\" | trimstr(\"x\")", r#""a""#),
            (
                "[1] | toarray, (.[0] | toarray) | select(. == [1])",
                "several",
            ),
            ("@csv", r#""\"a\"\"b\",1.5,,true""#),
            (
                "[\"a\\tb\\\\c\\n\", null, 1] | @tsv",
                r#""a\\tb\\\\c\\n\t\t1""#,
            ),
            ("[[1]] | @csv", "error: @csv takes no lists and objects"),
        ] {
            let made = transformed(expression, r#"["a\"b",1.5,null,true]"#);
            let made = made.unwrap_or_else(|failure| failure);
            assert!(made.contains(expected), "{expression}: {made}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_told_so() {
        for document in ["", "{", "canary", "a=b", "{} {}"] {
            let failed = answer(Question::When, "true", document).unwrap_err();
            assert_eq!(failed, "the body is not JSON", "{document}");
        }
    }
}
