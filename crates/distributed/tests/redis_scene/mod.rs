//! Where the Redis of these tests is.

use std::sync::Arc;

use miaosha_app::ports::Random;
use miaosha_distributed::redis::{Redis, RedisConfig};
use miaosha_embedded::OsRandom;
use serde::Deserialize;

/// A connection to the cluster that all tests share, under a prefix of its own.
pub(crate) async fn connect() -> Arc<Redis> {
    connect_as(&unique_prefix()).await
}

/// The same under a prefix that several connections share.
pub(crate) async fn connect_as(key_prefix: &str) -> Arc<Redis> {
    let config = RedisConfig { key_prefix: key_prefix.to_owned(), ..RedisConfig::new(nodes()) };
    Arc::new(Redis::connect(&config, &OsRandom).await.unwrap())
}

/// A prefix that no other test uses.
pub(crate) fn unique_prefix() -> String {
    let mut bytes = [0; 8];
    OsRandom.fill(&mut bytes);
    format!("test-{:016x}:", u64::from_ne_bytes(bytes))
}

/// The nodes of the shared cluster.
pub(crate) fn nodes() -> Vec<String> {
    #[derive(Deserialize)]
    struct Services {
        redis: Vec<String>,
    }
    #[expect(clippy::disallowed_methods, reason = "this is how tests are told where the services are")]
    let services = std::env::var("TESTKIT_SERVICES");
    let services = services.expect(
        "this test needs Redis: run `make test`, or `cargo run -p miaosha-testkit --bin services -- -- cargo test …`",
    );
    serde_json::from_str::<Services>(&services).expect("the services are described in JSON").redis
}
