//! Shapes that many keys have.

use super::{
    Key, Rule, Section, Shape,
    Usual::{Required, Words},
    key,
};

pub(super) const FLAG: Shape = Shape::Flag;
pub(super) const ANY_TEXT: Shape = Shape::Text("");
pub(super) const TEXT: Shape = Shape::Text("^(.|\\n)");
/// Of names that may be anything.
pub(super) const ANY: &str = "";

pub(super) const DURATION: Shape = Shape::Text(
    "^( *[0-9]+(\\.[0-9]+)? *(nanos|nsec|ns|usec|us|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y))+ *$",
);
pub(super) const SIZE: Shape = Shape::OneOf(&[
    Shape::Integer(1, i64::MAX as u64),
    Shape::Text("^ *[+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+) *([kKmMgGtTpPeE]([iI])?)?[bB]? *$"),
]);
pub(super) const RATE: Shape = Shape::OneOf(&[LIMIT, Shape::Table(&RATE_TABLE)]);
const LIMIT: Shape = Shape::Text("^0*[1-9][0-9]*/[smh]$");
/// An address of the machine's and a port.
pub(super) const ADDRESS: Shape = Shape::Text("^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$");
const NETWORK: Shape = Shape::Text("^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$");
pub(super) const NETWORKS: Shape = Shape::List(0, &NETWORK);
pub(super) const HTTP_URL: Shape = Shape::Text("^[hH][tT][tT][pP][sS]?://[^/]");
/// https but on loopback.
pub(super) const KEY_URL: Shape = Shape::Text("^[hH][tT][tT][pP]([sS]://|://(127\\.|\\[::1\\]))");
/// A path of the file system.
pub(super) const PATH_OF_FILE: Shape = TEXT;
pub(super) const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";
pub(super) const NAME: Shape = Shape::Text(NAME_PATTERN);
pub(super) const HEADER_PATTERN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
pub(super) const HEADER: Shape = Shape::Text(HEADER_PATTERN);
pub(super) const HEADERS: Shape = Shape::OneOf(&[HEADER, Shape::List(1, &HEADER)]);
pub(super) const MEDIA_TYPE: Shape = Shape::Text("^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$");
pub(super) const POINTER_PATTERN: &str = "^(/([^~]|~[01])*)?$";
pub(super) const POINTER: Shape = Shape::Text(POINTER_PATTERN);
/// Not to the whole document.
pub(super) const POINTER_WITHIN: Shape = Shape::Text("^/");

pub(super) static RATE_TABLE: Section = Section::new(
    "rate",
    &[
        key(
            "limit",
            LIMIT,
            Required,
            "how many in which time: `\"500/s\"`, `\"100/m\"` or `\"10/h\"`",
            "\"500/s\"",
        ),
        key(
            "burst",
            Shape::Integer(1, u32::MAX as u64),
            Words("as `limit`"),
            "how many may come at once",
            "1000",
        ),
    ],
    &[],
);

const SECRET_KEYS: &[Key] = &[ENV, FILE, VALUE, NOT_BEFORE, NOT_AFTER];

pub(super) const ENV: Key = key(
    "env",
    Shape::Text("^[A-Za-z_][A-Za-z0-9_]*$"),
    Words("this, `file` or `value`"),
    "the environment variable that holds the secret",
    "\"SECRET\"",
);
pub(super) const FILE: Key = key(
    "file",
    PATH_OF_FILE,
    Words(""),
    "path of the file that holds the secret; one trailing newline is dropped",
    "\"glia.secret\"",
);
pub(super) const VALUE: Key = key(
    "value",
    TEXT,
    Words(""),
    "the secret itself, which then stands in this file: loads with a warning",
    "\"only-for-a-demo\"",
);
const NOT_BEFORE: Key = key(
    "not_before",
    MOMENT,
    Words("always"),
    "when it begins to prove something",
    "2026-12-01T00:00:00Z",
);
const NOT_AFTER: Key = key(
    "not_after",
    MOMENT,
    Words("never"),
    "when it ends to prove anything",
    "2099-12-31T00:00:00Z",
);

/// A date-time of TOML, which tools of JSON see as text, or a string.
const MOMENT: Shape =
    Shape::Text("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*([Zz]|[+-][0-9]{2}:[0-9]{2})$");

pub(super) const ONE_ORIGIN: &[Rule] = &[Rule::One(&["env", "file", "value"])];

/// A secret that is shown or sent.
pub(super) static SECRET: Section = Section {
    without: &["not_before", "not_after"],
    ..Section::new("secret", SECRET_KEYS, ONE_ORIGIN)
};

/// A secret that signatures rest on.
pub(super) static PROOF: Section = Section::new("timed_secret", SECRET_KEYS, ONE_ORIGIN);

/// An API key by its digest.
pub(super) static API_KEY: Section = Section::new(
    "key",
    &[
        key(
            "name",
            Shape::Text("^.{1,64}$"),
            Required,
            "what metrics and the API call who has it",
            "\"crm-2026\"",
        ),
        key(
            "sha256",
            Shape::Text("^[0-9A-Fa-f]{64}$"),
            Required,
            "the SHA-256 of the key in hex, as `hookgate keys new` prints it",
            "\"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\"",
        ),
        NOT_BEFORE,
        NOT_AFTER,
    ],
    &[],
);
