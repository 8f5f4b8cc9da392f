//! `hmac = { … }` and the other signatures.

use super::{
    Key, Rule, Section, Shape,
    Usual::{But, Is, Required, Words},
    key,
    shapes::*,
};

const PLACE_AND_FORM: &[Rule] = &[
    Rule::One(&[
        "header",
        "numbered_header",
        "paired_headers",
        "json",
        "query",
    ]),
    Rule::AtMostOne(&["prefix", "pairs", "version"]),
    Rule::Needs("tolerance", "timestamp"),
    Rule::Needs("future", "timestamp"),
];

/// `hmac`, `hash` and `rsa`.
pub(super) static HMAC: Section = Section::new("signature", SCHEME_KEYS, PLACE_AND_FORM);

/// `ed25519` and `ecdsa_p256`.
pub(super) static PUBLIC_KEY: Section = Section {
    without: &["algorithm"],
    ..Section::new("signature_of_public_key", SCHEME_KEYS, PLACE_AND_FORM)
};

pub(super) static EQUAL: Section = Section {
    without: &["algorithm", "encoding", "signed"],
    ..Section::new("equal", SCHEME_KEYS, PLACE_AND_FORM)
};

const TOLERANCE: Shape = Shape::OneOf(&[Shape::Choice(&["any"]), DURATION]);

