//! `verify`: how callers prove themselves.

use super::{
    Rule, Section, Shape,
    Usual::{But, Is, Required, Words},
    key,
    schemes::{EQUAL, FIRST_OF, HMAC, PUBLIC_KEY},
    shapes::*,
};

pub(super) static VERIFIER: Section = Section::new(
    "verifier",
    &[
        key(
            "api_key",
            Shape::Table(&API_KEY_HEADER),
            Words("one of the verifiers"),
            "the key in a header; with `keys`",
            r#"{ header = "X-Api-Key" }"#,
        ),
        key(
            "bearer",
            Shape::Table(&BEARER),
            Words(""),
            "`Authorization: Bearer KEY`; with `keys`",
            "{}",
        ),
        key(
            "basic",
            Shape::Table(&BASIC),
            Words(""),
            "`Authorization: Basic …`; with `keys`, each the digest of `USER:PASSWORD`",
            "{}",
        ),
        key(
            "query_key",
            Shape::Table(&QUERY_KEY),
            Words(""),
            "the key as a parameter of the query string, once; with `keys`",
            r#"{ name = "key" }"#,
        ),
        key(
            "client_certificate",
            Shape::Table(&CLIENT_CERTIFICATE),
            Words(""),
            "a certificate that `server.tls.client_ca` vouches for; `{}`: any",
            r#"{ names = ["crm.example.com"] }"#,
        ),
        key(
            "hmac",
            Shape::Table(&HMAC),
            Words(""),
            "a signature: HMAC; with `secrets`",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "hex" }"#,
        ),
        key(
            "hash",
            Shape::Table(&HMAC),
            Words(""),
            "a plain digest of which `{secret}` is a part; with `secrets`",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "hex", signed = "{secret}{body}" }"#,
        ),
        key(
            "equal",
            Shape::Table(&EQUAL),
            Words(""),
            "the secret itself, in a header, the query string or the JSON body; with `secrets`",
            r#"{ header = "X-Token" }"#,
        ),
        key(
            "ed25519",
            Shape::Table(&PUBLIC_KEY),
            Words(""),
            "a signature; with `secrets`: the public keys, as PEM or base64 of the SPKI in DER",
            r#"{ header = "X-Signature", encoding = "base64" }"#,
        ),
        key(
            "ecdsa_p256",
            Shape::Table(&PUBLIC_KEY),
            Words(""),
            "a signature over SHA-256, in DER; with `secrets`: the public keys",
            r#"{ header = "X-Signature", encoding = "base64" }"#,
        ),
        key(
            "rsa",
            Shape::Table(&HMAC),
            Words(""),
            "a signature in PKCS #1 v1.5; with `secrets`: the public keys",
            r#"{ header = "X-Signature", algorithm = "sha256", encoding = "base64" }"#,
        ),
        key(
            "first_of",
            Shape::List(1, &Shape::Table(&FIRST_OF)),
            Words(""),
            "list of signatures; the first that a request has judges it alone; with `secrets`",
            r#"[{ name = "v2", hmac = { header = "X-Signature-V2", algorithm = "sha256", encoding = "hex" } }]"#,
        ),
        key(
            "jwt",
            Shape::Table(&JWT),
            Words(""),
            "a JSON Web Token; with `secrets` for HS256",
            r#"{ jwks_url = "https://issuer.example.com/.well-known/jwks.json", issuer = "https://issuer.example.com", audience = "hooks" }"#,
        ),
        key(
            "keys",
            Shape::List(1, &Shape::Table(&API_KEY)),
            Words("required with `api_key`, `bearer`, `basic` and `query_key`"),
            "list of keys by their digests; any of them may match",
            r#"[{ name = "crm-2026", sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }]"#,
        ),
        key(
            "secrets",
            Shape::List(1, &Shape::Table(&PROOF)),
            Words("required with signatures"),
            "list of secrets; any of them may match",
            r#"[{ env = "SECRET" }]"#,
        ),
        key(
            "params",
            Shape::Named(ANY, &ANY_TEXT),
            Words("none"),
            "values of the placeholders `{param:NAME}` of `signed`",
            r#"{ account = "42" }"#,
        ),
    ],
    &[
        Rule::One(&[
            "api_key",
            "bearer",
            "basic",
            "query_key",
            "client_certificate",
            "hmac",
            "hash",
            "equal",
            "ed25519",
            "ecdsa_p256",
            "rsa",
            "first_of",
            "jwt",
        ]),
        Rule::Needs("api_key", "keys"),
        Rule::Needs("bearer", "keys"),
        Rule::Needs("basic", "keys"),
        Rule::Needs("query_key", "keys"),
        Rule::Needs("hmac", "secrets"),
        Rule::Needs("hash", "secrets"),
        Rule::Needs("equal", "secrets"),
        Rule::AtMostOne(&["keys", "secrets"]),
    ],
);

