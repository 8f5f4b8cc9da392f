//! For each reason of a refusal what it usually comes of, and what to do.

/// In words, without a full stop.
#[derive(Clone, Copy)]
pub(super) struct Advice {
    reason: &'static str,
    pub(super) likely: &'static str,
    pub(super) next: &'static str,
}

/// `None`: a newer gateway has a reason that this program does not know.
pub(super) fn of(reason: &str) -> Option<Advice> {
    ADVICE
        .iter()
        .find(|advice| advice.reason == reason)
        .copied()
}

const fn row(reason: &'static str, likely: &'static str, next: &'static str) -> Advice {
    Advice {
        reason,
        likely,
        next,
    }
}

const ADVICE: &[Advice] = &[
    row(
        "malformed_request",
        "what called is no webhook sender (a browser, a port scan, a health check), or a proxy changed the request",
        "look at `from`; if it is your provider's, capture the request and run `hookgate explain --capture FILE --route ROUTE`",
    ),
    row(
        "invalid_json",
        "the sender's body is no JSON, or is a form while the route takes JSON",
        "see the line and column in the cause; set `content` of the route if it sends forms or XML",
    ),
    row(
        "too_deep",
        "a body that no sensible sender makes",
        "look at `from`",
    ),
    row(
        "duplicate_key",
        "a body in which a key that the route reads stands twice, which readers would take differently",
        "tell the sender; no setting lets it through",
    ),
    row(
        "invalid_form",
        "the body or query is no form",
        "set `content` of the route to what the provider sends",
    ),
    row(
        "invalid_xml",
        "the body is no well-formed XML, or has a document type",
        "set `content` of the route to what the provider sends",
    ),
    row(
        "missing_credentials",
        "the provider was set up without the key, or something before the gateway takes the header away",
        "compare the header that the step names with the provider's settings, and with what your proxy passes on",
    ),
    row(
        "unknown_key",
        "the provider has another key than routes.toml",
        "put the provider's key into the route's `keys` beside the old one, and reload",
    ),
    row(
        "expired_key",
        "the provider still uses a key whose `not_after` has passed, or one that is not yet in force",
        "give the provider the new key, or move `not_after`",
    ),
    row(
        "missing_signature",
        "the provider was set up without a secret, or the route has another provider's scheme",
        "set the secret at the provider; `hookgate providers show NAME` tells which headers are expected",
    ),
    row(
        "malformed_signature",
        "the signature's header has another form than the provider's: another scheme, or another version of it",
        "compare with `hookgate providers show NAME`",
    ),
    row(
        "signature_mismatch",
        "another secret at the provider than in routes.toml, or something between that changes the body or the address",
        "compare the secrets; then capture the request and run `hookgate explain --capture FILE --route ROUTE`, which tries what may have changed it",
    ),
    row(
        "missing_timestamp",
        "the scheme asks for a time that the request does not tell",
        "compare with `hookgate providers show NAME`",
    ),
    row(
        "stale_timestamp",
        "the request was under way or held back for longer than `tolerance`, was sent twice by an attacker, or a clock is wrong",
        "compare the clocks (`timedatectl`); providers that queue need a larger `tolerance`",
    ),
    row(
        "repeated_header",
        "a proxy before the gateway adds a header that is there already",
        "make it set the header rather than add it",
    ),
    row(
        "invalid_token",
        "a token of another issuer, audience or key than the route's `jwt`",
        "compare the cause with the route's `jwt`",
    ),
    row(
        "invalid_client_certificate",
        "a certificate of another name than the route's, or one that has ended",
        "compare the names with `client_certificate` of the route",
    ),
    row(
        "source_not_allowed",
        "the provider calls from an address that is not in `allow_from`, or a proxy before the gateway hides it",
        "compare `from` with the provider's published addresses; name your proxy in `server.trusted_proxies`",
    ),
    row(
        "route_disabled",
        "the route says `enabled = false`",
        "enable it and reload; until then the provider sends again, if it does",
    ),
    row(
        "handshake_refused",
        "the provider's challenge did not have the route's `verify_token`, or is one that is not answered",
        "compare `verify_token` with what was typed in at the provider",
    ),
    row(
        "unknown_path",
        "the provider was given another address than a route has, or somebody tries addresses",
        "compare `request` with the `path` of the routes (/api/v1/routes of the admin listener lists them)",
    ),
    row(
        "method_not_allowed",
        "the provider uses another method than the route's `methods`",
        "set `methods` of the route",
    ),
    row(
        "slow_request",
        "the connection broke off or was very slow",
        "nothing, if it is rare; else look at the network, or raise `server.body_timeout`",
    ),
    row(
        "body_too_large",
        "the body is larger than `max_body`",
        "raise `max_body` of the route",
    ),
    row(
        "unsupported_content_type",
        "the provider sends another Content-Type than the route takes",
        "set `content` (or `json_types`) of the route",
    ),
    row(
        "unsupported_encoding",
        "the body was compressed, by the provider or a proxy: the signature is of other bytes then",
        "switch the compression of requests off",
    ),
    row(
        "schema_violation",
        "the payload lacks what `require` or `schema` of the route asks for",
        "see the cause; correct the sender, or the route",
    ),
    row(
        "missing_event_id",
        "the route's `event_id` looks where this kind of event has none",
        "name a further place in `event_id`, e.g. [{ json = \"/id\" }, { body = \"sha256\" }]",
    ),
    row(
        "invalid_event_id",
        "what stands where `event_id` looks is no short text or number",
        "name another place in `event_id`",
    ),
    row(
        "rate_limited",
        "more came than the route's `rate`",
        "raise `rate`, or find who sends so much by `from`",
    ),
    row(
        "store_unavailable",
        "the store did not answer: Redis is away, or the disk is full",
        "see the cause; the provider sends again. `hookgate_store_up` and /readyz tell when it is back; a `store.spool` takes events meanwhile",
    ),
    row(
        "key_unavailable",
        "what the signature is checked with could not be fetched",
        "see the log for the reason; the gateway must reach the provider's address for keys",
    ),
    row(
        "handshake_failed",
        "the address that confirms the subscription could not be called",
        "let the gateway reach the provider, and begin the handshake again",
    ),
    row(
        "overloaded",
        "too many body bytes were in flight",
        "raise `server.max_body_in_flight`, or add a gateway",
    ),
    row(
        "draining",
        "the gateway was being stopped",
        "nothing: the provider sends again; stop gateways one by one behind a load balancer",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::rejection::Reason;

    #[test]
    fn there_is_advice_for_every_reason_and_no_other() {
        let reasons: Vec<_> = Reason::all().map(Reason::as_str).collect();
        let advised: Vec<_> = ADVICE.iter().map(|advice| advice.reason).collect();
        assert!(!reasons.is_empty());
        assert_eq!(advised, reasons);
    }
}
