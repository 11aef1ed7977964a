//! The services that tests stand on: each can be hurt and comes back as it should. Every test here has services of its
//! own, so that it may.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use miaosha_testkit::fault_proxy::FaultProxy;
use miaosha_testkit::services::{
    Addresses, MariaDb, Network, RabbitMq, RedisCluster, Service as _, Services, wait_until,
};

const BIN: &str = env!("CARGO_BIN_EXE_services");

#[test]
fn a_killed_redis_master_is_replaced_by_its_replica_and_comes_back_as_one() {
    let redis = RedisCluster::start().unwrap();
    let slot = redis.slot_of("{sale:1}:gate").unwrap();
    assert_eq!(slot, redis.slot_of("{sale:1}:standby").unwrap(), "a hash tag decides alone");

    let killed = redis.fail_over(slot).unwrap();
    let heir = redis.master_of(slot).unwrap();
    assert_ne!(heir, killed);
    redis.nodes[heir].command(&["SET", "{sale:1}:gate", "open"]).unwrap();

    redis.nodes[killed].start_again().unwrap();
    redis.wait_until_ok().unwrap();
    assert_eq!(redis.master_of(slot).unwrap(), heir);
    assert!(redis.nodes[killed].command(&["ROLE"]).unwrap().starts_with("slave"));
}

#[test]
fn a_flushed_cluster_knows_no_key_and_no_function() {
    let redis = RedisCluster::start().unwrap();
    let master = &redis.nodes[redis.master_of(redis.slot_of("key").unwrap()).unwrap()];
    master.command(&["SET", "key", "value"]).unwrap();
    master
        .command(&[
            "FUNCTION",
            "LOAD",
            "#!lua name=one\nredis.register_function('one', function() return 1 end)",
        ])
        .unwrap();
    assert_eq!(master.command(&["FCALL", "one", "0"]).unwrap(), "1");

    redis.flush_all().unwrap();

    assert_eq!(master.command(&["EXISTS", "key"]).unwrap(), "0");
    assert!(master.command(&["FCALL", "one", "0"]).is_err());
}

#[test]
fn a_frozen_node_does_not_answer_until_it_thaws() {
    let redis = RedisCluster::start().unwrap();
    redis.nodes[5].freeze();
    assert!(redis.nodes[5].command(&["PING"]).is_err());
    redis.nodes[5].thaw();
    assert_eq!(redis.nodes[5].command(&["PING"]).unwrap(), "PONG");
}

#[test]
fn clients_of_a_cluster_behind_proxies_are_led_to_the_proxies() {
    let redis = RedisCluster::start_behind_proxies().unwrap();
    let announced = redis.nodes[0].command(&["CLUSTER", "NODES"]).unwrap();
    for proxy in &redis.proxies {
        assert!(announced.contains(&format!("{}@", proxy.address())), "{announced}");
    }
    let slot = redis.slot_of("key").unwrap();
    let (owner, other) =
        (redis.master_of(slot).unwrap(), redis.master_of((slot + 16_384 / 3) % 16_384).unwrap());
    let redirected = redis.nodes[other].command(&["GET", "key"]).unwrap_err().to_string();
    assert!(redirected.contains(&format!("MOVED {slot} {}", redis.proxies[owner].address())), "{redirected}");
}

#[test]
fn a_network_reaches_every_service_and_can_be_cut_from_one() {
    let services = Services::start_with_redis_behind_proxies().unwrap();
    let network = Network::to(&services).unwrap();
    let addresses = network.addresses(&services.redis);
    assert_eq!(addresses.redis, services.redis.proxies.iter().map(FaultProxy::address).collect::<Vec<_>>());
    assert!(addresses.rabbitmq.contains(&network.rabbitmq.address().to_string()));
    assert_ne!(addresses.mysql, services.addresses().mysql);

    // A database speaks first.
    let greets = |proxy: &FaultProxy| {
        let greeting = TcpStream::connect(proxy.address()).and_then(|mut stream| stream.read(&mut [0; 64]));
        greeting.is_ok_and(|len| len > 0)
    };
    network.primary.cut();
    assert!(!greets(&network.primary));
    assert!(network.replicas.iter().all(greets));
    network.primary.heal().unwrap();
    assert!(greets(&network.primary));
}

