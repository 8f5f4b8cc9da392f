//! Many events at a steady pace, and what came of them.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::cli::{
    BOLD, GREEN, RED,
    https::{Answer, Https},
    out::{self, Ended, say},
};

/// Requests under way at one time. At a pace that the gateway cannot keep, the pace gives way.
const IN_FLIGHT_MAX: usize = 256;
/// Times that are kept for the percentiles; of more, evenly chosen ones.
const TIMES_MAX: usize = 100_000;

pub(super) struct Plan {
    pub(super) count: u32,
    /// `None`: the next when the one before is answered.
    pub(super) every: Option<Duration>,
    /// How often each event is sent.
    pub(super) copies: u32,
}

/// `100/s` → 10 ms.
pub(super) fn pace(text: &str) -> Result<Duration, String> {
    let expected = || "expected a rate such as 100/s or 30/m".to_owned();
    let (number, unit) = text.split_once('/').ok_or_else(expected)?;
    let number: u32 = number.trim().parse().map_err(|_| expected())?;
    let period = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(expected()),
    };
    match number {
        0 => Err(expected()),
        number => Ok(period / number),
    }
}

/// Sends `first` and what `next` gives, until the plan is done or Ctrl-C.
pub(super) async fn send(
    plan: Plan,
    first: Request<Full<Bytes>>,
    next: impl Fn() -> Result<Request<Full<Bytes>>, String>,
    client: &Https,
) -> Ended {
    let began = Instant::now();
    let mut tally = Tally::new(u64::from(plan.count) * u64::from(plan.copies));
    let mut under_way = JoinSet::new();
    let mut first = Some(first);
    let limit = if plan.every.is_some() {
        IN_FLIGHT_MAX
    } else {
        1
    };
    let sending = async {
        for number in 0..plan.count {
            if let Some(every) = plan.every {
                let at = tokio::time::Instant::from_std(began) + every * number;
                wait_until(at, &mut under_way, &mut tally).await;
            }
            let request = match first.take() {
                Some(first) => first,
                None => match next() {
                    Ok(request) => request,
                    Err(fault) => {
                        tally.failed(fault);
                        break;
                    }
                },
            };
            while under_way.len() >= limit {
                tally.take(under_way.join_next().await);
            }
            let (client, copies) = (client.clone(), plan.copies);
            // The copies of an event go one after another: each later one is a duplicate.
            under_way.spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..copies {
                    answers.push(client.send(request.clone()).await);
                }
                answers
            });
        }
        while !under_way.is_empty() {
            tally.take(under_way.join_next().await);
        }
    };
    let interrupted = tokio::select! {
        () = sending => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    tally.tell(began.elapsed(), interrupted)
}

async fn wait_until(
    at: tokio::time::Instant,
    under_way: &mut JoinSet<Vec<Result<Answer, String>>>,
    tally: &mut Tally,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(at) => return,
            Some(ended) = under_way.join_next() => tally.take(Some(ended)),
        }
    }
}

/// What came of the requests.
struct Tally {
    planned: u64,
    sent: u64,
    accepted: u64,
    duplicate: u64,
    /// By status.
    refused: BTreeMap<u16, u64>,
    unanswered: u64,
    /// Why, of the last one.
    fault: Option<String>,
    times: Vec<Duration>,
    shown_at: Option<Instant>,
}

impl Tally {
    fn new(planned: u64) -> Self {
        Self {
            planned,
            sent: 0,
            accepted: 0,
            duplicate: 0,
            refused: BTreeMap::new(),
            unanswered: 0,
            fault: None,
            times: Vec::new(),
            shown_at: None,
        }
    }

    fn take(&mut self, ended: Option<Result<Vec<Result<Answer, String>>, tokio::task::JoinError>>) {
        let answers = match ended {
            Some(Ok(answers)) => answers,
            Some(Err(error)) => vec![Err(error.to_string())],
            None => return,
        };
        for answer in answers {
            self.sent += 1;
            match answer {
                Ok(answer) => self.count(&answer),
                Err(fault) => self.failed(fault),
            }
        }
        self.show();
    }

    fn count(&mut self, answer: &Answer) {
        if self.times.len() < TIMES_MAX {
            self.times.push(answer.took);
        } else {
            let at = usize::try_from(self.sent).unwrap_or_default() % TIMES_MAX;
            self.times[at] = answer.took;
        }
        let receipt: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !answer.status.is_success() {
            *self.refused.entry(answer.status.as_u16()).or_default() += 1;
        } else if receipt["status"] == "duplicate" {
            self.duplicate += 1;
        } else {
            self.accepted += 1;
        }
    }

    fn failed(&mut self, fault: String) {
        self.unanswered += 1;
        self.fault = Some(fault);
    }

    /// On a terminal only, and not more often than anyone can read.
    fn show(&mut self) {
        let is_shown = |at: Instant| at.elapsed() < Duration::from_millis(100);
        if self.shown_at.is_some_and(is_shown) || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown_at = Some(Instant::now());
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone is shown nothing.
        drop(write!(
            stderr,
            "\r{} of {}\u{1b}[K",
            self.sent, self.planned
        ));
        drop(stderr.flush());
    }

    fn tell(mut self, took: Duration, interrupted: bool) -> Ended {
        if self.shown_at.is_some() {
            out::aside(format_args!("\r\u{1b}[K"));
        }
        let refused: u64 = self.refused.values().sum();
        let seconds = took.as_secs_f64();
        if interrupted {
            say!(
                "ended early: {} of {} were answered",
                self.sent,
                self.planned
            )?;
        }
        say!(
            "{BOLD}sent {}{BOLD:#} in {seconds:.1} s ({:.0}/s)",
            self.sent,
            self.sent as f64 / seconds.max(0.001)
        )?;
        say!(
            "{GREEN}accepted {}, duplicate {}{GREEN:#}",
            self.accepted,
            self.duplicate
        )?;
        let colour = match refused + self.unanswered {
            0 => GREEN,
            _ => RED,
        };
        let statuses = self.refused.iter();
        let statuses: Vec<_> = statuses
            .map(|(status, count)| format!("{count} × {status}"))
            .collect();
        let statuses = match statuses.is_empty() {
            true => String::new(),
            false => format!(" ({})", statuses.join(", ")),
        };
        say!(
            "{colour}refused {refused}{statuses}, without an answer {}{colour:#}",
            self.unanswered
        )?;
        if let Some(fault) = &self.fault {
            say!("  {fault}")?;
        }
        self.times.sort_unstable();
        let percentile = |share: usize| {
            let at = (self.times.len() * share / 100).min(self.times.len().saturating_sub(1));
            let time = self.times.get(at).copied().unwrap_or_default();
            time.as_secs_f64() * 1000.0
        };
        say!(
            "answered in p50 {:.1} ms, p99 {:.1} ms",
            percentile(50),
            percentile(99)
        )?;
        Ok(match refused + self.unanswered {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}
