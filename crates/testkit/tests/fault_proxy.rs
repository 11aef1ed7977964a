//! The proxy by which tests stall and cut a network.
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use miaosha_testkit::fault_proxy::{FaultProxy, StallEnd};
use miaosha_testkit::services::wait_until;
use socket2::SockRef;

/// Long enough that bytes which may pass mostly have.
const SILENCE: Duration = Duration::from_millis(200);

#[test]
fn bytes_and_the_end_of_a_stream_pass_both_ways() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let mut client = connect(&proxy).unwrap();
    let sent = vec![7; 1_000_000];
    let mut writer = client.try_clone().unwrap();
    let half = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&half).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert_eq!(received, sent);
    assert_eq!(proxy.accepted(), 1);
    wait_until("the connection is forgotten", || Ok(proxy.open() == 0)).unwrap();
}

#[test]
fn a_stall_holds_old_and_new_connections_and_loses_nothing() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let mut old = connect(&proxy).unwrap();
    assert_eq!(ask(&mut old, b"before").unwrap(), b"before");

    proxy.stall().unwrap();
    let mut new = connect(&proxy).unwrap();
    for (client, question) in [(&mut old, "during"), (&mut new, "new")] {
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(ask(client, question.as_bytes()).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.set_read_timeout(None).unwrap();
    }

    proxy.end_stall(StallEnd::Late).unwrap();
    assert_eq!(read(&mut old, 6).unwrap(), b"during");
    assert_eq!(read(&mut new, 3).unwrap(), b"new");
}

#[test]
fn what_somebody_sent_who_left_during_a_stall_arrives_late_or_never_by_how_it_ends() {
    let sent = vec![7; 100_000];
    for (end, arrived) in [(StallEnd::Late, &sent[..]), (StallEnd::Cut, &[])] {
        let (service, received) = listener();
        let proxy = FaultProxy::start(service).unwrap();
        proxy.stall().unwrap();
        let mut client = connect(&proxy).unwrap();
        client.write_all(&sent).unwrap();
        drop(client);
        assert_eq!(received.recv_timeout(SILENCE), Err(RecvTimeoutError::Timeout), "the end is held, too");

        proxy.end_stall(end).unwrap();
        assert_eq!(received.recv().unwrap(), arrived, "{end:?}");
        let mut client = connect(&proxy).unwrap();
        client.write_all(b"after").unwrap();
        drop(client);
        assert_eq!(received.recv().unwrap(), b"after", "{end:?}");
    }
}

#[test]
fn a_stall_also_holds_that_a_connection_was_reset_or_refused() {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = FaultProxy::start(service.local_addr().unwrap()).unwrap();
    let mut reset = connect(&proxy).unwrap();
    let (mut end, _) = service.accept().unwrap();
    end.write_all(b"before").unwrap();
    assert_eq!(read(&mut reset, 6).unwrap(), b"before");

    proxy.stall().unwrap();
    SockRef::from(&end).set_linger(Some(Duration::ZERO)).unwrap();
    drop((end, service));
    let mut refused = connect(&proxy).unwrap();
    for client in [&mut reset, &mut refused] {
        client.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(read(client, 1).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.set_read_timeout(None).unwrap();
    }

    proxy.end_stall(StallEnd::Late).unwrap();
    for client in [&mut reset, &mut refused] {
        assert!(matches!(
            read(client, 1).unwrap_err().kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
        ));
    }
}

#[test]
fn a_cut_closes_what_is_open_and_refuses_what_is_new_until_it_heals_on_the_same_port() {
    let proxy = FaultProxy::start(echo()).unwrap();
    let (mut idle, mut stalled) = (connect(&proxy).unwrap(), connect(&proxy).unwrap());
    assert_eq!(ask(&mut idle, b"before").unwrap(), b"before");
    proxy.stall().unwrap();
    stalled.write_all(b"held").unwrap();

    proxy.cut();

    for client in [&mut idle, &mut stalled] {
        assert!(matches!(
            read(client, 1).unwrap_err().kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
        ));
    }
    assert_eq!(connect(&proxy).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(proxy.open(), 0);

    proxy.heal().unwrap();
    assert_eq!(ask(&mut connect(&proxy).unwrap(), b"after").unwrap(), b"after");
}

#[test]
fn every_call_may_be_repeated() {
    let proxy = FaultProxy::start(echo()).unwrap();
    proxy.cut();
    proxy.cut();
    proxy.stall().unwrap();
    proxy.stall().unwrap();
    proxy.heal().unwrap();
    proxy.heal().unwrap();
    assert_eq!(ask(&mut connect(&proxy).unwrap(), b"well").unwrap(), b"well");
}

#[test]
fn a_service_that_is_gone_closes_the_connection_and_its_return_is_noticed() {
    let service = FaultProxy::start(echo()).unwrap();
    let proxy = FaultProxy::start(service.address()).unwrap();
    assert_eq!(ask(&mut connect(&proxy).unwrap(), b"once").unwrap(), b"once");

    service.cut();
    let gone = ask(&mut connect(&proxy).unwrap(), b"?").unwrap_err().kind();
    assert!(matches!(gone, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));

    service.heal().unwrap();
    assert_eq!(ask(&mut connect(&proxy).unwrap(), b"again").unwrap(), b"again");
}

fn connect(proxy: &FaultProxy) -> io::Result<TcpStream> {
    TcpStream::connect(proxy.address())
}

fn ask(stream: &mut TcpStream, question: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(question)?;
    read(stream, question.len())
}

fn read(stream: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A service that says nothing, and what each connection brought, once it ends.
fn listener() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut received = Vec::new();
            // What came before a break counts.
            drop(stream.unwrap().read_to_end(&mut received));
            if sender.send(received).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}
