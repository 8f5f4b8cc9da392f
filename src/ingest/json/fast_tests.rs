//! The quick look beside the walk.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{Found, fast, tests::plan};

/// Documents whole and broken, from pieces that two readers could take differently.
struct Documents(StdRng);

impl Documents {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.random_range(0..of.len())]
    }

    fn space(&mut self) -> &'static str {
        let known = if self.0.random_bool(0.02) { 9 } else { 7 };
        self.pick(&["", "", "", " ", "\n", "\r\t", "  ", "\u{a0}", "\u{c}"][..known])
    }

    fn string(&mut self) -> String {
        let all = [
            "a",
            "b",
            "plain words, long enough",
            "é",
            "\u{1f600}",
            r"\n",
            r#"\""#,
            r"\\",
            r"\/",
            r"\u00e9",
            r"\ud83d\ude00",
            r"\u0061",
            r"\ud83d",
            r"\ude00",
            r"\ud83dx",
            r"\ud83d\u0061",
            r"\x",
            r"\u12g4",
            r"\u+123",
            "\t",
            "\0",
            "\u{1f}",
            "\u{7f}",
            "\"",
            "\\",
        ];
        let usual = if self.0.random_bool(0.05) {
            all.len()
        } else {
            12
        };
        let parts = self.0.random_range(0..4);
        let text: String = (0..parts).map(|_| self.pick(&all[..usual])).collect();
        format!("\"{text}\"")
    }

    fn key(&mut self) -> String {
        match self.0.random_range(0..12) {
            0 => self.string(),
            _ => format!(
                "\"{}\"",
                self.pick(&["a", "b", "c", "n", "/", "", "0", r"\u0061", r"\n"])
            ),
        }
    }

    fn scalar(&mut self) -> String {
        let long = "1".repeat(310);
        let odd = if self.0.random_bool(0.1) { 22 } else { 1 };
        match self.0.random_range(0..3) {
            0 => self.string(),
            1 => self
                .pick(&[
                    "true",
                    "false",
                    "null",
                    "0",
                    "-1",
                    "17",
                    "1.5",
                    "-0.25",
                    "123456789012345678",
                ])
                .to_owned(),
            _ => self
                .pick(
                    &[
                        "-0",
                        "01",
                        "1.",
                        ".5",
                        "+1",
                        "-",
                        "1e5",
                        "1E-5",
                        "1e",
                        "1e999",
                        "-1e999",
                        "nul",
                        "True",
                        "NaN",
                        &long,
                        "9223372036854775807",
                        "9223372036854775808",
                        "18446744073709551616",
                        "1_0",
                        "0x1",
                        "",
                        "'a'",
                    ][..odd],
                )
                .to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> String {
        let is_container = depth > 0 && self.0.random_bool(0.6);
        if !is_container {
            return self.scalar();
        }
        let is_object = self.0.random_bool(0.6);
        let members: Vec<_> = (0..self.0.random_range(0..4))
            .map(|_| {
                let (before, after) = (self.space(), self.space());
                let value = self.value(depth - 1);
                match is_object {
                    true => format!("{before}{}{after}:{before}{value}{after}", self.key()),
                    false => format!("{before}{value}{after}"),
                }
            })
            .collect();
        let comma = if self.0.random_bool(0.01) { ",," } else { "," };
        let (open, close) = if is_object { ("{", "}") } else { ("[", "]") };
        format!("{open}{}{}{close}", members.join(comma), self.space())
    }

    fn document(&mut self) -> String {
        let nested = match self.0.random_range(0..20) {
            0 => self.0.random_range(60..68),
            _ => 0,
        };
        let inner = self.value(5);
        let mut text = format!("{}{inner}{}", "[".repeat(nested), "]".repeat(nested));
        if self.0.random_bool(0.2) {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            if let Some(&at) = places.get(self.0.random_range(0..places.len().max(1))) {
                match self.0.random_bool(0.5) {
                    true => drop(text.remove(at)),
                    false => text.insert_str(
                        at,
                        ["\"", "\\", "}", "]", "{", ",", ":", "0", " ", "e", "\u{1}"]
                            [self.0.random_range(0..11)],
                    ),
                }
            }
        }
        text
    }
}

#[test]
fn the_quick_look_finds_what_the_walk_finds_or_leaves_it_to_it() {
    let plan = plan(&[
        "", "/a", "/a/b", "/a/0", "/b", "/c/1/a", "/~1", "/n", "/", "/a/b/c",
    ]);
    let (mut quick, mut taken) = (0, 0);
    for seed in 0..40_000 {
        let text = Documents(StdRng::seed_from_u64(seed)).document();
        let walked = plan.walk(&text, text.as_bytes());
        taken += usize::from(walked.is_ok());
        if let Some(found) = fast::scan(&plan, &text) {
            quick += 1;
            assert_eq!(walked, Ok(found), "seed {seed}: {text:?}");
        }
    }
    // Else this would prove nothing.
    assert!(taken > 10_000 && quick > taken / 2, "{quick} of {taken}");
}

#[test]
fn the_quick_look_is_enough_for_an_ordinary_body() {
    let body = r#"{"id":"evt_1","type":"a.b","n":17,"o":{"list":[1,-2.5,true,null,{"t":"q\"\u00e9\n"}]}, "last" : "é" }"#;
    let plan = plan(&["/id", "/type", "/n", "/o/list/2", "/missing"]);
    let string = |text: &'static str| Found::String(text.into());
    let expected = [
        string("evt_1"),
        string("a.b"),
        Found::Integer(17),
        Found::Bool(true),
        Found::Missing,
    ];
    assert_eq!(fast::scan(&plan, body).unwrap(), expected);
}
