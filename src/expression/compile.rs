//! From text to a filter. What reaches outside of the event is not there: the same event gives the same answer, on
//! every attempt and on every machine.

use std::thread;

use jaq_core::{
    Compiler, Ctx, Native, Vars,
    compile::Undefined,
    data::JustLut,
    load::{Arena, Error, File, Loader, parse, parse::Def},
    native, unwrap_valr,
};
use jaq_json::{Val, ValR};

/// Enough for the deepest expression that fits into [`super::SOURCE_BYTES_MAX`]; taken only as far as it is used.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// So many are told: one slip may bring many after it.
const FAULTS_MAX: usize = 3;

/// What jq has and jaq leaves out.
pub(super) const OURS: &str = include_str!("definitions.jq");

/// What jq offers elsewhere and is not offered here.
const OUTSIDE: [&str; 20] = [
    "$ENV",
    "$__loc__",
    "$__prog_args",
    "debug",
    "debug_empty",
    "env",
    "get_search_list",
    "halt",
    "halt_error",
    "input",
    "input_filename",
    "input_line_number",
    "inputs",
    "localtime",
    "modulemeta",
    "now",
    "repl",
    "stderr",
    "stderr_empty",
    "strflocaltime",
];

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of the expression, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub found: String,
    pub expected: String,
    /// A name that stands for nothing.
    pub unknown: Option<Unknown>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: String,
    /// What could have been meant.
    pub known: Vec<&'static str>,
}

type Data = JustLut<Val>;

/// A compiled expression.
pub(super) struct Filter(jaq_core::Filter<Data>);

impl Filter {
    /// Its values, one after another, computed as they are taken.
    pub(super) fn values(&self, document: Val) -> impl Iterator<Item = ValR> {
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new([]));
        self.0.id.run((context, document)).map(unwrap_valr)
    }
}

/// On a thread of its own, whose stack suffices for any depth.
pub(super) fn check(source: &str) -> Result<(), Vec<Fault>> {
    let whole = |found: &str, expected: &str| Fault {
        line: 1,
        column: 1,
        found: found.to_owned(),
        expected: expected.to_owned(),
        unknown: None,
    };
    if source.len() > super::SOURCE_BYTES_MAX {
        let expected = format!("at most {} bytes", super::SOURCE_BYTES_MAX);
        return Err(vec![whole(&format!("{} bytes", source.len()), &expected)]);
    }
    thread::scope(|scope| {
        let compiler = thread::Builder::new().stack_size(STACK_BYTES);
        let compiled = compiler.spawn_scoped(scope, || compile(source).map(drop));
        match compiled.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err(vec![whole("what the compiler fails on", "another form")]),
            Err(_) => Err(vec![whole("no thread to check it on", "another try")]),
        }
    })
}

pub(super) fn compile(source: &str) -> Result<Filter, Vec<Fault>> {
    let arena = Arena::default();
    let file = File {
        code: source,
        path: (),
    };
    let modules = Loader::new(definitions())
        .load(&arena, file)
        .map_err(|errors| {
            let faults = errors.into_iter().flat_map(|(_, e)| unloaded(source, e));
            faults.collect::<Vec<_>>()
        })?;
    let compiler: Compiler<_, Data> = Compiler::default().with_funs(functions());
    let compiled = compiler.compile(modules).map_err(|errors| {
        let errors = errors.into_iter().flat_map(|(_, errors)| errors);
        let faults = errors
            .take(FAULTS_MAX)
            .map(|(name, kind)| undefined(source, name, &kind));
        faults.collect::<Vec<_>>()
    });
    compiled.map(Filter)
}

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let all = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .chain(parse(OURS, |parser| parser.defs()).unwrap_or_default());
    all.filter(|definition| !OUTSIDE.contains(&definition.name))
}

fn functions() -> impl Iterator<Item = native::Filter<Native<Data>>> {
    let all = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    all.filter(|(name, ..)| !OUTSIDE.contains(name))
}

fn unloaded(source: &str, error: Error<&str>) -> Vec<Fault> {
    match error {
        Error::Io(modules) => modules
            .into_iter()
            .take(FAULTS_MAX)
            .map(|(path, _)| {
                fault(
                    source,
                    path,
                    "a module",
                    "an expression that stands by itself",
                )
            })
            .collect(),
        Error::Lex(errors) => errors
            .into_iter()
            .take(FAULTS_MAX)
            .map(|(expected, rest)| {
                let found = rest.chars().next().map(String::from).unwrap_or_default();
                fault(source, rest, &named(&found), expected.as_str())
            })
            .collect(),
        Error::Parse(errors) => errors
            .into_iter()
            .take(FAULTS_MAX)
            .map(|(expected, found)| fault(source, found, &named(found), expected.as_str()))
            .collect(),
    }
}

fn named(token: &str) -> String {
    const CHARS_MAX: usize = 40;
    if token.is_empty() {
        return "the end".to_owned();
    }
    format!("`{}`", token.chars().take(CHARS_MAX).collect::<String>())
}