static SCHEME_KEYS: &[Key] = &[
    key(
        "header",
        HEADERS,
        Words("one of these five"),
        "the header that holds the signature; of a list the first that is there",
        r#""X-Signature""#,
    ),
    key(
        "numbered_header",
        HEADER,
        Words(""),
        r#"`"X-Signature"` for `X-Signature-1` to `-100`, any of which may match"#,
        r#""X-Signature""#,
    ),
    key(
        "paired_headers",
        HEADERS,
        Words(""),
        "list of headers, each with the secret at the same place of `secrets`",
        r#"["X-Signature-1", "X-Signature-2"]"#,
    ),
    key(
        "json",
        POINTER_WITHIN,
        Words(""),
        "JSON pointer to the signature in the body",
        r#""/signature""#,
    ),
    key(
        "query",
        TEXT,
        Words(""),
        "the parameter of the query string that holds it",
        r#""signature""#,
    ),
    key(
        "algorithm",
        Shape::Choice(&["sha1", "sha256", "sha512"]),
        Required,
        r#"`"sha1"`, `"sha256"`, `"sha512"`; not of `equal`, `ed25519` and `ecdsa_p256`"#,
        r#""sha256""#,
    ),
    key(
        "encoding",
        Shape::Choice(&["hex", "base64"]),
        Required,
        r#"`"hex"`, `"base64"`; not of `equal`"#,
        r#""hex""#,
    ),
    key(
        "prefix",
        ANY_TEXT,
        Words("none"),
        r#"what stands before the signature, e.g. `"sha256="`"#,
        r#""sha256=""#,
    ),
    key(
        "pairs",
        Shape::Table(&PAIRS),
        Words("none"),
        r#"`{ separator = ",", key = "v1" }` for a header such as `t=1700000000,v1=…`; every `v1` counts"#,
        r#"{ separator = ",", key = "v1" }"#,
    ),
    key(
        "version",
        TEXT,
        Words("none"),
        r#"`"v1"` for a list such as `v1,… v1,…`; entries of other versions are skipped"#,
        r#""v1""#,
    ),
    key(
        "signed",
        TEXT,
        Is(r#""{body}""#),
        "what is signed: literal text and the placeholders below; not of `equal`",
        r#""{header:X-Timestamp}.{body}""#,
    ),
    key(
        "timestamp",
        Shape::Table(&TIME_PLACE),
        Words("none"),
        r#"`{ header = "X-Timestamp", unit = "s" }`: when it was signed, in `"s"` or `"ms"` since 1970 or as `"rfc3339"`; `sig` (a key of `pairs`), `json` or `query` may stand for `header`"#,
        r#"{ header = "X-Timestamp", unit = "s" }"#,
    ),
    key(
        "tolerance",
        TOLERANCE,
        Is(r#""5m""#),
        r#"duration that `timestamp` may be in the past or the future; `"any"`: its age does not count"#,
        r#""2m""#,
    ),
    key(
        "future",
        TOLERANCE,
        Words("what `tolerance` says"),
        r#"duration that it may be in the future, or `"any"`"#,
        r#""30s""#,
    ),
    key(
        "secret_form",
        Shape::OneOf(&[
            Shape::Choice(&["text", "hex", "spki"]),
            Shape::Table(&SECRET_FORM),
        ]),
        Words(r#"`"text"`; of public keys `"spki"`"#),
        r#"what a secret's text is: `"text"`, `"hex"`, `"spki"` (a public key), `{ base64 = "whsec_" }` after a prefix that may be left out unless `required = true`, or `{ base64_or_text = "whsec_" }`, text without the prefix"#,
        r#""hex""#,
    ),
    key(
        "when",
        Shape::List(0, &Shape::Table(&GUARD)),
        Words("none"),
        r#"list of what a request must have for the scheme to apply: `{ header = "X-Version", is = "1" }`; `json` or `query` may stand for `header`, and `starts_with`, `contains` or `present = true` for `is`"#,
        r#"[{ header = "X-Version", is = "1" }]"#,
    ),
    key(
        "body_sha256",
        TEXT,
        Words("none"),
        r#"a placeholder, e.g. `"{query:bodySHA256}"`: the signed place that holds the body's SHA-256 in hex"#,
        r#""{query:bodySHA256}""#,
    ),
    key(
        "each",
        POINTER_WITHIN,
        Words("none"),
        r#"JSON pointer with `*`, e.g. `"/value/*"`: every element there must pass, and pointers start from it"#,
        r#""/value/*""#,
    ),
    key(
        "certificate",
        Shape::Table(&CERTIFICATE),
        Words("none"),
        r#"for public keys, without `secrets`: `{ url = "{header:X-Cert-Url}", hosts = ["*.example.com"], path_ends = ".pem" }`; the certificate is fetched over https from these hosts, in which `*` stands for one label, at the beginning for one or more, and `{region}` for a region of Amazon's such as `us-gov-west-1`"#,
        r#"{ url = "{header:X-Cert-Url}", hosts = ["*.example.com"], path_ends = ".pem" }"#,
    ),
    key(
        "allow_unsigned_body",
        FLAG,
        But("false", ": a fault"),
        "`true` where the provider's signature leaves the body, or parts of it, out",
        "true",
    ),
];

pub(super) static FIRST_OF: Section = Section::new(
    "first_of",
    &[
        key(
            "name",
            NAME,
            Required,
            "what the signature is called in logs and metrics",
            r#""v2""#,
        ),
        key(
            "hmac",
            Shape::Table(&HMAC),
            Words("one of the signatures"),
            "a signature: HMAC",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "hex" }"#,
        ),
        key(
            "hash",
            Shape::Table(&HMAC),
            Words(""),
            "a plain digest of which `{secret}` is a part",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "hex", signed = "{secret}{body}" }"#,
        ),
        key(
            "equal",
            Shape::Table(&EQUAL),
            Words(""),
            "the secret itself",
            r#"{ header = "X-Token" }"#,
        ),
        key(
            "ed25519",
            Shape::Table(&PUBLIC_KEY),
            Words(""),
            "a signature of Ed25519",
            r#"{ header = "X-Signature", encoding = "base64" }"#,
        ),
        key(
            "ecdsa_p256",
            Shape::Table(&PUBLIC_KEY),
            Words(""),
            "a signature of ECDSA over SHA-256, in DER",
            r#"{ header = "X-Signature", encoding = "base64" }"#,
        ),
        key(
            "rsa",
            Shape::Table(&HMAC),
            Words(""),
            "a signature of RSA in PKCS #1 v1.5",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "base64" }"#,
        ),
    ],
    &[Rule::One(&[
        "hmac",
        "hash",
        "equal",
        "ed25519",
        "ecdsa_p256",
        "rsa",
    ])],
);