static API_KEY_HEADER: Section = Section::new(
    "api_key",
    &[key(
        "header",
        HEADER,
        Required,
        "the header that holds the key",
        r#""X-Api-Key""#,
    )],
    &[],
);

static BEARER: Section = Section::new("bearer", &[], &[]);
static BASIC: Section = Section::new("basic", &[], &[]);

static QUERY_KEY: Section = Section::new(
    "query_key",
    &[key(
        "name",
        Shape::Text("^.{1,128}$"),
        Required,
        "the name of the parameter",
        r#""key""#,
    )],
    &[],
);

static CLIENT_CERTIFICATE: Section = Section::new(
    "client_certificate",
    &[key(
        "names",
        Shape::List(1, &Shape::Text("^[^*]+$")),
        Words("any"),
        "list of names, of which the certificate must have one (DNS, URI or e-mail; without any: the common name)",
        r#"["crm.example.com"]"#,
    )],
    &[],
);

/// One, one of a list, or anything.
const NAMES: Shape = Shape::OneOf(&[TEXT, Shape::List(1, &TEXT), Shape::False]);

static JWT: Section = Section::new(
    "jwt",
    &[
        key(
            "jwks_url",
            KEY_URL,
            Words("this, `jwks_file`, or `secrets` beside `jwt`"),
            "`https` URL of the issuer's public keys (`http` only on a loopback address)",
            r#""https://issuer.example.com/.well-known/jwks.json""#,
        ),
        key(
            "jwks_file",
            PATH_OF_FILE,
            Words(""),
            r#"path of a file with the public keys: `{"keys": [ … ]}`, at most 256 KiB"#,
            r#""jwks.json""#,
        ),
        key(
            "allow_private",
            FLAG,
            Is("false"),
            "`true`: `jwks_url` may be on a private or another special address",
            "true",
        ),
        key(
            "algorithms",
            Shape::List(
                1,
                &Shape::Choice(&["RS256", "PS256", "ES256", "EdDSA", "HS256"]),
            ),
            But(r#"["RS256"]"#, r#", with `secrets` `["HS256"]`"#),
            r#"list of those that are taken: `"RS256"`, `"PS256"`, `"ES256"`, `"EdDSA"`; with `secrets` `"HS256"` alone"#,
            r#"["ES256"]"#,
        ),
        key(
            "issuer",
            NAMES,
            Words("required with public keys"),
            "what `iss` must be: a string, one of a list, or `false`: anything",
            r#""https://issuer.example.com""#,
        ),
        key(
            "audience",
            NAMES,
            Words("the route's `public_url`"),
            "what `aud` must be or hold: a string, one of a list, or `false`: anything",
            r#"["hooks"]"#,
        ),
        key(
            "expires",
            FLAG,
            Is("true"),
            "`false`: a token need have no `exp`; one that is there is always checked, as `nbf` is",
            "false",
        ),
        key(
            "leeway",
            DURATION,
            Is(r#""1m""#),
            r#"duration that the clocks may be apart, at most `"10m"`"#,
            r#""30s""#,
        ),
        key(
            "max_age",
            DURATION,
            Words("none"),
            "duration since `iat`, which must then be there",
            r#""10m""#,
        ),
        key(
            "header",
            HEADER,
            Is(r#""Authorization""#),
            "the header that holds the token",
            r#""X-Token""#,
        ),
        key(
            "prefix",
            ANY_TEXT,
            But(r#""Bearer ""#, " in `Authorization`, else nothing"),
            "what stands before it there",
            r#""Token ""#,
        ),
        key(
            "body_sha256",
            TEXT,
            Words("none"),
            "the claim that holds the SHA-256 of the body in hex. Without it a token covers no body: whoever has seen one can send another body with it until it expires",
            r#""body_hash""#,
        ),
        key(
            "claims",
            Shape::Named(ANY, &Shape::OneOf(&[ANY_TEXT, FLAG])),
            Words("none"),
            r#"table of other claims and what they must be, strings or booleans: `{ azp = "crm", email_verified = true }`"#,
            r#"{ azp = "crm" }"#,
        ),
    ],
    &[
        Rule::AtMostOne(&["jwks_url", "jwks_file"]),
        Rule::Needs("allow_private", "jwks_url"),
    ],
);
