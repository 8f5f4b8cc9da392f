//! What a delivery's `when` and `transform` make of its event, before it is sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    config::Route,
    event::{Event, RouteName, TargetName},
    expression::{ALLOWANCE, Answer, Expression, Failure, Pool, Question, Share},
    payload::{self, Content},
};

/// The expressions of one route's deliveries to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub when: Option<Expression>,
    pub transform: Option<Expression>,
    /// The route's.
    pub json_types: Vec<String>,
}

/// The expressions of all deliveries that have any.
#[derive(Clone, Debug, Default)]
pub struct Lines(HashMap<TargetName, HashMap<RouteName, Line>>);

impl Lines {
    pub fn of(routes: &[Arc<Route>]) -> Self {
        let mut lines = Self::default();
        for route in routes {
            for deliver in &route.deliver {
                let line = Line {
                    when: deliver.when.clone(),
                    transform: deliver.transform.clone(),
                    json_types: route.json_types.clone(),
                };
                lines.insert(route.name.clone(), deliver.to.clone(), line);
            }
        }
        lines
    }

    /// One without expressions is left out.
    pub fn insert(&mut self, route: RouteName, target: TargetName, line: Line) {
        if line.when.is_some() || line.transform.is_some() {
            self.0.entry(target).or_default().insert(route, line);
        }
    }

    pub(super) fn of_target(&self, target: &TargetName) -> TargetLines {
        TargetLines(self.0.get(target).cloned().unwrap_or_default())
    }
}

/// The expressions of one target's deliveries, by route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetLines(HashMap<RouteName, Line>);

impl TargetLines {
    /// How much longer the target's deliveries are claimed for.
    pub(super) fn allowance(&self) -> Duration {
        match self.0.is_empty() {
            true => Duration::ZERO,
            false => ALLOWANCE,
        }
    }
}

/// The expressions of one target's deliveries, and who evaluates them.
pub(super) struct Expressions {
    /// By route.
    lines: HashMap<RouteName, (Line, Share)>,
    pool: Arc<Pool>,
}

/// What is to become of a delivery.
pub(super) enum Prepared {
    /// To be sent like this.
    Ready(Arc<Event>),
    Unwanted,
    /// And never will be any other.
    Failed(String),
    /// This time.
    Unable(String),
    /// All workers were taken for long.
    NoWorker,
}

impl Expressions {
    pub(super) fn new(lines: &TargetLines, pool: Arc<Pool>) -> Self {
        let shared = |line: &Line| (line.clone(), pool.share());
        Self {
            lines: lines
                .0
                .iter()
                .map(|(route, line)| (route.clone(), shared(line)))
                .collect(),
            pool,
        }
    }

    /// Whether events of this route do not just go to the target as they are.
    pub(super) fn has(&self, route: &RouteName) -> bool {
        self.lines.contains_key(route)
    }

    /// Takes no longer than [`ALLOWANCE`].
    pub(super) async fn prepare(&self, event: &Arc<Event>) -> Prepared {
        let Some((line, share)) = self.lines.get(&event.route) else {
            return Prepared::Ready(event.clone());
        };
        let Some(mut seat) = self.pool.seat(share).await else {
            return Prepared::NoWorker;
        };
        let document = match document(event, &line.json_types).await {
            Ok(document) => document,
            Err(why) => return Prepared::Failed(why),
        };
        let mut ready = event.clone();
        for (question, expression) in [
            (Question::When, &line.when),
            (Question::Transform, &line.transform),
        ] {
            let Some(expression) = expression else {
                continue;
            };
            match seat.ask(question, expression, &document).await {
                Ok(Answer::Yes) => {}
                Ok(Answer::No) => return Prepared::Unwanted,
                Ok(Answer::Document(body)) => ready = Arc::new(with_body(event, body)),
                Err(Failure::Failed(why)) => return Prepared::Failed(told(question, &why)),
                Err(Failure::Unable(why)) => return Prepared::Unable(told(question, &why)),
            }
        }
        Prepared::Ready(ready)
    }
}

/// What expressions read of an event: the JSON document of its body.
async fn document(event: &Event, json_types: &[String]) -> Result<Bytes, String> {
    const KINDS: [Content; 3] = [Content::Json, Content::Form, Content::Xml];
    let body = event.body.clone();
    let content = match Content::of(event.content_type.as_deref(), &KINDS, json_types) {
        None => {
            return Err("`when` and `transform` read JSON, forms and XML: this is none".to_owned());
        }
        Some(Content::Json) => return Ok(body),
        Some(content) => content,
    };
    let read = move || match payload::document(content, &body) {
        Ok(Some(document)) => Ok(document.into_owned().into()),
        Ok(None) => Err("the body has no document".to_owned()),
        Err(fault) => Err(format!("the body is read no more: {fault}")),
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|_| Err("the body cannot be read".to_owned()))
}

fn with_body(event: &Event, body: Vec<u8>) -> Event {
    Event {
        body: body.into(),
        content_type: Some("application/json".into()),
        ..event.clone()
    }
}

fn told(question: Question, why: &str) -> String {
    format!("{}: {why}", question.as_str())
}
