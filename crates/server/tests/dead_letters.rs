//! `miaosha recover --dead-letters`, on the broker of this test run.
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use miaosha_app::model::RequestBatch;
use miaosha_app::ports::RequestQueue as _;
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::SystemClock;
use miaosha_testkit::services::Addresses;
use serde_json::{Value, json};

/// Runs the command with these settings.
fn replay(data_dir: &Path, settings: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miaosha"));
    command.args(["recover", "--dead-letters", "--data-dir"]).arg(data_dir).args(flags);
    command.envs(settings.iter().copied()).output().unwrap()
}

#[tokio::test]
async fn dead_letters_are_sent_on_with_nothing_there_but_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = format!("{}.", directory.path().file_name().unwrap().to_str().unwrap());
    let uri = Addresses::of_this_run().rabbitmq;
    let config = RabbitConfig { prefix: prefix.clone(), ..RabbitConfig::new(uri.as_str()) };
    let rabbit = Rabbit::connect(&config, Arc::new(SystemClock)).await.unwrap();
    let batch = RequestBatch {
        sale: SaleId::new(1).unwrap(),
        asks: vec![Ask { user: UserId::new(7).unwrap(), quantity: 1 }],
        accepted_at: Timestamp::from_millis(0),
    };
    rabbit.queue().publish(batch.clone()).await.unwrap();
    rabbit.queue().next().await.unwrap().discard().await.unwrap();

    let settings = [
        ("MIAOSHA_BACKEND", "distributed"),
        ("MIAOSHA_REDIS__NODES", "redis.invalid:6379"),
        ("MIAOSHA_RABBITMQ__URI", &uri),
        ("MIAOSHA_RABBITMQ__PREFIX", &prefix),
        ("MIAOSHA_MYSQL__PRIMARY", "mysql://root@db.invalid/miaosha"),
        ("MIAOSHA_SECRETS__SIGNING_KEY", "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ];
    let output = replay(directory.path(), &settings, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts, json!({ "batches": 1, "wake_ups": 0, "undecodable": 0 }));
    let back = rabbit.queue().next().await.unwrap();
    assert_eq!((back.batch(), back.is_redelivered()), (&batch, true));
    back.ack().await.unwrap();

    let output = replay(directory.path(), &settings, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "batches: 0\nundecodable: 0\nwake_ups: 0\n");
}

#[test]
fn embedded_storage_has_no_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let output = replay(directory.path(), &[], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