fn undefined(source: &str, name: &str, kind: &Undefined) -> Fault {
    let bare = name.rsplit("::").next().unwrap_or(name);
    if OUTSIDE.contains(&bare) {
        let found = format!("`{name}`, which reaches outside of the event");
        return fault(source, name, &found, "what the event alone decides");
    }
    let found = match kind {
        Undefined::Filter(0) => named(name),
        Undefined::Filter(arity) => format!("{} with {arity} arguments", named(name)),
        _ => named(name),
    };
    let kind = match kind {
        Undefined::Filter(_) => "function",
        kind => kind.as_str(),
    };
    let mut fault = fault(source, name, &found, &format!("a {kind} that is known"));
    if kind == "function" {
        let known = definitions().map(|definition| definition.name);
        let known = known.chain(functions().map(|(name, ..)| name));
        fault.unknown = Some(Unknown {
            name: name.to_owned(),
            known: known.filter(|known| *known != name).collect(),
        });
    }
    fault
}

/// `part` is a piece of `source`.
fn fault(source: &str, part: &str, found: &str, expected: &str) -> Fault {
    let offset = (part.as_ptr() as usize).saturating_sub(source.as_ptr() as usize);
    let before = &source[..source.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Fault {
        line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        found: found.to_owned(),
        expected: expected.to_owned(),
        unknown: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::SOURCE_BYTES_MAX;

    #[test]
    fn a_fault_has_its_place_and_what_is_expected() {
        for (source, line, column, found, expected) in [
            ("", 1, 1, "the end", "term"),
            (".a ==", 1, 6, "the end", "term"),
            (".a |\n ä", 2, 2, "`ä`", "token"),
            ("{a: 1", 1, 6, "", "closing brace"),
            ("if . then 1", 1, 12, "the end", "else or end"),
            (".a &", 1, 4, "`&`", "token"),
            ("\"\\q\"", 1, 3, "`q`", "string escape sequence"),
            (
                ".a | prioritty",
                1,
                6,
                "`prioritty`",
                "a function that is known",
            ),
            (
                "map(.; 1)",
                1,
                1,
                "`map` with 2 arguments",
                "a function that is known",
            ),
            ("$x", 1, 1, "`$x`", "a variable that is known"),
            ("break $x", 1, 7, "`$x`", "a label that is known"),
            ("x::y", 1, 1, "`x`", "a module that is known"),
            (
                "include \"a\"; .",
                1,
                10,
                "a module",
                "an expression that stands by itself",
            ),
            (
                "import \"a\" as a; .",
                1,
                9,
                "a module",
                "an expression that stands by itself",
            ),
        ] {
            let faults = check(source).unwrap_err();
            let fault = &faults[0];
            let place = (fault.line, fault.column);
            assert_eq!(place, (line, column), "{source}: {faults:?}");
            assert!(fault.found.contains(found), "{source}: {faults:?}");
            assert!(fault.expected.contains(expected), "{source}: {faults:?}");
        }
    }

    #[test]
    fn what_reaches_outside_is_not_offered() {
        for source in [
            "input",
            "[inputs]",
            "env",
            "env.HOME",
            "$ENV.HOME",
            "now",
            "debug",
            "debug(\"x\")",
            "stderr",
            "halt",
            "halt_error",
            "halt_error(1)",
            "input_filename",
            "input_line_number",
            "localtime",
            "strflocaltime(\"%H\")",
            "$__loc__",
            "$__prog_args",
            "get_search_list",
            "debug_empty",
        ] {
            let faults = check(source).unwrap_err();
            let outside = faults[0]
                .found
                .contains("which reaches outside of the event");
            assert!(outside, "{source}: {faults:?}");
        }
    }

    #[test]
    fn the_rest_of_jq_is_there() {
        for source in [
            ".a.b[0]?",
            ".. | numbers",
            "reduce .[] as $x (0; . + $x)",
            "def f($x): . + $x; f(1)",
            "try error(\"x\") catch .",
            "label $out | 1, break $out",
            "test(\"a\"; \"i\"), sub(\"a\"; \"b\"), [scan(\"a\")]",
            "todate, (\"2026-01-01T00:00:00Z\" | fromdate)",
            "@base64, @uri, @html, @sh, @json, @text",
            "to_entries, with_entries(.), from_entries",
            "group_by(.a), unique_by(.a), sort_by(.a), min_by(.a)",
            "limit(1; .[]), first(.[]), until(true; .), ltrimstr(\"a\")",
            "tojson, fromjson, tonumber, tostring, ascii_downcase",
            "paths, getpath([\"a\"]), setpath([\"a\"]; 1), del(.a), pick(.a)",
            "floor, sqrt, pow(2; 3), splits(\"a\"), walk(.)",
        ] {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn any_expression_that_fits_is_checked_without_harm() {
        let fitting = |piece: &str| piece.repeat(SOURCE_BYTES_MAX / piece.len());
        for piece in [
            "(",
            "[",
            "{",
            "-",
            ".[",
            "\"\\(",
            "if ",
            "try ",
            "def f:",
            "1|",
            "1,",
            "1+",
            "reduce ",
            ". as $x|",
            "f(",
            "..",
            "?",
            ")",
            "\"",
            "{a:",
            "label $x|",
            "not|",
            "1//",
            ".a|=",
            "$",
            "@",
        ] {
            let source = fitting(piece);
            let _whatever_is_said = check(&source);
            let _whatever_is_said = check(&format!("{}1", &source[..source.len() - 1]));
        }
        let faults = check(&" ".repeat(SOURCE_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(faults[0].expected, "at most 16384 bytes");
    }
}
