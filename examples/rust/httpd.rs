//! A small HTTP server that logs its requests through `tracing`: `httpd URL [PORT]`.
//!
//! Try it: `logdrive receive --listen 127.0.0.1:9092 --dir /tmp/received`, then
//! `cargo run --features tracing --example httpd -- receivers://127.0.0.1:9092/httpd 8080`, then
//! `curl http://127.0.0.1:8080/`, `curl -X POST http://127.0.0.1:8080/stop`, and `logdrive cat /tmp/received`.

use std::error::Error;
use std::time::Duration;

use logdrive::Client;
use logdrive::facade;
use tiny_http::Method;
use tiny_http::Request;
use tiny_http::Response;
use tiny_http::Server;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Threads that serve requests.
const WORKERS: usize = 4;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: httpd URL [PORT]")?;
    let port = arguments.next().unwrap_or_else(|| "8080".to_owned());

    let client = Client::open(&url)?;
    let guard = facade::Guard::new(&client);
    tracing_subscriber::registry().with(facade::tracing::layer(&client)).init();

    let server = Server::http(format!("127.0.0.1:{port}"))?;
    println!("listening on {}", server.server_addr());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let server = &server;
            scope.spawn(move || serve(server, worker));
        }
    });
    tracing::info!("stopped");
    println!("{}", guard.close(Duration::from_secs(30))?);
    Ok(())
}

/// Answers requests until one of them stops the server.
fn serve(server: &Server, worker: usize) {
    let _span = tracing::info_span!("worker", worker).entered();
    while let Ok(request) = server.recv() {
        let path = request.url().to_owned();
        let _span = tracing::info_span!("request", method = %request.method(), path).entered();
        let stops = *request.method() == Method::Post && path == "/stop";
        answer(request, if stops || path == "/" { 200 } else { 404 });
        if stops {
            // Each waiting worker is woken to find that it is over.
            (0..WORKERS).for_each(|_| server.unblock());
        }
    }
}

fn answer(request: Request, status: u16) {
    let text = if status == 200 { "hello\n" } else { "there is no such page\n" };
    match request.respond(Response::from_string(text).with_status_code(status)) {
        Ok(()) => tracing::info!(status, bytes = text.len(), "served"),
        Err(error) => tracing::warn!(status, %error, "the client went away"),
    }
}
