//! `hookgate receive`: a target to try deliveries with.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use tokio::sync::mpsc;

use crate::{clock::Clock, listener::bind};

use super::{
    failed,
    out::{self, Ended, Failure, Unwritten, say},
    runtime,
    serve::stop_signal,
};

/// Be a target: print every delivery that comes
#[derive(clap::Args)]
#[command(
    after_help = "For trying things out: it checks no signature and keeps nothing. A target that points here on loopback or a private\naddress needs allow_private = true.\n\nExamples:\n  hookgate receive                                  answers 204 on 127.0.0.1:9101\n  hookgate receive --body                           prints the bodies too\n  hookgate receive --status 500                     fails, to see retries and the breaker\n  hookgate receive --status 503 --first 3           fails three times, then takes what comes\n\nExit codes: 0 stopped, 1 failed, 64 usage."
)]
pub(super) struct Receive {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// What to answer.
    #[arg(long, value_name = "CODE", default_value_t = TAKEN, value_parser = clap::value_parser!(u16).range(200..600))]
    status: u16,
    /// Answer so only to the first N requests, and 204 to what follows.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    first: u64,
    /// Print the bodies too: the first 4 KiB, control characters escaped.
    #[arg(long)]
    body: bool,
}

const TAKEN: u16 = 204;
/// A target may be sent what the gateway may be sent.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of a body that is printed.
const PRINTED_BYTES_MAX: usize = 4 * 1024;
/// Of a header that is printed.
const PRINTED_CHARS_MAX: usize = 200;

impl Receive {
    pub(super) fn run(self) -> Ended {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return Ok(failed(format_args!("cannot start threads: {error}"))),
        };
        match runtime.block_on(self.serve()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(failure) => failure.ended(),
        }
    }

    /// Until SIGTERM or SIGINT, or until a delivery cannot be told.
    async fn serve(self) -> Result<(), Failure> {
        let socket = bind(self.listen).map_err(|error| error.to_string())?;
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        let (unheard, mut unwritten) = mpsc::channel(1);
        let desk = web::Data::new(Desk {
            receive: self,
            unheard,
            received: AtomicU64::new(0),
            clock: Clock::system(),
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(desk.clone())
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .default_service(web::to(take))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(socket)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?
        .run();
        let (handle, served) = (server.handle(), tokio::spawn(server));
        say!("listening on http://{address}")?;
        let stopped = tokio::select! {
            signal = stop_signal() => match signal {
                Ok(_name) => Ok(()),
                Err(error) => Err(format!("cannot wait for signals: {error}").into()),
            },
            Some(unwritten) = unwritten.recv() => Err(Failure::Unwritten(unwritten)),
        };
        // A delivery that could not be told is taken all the same, and answered.
        handle.stop(stopped.is_err()).await;
        // It ends with the command; there is nobody to tell of an error.
        drop(served.await);
        stopped
    }
}

struct Desk {
    receive: Receive,
    /// Ends the command.
    unheard: mpsc::Sender<Unwritten>,
    received: AtomicU64,
    clock: Clock,
}

async fn take(request: HttpRequest, body: web::Bytes, desk: web::Data<Desk>) -> HttpResponse {
    let before = desk.received.fetch_add(1, Ordering::Relaxed);
    let status = match before < desk.receive.first {
        true => desk.receive.status,
        false => TAKEN,
    };
    desk.print(&request, &body, status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT);
    HttpResponse::build(status).finish()
}

impl Desk {
    fn print(&self, request: &HttpRequest, body: &[u8], status: u16) {
        let header = |name| {
            let value = request.headers().get(name);
            let text = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
            shown(text.as_deref().unwrap_or("-"))
        };
        let mut text = format!(
            "{} {} {} route={} type={} id={} event={} attempt={} {} bytes -> {}\n",
            self.clock.now(),
            request.method(),
            shown(request.uri().path()),
            header("hookgate-route"),
            header("hookgate-event-type"),
            header("hookgate-event-id"),
            header("hookgate-event"),
            header("hookgate-attempt"),
            body.len(),
            status,
        );
        if self.receive.body {
            let printed = &body[..body.len().min(PRINTED_BYTES_MAX)];
            for line in String::from_utf8_lossy(printed).lines() {
                text.push_str("  ");
                text.extend(line.chars().flat_map(escaped));
                text.push('\n');
            }
            if printed.len() < body.len() {
                text += &format!("  … {} bytes more\n", body.len() - printed.len());
            }
        }
        if let Err(unwritten) = out::text(format_args!("{text}")) {
            // The first is enough to end it.
            drop(self.unheard.try_send(unwritten));
        }
    }
}

fn shown(text: &str) -> String {
    let printed = text.chars().take(PRINTED_CHARS_MAX);
    printed.flat_map(escaped).collect()
}

/// What a stranger sends must not write to a terminal but letters.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let hidden = c.is_control() && c != '\t';
    let escape = hidden.then(|| c.escape_default());
    let plain = (!hidden).then_some(c);
    escape.into_iter().flatten().chain(plain)
}
