//! The peer in Rust: socketioxide with its default settings on axum, on WebSocket only.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use axum::Router;
use axum::serve::ListenerExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Subject {
    sale: String,
}

/// Serves until the standard input ends; prints its address first.
pub(crate) fn serve() -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (layer, io) = SocketIo::builder().build_layer();
        io.ns("/", greet.with(prepare));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| {
            // A connection that is gone already needs none.
            let _gone = stream.set_nodelay(true);
        });
        let serving = axum::serve(listener, Router::new().layer(layer));
        tokio::select! {
            served = serving => Ok(served?),
            obeyed = obey(&io) => obeyed,
        }
    })
}

// Whom an answer does not reach has gone; the generator counts.

/// Before the client is told that it is connected: a question that comes before `watch` is known gets no answer.
async fn prepare(socket: SocketRef) -> Result<(), Infallible> {
    socket.on("watch", watch);
    Ok(())
}

async fn greet(socket: SocketRef) {
    let _gone = socket.emit("clock", &json!({ "now": "2026-11-22T00:00:00.000Z", "sales": [] }));
}

async fn watch(socket: SocketRef, Data(Subject { sale }): Data<Subject>, ack: AckSender) {
    socket.join(room(&sale));
    let _gone = ack.send(&json!({ "sale": sale, "state": "scheduled" }));
}

async fn obey(io: &SocketIo) -> anyhow::Result<()> {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        let event: Value = serde_json::from_str(&order)?;
        let sale = event["sale"].as_str().unwrap_or_default();
        // Those whose queue is full are lost to it; the generator counts who heard.
        let _full = io.to(room(sale)).emit("sale", &event).await;
    }
    Ok(())
}

fn room(sale: &str) -> String {
    format!("sale:{sale}")
}
