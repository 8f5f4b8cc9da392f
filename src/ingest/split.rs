//! `split`: a request that brings a list, each of whose elements is an event of its own. One bad element refuses all.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    event::Event,
    payload::position,
    store::{TOGETHER_DELIVERIES_MAX, TOGETHER_MAX},
};

use super::{
    json::List,
    rejection::{Detail, Reason, Rejection, Violation},
    validate::{Documented, VIOLATIONS_MAX, rejection_of},
};

impl Documented<'_> {
    /// An event for each element, whose body is the element's exact bytes. 400, 422.
    pub(super) fn split(
        &self,
        list: &List,
        now: Timestamp,
        request_id: &Arc<str>,
    ) -> Result<Vec<Event>, Rejection> {
        let elements = self.elements(list)?;
        let mut valid = Vec::with_capacity(elements.len());
        let mut violations = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            match self.authentic.judge(element, Some(element)) {
                Ok(event) => valid.push(event),
                Err(rejection) => violations.extend(self.violations(rejection, index, element)?),
            }
            if violations.len() >= VIOLATIONS_MAX {
                break;
            }
        }
        if !violations.is_empty() {
            violations.truncate(VIOLATIONS_MAX);
            return Err(violated(Reason::SchemaViolation, violations));
        }
        let mut events = Vec::with_capacity(valid.len());
        let mut deliveries = 0;
        for (index, event) in valid.into_iter().enumerate() {
            let event = event.identify(now, request_id.clone());
            let event = event.map_err(|why| self.unnamed(why, index))?;
            deliveries += event.deliveries.len();
            if deliveries > TOGETHER_DELIVERIES_MAX {
                return Err(self.refused(format!(
                    "holds elements of more than {TOGETHER_DELIVERIES_MAX} deliveries"
                )));
            }
            events.push(event);
        }
        Ok(events)
    }

    /// Slices of the request's body.
    fn elements(&self, list: &List) -> Result<Vec<Bytes>, Rejection> {
        let body = &self.authentic.body;
        let texts = list.elements(body);
        let texts = texts.map_err(|fault| rejection_of(fault, self.authentic.content))?;
        let texts =
            texts.ok_or_else(|| self.refused("is missing or no array; expected array".into()))?;
        if texts.len() > TOGETHER_MAX {
            return Err(self.refused(format!("holds more than {TOGETHER_MAX} elements")));
        }
        let element = |text: &str| body.slice_ref(text.as_bytes());
        Ok(texts.into_iter().map(element).collect())
    }

    /// What is wrong with an element, as seen from the whole body. `Err`: no more is to be told than this.
    fn violations(
        &self,
        rejection: Rejection,
        index: usize,
        element: &Bytes,
    ) -> Result<Vec<Violation>, Rejection> {
        match rejection.detail {
            Detail::Violations(violations) => {
                let seen = |violation: Violation| Violation {
                    pointer: self.pointer_to(index) + &violation.pointer,
                    ..violation
                };
                Ok(violations.into_iter().map(seen).collect())
            }
            Detail::Position {
                line,
                column,
                message,
            } => {
                let body = &self.authentic.body;
                let start = element.as_ptr().addr() - body.as_ptr().addr();
                let (first_line, first_column) = position::of_byte(body, start);
                let detail = Detail::Position {
                    line: first_line + line - 1,
                    column: match line {
                        1 => first_column + column - 1,
                        _ => column,
                    },
                    message: self.pointer_to(index) + &message,
                };
                Err(Rejection::with(rejection.reason, detail))
            }
            detail => Err(Rejection::with(rejection.reason, detail)),
        }
    }

    /// The same refusal, with the element that has no id.
    fn unnamed(&self, rejection: Rejection, index: usize) -> Rejection {
        let violation = Violation {
            pointer: self.pointer_to(index),
            message: rejection.reason.told().to_owned(),
            rule: None,
        };
        violated(rejection.reason, vec![violation])
    }

    /// For what the list is.
    fn refused(&self, message: String) -> Rejection {
        let pointer = self.pointer();
        violated(
            Reason::SchemaViolation,
            vec![Violation {
                pointer,
                message,
                rule: None,
            }],
        )
    }

    fn pointer(&self) -> String {
        let split = &self.authentic.endpoint.route.split;
        split.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn pointer_to(&self, index: usize) -> String {
        format!("{}/{index}", self.pointer())
    }
}

fn violated(reason: Reason, violations: Vec<Violation>) -> Rejection {
    Rejection::with(reason, Detail::Violations(violations))
}
