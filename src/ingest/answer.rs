//! What the caller of an accepted request is told.

use actix_http::{Response, StatusCode, header};
use bytes::Bytes;
use uuid::Uuid;

use crate::{config::Route, store::Acceptance};

use super::{Accepted, Taken, rejection};

/// The route's own answer, or Hookgate's.
pub(super) fn answer(route: &Route, taken: &Taken, request_id: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(route.respond.status).unwrap_or(StatusCode::OK);
    let (content_type, body) = match &route.respond.body {
        Some(own) => (
            own.content_type.as_str(),
            Bytes::copy_from_slice(own.body.as_bytes()),
        ),
        None => ("application/json", receipt(taken)),
    };
    let mut response = Response::with_body(status, body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (rejection::REQUEST_ID, request_id),
    ] {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Of one event: `{"status":"accepted"|"duplicate","event":"<uid>","id":"<event id>"}`; of the elements of a list:
/// `{"status":…,"events":[{"status":…,"event":…,"id":…},…]}`, `duplicate` when all of them are.
fn receipt(taken: &Taken) -> Bytes {
    match taken {
        Taken::One(accepted) => {
            let mut receipt = Vec::with_capacity(RECEIPT_BYTES + accepted.id.len());
            accepted.tell(&mut receipt);
            receipt.into()
        }
        Taken::Together(events) => {
            let status = match taken.is_duplicate() {
                true => DUPLICATE,
                false => ACCEPTED,
            };
            let mut receipt = format!(r#"{{"status":"{status}","events":["#).into_bytes();
            for (index, accepted) in events.iter().enumerate() {
                if index > 0 {
                    receipt.push(b',');
                }
                accepted.tell(&mut receipt);
            }
            receipt.extend_from_slice(b"]}");
            receipt.into()
        }
    }
}

const ACCEPTED: &str = "accepted";
const DUPLICATE: &str = "duplicate";

/// Of a receipt without the event id.
const RECEIPT_BYTES: usize = 96;

impl Accepted {
    /// The status, and the uid of the event that was accepted: this one or an earlier one.
    fn told(&self) -> (&'static str, Uuid) {
        match &self.acceptance {
            Acceptance::Accepted { .. } => (ACCEPTED, self.uid),
            Acceptance::Duplicate { uid, .. } => (DUPLICATE, *uid),
        }
    }

    fn tell(&self, receipt: &mut Vec<u8>) {
        let (status, event) = self.told();
        let mut uid = Uuid::encode_buffer();
        let uid: &str = event.hyphenated().encode_lower(&mut uid);
        for part in [
            r#"{"status":""#,
            status,
            r#"","event":""#,
            uid,
            r#"","id":"#,
        ] {
            receipt.extend_from_slice(part.as_bytes());
        }
        // A string can always be written to memory.
        let _always_ok = serde_json::to_writer(&mut *receipt, &*self.id);
        receipt.push(b'}');
    }
}
