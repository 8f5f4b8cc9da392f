use super::*;

/// The document as it is written.
#[track_caller]
fn read(content: Content, body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    let document = document(content, body).unwrap_or_else(|fault| {
        panic!("{fault}: {}", String::from_utf8_lossy(body));
    });
    String::from_utf8(document.unwrap().into_owned()).unwrap()
}

/// Why there is none.
#[track_caller]
fn fault(content: Content, body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    match document(content, body) {
        Ok(_) => panic!("taken: {}", String::from_utf8_lossy(body)),
        Err(fault) => {
            assert_eq!(fault.content, content);
            fault.to_string()
        }
    }
}

#[test]
fn a_request_is_the_kind_that_it_names_or_anything() {
    use Content::{Any, Form, Json, Xml};
    let rows: [(&str, Option<Content>); 22] = [
        ("application/json", Some(Json)),
        ("Application/JSON; charset=utf-8", Some(Json)),
        ("application/vnd.contentful.management.v1+json", Some(Json)),
        ("application/+json", None),
        ("application/jsonp", None),
        ("text/json", None),
        ("+json", None),
        ("text/x+json", None),
        ("application/x-www-form-urlencoded", Some(Form)),
        (
            "APPLICATION/X-WWW-FORM-URLENCODED;charset=UTF-8",
            Some(Form),
        ),
        ("application/x-www-form-urlencoded2", None),
        ("multipart/form-data; boundary=x", None),
        ("application/xml", Some(Xml)),
        ("text/xml ; charset=utf-8", Some(Xml)),
        ("application/soap+xml", Some(Xml)),
        ("application/+xml", None),
        ("image/svg+xml", None),
        ("text/plain", None),
        ("", None),
        ("application/é+json", Some(Json)),
        ("applicatioé/x+json", None),
        (";application/json", None),
    ];
    for (content_type, named) in rows {
        let of = |taken: &[Content]| Content::of(Some(content_type), taken);
        assert_eq!(of(&[Json, Form, Xml]), named, "{content_type}");
        assert_eq!(
            of(&[Json, Form, Xml, Any]),
            named.or(Some(Any)),
            "{content_type}"
        );
        assert_eq!(of(&[Any]), Some(Any), "{content_type}");
        for one in [Json, Form, Xml] {
            assert_eq!(
                of(&[one]),
                named.filter(|named| *named == one),
                "{content_type}"
            );
        }
    }
    assert_eq!(Content::of(None, &[Json, Form, Xml]), None);
    assert_eq!(Content::of(None, &[Json, Any]), Some(Any));
}

#[test]
fn json_is_its_own_document_and_anything_has_none() {
    let body = b"{not even json".as_slice();
    assert!(matches!(document(Content::Json, body), Ok(Some(Cow::Borrowed(same))) if same == body));
    assert_eq!(document(Content::Any, b"\xff\0"), Ok(None));
}

