//! Sending the traffic, waiting for what comes of it, and judging it.

use std::{io::IsTerminal as _, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use uuid::Uuid;

use crate::{
    cli::{
        https::Answer,
        out::aside,
        send::request,
        sign::{Signer, Unsigned},
    },
    config::Route,
    event::{BodyDigest, DeliveryState},
    store::{StoredDelivery, StoredEvent},
};

use super::{receivers::Receipt, stage::Stage, table::Row, traffic::Step};

/// For all deliveries together; they take about a second.
const DELIVERIES_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at the store.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A request that was sent, and what is known of it.
struct Sent {
    step: Step,
    answer: Answer,
    /// From the answer; `None` when it was refused.
    event: Option<Uuid>,
}

impl Sent {
    fn is_repeat(&self) -> bool {
        self.step.says == "duplicate"
    }
}

/// Plays all steps; one row for each. `Err` tells in words why there is no gateway to play with.
pub(super) async fn play(stage: &Stage, steps: Vec<Step>) -> Result<Vec<Row>, String> {
    let mut sent = Vec::with_capacity(steps.len());
    let total = steps.len();
    for step in steps {
        progress(&format!("{}/{total} {}", sent.len() + 1, step.what));
        sent.push(send(stage, step).await?);
    }
    progress("waiting for the deliveries");
    // What is still pending after this shows in its row.
    drop(tokio::time::timeout(DELIVERIES_TIMEOUT, settled(stage, &sent)).await);
    let receipts = stage.receivers.receipts();
    let mut rows = Vec::with_capacity(total);
    for one in &sent {
        let stored = stored(stage, one).await;
        rows.push(row(one, stored.as_ref(), &receipts, &sent));
    }
    rows.extend(unexpected(&sent, &receipts));
    progress("");
    Ok(rows)
}

async fn send(stage: &Stage, step: Step) -> Result<Sent, String> {
    let route = stage.routes.iter().find(|route| *route.name == *step.route);
    let route = route.ok_or_else(|| format!("there is no route {}", step.route))?;
    if let [(_, statuses)] = step.deliveries {
        stage.receivers.plan(&step.id, statuses);
    }
    let path = step.path.unwrap_or(&route.path);
    let url = format!("https://{}{path}", stage.app.public_addr());
    let headers = headers(route, &step, &url)?;
    let body = Bytes::from(step.forged.clone().unwrap_or_else(|| step.body.clone()));
    let answer = stage
        .client
        .send(request(step.method, &url, headers, body)?)
        .await?;
    let event = uid(&answer);
    Ok(Sent {
        step,
        answer,
        event,
    })
}

fn headers(route: &Route, step: &Step, url: &str) -> Result<HeaderMap, String> {
    let ready = Signer::new(route, step.key).ready(&Unsigned {
        id: &step.id,
        event_type: None,
        at: step.at,
        url,
        body: &step.body,
        headers: HeaderMap::new(),
    })?;
    Ok(ready.headers)
}

fn uid(answer: &Answer) -> Option<Uuid> {
    let receipt: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    receipt["event"].as_str()?.parse().ok()
}

/// Looks at the store until no delivery is pending any more.
async fn settled(stage: &Stage, sent: &[Sent]) {
    for one in sent {
        loop {
            let pending = stored(stage, one).await.is_some_and(|stored| {
                let states = stored.deliveries.iter().map(|delivery| delivery.state);
                states
                    .into_iter()
                    .any(|state| state == DeliveryState::Pending)
            });
            if !pending {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

async fn stored(stage: &Stage, sent: &Sent) -> Option<StoredEvent> {
    stage.app.store().get(sent.event?).await.ok()?
}

fn row(sent: &Sent, stored: Option<&StoredEvent>, receipts: &[Receipt], all: &[Sent]) -> Row {
    // A duplicate's deliveries are told in the row of the event that came first.
    let stored = stored.filter(|_| !sent.is_repeat());
    let mine: Vec<_> = receipts
        .iter()
        .filter(|receipt| sent.event.is_some() && receipt.event == sent.event)
        .cloned()
        .collect();
    let delivered = stored.map(|stored| delivered(stored, &mine));
    let millis = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1000.0);
    // The store keeps whole milliseconds.
    let whole = |took: Duration| match took.as_millis() {
        0 => "< 1 ms".to_owned(),
        millis => format!("{millis} ms"),
    };
    Row {
        request: sent.step.what.to_owned(),
        answer: answer(&sent.answer),
        answered_in: millis(sent.answer.took),
        delivered: delivered
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "-".into()),
        delivered_in: stored.and_then(longest).map_or_else(|| "-".into(), whole),
        verdict: judge(sent, stored, &mine, all),
    }
}

/// The status, and in a few words what the body says.
fn answer(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = ["status", "code"]
        .iter()
        .find_map(|key| body[*key].as_str());
    let status = answer.status.as_u16();
    let place = match (body["line"].as_u64(), body["column"].as_u64()) {
        (Some(line), Some(column)) => format!(", line {line} column {column}"),
        _ => String::new(),
    };
    let pointer = body["violations"][0]["pointer"].as_str();
    let pointer = pointer
        .map(|pointer| format!(", {pointer}"))
        .unwrap_or_default();
    format!(
        "{status} {}{place}{pointer}",
        code.unwrap_or("Unauthorized")
    )
}

/// Each target with what it answered to each attempt, where that was not simply taken.
fn delivered(stored: &StoredEvent, mine: &[Receipt]) -> String {
    let each = stored.deliveries.iter().map(|delivery| {
        let statuses = statuses(delivery, mine);
        let name = &delivery.target;
        match (&delivery.state, statuses.as_slice()) {
            (DeliveryState::Delivered, [_]) => name.to_string(),
            (DeliveryState::Delivered, all) => format!("{name} ({})", join(all)),
            (DeliveryState::Dead(reason), all) => {
                format!("{name} ({}): dead letter, {}", join(all), reason.as_str())
            }
            (DeliveryState::Filtered, _) => format!("{name}: filtered"),
            (DeliveryState::Pending, all) => format!("{name} ({}): pending", join(all)),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn statuses(delivery: &StoredDelivery, mine: &[Receipt]) -> Vec<u16> {
    let to_it = mine
        .iter()
        .filter(|receipt| receipt.target == delivery.target);
    to_it.map(|receipt| receipt.status).collect()
}

fn join(statuses: &[u16]) -> String {
    let texts: Vec<_> = statuses.iter().map(u16::to_string).collect();
    texts.join(", ")
}

/// From the event's acceptance to the end of the last attempt of the slowest delivery.
fn longest(stored: &StoredEvent) -> Option<Duration> {
    let ends = stored.deliveries.iter().filter_map(|delivery| {
        let attempt = delivery.last_attempt()?;
        let began = attempt.started_at.since(stored.event.received_at);
        Some(began + attempt.duration)
    });
    ends.max()
}

/// `Err` tells what was expected.
fn judge(
    sent: &Sent,
    stored: Option<&StoredEvent>,
    mine: &[Receipt],
    all: &[Sent],
) -> Result<(), String> {
    let step = &sent.step;
    if sent.answer.status.as_u16() != step.status || !sent.answer.text().contains(step.says) {
        return Err(format!("{} {}", step.status, step.says));
    }
    if sent.is_repeat() {
        let first = all.iter().find(|other| other.step.id == step.id);
        let same = first.is_some_and(|first| sent.event.is_some() && first.event == sent.event);
        return same.then_some(()).ok_or("the first one's uid".into());
    }
    if step.status != 200 {
        return Ok(());
    }
    let stored = stored.ok_or("the event in the store")?;
    if stored.deliveries.len() != step.deliveries.len() {
        return Err(format!("{} deliveries", step.deliveries.len()));
    }
    for (target, expected) in step.deliveries {
        let delivery = stored
            .deliveries
            .iter()
            .find(|delivery| *delivery.target == **target);
        let delivery = delivery.ok_or_else(|| format!("a delivery to {target}"))?;
        if !ended(delivery.state, expected) || statuses(delivery, mine) != **expected {
            return Err(format!("{target} ({})", join(expected)));
        }
    }
    let same_bytes = BodyDigest::of(&step.body);
    match mine.iter().all(|receipt| receipt.body == same_bytes) {
        true => Ok(()),
        false => Err("the bytes that were sent".into()),
    }
}

/// Delivered if the last answer was to be a success, else a dead letter.
fn ended(state: DeliveryState, expected: &[u16]) -> bool {
    let taken = expected
        .last()
        .is_some_and(|status| (200..300).contains(status));
    match state {
        DeliveryState::Delivered => taken,
        DeliveryState::Dead(_) => !taken,
        DeliveryState::Pending | DeliveryState::Filtered => false,
    }
}

/// A row for what the receivers got of events that nobody was told are accepted; none when all is well.
fn unexpected(sent: &[Sent], receipts: &[Receipt]) -> Option<Row> {
    let known = |receipt: &&Receipt| {
        sent.iter()
            .any(|one| one.event.is_some() && one.event == receipt.event)
    };
    let strays = receipts.iter().filter(|receipt| !known(receipt)).count();
    (strays > 0).then(|| Row {
        request: "(not sent)".into(),
        answer: "-".into(),
        answered_in: "-".into(),
        delivered: format!("{strays} requests"),
        delivered_in: "-".into(),
        verdict: Err("no delivery of refused requests".into()),
    })
}

/// One line that is written over and over, where somebody watches; an empty text clears it.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        aside(format_args!("\r{:72}\r{text}", ""));
    }
}
