//! What each fault looks like from outside.

use super::*;

/// What a fault looks like from outside: status, how the body ended, its events.
async fn streamed(fault: &str) -> (u16, End, Vec<String>) {
    let reply = Running::with(&[fault]).await.post(CHATS, STREAM).await;
    (reply.status, reply.end, reply.events())
}

#[tokio::test]
async fn a_fault_is_over_when_it_is_used_up() {
    let mock = Running::with(&["status-429:retry-after=2@1", "status-503@1"]).await;
    let refused = mock.post(CHATS, CHAT).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    assert_eq!(mock.post(CHATS, CHAT).await.status, 503);
    assert_eq!(mock.post(CHATS, CHAT).await.status, 200);
    assert_eq!((mock.mock.seen.requests(), mock.mock.seen.bill().completion_tokens), (3, 24));
}

#[tokio::test]
async fn ends_are_what_their_faults_say() {
    for (fault, end) in [
        ("reset-after-headers", End::Reset),
        ("reset-in-event", End::Reset),
        ("end-without-last-chunk", End::Cut),
        ("end-in-event", End::Complete),
        ("end-without-finish", End::Complete),
        ("content-length-long", End::Cut),
        ("content-length-short", End::Complete),
        ("empty", End::Complete),
        ("html", End::Complete),
        ("byte-by-byte", End::Complete),
        ("split-utf8", End::Complete),
        ("close-after-answer", End::Complete),
    ] {
        let (status, seen, _) = streamed(fault).await;
        assert_eq!((status, seen), (200, end), "{fault}");
    }
}

#[tokio::test]
async fn events_are_what_their_faults_say() {
    for (fault, events) in [
        ("end-without-finish", 25),
        ("end-in-event:5", 6),
        ("empty", 0),
        ("html", 0),
        ("reset-in-event:5", 6),
    ] {
        assert_eq!(streamed(fault).await.2.len(), events, "{fault}");
    }
    for (fault, at, part) in [
        ("error-event-first", 0, "{\"error\":"),
        ("error-event-mid-stream:2", 3, "{\"error\":"),
        ("choices-empty", 0, "\"choices\":[]"),
        ("wrong-model:x", 0, "\"model\":\"x\""),
        ("usage-twice", 27, "\"usage\":{"),
        ("usage-missing", 26, "[DONE]"),
        ("byte-by-byte", 27, "[DONE]"),
    ] {
        let events = streamed(fault).await.2;
        assert!(events[at].contains(part), "{fault}: {events:#?}");
    }
    let invalid = streamed("invalid-json").await.2;
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&invalid[0]).is_err());
}

#[tokio::test]
async fn characters_are_split_between_frames() {
    let mock = Running::with(&["split-utf8"]).await;
    let mut client = mock.asked(STREAM).await;
    client.head().await;
    let mut frames = Vec::new();
    while let Some(frame) = client.frame().await {
        frames.push(frame);
    }
    assert!(frames.iter().any(|frame| std::str::from_utf8(frame).is_err()));
    assert!(String::from_utf8(frames.concat()).is_ok());
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_at_once() {
    for fault in
        ["silence", "stall-in-headers", "stall-after-headers", "stall-after:2", "stall-with-pings", "endless"]
    {
        let mock = Running::with(&[fault]).await;
        let client = mock.asked(STREAM).await;
        soon("the request", || async { mock.mock.seen.in_flight() == 1 }).await;
        let left = Instant::now();
        drop(client);
        soon("the abort", || async { mock.mock.seen.aborted() == 1 }).await;
        let seen = mock.mock.seen.last_aborted()[0];
        assert!(seen.at >= left && seen.request == 1, "{fault}");
        soon("the connection to go", || async { mock.mock.seen.open_connections() == 0 }).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_was_sent() {
    let slow = Mock {
        token_interval: Duration::from_millis(5),
        tokens: 1000,
        reasoning_tokens: 7,
        ..Mock::default()
    };
    let mock = Running::start(slow).await;
    let mut client = mock.asked(STREAM).await;
    client.head().await;
    for _ in 0..4 {
        client.event().await.unwrap();
    }
    drop(client);
    soon("the abort", || async { mock.mock.seen.aborted() == 1 }).await;
    let bill = mock.mock.seen.bill();
    assert_eq!((bill.prompt_tokens, bill.reasoning_tokens), (4, 7));
    assert!((10..100).contains(&bill.completion_tokens), "{bill:?}");
}

#[tokio::test]
async fn pings_are_no_tokens() {
    let mock = Running::with(&["stall-with-pings:1"]).await;
    let mut client = mock.asked(STREAM).await;
    client.head().await;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b": ping\n\n: ping\n\n") {
        bytes.extend(client.frame().await.unwrap());
    }
    assert_eq!(mock.mock.seen.bill().completion_tokens, 1);
}

#[tokio::test]
async fn a_stale_connection_is_closed_when_it_is_used_again() {
    let mock = Running::with(&["close-on-reuse@1"]).await;
    let mut client = mock.asked(CHAT).await;
    assert_eq!(client.reply().await.header("connection"), None);
    client.post_json(CHATS, &[], CHAT).await;
    assert_eq!(client.closed().await, b"");
    assert_eq!(mock.post(CHATS, CHAT).await.status, 200);
}

#[tokio::test]
async fn a_refused_port_opens_again() {
    let mock = Running::with(&["refuse:300ms"]).await;
    let refused = || async {
        TcpStream::connect(mock.address).await.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    };
    soon("the port to close", refused).await;
    soon("the port to open", || async { TcpStream::connect(mock.address).await.is_ok() }).await;
    assert_eq!(mock.post(CHATS, CHAT).await.status, 200);
}

#[tokio::test]
async fn a_hanging_port_neither_takes_nor_refuses() {
    let mock = Running::with(&["connect-hang"]).await;
    let hangs = || async {
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(mock.address)).await.is_err()
    };
    soon("connecting to hang", hangs).await;
}

#[tokio::test]
async fn faults_are_exchanged_while_it_runs() {
    let mock = Running::with(&["status-500"]).await;
    let mut client = Client::connect(mock.address).await;
    for (faults, status) in [("html@1\n status-502 \n", 200), ("", 200), ("status-403", 403)] {
        let length = faults.len();
        client.send(format!("PUT /mock/faults HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{faults}")).await;
        assert_eq!(client.reply().await.status, 200);
        assert_eq!(mock.post(CHATS, CHAT).await.status, status);
    }
    client.send("PUT /mock/faults HTTP/1.1\r\ncontent-length: 4\r\n\r\nnone").await;
    let refused = client.reply().await;
    assert!(refused.status == 400 && refused.text().contains("stall-after"));
}

#[tokio::test]
async fn a_slow_connection_is_slow_once() {
    let mock = Running::with(&["slow-connect:50ms@1"]).await;
    let start = Instant::now();
    mock.post(CHATS, CHAT).await;
    assert!(start.elapsed() >= Duration::from_millis(50));
}