#[test]
fn a_form_is_an_object_of_strings() {
    let rows = [
        ("", "{}"),
        ("&&", "{}"),
        ("a=1&b=2", r#"{"a":"1","b":"2"}"#),
        ("b=2&a=1&b=3&b=", r#"{"b":["2","3",""],"a":"1"}"#),
        ("a&b=&=c&=", r#"{"a":"","b":"","":["c",""]}"#),
        ("a+b=c+d%2B", r#"{"a b":"c d+"}"#),
        ("a=b=c", r#"{"a":"b=c"}"#),
        ("%61=1&a=2", r#"{"a":["1","2"]}"#),
        ("a=%C3%A4%f0%9f%98%80ä", r#"{"a":"ä😀ä"}"#),
        ("a=%22%5C%00%0a", "{\"a\":\"\\\"\\\\\\u0000\\n\"}"),
        ("a%5B0%5D=x", r#"{"a[0]":"x"}"#),
    ];
    for (form, document) in rows {
        assert_eq!(read(Content::Form, form), document, "{form}");
        assert!(serde_json::from_str::<serde_json::Value>(document).is_ok());
    }
}

#[test]
fn a_payload_field_that_holds_json_is_the_document() {
    let rows = [
        ("payload=%7B%22a%22%3A1%7D", r#"{"a":1}"#),
        ("token=x&payload=+%5B1%2C2%5D+", " [1,2] "),
        // What is no object or list is a field like any other.
        ("payload=12", r#"{"payload":"12"}"#),
        ("payload=%22x%22", r#"{"payload":"\"x\""}"#),
        ("payload=%7Bbroken", r#"{"payload":"{broken"}"#),
        (
            "payload=%7B%7D&payload=%7B%7D",
            r#"{"payload":["{}","{}"]}"#,
        ),
        ("Payload=%7B%7D", r#"{"Payload":"{}"}"#),
    ];
    for (form, document) in rows {
        assert_eq!(read(Content::Form, form), document, "{form}");
    }
}

#[test]
fn what_is_no_form_is_refused_where_it_goes_wrong() {
    let rows: [(&[u8], &str); 9] = [
        (b"a=%", "a `%` without two hex digits at line 1 column 3"),
        (
            b"a=1&b=%4",
            "a `%` without two hex digits at line 1 column 7",
        ),
        (
            b"a=1&%zz=1",
            "a `%` without two hex digits at line 1 column 5",
        ),
        (b"a=%+1", "a `%` without two hex digits at line 1 column 3"),
        (
            "a=%é".as_bytes(),
            "a `%` without two hex digits at line 1 column 3",
        ),
        (b"a=1&b=\xff", "invalid UTF-8 at line 1 column 7"),
        (b"a=1&b=x%ff", "invalid UTF-8 at line 1 column 7"),
        (b"a=1\n&b=%ed%a0%80", "invalid UTF-8 at line 2 column 4"),
        (b"a%c3=%a4", "invalid UTF-8 at line 1 column 1"),
    ];
    for (form, told) in rows {
        assert_eq!(
            fault(Content::Form, form),
            told,
            "{}",
            String::from_utf8_lossy(form)
        );
    }
}

#[test]
fn a_form_has_at_most_a_thousand_fields() {
    let form = |fields: usize| "a=1&".repeat(fields);
    let list = format!(r#"{{"a":[{}]}}"#, vec![r#""1""#; 1000].join(","));
    assert_eq!(read(Content::Form, form(1000)), list);
    let told = fault(Content::Form, form(1001));
    assert_eq!(told, "more than 1000 fields at line 1 column 4001");
    let names: Vec<_> = (0..100_000).map(|n| format!("n{n}=v")).collect();
    assert!(fault(Content::Form, names.join("&")).starts_with("more than 1000 fields"));
}

#[test]
fn xml_is_an_object_of_its_root() {
    let rows = [
        ("<a/>", r#"{"a":""}"#),
        ("<a></a>", r#"{"a":""}"#),
        ("<a> x\r\n\ry </a>", r#"{"a":" x\n\ny "}"#),
        ("<a b='1'/>", r#"{"a":{"@b":"1"}}"#),
        ("<a b='1'> </a>", r#"{"a":{"@b":"1"}}"#),
        ("<a b='1'> x</a>", r##"{"a":{"@b":"1","#text":" x"}}"##),
        ("<a>\n <b/>\n <c>x</c>\n</a>", r#"{"a":{"b":"","c":"x"}}"#),
        ("<a>x<b/>y</a>", r##"{"a":{"b":"","#text":"xy"}}"##),
        (
            "<a><b>1</b><c/><b>2</b></a>",
            r#"{"a":{"b":["1","2"],"c":""}}"#,
        ),
        ("<a b='1'><b>2</b></a>", r#"{"a":{"@b":"1","b":"2"}}"#),
        ("<p:a xmlns:p='u' xmlns='v'>x</p:a>", r#"{"a":"x"}"#),
        (
            "<a x:b='1' y:b='2'><x:c/><y:c/></a>",
            r#"{"a":{"@b":["1","2"],"c":["",""]}}"#,
        ),
        (
            "<a>&lt;&#65;&#x42;&amp;amp;&apos;&quot;&gt;&#13;</a>",
            r#"{"a":"<AB&amp;'\">\r"}"#,
        ),
        (
            "<a b='&lt;&#9;\t\n\"&#x1F600;'/>",
            r#"{"a":{"@b":"<\t  \"😀"}}"#,
        ),
        ("<a b=\"'\r\n'\"/>", r#"{"a":{"@b":"' '"}}"#),
        (
            "<a><![CDATA[<b>&amp;]]]]><![CDATA[>]]></a>",
            r#"{"a":"<b>&amp;]]>"}"#,
        ),
        ("<a>x<!-- no - more -->y<?pi z?></a>", r#"{"a":"xy"}"#),
        (
            "<?xml version=\"1.0\" encoding='utf-8' standalone='yes' ?>\n<!--c-->\n<?p?><a/>\n<!--c--> ",
            r#"{"a":""}"#,
        ),
        ("<?xml version='1.0' standalone='no'?><a/>", r#"{"a":""}"#),
        ("\u{feff}<?xml version='1.0'?><a/>", r#"{"a":""}"#),
        (
            "<ä.b-1 ö='ü' >é</ä.b-1 >",
            r##"{"ä.b-1":{"@ö":"ü","#text":"é"}}"##,
        ),
        ("<a b = '1'\n\tc='2'/>", r#"{"a":{"@b":"1","@c":"2"}}"#),
    ];
    for (xml, document) in rows {
        assert_eq!(read(Content::Xml, xml), document, "{xml}");
        assert!(serde_json::from_str::<serde_json::Value>(document).is_ok());
    }
}

#[test]
fn what_is_no_well_formed_xml_is_refused_where_it_goes_wrong() {
    let rows = [
        ("", "no element at line 1 column 1"),
        ("  \n", "no element at line 2 column 1"),
        ("x", "text outside of the root element at line 1 column 1"),
        (
            "{\"id\":1}",
            "text outside of the root element at line 1 column 1",
        ),
        (
            "<a/>x",
            "text outside of the root element at line 1 column 5",
        ),
        (
            "<a/>&amp;",
            "text outside of the root element at line 1 column 5",
        ),
        (
            "<a/><![CDATA[ ]]>",
            "text outside of the root element at line 1 column 5",
        ),
        ("<a/>\n<b/>", "a second root element at line 2 column 1"),
        ("<a>", "an element that is not closed at line 1 column 4"),
        ("<a", "a tag that is not closed at line 1 column 1"),
        ("<a b='", "a tag that is not closed at line 1 column 1"),
        (
            "<a></b>",
            "an end tag that does not match its start tag at line 1 column 4",
        ),
        (
            "<a><b></a></b>",
            "an end tag that does not match its start tag at line 1 column 7",
        ),
        (
            "</a>",
            "an end tag without its start tag at line 1 column 1",
        ),
        (
            "<a></a b>",
            "an end tag that does not match its start tag at line 1 column 4",
        ),
        ("< a/>", "no name where one belongs at line 1 column 2"),
        ("<1/>", "no name where one belongs at line 1 column 2"),
        ("<a:b:c/>", "no name where one belongs at line 1 column 2"),
        ("<:a/>", "no name where one belongs at line 1 column 2"),
        ("<a/b/>", "no name where one belongs at line 1 column 2"),
        ("<a b/>", "an attribute without a value at line 1 column 4"),
        ("<a b=1/>", "a value without quotes at line 1 column 6"),
        (
            "<a b='1'c='2'/>",
            "no space before an attribute at line 1 column 9",
        ),
        (
            "<a b='1' b='2'/>",
            "an attribute that stands twice at line 1 column 10",
        ),
        (
            "<a xmlns='1' xmlns='2'/>",
            "an attribute that stands twice at line 1 column 14",
        ),
        ("<a b='<'/>", "`<` in an attribute at line 1 column 7"),
        (
            "<a b='&x;'/>",
            "an entity that is not known at line 1 column 7",
        ),
        (
            "<a b='&amp'/>",
            "an entity that is not known at line 1 column 7",
        ),
        (
            "<a>&x;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&#0;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&#+65;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&#xD800;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&#x110000;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&#99999999999;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>&;</a>",
            "an entity that is not known at line 1 column 4",
        ),
        (
            "<a>a & b</a>",
            "a `&` that begins no reference at line 1 column 6",
        ),
        ("<a>]]></a>", "`]]>` outside of CDATA at line 1 column 4"),
        (
            "<a>\u{1}</a>",
            "a character that XML does not allow at line 1 column 4",
        ),
        (
            "<a><!--\u{ffff}--></a>",
            "a character that XML does not allow at line 1 column 8",
        ),
        ("<a><!-- -- --></a>", "`--` in a comment at line 1 column 4"),
        ("<a><!-- ---></a>", "`--` in a comment at line 1 column 4"),
        (
            "<a><!--></a>",
            "a comment that is not closed at line 1 column 4",
        ),
        (
            "<a><![CDATA[</a>",
            "CDATA that is not closed at line 1 column 4",
        ),
        (
            "<a><!b></a>",
            "`<!` that begins nothing known at line 1 column 4",
        ),
        (
            "<a><?xml?></a>",
            "an XML declaration that is not at the start at line 1 column 4",
        ),
        (
            " <?xml version='1.0'?><a/>",
            "an XML declaration that is not at the start at line 1 column 2",
        ),
        (
            "<?XML version='1.0'?><a/>",
            "an instruction of this name is not allowed at line 1 column 1",
        ),
        ("<??><a/>", "no name where one belongs at line 1 column 1"),
        (
            "<?xml?><a/>",
            "an XML declaration without a version at line 1 column 1",
        ),
        (
            "<?xml version='2.0'?><a/>",
            "a version of XML that is not known at line 1 column 7",
        ),
        (
            "<?xml encoding='utf-8'?><a/>",
            "an XML declaration of another form at line 1 column 7",
        ),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            "an encoding other than UTF-8 at line 1 column 21",
        ),
        (
            "<?xml version='1.0' version='1.0'?><a/>",
            "an XML declaration of another form at line 1 column 21",
        ),
        (
            "<?xml version='1.0' standalone='no' encoding='utf-8'?><a/>",
            "an XML declaration of another form at line 1 column 37",
        ),
    ];
    for (xml, told) in rows {
        assert_eq!(fault(Content::Xml, xml), told, "{xml}");
        assert_eq!(
            fault(Content::Xml, format!("\u{feff}{xml}"))
                .split(" at ")
                .next(),
            told.split(" at ").next(),
            "{xml}"
        );
    }
    assert_eq!(
        fault(Content::Xml, b"<a>\n\xe4</a>"),
        "invalid UTF-8 at line 2 column 1"
    );
}

#[test]
fn no_document_type_is_taken_and_no_entity_expanded() {
    let bomb = "<!DOCTYPE a [<!ENTITY x0 \"lol\">\
        <!ENTITY x1 \"&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;\">\
        <!ENTITY x2 \"&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;\">]><a>&x2;</a>";
    let rows = [
        bomb,
        "<!DOCTYPE a>\n<a/>",
        "<!doctype a><a/>",
        "<!DOCTYPE>",
        "<!DOCTYPE a [",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'http://169.254.169.254/'>]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://127.0.0.1/'> %x;]><a/>",
    ];
    for xml in rows {
        let told = fault(Content::Xml, xml);
        assert_eq!(
            told, "a document type (DTD) is not taken at line 1 column 1",
            "{xml}"
        );
    }
    let inside = fault(Content::Xml, "<a><!DOCTYPE a><b/></a>");
    assert_eq!(
        inside,
        "a document type (DTD) is not taken at line 1 column 4"
    );
}

#[test]
fn elements_are_at_most_64_deep() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let whole = format!("{}\"\"{}", r#"{"a":"#.repeat(64), "}".repeat(64));
    assert_eq!(read(Content::Xml, nested(64)), whole);
    let told = fault(Content::Xml, nested(65));
    assert_eq!(told, "deeper than 64 levels at line 1 column 193");
    assert!(fault(Content::Xml, "<a>".repeat(300_000)).starts_with("deeper than 64 levels"));
}

#[test]
fn many_of_everything_are_read() {
    let many = 60_000;
    let same = format!("<r>{}</r>", "<a/>".repeat(many));
    let list = format!(r#"{{"r":{{"a":[{}]}}}}"#, vec![r#""""#; many].join(","));
    assert_eq!(read(Content::Xml, same), list);
    let names = |form: fn(usize) -> String| (0..many).map(form).collect::<String>();
    let children = format!("<r>{}</r>", names(|n| format!("<n{n}/>")));
    let attributes = format!("<r{}/>", names(|n| format!(" n{n}=''")));
    let pieces = format!(
        "<r>{}</r>",
        names(|_| "x<!---->&amp;<![CDATA[y]]>".to_owned())
    );
    for xml in [children, attributes, pieces] {
        let document = read(Content::Xml, &xml);
        assert!(document.len() < 3 * xml.len());
    }
    assert!(fault(Content::Xml, format!("<r a='{}'/>", "&".repeat(many))).contains("entity"));
}

/// Cut anywhere and with any byte changed, a body is refused or has a document that is JSON, in bounds.
#[test]
fn a_damaged_body_does_no_harm() {
    let form = "payload=%7B%22a%22%3A1%7D&b=%C3%A4+%22&b=2&c&d=\u{1}\u{1}\u{1}\u{1}";
    let xml = "<?xml version='1.0'?><p:a xmlns:p='u' b='&lt;\"'>x<b>&#65;</b><b/><![CDATA[\"\"\"\"]]><!--c--><?p q?></p:a>";
    let (mut taken, mut refused) = (0, 0);
    for (content, body, times) in [(Content::Form, form, 6), (Content::Xml, xml, 3)] {
        let mut try_one = |damaged: &[u8]| match document(content, damaged) {
            Ok(read) => {
                let read = read.unwrap();
                assert!(serde_json::from_slice::<serde_json::Value>(&read).is_ok());
                assert!(read.len() <= times * damaged.len() + 2);
                taken += 1;
            }
            Err(_) => refused += 1,
        };
        for at in 0..body.len() {
            try_one(&body.as_bytes()[..at]);
            for byte in [
                b'<', b'>', b'&', b'%', b'\'', b'/', b'!', b'=', b';', b' ', b'a', 0, 0xff,
            ] {
                let mut damaged = body.as_bytes().to_vec();
                damaged[at] = byte;
                try_one(&damaged);
            }
        }
    }
    assert!(taken > 200 && refused > 500, "{taken} and {refused}");
}
