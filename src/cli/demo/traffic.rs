//! What the demo sends, and what must come of each request.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::{
    cli::samples::{DEMO_KEYS, example},
    clock::{Clock, Timestamp},
};

/// One request and what is expected of it.
pub(super) struct Step {
    /// What it is, for people.
    pub(super) what: &'static str,
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    /// `None`: the route's.
    pub(super) path: Option<&'static str>,
    /// The event's id, where a header carries it.
    pub(super) id: String,
    /// When it is signed.
    pub(super) at: Timestamp,
    pub(super) key: Option<&'static str>,
    /// What is signed.
    pub(super) body: Vec<u8>,
    /// What is sent instead of what was signed.
    pub(super) forged: Option<Vec<u8>>,
    pub(super) status: u16,
    /// Must occur in the answer's body.
    pub(super) says: &'static str,
    /// The targets that get the event, and what each answers to the first attempt, the second, …
    pub(super) deliveries: &'static [(&'static str, &'static [u16])],
}

const HOUR: Duration = Duration::from_secs(3600);
const TAKEN: &[u16] = &[204];
/// More than the `tickets` route takes.
const TOO_LARGE_BYTES: usize = 17 * 1024;

/// In the order of sending.
pub(super) fn steps(clock: &Clock) -> Vec<Step> {
    let now = clock.now();
    let mut steps = accepted(now);
    steps.extend(refused(now));
    steps.extend(troubled(now));
    steps
}

/// Several providers, each proven its own way; and one that sends twice.
fn accepted(now: Timestamp) -> Vec<Step> {
    let push = Step {
        deliveries: &[("audit", TAKEN)],
        ..step("github: a push", "github", now)
    };
    let again = Step {
        what: "github: the same push again",
        id: push.id.clone(),
        body: push.body.clone(),
        says: "duplicate",
        deliveries: &[],
        ..step("", "github", now)
    };
    let login = json!({
        "event_time": now.to_string(),
        "event_type": "LOGIN_WITH_CIDAAS",
        "current_context": "user",
        "data": { "sub": Uuid::now_v7().to_string() },
    });
    vec![
        push,
        Step {
            deliveries: &[("crm", TAKEN)],
            ..step("glia: a chat started", "glia", now)
        },
        Step {
            deliveries: &[("support", TAKEN)],
            ..step("tickets: a new ticket", "tickets", now)
        },
        Step {
            deliveries: &[("audit", TAKEN), ("crm", TAKEN)],
            ..step("cidaas: USER_CREATED", "cidaas", now)
        },
        Step {
            body: login.to_string().into(),
            deliveries: &[("audit", TAKEN)],
            ..step(
                "cidaas: a login, which the CRM does not want",
                "cidaas",
                now,
            )
        },
        Step {
            deliveries: &[("inventory", TAKEN), ("notify", TAKEN), ("crm", TAKEN)],
            ..step("shop: an order for three services", "shop", now)
        },
        again,
    ]
}

fn refused(now: Timestamp) -> Vec<Step> {
    let forged = json!({ "ref": "refs/heads/main", "pusher": { "name": "mallory" } });
    let anonymous = json!({ "event": "chat_started", "timestamp": now.to_string() });
    let large = json!({ "ticket_id": 1, "issue": "x".repeat(TOO_LARGE_BYTES) });
    vec![
        Step {
            forged: Some(forged.to_string().into()),
            ..refusal("github: the body forged", "github", now, 401, "")
        },
        Step {
            key: Some("not-the-key"),
            ..refusal("glia: a wrong API key", "glia", now, 401, "")
        },
        Step {
            at: now.saturating_sub(HOUR),
            ..refusal("shop: signed an hour ago", "shop", now, 401, "")
        },
        Step {
            body: b"{\n  \"ticket_id\": 67890,\n  \"customer\": Jamie\n}".to_vec(),
            ..refusal("tickets: malformed JSON", "tickets", now, 400, "\"line\":3")
        },
        Step {
            body: anonymous.to_string().into(),
            ..refusal("glia: a field is missing", "glia", now, 422, "/customerId")
        },
        Step {
            body: large.to_string().into(),
            ..refusal(
                "tickets: a body too large",
                "tickets",
                now,
                413,
                "body_too_large",
            )
        },
        Step {
            path: Some("/hooks/nowhere"),
            ..refusal("an unknown path", "github", now, 404, "unknown_path")
        },
        Step {
            method: "GET",
            body: Vec::new(),
            ..refusal("github: GET", "github", now, 405, "method_not_allowed")
        },
    ]
}

/// Accepted, but the target has its troubles.
fn troubled(now: Timestamp) -> Vec<Step> {
    vec![
        Step {
            deliveries: &[("support", &[500, 500, 204])],
            ..step("tickets: support fails twice", "tickets", now)
        },
        Step {
            deliveries: &[("support", &[410])],
            ..step("tickets: support never takes it", "tickets", now)
        },
    ]
}

/// The provider's example, proven as it must be.
fn step(what: &'static str, route: &'static str, now: Timestamp) -> Step {
    Step {
        what,
        route,
        method: "POST",
        path: None,
        id: Uuid::now_v7().to_string(),
        at: now,
        key: demo_key(route),
        body: example(route, now).to_string().into(),
        forged: None,
        status: 200,
        says: "accepted",
        deliveries: &[],
    }
}

fn refusal(
    what: &'static str,
    route: &'static str,
    now: Timestamp,
    status: u16,
    says: &'static str,
) -> Step {
    Step {
        status,
        says,
        ..step(what, route, now)
    }
}

fn demo_key(route: &str) -> Option<&'static str> {
    let found = DEMO_KEYS.iter().find(|(name, _)| *name == route);
    found.map(|(_, key)| *key)
}
