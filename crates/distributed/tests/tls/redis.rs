//! Redis Cluster over TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use miaosha_app::ports::Gate as _;
use miaosha_distributed::Trust;
use miaosha_distributed::redis::{OpenError, Redis, RedisConfig};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_embedded::OsRandom;
use miaosha_testkit::contract::bus::{self, Bus};
use miaosha_testkit::contract::gate::{self, Gate};
use miaosha_testkit::contract::run;
use miaosha_testkit::services::{Authority, RedisCluster, Service as _};

use crate::{assert_says, known, misnamed, trust};

fn config(nodes: Vec<String>, trust: Trust) -> RedisConfig {
    RedisConfig { trust, ..RedisConfig::new(nodes) }
}

async fn refusal(config: &RedisConfig) -> OpenError {
    Redis::connect(config, &OsRandom).await.expect_err("it is to be refused")
}

#[test]
fn a_cluster_with_tls_is_used_if_its_certificate_is_right_and_refused_if_not() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let cluster = RedisCluster::start_with_tls(&authority).unwrap();
    let nodes: Vec<_> = cluster.nodes.iter().map(|node| format!("rediss://{}", node.address())).collect();
    run(async {
        let right = config(nodes.clone(), trust(&authority));
        let redis = Redis::connect(&right, &OsRandom).await.unwrap();
        gate::newcomers_pass_in_order_up_to_the_limit(Gate { gate: redis.gate(), keep: Box::new(()) }).await;
        let bus = redis.bus();
        let shut_down = Box::new(move || redis.bus().shut_down());
        bus::every_follower_hears_the_news(Bus { bus, shut_down }).await;

        let first = nodes[0].trim_start_matches("rediss://");
        for trust in [trust(&other), Trust::default()] {
            let untrusted = refusal(&config(nodes[..1].to_vec(), trust)).await;
            assert_says(&untrusted, &["Redis at", first, "engines.tls_ca_file", "tls_untrusted"]);
        }

        let by_wrong_name = config(vec![misnamed(&nodes[0])], trust(&authority));
        assert_says(&refusal(&by_wrong_name).await, &["Redis at localhost:", "tls_wrong_name"]);

        let want_certificates = |wanted| {
            for node in &cluster.nodes {
                node.command(&["CONFIG", "SET", "tls-auth-clients", wanted]).unwrap();
            }
        };
        want_certificates("yes");
        let redis = Redis::connect(&config(nodes.clone(), known(&authority)), &OsRandom).await.unwrap();
        gate::newcomers_pass_in_order_up_to_the_limit(Gate { gate: redis.gate(), keep: Box::new(()) }).await;
        // With TLS 1.3 a client hears of it only after it has connected, and may be cut off before it does.
        match Redis::connect(&config(nodes[..1].to_vec(), trust(&authority)), &OsRandom).await {
            Err(refused) => {
                assert_says(
                    &refused,
                    &["Redis at", first, "engines.tls_cert_file", "tls_certificate_wanted"],
                );
            }
            Ok(unknown) => {
                let (sale, user) = (SaleId::new(1).unwrap(), UserId::new(1).unwrap());
                assert!(unknown.gate().was_refused(sale, user).await.is_err(), "it is not let in");
            }
        }
        want_certificates("no");

        // The others are told of this node's name by gossip; it knows it at once.
        let announce =
            ["cluster-announce-hostname", "localhost", "cluster-preferred-endpoint-type", "hostname"];
        cluster.nodes[0].command(&[&["CONFIG", "SET"], &announce[..]].concat()).unwrap();
        let announced = refusal(&config(nodes[..1].to_vec(), trust(&authority))).await;
        assert_says(&announced, &["Redis at localhost:", "tls_wrong_name"]);

        let certificate = authority.expired_certificate();
        let expire = ["CONFIG", "SET", "tls-cert-file", certificate.to_str().unwrap()];
        cluster.nodes[0].command(&expire).unwrap();
        let expired = refusal(&config(nodes[..1].to_vec(), trust(&authority))).await;
        assert_says(&expired, &["Redis at", first, "renew it", "tls_expired"]);
    });
}

#[test]
fn a_node_that_does_not_speak_tls_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("rediss://:secret@{}", listener.local_addr().unwrap());
    // What Redis itself answers depends on whether there is a line end among the random bytes of a greeting.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"-ERR unknown command\r\n").unwrap();
            // A connection that is closed before all was read is reset, and the answer lost.
            drop(stream.read_to_end(&mut Vec::new()));
        }
    });
    run(async {
        let plain = refusal(&config(vec![node], Trust::default())).await;
        assert_says(&plain, &["Redis at 127.0.0.1:", "the port that TLS is on", "tls_not_spoken"]);
    });
}
