//! The cases of the Socket.IO v5 suite, under its headings.

mod engine_io_protocol {
    /// Makes a test of each shared case, on the path of Socket.IO.
    macro_rules! cases {
        ($($case:ident)*) => {
            $(#[test]
            fn $case() {
                crate::transport::$case("/socket.io/");
            })*
        };
    }

    mod handshake {
        cases! {
            polling_opens_a_session
            polling_with_an_invalid_revision_fails
            polling_with_an_invalid_transport_fails
            polling_with_an_invalid_method_fails
            a_websocket_opens_a_session
            a_websocket_with_an_invalid_revision_fails
            a_websocket_with_an_invalid_transport_fails
        }
    }

    mod heartbeat {
        cases! {
            polling_sends_pings_and_takes_pongs
            polling_without_a_pong_ends_the_session
            a_websocket_gets_pings_and_gives_pongs
            a_websocket_without_a_pong_is_closed
        }
    }

    mod close {
        cases! {
            polling_closes_a_session
            a_websocket_closes_a_session
        }
    }

    mod upgrade {
        cases! {
            a_session_moves_from_polling_to_a_websocket
            requests_after_the_move_are_refused
            a_second_websocket_after_the_move_is_closed
        }
    }
}

mod connect {
    use serde_json::Value;

    use crate::client::Site;

    /// Sends a connect packet; checks that the answer begins with `prefix` and names the socket, and the auth event.
    fn is_joined(packet: &str, prefix: &str, auth: &str) {
        let mut socket = Site::start().open_websocket("/socket.io/");
        socket.send(packet);
        let answer = socket.text();
        let handshake: Value = serde_json::from_str(answer.strip_prefix(prefix).unwrap()).unwrap();
        let fields = handshake.as_object().unwrap();
        assert!(fields.len() == 1 && fields["sid"].is_string(), "{answer}");
        assert_eq!(socket.text(), auth);
    }

    #[test]
    fn the_main_namespace_is_joined() {
        is_joined("40", "40", r#"42["auth",{}]"#);
    }

    #[test]
    fn the_main_namespace_is_joined_with_a_payload() {
        is_joined(r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#);
    }

    #[test]
    fn a_custom_namespace_is_joined() {
        is_joined("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#);
    }

    #[test]
    fn a_custom_namespace_is_joined_with_a_payload() {
        is_joined(r#"40/custom,{"token":"abc"}"#, "40/custom,", r#"42/custom,["auth",{"token":"abc"}]"#);
    }

    #[test]
    fn an_unknown_namespace_is_refused() {
        let mut socket = Site::start().open_websocket("/socket.io/");
        socket.send("40/random");
        assert_eq!(socket.text(), r#"44/random,{"message":"Invalid namespace"}"#);
    }

    #[test]
    fn an_invalid_handshake_closes_the_connection() {
        let mut socket = Site::start().open_websocket("/socket.io/");
        socket.send("4abc");
        socket.expect_close();
    }

    #[test]
    fn a_client_that_does_not_join_is_closed() {
        let mut socket = Site::start().open_websocket("/socket.io/");
        let mut pings = 0;
        // It answers every ping, so that only the missing connect packet can end it.
        while let Ok(message) = socket.0.read() {
            if message.is_close() {
                break;
            }
            pings += 1;
            assert!(pings < 20, "it has been there for twenty pings");
            socket.send("3");
        }
    }
}

mod disconnect {
    use crate::client::Site;

    #[test]
    fn the_main_namespace_is_left_and_the_connection_stays() {
        let mut socket = Site::start().join();
        socket.send("41");
        assert_eq!(socket.text(), "2");
    }

    #[test]
    fn a_custom_namespace_is_left_and_the_main_one_stays() {
        let mut socket = Site::start().join();
        assert_eq!(socket.text(), "2");
        socket.send("3");
        socket.send("40/custom");
        assert!(socket.text().starts_with("40/custom,"));
        assert_eq!(socket.text(), r#"42/custom,["auth",{}]"#);
        socket.send("41/custom");
        socket.send(r#"42["message","message to main namespace"]"#);
        assert_eq!(socket.text(), r#"42["message-back","message to main namespace"]"#);
    }
}

mod message {
    use tungstenite::Message;

    use crate::client::Site;

    /// Sends a packet with two attachments; checks the packet that comes back, and that its attachments are the same.
    fn comes_back(packet: &str, expected: &str) {
        let mut socket = Site::start().join();
        socket.send(packet);
        socket.send_binary(&[1, 2, 3]);
        socket.send_binary(&[4, 5, 6]);
        assert_eq!(socket.message_but_pings(), Message::text(expected));
        assert_eq!(socket.message_but_pings(), Message::binary(vec![1, 2, 3]));
        assert_eq!(socket.message_but_pings(), Message::binary(vec![4, 5, 6]));
    }

    fn is_closed_after(packet: &str) {
        let site = Site::start();
        let mut socket = site.join();
        socket.send(packet);
        socket.expect_close();
        assert_eq!(site.sockets.counts().malformed_closed, 1);
    }

    #[test]
    fn a_text_packet_comes_back() {
        let mut socket = Site::start().join();
        socket.send(r#"42["message",1,"2",{"3":[true]}]"#);
        assert_eq!(socket.text(), r#"42["message-back",1,"2",{"3":[true]}]"#);
    }

    #[test]
    fn a_packet_with_attachments_comes_back() {
        comes_back(
            r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        );
    }

    #[test]
    fn a_text_packet_is_acknowledged() {
        let mut socket = Site::start().join();
        socket.send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
        assert_eq!(socket.text(), r#"43456[1,"2",{"3":[false]}]"#);
    }

    #[test]
    fn a_packet_with_attachments_is_acknowledged() {
        comes_back(
            r#"452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            r#"462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        );
    }

    #[test]
    fn an_unknown_packet_type_closes_the_connection() {
        is_closed_after("4abc");
    }

    #[test]
    fn an_invalid_payload_closes_the_connection() {
        is_closed_after("42{}");
    }

    #[test]
    fn an_invalid_acknowledgement_id_closes_the_connection() {
        is_closed_after(r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#);
    }
}
