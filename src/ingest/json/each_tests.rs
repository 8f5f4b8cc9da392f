//! Pointers with `*`, and lists.

use super::{tests::plan, *};

fn each(pointer: &str, body: &'static str) -> Found<'static> {
    plan(&[pointer]).scan(body.as_bytes()).unwrap().remove(0)
}

fn text(text: &'static str) -> Found<'static> {
    Found::String(text.into())
}

#[test]
fn a_star_stands_for_every_element() {
    use Found::{Each, Integer, Missing};
    let rows = [
        (
            "/*/id",
            r#"[{"id":"a"},{"id":"b"}]"#,
            Each(vec![text("a"), text("b")]),
        ),
        (
            "/*/id",
            r#"[{"x":{"id":"z"},"id":7}]"#,
            Each(vec![Integer(7)]),
        ),
        ("/*", r#"["a",null]"#, Each(vec![text("a"), Found::Null])),
        (
            "/v/*",
            r#"{"v":[[],{},true,1.5]}"#,
            Each(vec![
                Found::Array,
                Found::Object,
                Found::Bool(true),
                Found::Number(1.5),
            ]),
        ),
        (
            "/*/*",
            "[[1,2],[],[3]]",
            Each(vec![Integer(1), Integer(2), Integer(3)]),
        ),
        (
            "/*/1",
            "[[1,2],[3],[4,5,6]]",
            Each(vec![Integer(2), Missing, Integer(5)]),
        ),
        ("/1/*", "[[1],[2,3]]", Each(vec![Integer(2), Integer(3)])),
        (
            "/*/id",
            r#"[{"id":"a"},{},3,null,"s",[],false,-1,1.5]"#,
            Each([vec![text("a")], vec![Missing; 8]].concat()),
        ),
        (
            "/v/*/id",
            r#"{"v":{"id":1,"*":{"id":2}}}"#,
            Each(vec![Missing]),
        ),
        ("/v/*/id", r#"{"w":[]}"#, Each(vec![Missing])),
        ("/*/a~1b", r#"[{"a/b":1}]"#, Each(vec![Integer(1)])),
        (
            "/*/id",
            r#"[{"i\u0064":"\u0061\n"}]"#,
            Each(vec![text("a\n")]),
        ),
        (
            "/*",
            "[18446744073709551615,-9223372036854775808]",
            Each(vec![Integer(u64::MAX.into()), Integer(i64::MIN.into())]),
        ),
        ("/*", " [ 1 , 2 ] ", Each(vec![Integer(1), Integer(2)])),
        ("/*", "[]", Missing),
        ("/*/*", "[[],[]]", Missing),
    ];
    for (pointer, body, expected) in rows {
        assert_eq!(each(pointer, body), expected, "{pointer} in {body}");
    }
}

#[test]
fn pointers_with_and_without_a_star_are_found_side_by_side() {
    let body = br#"{"all":true,"events":[{"id":1,"t":"x"},{"id":2,"t":"y"}]}"#;
    let plan = plan(&["/events/1/id", "/events/*/t", "/all", "/events/*/id"]);
    let expected = [
        Found::Integer(2),
        Found::Each(vec![text("x"), text("y")]),
        Found::Bool(true),
        Found::Each(vec![Found::Integer(1), Found::Integer(2)]),
    ];
    assert_eq!(plan.scan(body).unwrap(), expected);
}

#[test]
fn a_key_on_the_way_of_a_star_stands_once() {
    let rows = [
        ("/*/id", r#"[{"id":1},{"id":1,"id":1}]"#, "/*/id", 22),
        ("/v/*/id", r#"{"v":[],"\u0076":[]}"#, "/v", 16),
        (
            "/v/*/a~1b/c",
            r#"{"v":[{"a/b":{"c":1},"a/b":1}]}"#,
            "/v/*/a~1b",
            26,
        ),
    ];
    for (pointer, body, twice, column) in rows {
        let fault = plan(&[pointer]).scan(body.as_bytes()).unwrap_err();
        assert_eq!(
            fault.kind,
            JsonFaultKind::DuplicateKey(twice.to_owned()),
            "{body}"
        );
        assert_eq!((fault.line, fault.column), (1, column), "{body}");
    }
    // Beside the way it is nobody's concern.
    let beside = r#"[{"x":1,"x":2,"id":3}]"#;
    assert_eq!(each("/*/id", beside), Found::Each(vec![Found::Integer(3)]));
}

#[test]
fn broken_json_is_told_as_ever() {
    for body in ["[{\"id\":1}", "[1,]", "[\"\\ud800\"]", ""] {
        let told = |pointer| plan(&[pointer]).scan(body.as_bytes()).unwrap_err();
        assert_eq!(told("/*/id"), told("/id"), "{body}");
    }
}

#[test]
fn a_list_gives_the_exact_text_of_its_elements() {
    let elements = |pointer: &str, body: &'static str| {
        let list = List::new(&Pointer::parse(pointer).unwrap());
        list.elements(body.as_bytes())
    };
    let rows = [
        (
            "",
            " [ {\"a\" : 1 } ,\n2,\"x\", [ ] ]",
            Some(vec!["{\"a\" : 1 }", "2", "\"x\"", "[ ]"]),
        ),
        ("/v/1", r#"{"v":[0,[{},{}]]}"#, Some(vec!["{}", "{}"])),
        ("/v", r#"{"v":[]}"#, Some(vec![])),
        ("/v", r#"{"v":{}}"#, None),
        ("/v", r#"{"v":null}"#, None),
        ("/v", "[]", None),
        ("", "3", None),
    ];
    for (pointer, body, expected) in rows {
        assert_eq!(
            elements(pointer, body).unwrap(),
            expected,
            "{pointer} in {body}"
        );
    }
    assert!(elements("/v", r#"{"v":[1],"v":[2]}"#).is_err());
    assert!(elements("", "[1,2").is_err());
    let deep: String = "[".repeat(65) + &"]".repeat(65);
    assert!(elements("", deep.leak()).is_err());
}
