//! Example receivers: real HTTP servers on loopback that stand in for the targets.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use uuid::Uuid;

use crate::{
    config::Config,
    event::{BodyDigest, TargetName},
    listener::bind,
};

/// What a receiver answers when nothing else was planned.
const TAKEN: u16 = 204;

/// One request that a receiver got.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) target: TargetName,
    /// Hookgate's uid of the event.
    pub(super) event: Option<Uuid>,
    pub(super) body: BodyDigest,
    /// What was answered.
    pub(super) status: u16,
}

/// One receiver for every target.
pub(super) struct Receivers {
    notes: Arc<Mutex<Notes>>,
    server: ServerHandle,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Notes {
    receipts: Vec<Receipt>,
    /// By event id: what to answer to each attempt, from the first.
    plans: HashMap<String, &'static [u16]>,
}

impl Receivers {
    /// Listens on free ports and points the targets there. Not on the targets' own: a gateway that serves the
    /// same routes would deliver to them, and its events are not the demo's.
    pub(super) fn start(config: &mut Config) -> Result<Self, String> {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let mut sockets = Vec::new();
        let mut names = HashMap::new();
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for (name, target) in &mut config.targets {
            // Nobody else holds a part of a configuration that was just read.
            let target = Arc::get_mut(target).ok_or("the configuration is in use")?;
            let socket = bind(free_port).map_err(|error| error.to_string())?;
            let address = socket.local_addr().map_err(|error| error.to_string())?;
            point(&mut target.url, address)?;
            (target.allow_private, target.paused) = (true, false);
            names.insert(address, name.clone());
            sockets.push(socket);
        }
        let served = serve(sockets, Arc::new(names), notes.clone());
        let server = served.map_err(|error| format!("cannot start the receivers: {error}"))?;
        Ok(Self {
            notes,
            server: server.handle(),
            served: tokio::spawn(server),
        })
    }

    /// The answers to the attempts of one event, from the first; the last goes on for ever.
    pub(super) fn plan(&self, event_id: &str, statuses: &'static [u16]) {
        lock(&self.notes)
            .plans
            .insert(event_id.to_owned(), statuses);
    }

    /// All that was received so far, in order.
    pub(super) fn receipts(&self) -> Vec<Receipt> {
        lock(&self.notes).receipts.clone()
    }

    pub(super) async fn stop(self) {
        self.server.stop(false).await;
        // They end with the demo; there is nobody to tell of an error.
        drop(self.served.await);
    }
}

fn point(url: &mut url::Url, address: SocketAddr) -> Result<(), String> {
    let fault = |()| format!("the target {url} cannot be pointed at {address}");
    let mut pointed = url.clone();
    pointed.set_scheme("http").map_err(fault)?;
    pointed.set_ip_host(address.ip()).map_err(fault)?;
    pointed.set_port(Some(address.port())).map_err(fault)?;
    *url = pointed;
    Ok(())
}

fn serve(
    sockets: Vec<TcpListener>,
    names: Arc<HashMap<SocketAddr, TargetName>>,
    notes: Arc<Mutex<Notes>>,
) -> io::Result<actix_web::dev::Server> {
    let mut server = HttpServer::new(move || {
        let (names, notes) = (names.clone(), notes.clone());
        let receive = move |request: HttpRequest, body: web::Bytes| {
            let answer = receive(&request, &body, &names, &notes);
            async move { answer }
        };
        App::new().default_service(web::to(receive))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1);
    for socket in sockets {
        server = server.listen(socket)?;
    }
    Ok(server.run())
}

fn receive(
    request: &HttpRequest,
    body: &[u8],
    names: &HashMap<SocketAddr, TargetName>,
    notes: &Mutex<Notes>,
) -> HttpResponse {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let event: Option<Uuid> = header("hookgate-event").and_then(|uid| uid.parse().ok());
    let Some(target) = names.get(&request.app_config().local_addr()) else {
        return HttpResponse::NotFound().finish();
    };
    let mut notes = lock(notes);
    let before = notes
        .receipts
        .iter()
        .filter(|receipt| receipt.event == event && receipt.target == *target);
    let attempt = before.count();
    let plan = header("hookgate-event-id").and_then(|id| notes.plans.get(id));
    let status = plan
        .and_then(|plan| plan.get(attempt).or(plan.last()))
        .copied()
        .unwrap_or(TAKEN);
    notes.receipts.push(Receipt {
        target: target.clone(),
        event,
        body: BodyDigest::of(body),
        status,
    });
    let status = actix_web::http::StatusCode::from_u16(status);
    HttpResponse::build(status.unwrap_or(actix_web::http::StatusCode::NO_CONTENT)).finish()
}

/// A panic elsewhere leaves the notes as they were: each change is one step.
fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