static PAIRS: Section = Section::new(
    "pairs",
    &[
        key(
            "separator",
            Shape::Text("^[\u{0}-\u{7f}]$"),
            Is(r#"",""#),
            "the character between pairs",
            r#"";""#,
        ),
        key(
            "key",
            TEXT,
            Required,
            "the key of the signatures",
            r#""v1""#,
        ),
    ],
    &[],
);

const PLACES: Rule = Rule::One(&["header", "sig", "json", "query"]);
const OF_HEADER: Key = key(
    "header",
    HEADER,
    Words("this, `sig`, `json` or `query`"),
    "the header that holds it",
    r#""X-Timestamp""#,
);
const OF_PAIR: Key = key(
    "sig",
    TEXT,
    Words(""),
    "the key of `pairs` that holds it",
    r#""t""#,
);
const OF_JSON: Key = key(
    "json",
    POINTER_WITHIN,
    Words(""),
    "JSON pointer to it",
    r#""/signature/timestamp""#,
);
const OF_QUERY: Key = key(
    "query",
    TEXT,
    Words(""),
    "the parameter of the query string that holds it",
    r#""timestamp""#,
);

static TIME_PLACE: Section = Section::new(
    "timestamp",
    &[
        OF_HEADER,
        OF_PAIR,
        OF_JSON,
        OF_QUERY,
        key(
            "unit",
            Shape::Choice(&["s", "ms", "rfc3339"]),
            Is(r#""s""#),
            "since 1970, or as RFC 3339",
            r#""ms""#,
        ),
    ],
    &[PLACES],
);

static GUARD: Section = Section::new(
    "when",
    &[
        OF_HEADER,
        OF_PAIR,
        OF_JSON,
        OF_QUERY,
        key(
            "present",
            Shape::Flag,
            Words("this, `is`, `starts_with` or `contains`"),
            "`true`: it must be there",
            "true",
        ),
        key("is", TEXT, Words(""), "what it must be", r#""1""#),
        key(
            "starts_with",
            TEXT,
            Words(""),
            "what it must begin with",
            r#""v1=""#,
        ),
        key(
            "contains",
            TEXT,
            Words(""),
            "what it must contain",
            r#""v1=""#,
        ),
    ],
    &[
        PLACES,
        Rule::One(&["present", "is", "starts_with", "contains"]),
    ],
);

static SECRET_FORM: Section = Section::new(
    "secret_form",
    &[
        key(
            "base64",
            ANY_TEXT,
            Words("this or `base64_or_text`"),
            "base64 after this prefix, which may be left out",
            r#""whsec_""#,
        ),
        key(
            "base64_or_text",
            ANY_TEXT,
            Words(""),
            "base64 after this prefix, text without it",
            r#""whsec_""#,
        ),
        key(
            "required",
            FLAG,
            Is("false"),
            "`true`: the prefix may not be left out",
            "true",
        ),
    ],
    &[
        Rule::One(&["base64", "base64_or_text"]),
        Rule::Needs("required", "base64"),
    ],
);

static CERTIFICATE: Section = Section::new(
    "certificate",
    &[
        key(
            "url",
            TEXT,
            Required,
            "where the request names the certificate's address: one placeholder",
            r#""{header:X-Cert-Url}""#,
        ),
        key(
            "hosts",
            Shape::List(1, &TEXT),
            Required,
            "list of hosts that it is fetched from, over https",
            r#"["*.example.com"]"#,
        ),
        key(
            "path_ends",
            ANY_TEXT,
            Words("none"),
            "what the path of the address must end with",
            r#"".pem""#,
        ),
    ],
    &[],
);