#[tokio::test]
async fn a_killed_broker_keeps_what_it_confirmed() {
    let rabbitmq = RabbitMq::start().unwrap();
    let channel = quorum_queue(&rabbitmq).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm =
        channel.basic_publish("".into(), "kept".into(), options, b"a claim", properties).await.unwrap();
    assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));

    rabbitmq.wait_until_remembered("kept").unwrap();
    rabbitmq.kill();
    assert!(connect(&rabbitmq).await.is_err());
    rabbitmq.start_again().unwrap();

    let channel = quorum_queue(&rabbitmq).await.unwrap();
    let message = channel.basic_get("kept".into(), BasicGetOptions { no_ack: true }).await.unwrap();
    assert_eq!(message.unwrap().data, b"a claim");
}

#[test]
fn the_broker_has_the_feature_flag_that_dead_lettering_at_least_once_needs() {
    let rabbitmq = RabbitMq::start().unwrap();
    assert!(rabbitmq.feature_flags().unwrap().contains(&"stream_queue".to_owned()));
}

#[test]
fn a_killed_primary_keeps_what_it_committed_and_its_replicas_go_on() {
    let mysql = MariaDb::start().unwrap();
    mysql
        .primary
        .query("CREATE DATABASE kept; CREATE TABLE kept.t (n INT); INSERT INTO kept.t VALUES (1)")
        .unwrap();
    mysql.primary.kill();
    assert!(mysql.primary.query("SELECT 1").is_err());
    mysql.primary.start_again().unwrap();
    mysql.primary.query("INSERT INTO kept.t VALUES (2)").unwrap();

    for replica in &mysql.replicas {
        replica.wait_until_following().unwrap();
    }
    mysql.wait_until_replicas_caught_up().unwrap();
    for replica in &mysql.replicas {
        assert_eq!(replica.query("SELECT SUM(n) FROM kept.t").unwrap(), "3");
    }
}

#[test]
fn a_replica_can_lag_stop_applying_and_be_killed_and_catches_up() {
    let mysql = MariaDb::start().unwrap();
    let [lagging, stopped] = mysql.replicas.as_slice() else { panic!("two replicas") };
    mysql.primary.query("CREATE DATABASE late; CREATE TABLE late.t (n INT)").unwrap();
    mysql.wait_until_replicas_caught_up().unwrap();

    lagging.lag(3_600).unwrap();
    stopped.stop_applying().unwrap();
    mysql.primary.query("INSERT INTO late.t VALUES (1)").unwrap();
    wait_until("the lagging replica waits with what it received", || {
        Ok(lagging.query("SHOW SLAVE STATUS")?.contains("Waiting until MASTER_DELAY seconds after"))
    })
    .unwrap();
    for replica in &mysql.replicas {
        assert_eq!(replica.query("SELECT COUNT(*) FROM late.t").unwrap(), "0");
    }

    lagging.lag(0).unwrap();
    stopped.resume_applying().unwrap();
    mysql.wait_until_replicas_caught_up().unwrap();
    for replica in &mysql.replicas {
        assert_eq!(replica.query("SELECT COUNT(*) FROM late.t").unwrap(), "1");
    }

    stopped.kill();
    mysql.primary.query("INSERT INTO late.t VALUES (2)").unwrap();
    stopped.start_again().unwrap();
    mysql.wait_until_replicas_caught_up().unwrap();
    assert_eq!(stopped.query("SELECT COUNT(*) FROM late.t").unwrap(), "2");
}

#[test]
fn a_command_among_services_finds_them_and_its_exit_code_comes_through() {
    let output = Command::new(BIN)
        .args(["--", "sh", "-c", "printf %s \"$TESTKIT_SERVICES\"; exit 7"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let addresses: Addresses = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((addresses.redis.len(), addresses.mysql.replicas.len()), (6, 2));
}

#[test]
fn nothing_outlives_a_starter_that_is_killed() {
    // `$PPID` of the command is the starter.
    let script = "ps -o pid= --ppid $PPID | tr '\\n' ' '; echo; exec sleep 600";
    let mut starter =
        Command::new(BIN).args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(starter.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let children: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(
        children.len() > 10,
        "six of Redis, the broker and its epmd, three of MariaDB, the command: {line}"
    );

    starter.kill().unwrap();
    starter.wait().unwrap();

    wait_until("all have ended", || Ok(children.iter().all(|pid| has_ended(*pid)))).unwrap();
}

/// Or waits to be reaped, which is for whoever inherited it.
fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

async fn connect(rabbitmq: &RabbitMq) -> lapin::Result<Connection> {
    Connection::connect(&rabbitmq.uri(), ConnectionProperties::default()).await
}

async fn quorum_queue(rabbitmq: &RabbitMq) -> lapin::Result<Channel> {
    let channel = connect(rabbitmq).await?.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("kept".into(), options, arguments).await?;
    Ok(channel)
}
