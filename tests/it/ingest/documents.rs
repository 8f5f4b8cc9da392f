//! The examples of docs/payloads.md, run as they stand.

use hookgate::payload::{Content, document};
use http::Method;
use serde_json::Value;

use crate::support::gateway::Gateway;

use super::requests::Sent;

/// A fenced block: its language and its text, without the last line's end.
struct Block {
    language: &'static str,
    text: &'static str,
}

fn blocks() -> Vec<Block> {
    let page = include_str!("../../../docs/payloads.md");
    let fenced = page.split("\n```").skip(1).step_by(2);
    let blocks = fenced.map(|block| {
        let (language, text) = block.split_once('\n').expect("a block");
        Block { language, text }
    });
    blocks.collect()
}

/// The blocks of these languages, each with the JSON block that follows it.
fn examples(blocks: &[Block], languages: &[&str]) -> Vec<(&'static str, &'static str, Value)> {
    let pairs = blocks
        .windows(2)
        .filter(|pair| languages.contains(&pair[0].language));
    let examples = pairs.map(|pair| {
        assert_eq!(pair[1].language, "json", "what follows {}", pair[0].text);
        let expected = serde_json::from_str(pair[1].text).expect("JSON");
        (pair[0].language, pair[0].text, expected)
    });
    examples.collect()
}

#[test]
fn the_documents_are_those_of_the_page() {
    let examples = examples(&blocks(), &["form", "xml"]);
    assert_eq!(examples.len(), 3);
    for (language, text, expected) in examples {
        let content = match language {
            "form" => Content::Form,
            _ => Content::Xml,
        };
        let document = document(content, text.as_bytes()).expect("a document");
        let document: Value = serde_json::from_slice(&document.expect("a document")).unwrap();
        assert_eq!(document, expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_are_answered_as_the_page_says() {
    let blocks = blocks();
    let routes = blocks.iter().filter(|block| block.language == "toml");
    let routes: String = routes.map(|block| format!("{}\n", block.text)).collect();
    let target = "[targets.crm]\nurl = \"http://crm.example.com/in\"\npaused = true\n";
    let gateway = Gateway::start(&format!("{target}{routes}")).await;
    let examples = examples(&blocks, &["http"]);
    assert_eq!(examples.len(), 3);
    for (_, text, expected) in examples {
        let reply = sent(text).send(&gateway.client).await;
        assert!(
            is_like(&reply.json(), &expected),
            "{text}: {}",
            reply.text()
        );
    }
    gateway.finish().await;
}

/// Method and path, headers, an empty line, the body.
fn sent(text: &str) -> Sent {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .expect("a request line");
    let request = Sent::json(path, body)
        .without("Content-Type")
        .method(method.parse::<Method>().expect("a method"));
    lines.fold(request, |request, line| {
        let (name, value) = line.split_once(": ").expect("a header");
        request.with(name, value)
    })
}

/// `"…"` stands for any string.
fn is_like(told: &Value, expected: &Value) -> bool {
    match (told, expected) {
        (Value::String(_), Value::String(any)) if any == "…" => true,
        (Value::Array(told), Value::Array(expected)) => {
            told.len() == expected.len() && told.iter().zip(expected).all(|(a, b)| is_like(a, b))
        }
        (Value::Object(told), Value::Object(expected)) => {
            told.len() == expected.len()
                && expected
                    .iter()
                    .all(|(key, b)| told.get(key).is_some_and(|a| is_like(a, b)))
        }
        (told, expected) => told == expected,
    }
}
