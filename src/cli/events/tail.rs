//! `hookgate events tail`: asks again and again for what came since.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use crate::{
    cli::{
        Format, GREEN, YELLOW,
        admin::{Session, Trouble},
        events::delivery,
        listing::{EventFilter, items, text},
        out::{heard, note, say},
    },
    clock::{Clock, Timestamp},
};

/// How often the gateway is asked.
const EVERY: Duration = Duration::from_secs(1);
/// So much later than its time says may an event be stored, since a store may make it wait: what was received within
/// it is asked for again.
const LATE: Duration = Duration::from_secs(30);

/// Follow events as they are accepted, until ctrl-c
#[derive(clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    filter: EventFilter,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Tail {
    pub(super) fn run(self, session: &Session, format: Format) -> Result<(), Trouble> {
        let from = self.filter.since.unwrap_or_else(|| Clock::system().now());
        let mut followed = Followed::new(self.filter, from);
        let mut left = self.limit.unwrap_or(usize::MAX);
        // Only a gateway that has answered once is waited for.
        let mut events = followed.news(session)?;
        loop {
            for event in events.iter().take(left) {
                tell(event, format)?;
            }
            left = left.saturating_sub(events.len());
            if left == 0 || !session.wait(EVERY) {
                return Ok(());
            }
            heard()?;
            match next(&mut followed, session)? {
                Some(news) => events = news,
                None => return Ok(()),
            }
        }
    }
}

/// Waits for a gateway that is away. `None`: ctrl-c came first.
fn next(followed: &mut Followed, session: &Session) -> Result<Option<Vec<Value>>, Trouble> {
    let mut is_away = false;
    loop {
        match followed.news(session) {
            Ok(news) => {
                if is_away {
                    note!("{GREEN}the gateway is back{GREEN:#}");
                }
                return Ok(Some(news));
            }
            Err(trouble) if trouble.passes() => {
                if !std::mem::replace(&mut is_away, true) {
                    let told = trouble.to_string();
                    let reason = told.lines().next().unwrap_or_default();
                    note!("{YELLOW}waiting for the gateway{YELLOW:#}: {reason}");
                }
            }
            Err(trouble) => return Err(trouble),
        }
        if !session.wait(EVERY) {
            return Ok(None);
        }
        heard()?;
    }
}

/// What was told already.
struct Followed {
    filter: EventFilter,
    /// Nothing before this is told.
    from: Timestamp,
    /// Of the newest that was told.
    newest: Timestamp,
    /// When each was received that may be listed again.
    told: HashMap<String, Timestamp>,
}

impl Followed {
    fn new(filter: EventFilter, from: Timestamp) -> Self {
        Self {
            filter,
            from,
            newest: from,
            told: HashMap::new(),
        }
    }

    /// What was not told yet, the oldest first. What fails half way is asked for again.
    fn news(&mut self, session: &Session) -> Result<Vec<Value>, Trouble> {
        self.filter.since = Some(self.from.max(self.newest.saturating_sub(LATE)));
        let mut query = self.filter.parameters();
        query.push(("order", "oldest".to_owned()));
        let listed = items(session, &["events"], "events", query, usize::MAX);
        let mut news = Vec::new();
        for event in listed {
            let event = event?;
            if !self.told.contains_key(&text(&event, "uid")) {
                news.push(event);
            }
        }
        // A store that is spread lists by the minute.
        news.sort_by_key(received_at);
        for event in &news {
            let at = received_at(event);
            self.newest = self.newest.max(at);
            self.told.insert(text(event, "uid"), at);
        }
        let again = self.newest.saturating_sub(LATE);
        self.told.retain(|_, at| *at >= again);
        Ok(news)
    }
}

fn received_at(event: &Value) -> Timestamp {
    let at = event["received_at"].as_str().unwrap_or_default();
    let at = at.parse::<jiff::Timestamp>().unwrap_or_default();
    Timestamp::from_millis(at.as_millisecond())
}

fn tell(event: &Value, format: Format) -> Result<(), Trouble> {
    if format == Format::Json {
        return Ok(say!("{event}")?);
    }
    let deliveries = event["deliveries"].as_array().into_iter().flatten();
    let deliveries: Vec<_> = deliveries.map(delivery).collect();
    let [at, uid, route, kind, id] =
        ["received_at", "uid", "route", "type", "id"].map(|key| text(event, key));
    let deliveries = deliveries.join(", ");
    Ok(say!(
        "{at}  {uid}  {GREEN}{route}{GREEN:#}  {kind}  {id}  {deliveries}"
    )?)
}
