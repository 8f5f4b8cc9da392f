//! The baselines, in a process of their own: the server that the gateway is compared with.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::Result;

/// Serves until the bench closes its end of standard input. Without targets, reads the body and answers 200; with
/// targets, posts the body to all of them and answers when they have. The first line of output is the port.
pub(crate) fn serve(directory: &Path, targets: Vec<SocketAddr>) -> Result<()> {
    std::thread::spawn(|| {
        // The bench has ended, in whatever way.
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    let tls = server_config(directory)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let server = HttpServer::new(move || {
        // Each worker has clients of its own: nothing is shared between the cores.
        let targets: Vec<_> = targets.iter().copied().map(Target::new).collect();
        App::new()
            .app_data(web::PayloadConfig::new(1024 * 1024))
            .app_data(web::Data::new(targets))
            .route("/hooks/{route}", web::post().to(receive))
    });
    let server = server
        .disable_signals()
        // Else a session ticket and the answer after it wait for each other's acknowledgement.
        .tcp_nodelay(true)
        .listen_rustls_0_23(listener, tls)?
        .run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}

async fn receive(body: web::Bytes, targets: web::Data<Vec<Target>>) -> HttpResponse {
    let posts = targets.iter().map(|target| target.post(body.clone()));
    match futures_util::future::try_join_all(posts).await {
        Ok(_) => HttpResponse::Ok().body(format!("{{\"bytes\":{}}}", body.len())),
        Err(error) => HttpResponse::BadGateway().body(error.to_string()),
    }
}

/// As the gateway's listener has it.
fn server_config(directory: &Path) -> Result<rustls::ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(directory.join("tls.crt"))?];
    let key = PrivateKeyDer::from_pem_file(directory.join("tls.key"))?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    tls.send_tls13_tickets = 1;
    Ok(tls)
}

struct Target {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    host: HeaderValue,
}

impl Target {
    /// As `src/delivery/client.rs` has it, but for the guard of addresses.
    fn new(address: SocketAddr) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(128)
            .http1_max_buf_size(64 * 1024)
            .set_host(false)
            .build(connector);
        Self {
            client,
            uri: format!("http://{address}/").parse().expect("an address"),
            host: HeaderValue::try_from(address.to_string()).expect("an address"),
        }
    }

    async fn post(&self, body: Bytes) -> Result<()> {
        let request = Request::post(self.uri.clone())
            .header(header::HOST, self.host.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("the target answered {status}").into()),
        }
    }
}
