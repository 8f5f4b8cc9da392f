use super::*;

#[test]
fn json_is_written_as_the_usual_libraries_write_it() {
    let captured = r#"{"b": [1.50, {}, [], "a,\":é/\u00fc"],"a":null }"#;
    let bodies: Vec<_> = variants(captured.as_bytes())
        .into_iter()
        .map(|variant| (variant.told, String::from_utf8(variant.body).unwrap()))
        .collect();
    for (told, expected) in [
        (
            "as compact JSON",
            r#"{"b":[1.50,{},[],"a,\":é/\u00fc"],"a":null}"#,
        ),
        (
            "as JSON with a space after each comma and colon (as Python writes it)",
            r#"{"b": [1.50, {}, [], "a,\":é/\u00fc"], "a": null}"#,
        ),
        (
            "as JSON indented by 2 spaces",
            "{\n  \"b\": [\n    1.50,\n    {},\n    [],\n    \"a,\\\":é/\\u00fc\"\n  ],\n  \"a\": null\n}",
        ),
        (
            "as compact JSON, with letters beyond ASCII as \\u escapes",
            r#"{"b":[1.50,{},[],"a,\":\u00e9/\u00fc"],"a":null}"#,
        ),
        (
            "as compact JSON, with \\u escapes as the letters themselves",
            r#"{"b":[1.50,{},[],"a,\":é/ü"],"a":null}"#,
        ),
        (
            "as compact JSON, with `/` as `\\/`",
            r#"{"b":[1.50,{},[],"a,\":é\/\u00fc"],"a":null}"#,
        ),
    ] {
        let found = bodies.iter().find(|(name, _)| name == told);
        assert_eq!(
            found.map(|(_, body)| body.as_str()),
            Some(expected),
            "{told}"
        );
    }
    let sorted = bodies
        .iter()
        .find(|(told, _)| told.ends_with("as compact JSON, with sorted keys"));
    assert!(sorted.is_some_and(|(_, body)| body.starts_with(r#"{"a":null,"b":[1.5"#)));
}

#[test]
fn no_variant_stands_twice_and_none_is_the_body() {
    for body in [
        "",
        "x",
        "{}",
        "[]",
        "a=1&b=2",
        "{\"a\":\"\u{1f600}\\ud83d\"}",
        "\"\\",
        "{\"a\":1}\r\n",
    ] {
        let all = variants(body.as_bytes());
        for (index, variant) in all.iter().enumerate() {
            assert_ne!(variant.body, body.as_bytes(), "{body}: {}", variant.told);
            assert!(all[..index].iter().all(|other| other.body != variant.body));
        }
    }
}
