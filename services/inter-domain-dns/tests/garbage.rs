//! What no client should send.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    time::Duration,
};

use support::{dig::question, postgres::Postgres, server::Server};

/// Answers over both protocols, still.
fn assert_answers(server: &Server) {
    for protocol in ["+notcp", "+tcp"] {
        let answer = server.dig(&["web.blue.inter.l2sces", "A", protocol]);
        assert_eq!(answer.data(), ["10.1.0.2"]);
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.dns).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The server closes the connection without a word.
fn assert_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.is_empty(), "{rest:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// Bytes without a pattern, the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn breaks_nothing() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();
    assert_answers(&server);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..2000 {
        let length = usize::try_from(seed).unwrap() * 7 % 1500;
        socket.send_to(&noise(seed, length), server.dns).unwrap();
    }
    socket.send_to(&vec![0xff; 60_000], server.dns).unwrap();
    socket.send_to(&[], server.dns).unwrap();
    assert_answers(&server);

    // An empty message, a length without as many bytes, a message without a header, another
    // protocol, half a length, nothing.
    for bytes in [
        &[0, 0][..],
        &[0xff, 0xff, 1, 2, 3],
        &[0, 5, 1, 2, 3, 4, 5],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0],
        &[],
    ] {
        let mut stream = connect(&server);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_closed(stream);
        assert_answers(&server);
    }
}

#[tokio::test]
async fn connections_that_only_sit_there_keep_nobody_out_and_end() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();

    let idle: Vec<_> = (0..400)
        .map(|n| {
            let mut stream = connect(&server);
            if n % 2 == 0 {
                stream.write_all(&[0, 40, 1]).unwrap();
            }
            stream
        })
        .collect();
    // Sooner than the idle ones end by themselves.
    let question = ["web.blue.inter.l2sces", "A", "+tcp", "+tries=1", "+timeout=4"];
    assert_eq!(server.dig(&question).data(), ["10.1.0.2"]);
    idle.into_iter().for_each(assert_closed);
}

#[tokio::test]
async fn several_questions_on_a_connection_are_all_answered() {
    let postgres = Postgres::start().await;
    let server = Server::start(&postgres).await;
    server.apply("web.a.blue.s1", &["10.1.0.2"]).await.unwrap();

    let mut stream = connect(&server);
    for id in 1..=20 {
        let question = question(id, "web.blue.inter.l2sces");
        let length = u16::try_from(question.len()).unwrap();
        // Byte by byte at first: a message is not a packet.
        let bytes = [&length.to_be_bytes()[..], &question].concat();
        if id == 1 {
            bytes.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
        } else {
            stream.write_all(&bytes).unwrap();
        }
    }
    for id in 1..=20 {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((answer[1], answer[3] & 0xf), (id, 0));
        assert!(answer.ends_with(&[10, 1, 0, 2]), "{answer:?}");
    }
}
