//! One HTTP request of a delivery, from the connection to the end of the response.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header::RETRY_AFTER};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::{
    client::HttpClient,
    outcome::{Reply, parse_retry_after},
    redaction::Redaction,
};
use crate::clock::Clock;

/// So much of a response is read; the connection of a longer one is closed.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// So much of it is kept with the attempt.
const RESPONSE_BYTES_KEPT: usize = 1024;
/// So much of an error's text is kept.
const ERROR_CHARS_MAX: usize = 300;

/// What one request came to.
#[derive(Debug)]
pub(super) struct Answer {
    /// Decides the outcome.
    pub(super) reply: Reply,
    /// The status, even where the response then broke off.
    pub(super) status: Option<u16>,
    pub(super) response_head: Bytes,
}

/// Sends `request` and reads the response. `deadline` covers connect, TLS, request and response; `redaction` is of what
/// the response must not be kept with.
pub(super) async fn attempt(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
    deadline: Duration,
    redaction: &Redaction,
    clock: &Clock,
) -> Answer {
    let mut answer = Answer {
        reply: Reply::Network(String::new()),
        status: None,
        response_head: Bytes::new(),
    };
    let exchange = exchange(client, request, redaction, clock, &mut answer);
    let failure = match tokio::time::timeout(deadline, exchange).await {
        Ok(Ok(())) => return answer,
        Ok(Err(text)) => text,
        Err(_) => format!("timeout: no whole response within {deadline:?}"),
    };
    answer.reply = Reply::Network(failure.chars().take(ERROR_CHARS_MAX).collect());
    answer
}

async fn exchange(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
    redaction: &Redaction,
    clock: &Clock,
    answer: &mut Answer,
) -> Result<(), String> {
    let response = client.request(request).await.map_err(|error| {
        let stage = if error.is_connect() {
            "connect"
        } else {
            "request"
        };
        describe(stage, &error)
    })?;
    let (head, body) = response.into_parts();
    answer.status = Some(head.status.as_u16());
    let beginning = read(body, RESPONSE_BYTES_KEPT + redaction.overlap()).await?;
    answer.response_head = redaction.keep(beginning, RESPONSE_BYTES_KEPT);
    answer.reply = Reply::Status {
        code: head.status.as_u16(),
        retry_after: retry_after(&head.headers, clock),
    };
    Ok(())
}

/// Reads to the end or to the limit; returns the first `bytes_kept`. Dropping an unread body closes its connection.
async fn read(mut body: Incoming, bytes_kept: usize) -> Result<Bytes, String> {
    let mut kept = BytesMut::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| describe("response", &error))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = bytes_kept.saturating_sub(kept.len());
        kept.extend_from_slice(&data[..data.len().min(room)]);
        total = total.saturating_add(data.len());
        if total > RESPONSE_BYTES_MAX {
            break;
        }
    }
    Ok(kept.freeze())
}

fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(value, clock.now())
}

/// The stage and the error with its causes, without the repetitions that wrapping makes.
fn describe(stage: &str, error: &dyn Error) -> String {
    let mut text = stage.to_owned();
    let mut cause = error.source().or(Some(error));
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}
