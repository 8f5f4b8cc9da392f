//! How far a request came: what is needed to tell later why it went no further.

use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

use bytes::Bytes;

use crate::{clock::Timestamp, payload::Content};

use super::body::Received;

/// The steps of the flow, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Head,
    Body,
    /// Who calls.
    Caller,
    Payload,
    Store,
}

/// Written on the way; costs a request that passes next to nothing.
#[derive(Default)]
pub(super) struct Trail {
    stage: Cell<Stage>,
    body: OnceCell<Read>,
    credential: OnceCell<Option<Arc<str>>>,
}

/// The body, once it is there.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    pub(super) content: Content,
    /// The time that the caller is judged by.
    pub(super) now: Timestamp,
}

impl Trail {
    pub(super) fn at(&self, stage: Stage) {
        self.stage.set(stage);
    }

    pub(super) fn read(&self, received: &Received<'_>, now: Timestamp) {
        self.stage.set(Stage::Caller);
        // Once: a request has one body.
        let _is_first = self.body.set(Read {
            bytes: received.unverified_body.clone(),
            content: received.content,
            now,
        });
    }

    pub(super) fn proven(&self, credential: Option<&Arc<str>>) {
        self.stage.set(Stage::Payload);
        let _is_first = self.credential.set(credential.cloned());
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    pub(super) fn body_bytes(&self) -> Option<usize> {
        Some(self.body.get()?.bytes.len())
    }

    pub(super) fn credential(&self) -> Option<&Arc<str>> {
        self.credential.get()?.as_ref()
    }

    pub(super) fn into_body(self) -> Option<Read> {
        self.body.into_inner()
    }
}
