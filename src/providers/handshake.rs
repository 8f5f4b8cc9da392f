//! Handshakes: how a provider makes sure that an endpoint is its owner's, and how that is answered. The shapes;
//! the rows stand in `handshakes.rs`.

/// One challenge and its answer.
#[derive(Debug)]
pub struct Handshake {
    /// What the log and the metric call it, e.g. `url_verification`.
    pub name: &'static str,
    /// Whether the provider proves itself as with an event: then that is checked first.
    pub proof: HandshakeProof,
    /// All must hold; else the request is an event, or nothing.
    pub when: &'static [Condition],
    pub answer: Answer,
    pub effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeProof {
    /// Signed as events are.
    AsEvents,
    /// Nobody has proven anything: the answer gives away nothing but what was sent.
    Nothing,
    /// This value must be the route's `verify_token`; else 403.
    VerifyToken(Value),
}

/// What tells a handshake from an event.
#[derive(Debug)]
pub enum Condition {
    Method(&'static str),
    /// The value is there.
    Has(Value),
    /// The value is there and is this.
    Is(Value, &'static str),
    /// The value is not there.
    Lacks(Value),
    /// The document is an object with this one member, a string.
    OnlyMember(&'static str),
    /// No body, or `{}`.
    EmptyBody,
}

/// A value of the request, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A parameter of the query string, decoded.
    Query(&'static str),
    /// In lower case.
    Header(&'static str),
    /// A JSON pointer: a string, a number or a boolean.
    Json(&'static str),
    /// HMAC-SHA256 of the string at this JSON pointer with the secret that proved the request, in hex.
    HmacOf(&'static str),
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `None`: no body.
    pub content_type: Option<&'static str>,
    pub body: AnswerBody,
    /// Beside `X-Content-Type-Options: nosniff`.
    pub headers: &'static [(&'static str, AnswerHeader)],
}

#[derive(Debug)]
pub enum AnswerBody {
    Empty,
    Literal(&'static str),
    /// The value as it stands.
    Text(Value),
    /// A JSON object of these members.
    Object(&'static [(&'static str, Value)]),
}

#[derive(Debug)]
pub enum AnswerHeader {
    Literal(&'static str),
    /// The value; no header when it is not there.
    Echo(Value),
}

/// What a handshake does beside its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// The value becomes the route's secret, if the route waits for one; else the handshake is refused.
    KeepSecret(Value),
    /// The https address is called with GET before the answer, if its host is one of these, written as for certificates.
    Confirm(Value, &'static [&'static str]),
}
