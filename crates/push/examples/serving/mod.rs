//! The least web server that carries this crate: hyper, one task for each connection, routing by path prefix.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use miaosha_push::{Server, http};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The value behind a command-line option.
pub(crate) fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

type Routes = Arc<Vec<(&'static str, Server)>>;

/// Serves each server under its path, on all addresses that `listen` (`host:port`) stands for, until the process is
/// ended. Prints the first of them once it listens.
pub(crate) fn serve(listen: &str, routes: Vec<(&'static str, Server)>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let routes = Arc::new(routes);
    runtime.block_on(async {
        let mut accepting = JoinSet::new();
        for address in tokio::net::lookup_host(listen).await? {
            // A host may have a name for an address family that it does not have.
            let Ok(listener) = TcpListener::bind(address).await else {
                continue;
            };
            if accepting.is_empty() {
                let mut stdout = std::io::stdout();
                writeln!(stdout, "listening on {}", listener.local_addr()?)?;
                stdout.flush()?;
            }
            accepting.spawn(accept(listener, Arc::clone(&routes)));
        }
        match accepting.join_next().await {
            None => Err(std::io::Error::other(format!("cannot listen on {listen}"))),
            Some(ended) => ended?,
        }
    })
}

async fn accept(listener: TcpListener, routes: Routes) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let routes = Arc::clone(&routes);
        let service = service_fn(move |request| answer(Arc::clone(&routes), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        #[expect(clippy::disallowed_methods, reason = "an example ends with its process")]
        tokio::spawn(connection);
    }
}

async fn answer(routes: Routes, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if let Some((_, server)) = routes.iter().find(|(prefix, _)| path.starts_with(prefix)) {
        return Ok(http::respond(server, request).await);
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}
