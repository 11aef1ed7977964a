//! The least web server that carries this crate: hyper, one task for each connection, routing by path prefix.

use std::convert::Infallible;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use miaosha_push::{Server, http};
use tokio::task::JoinSet;

type Routes = Arc<Vec<(&'static str, Server)>>;

/// Listens on all addresses that `listen` (`host:port`) stands for, as far as the machine has them.
pub(crate) fn bind(listen: &str) -> std::io::Result<Vec<TcpListener>> {
    let bound: Vec<_> =
        listen.to_socket_addrs()?.filter_map(|address| TcpListener::bind(address).ok()).collect();
    if bound.is_empty() {
        Err(std::io::Error::other(format!("cannot listen on {listen}")))
    } else {
        Ok(bound)
    }
}

/// Serves each server under its path until the process is ended.
pub(crate) fn serve(listeners: Vec<TcpListener>, routes: Vec<(&'static str, Server)>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let routes = Arc::new(routes);
    runtime.block_on(async {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            accepting.spawn(accept(tokio::net::TcpListener::from_std(listener)?, Arc::clone(&routes)));
        }
        while let Some(ended) = accepting.join_next().await {
            ended??;
        }
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, routes: Routes) -> std::io::Result<()> {
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
