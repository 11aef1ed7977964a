//! The cases of the Engine.IO v4 suite, under its headings.

/// Makes a test of each shared case, on the path of the bare sessions.
macro_rules! cases {
    ($($case:ident)*) => {
        $(#[test]
        fn $case() {
            crate::transport::$case("/engine.io/");
        })*
    };
}

mod handshake {
    mod http_long_polling {
        cases! {
            polling_opens_a_session
            polling_with_an_invalid_revision_fails
            polling_with_an_invalid_transport_fails
            polling_with_an_invalid_method_fails
        }
    }

    mod websocket {
        cases! {
            a_websocket_opens_a_session
            a_websocket_with_an_invalid_revision_fails
            a_websocket_with_an_invalid_transport_fails
        }
    }
}

mod message {
    mod http_long_polling {
        use crate::client::{Pending, Site};

        /// Posts a body and gets the same back.
        fn is_echoed(body: &str) {
            let site = Site::start();
            let target = site.open_polling("/engine.io/");
            let posted = site.post(&target, body);
            assert_eq!((posted.status, posted.body.as_str()), (200, "ok"));
            let polled = site.get(&target);
            assert_eq!((polled.status, polled.body.as_str()), (200, body));
        }

        #[test]
        fn a_text_packet_comes_back() {
            is_echoed("4hello");
        }

        #[test]
        fn several_text_packets_come_back_in_order() {
            is_echoed("4test1\x1e4test2\x1e4test3");
        }

        #[test]
        fn text_and_binary_packets_come_back_in_order() {
            is_echoed("4hello\x1ebAQIDBA==");
        }

        #[test]
        fn an_invalid_packet_ends_the_session() {
            let site = Site::start();
            let target = site.open_polling("/engine.io/");
            assert_eq!(site.post(&target, "abc").status, 400);
            assert_eq!(site.get(&target).status, 400);
        }

        #[test]
        fn two_polls_at_once_end_the_session() {
            let site = Site::start();
            let target = site.open_polling("/engine.io/");
            let polls = [site.begin("GET", &target, "", ""), site.begin("GET", &target, "", "")];
            let mut answers = polls.map(Pending::finish).map(|answer| (answer.status, answer.body));
            answers.sort_unstable();
            let refusal = r#"{"code":3,"message":"Bad request"}"#.to_owned();
            assert_eq!(answers, [(200, "1".to_owned()), (400, refusal)]);
            assert_eq!(site.get(&target).status, 400);
        }

        #[test]
        fn a_poll_that_its_client_abandons_ends_the_session() {
            let site = Site::start();
            let target = site.open_polling("/engine.io/");
            let poll = site.begin("GET", &target, "", "");
            // Once this later request has been answered, the one before it waits.
            assert_eq!(site.post(&target, "3").status, 200);
            drop(poll);
            assert_eq!(site.get(&target).status, 400);
        }
    }

    mod websocket {
        use tungstenite::Message;

        use crate::client::Site;

        #[test]
        fn a_text_packet_comes_back() {
            let mut socket = Site::start().open_websocket("/engine.io/");
            socket.send("4hello");
            assert_eq!(socket.text(), "4hello");
        }

        #[test]
        fn a_binary_packet_comes_back() {
            let mut socket = Site::start().open_websocket("/engine.io/");
            socket.send_binary(&[1, 2, 3, 4]);
            assert_eq!(socket.message(), Message::binary(vec![1, 2, 3, 4]));
        }

        #[test]
        fn an_invalid_packet_ends_the_session() {
            let mut socket = Site::start().open_websocket("/engine.io/");
            socket.send("abc");
            socket.expect_close();
        }
    }
}

mod heartbeat {
    mod http_long_polling {
        cases! {
            polling_sends_pings_and_takes_pongs
            polling_without_a_pong_ends_the_session
        }
    }

    mod websocket {
        cases! {
            a_websocket_gets_pings_and_gives_pongs
            a_websocket_without_a_pong_is_closed
        }
    }
}

mod close {
    mod http_long_polling {
        cases! { polling_closes_a_session }
    }

    mod websocket {
        cases! { a_websocket_closes_a_session }
    }
}

mod upgrade {
    use crate::client::{Site, Socket};

    cases! {
        a_session_moves_from_polling_to_a_websocket
        requests_after_the_move_are_refused
        a_second_websocket_after_the_move_is_closed
    }

    /// A session that has moved, with the target of its requests.
    fn upgraded(site: &Site) -> (Socket, String) {
        let target = site.open_polling("/engine.io/");
        let mut socket = site.websocket(&target.replace("=polling", "=websocket"));
        socket.send("2probe");
        assert_eq!(socket.text(), "3probe");
        socket.send("5");
        (socket, target)
    }

    #[test]
    fn messages_go_on_after_the_move() {
        let (mut socket, _) = upgraded(&Site::start());
        socket.send("4hello");
        assert_eq!(socket.text(), "4hello");
    }

    #[test]
    fn a_refused_request_does_not_harm_the_session() {
        let site = Site::start();
        let (mut socket, target) = upgraded(&site);
        assert_eq!(site.get(&target).status, 400);
        socket.send("4hello");
        assert_eq!(socket.text(), "4hello");
    }

    #[test]
    fn a_closed_second_websocket_does_not_harm_the_session() {
        let site = Site::start();
        let (mut socket, target) = upgraded(&site);
        site.websocket(&target.replace("=polling", "=websocket")).expect_close();
        socket.send("4hello");
        assert_eq!(socket.text(), "4hello");
    }
}
