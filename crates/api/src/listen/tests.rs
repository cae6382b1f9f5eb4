use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::{Full, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::client::{CallError, Channel, Client, Server};
use crate::problem::Problem;
use crate::testkit::{BOTH, Party, TLS12, client_config, server_config};

struct World {
    server: Party,
    client: Party,
    address: SocketAddr,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    handles: tokio::sync::mpsc::UnboundedReceiver<Peer>,
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>>;

fn answer(status: u16, media_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|e| match e {}).boxed_unsync();
    Response::builder().status(status).header("content-type", media_type).body(body).unwrap()
}

async fn respond(request: Request<Incoming>, told: tokio::sync::mpsc::UnboundedSender<Peer>) -> Answer {
    let peer = request.extensions().get::<Peer>().unwrap().clone();
    told.send(peer.clone()).unwrap();
    let count = peer.connection.keep(|| AtomicU32::new(0)).unwrap().fetch_add(1, Ordering::SeqCst);
    match request.uri().path() {
        "/exporter" => answer(200, "application/json", serde_json::to_vec(&peer.exporter.ok()).unwrap()),
        "/count" => answer(200, "application/json", count.to_string()),
        "/certified" => answer(200, "application/json", peer.leaf().is_some().to_string()),
        "/empty" => answer(204, "application/json", ""),
        "/large" => answer(200, "application/json", vec![b' '; 5000]),
        "/problem" => {
            let problem = Problem::new(403, "not_approved", "Not approved", "ask security");
            answer(403, "application/problem+json", serde_json::to_vec(&problem).unwrap())
        }
        "/html" => answer(502, "text/html", "<h1>bad\ngateway</h1>"),
        "/last" => {
            peer.connection.close_after_answer();
            answer(200, "application/json", "true")
        }
        "/close" => {
            peer.connection.close();
            answer(200, "application/json", "true")
        }
        "/never" => std::future::pending().await,
        "/echo" => match read_body(request.into_body(), 100, Duration::from_millis(300)).await {
            Ok(bytes) => answer(200, "application/json", bytes),
            Err(e) => answer(413, "text/plain", e.to_string()),
        },
        "/lines" | "/cut" => {
            let tail: &[u8] = if request.uri().path() == "/cut" { b"3" } else { b"3\n" };
            let parts: Vec<&[u8]> = vec![b"1", b"\n2\n", tail];
            let frames = parts.into_iter().map(|p| Ok(Frame::data(Bytes::from_static(p))));
            Response::new(StreamBody::new(stream_of(frames)).boxed_unsync())
        }
        "/silent" => {
            let first = stream_of([Ok(Frame::data(Bytes::from_static(b"1\n")))].into_iter());
            Response::new(StreamBody::new(Never(first, false)).boxed_unsync())
        }
        path => answer(404, "text/plain", path.to_owned()),
    }
}

type Item = Result<Frame<Bytes>, io::Error>;
struct Iterated<I>(I);
fn stream_of<I: Iterator<Item = Item>>(iterator: I) -> Iterated<I> {
    Iterated(iterator)
}
impl<I: Iterator<Item = Item> + Unpin> futures_util::Stream for Iterated<I> {
    type Item = Item;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
/// One item, then silence.
struct Never<I>(Iterated<I>, bool);
impl<I: Iterator<Item = Item> + Unpin> futures_util::Stream for Never<I> {
    type Item = Item;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Item>> {
        if self.1 {
            return std::task::Poll::Pending;
        }
        self.1 = true;
        std::task::Poll::Ready(self.0.0.next())
    }
}

async fn world(limits: Limits, require_ems: bool) -> World {
    let (server, client) = (Party::new("server"), Party::new("client"));
    let mut config = server_config(&server, &client);
    config.require_ems = require_ems;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let (told, handles) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request| {
        let told = told.clone();
        async move { Ok(respond(request, told).await) }
    });
    let served = tokio::spawn(serve(listener, move || config.clone(), limits, shutdown.clone(), service));
    World { server, client, address, shutdown, served, handles }
}

impl World {
    fn at(&self) -> Server {
        self.address.to_string().parse().unwrap()
    }
    fn client(&self, config: rustls::ClientConfig) -> Client {
        Client::new(vec![self.at()], Arc::new(config))
    }
    async fn mutual(&self) -> Channel {
        self.try_mutual().await.unwrap()
    }
    async fn try_mutual(&self) -> Result<Channel, CallError> {
        self.client(client_config(&self.server, Some(&self.client), BOTH)).connect().await
    }
}

async fn get<T: serde::de::DeserializeOwned>(channel: &mut Channel, path: &str) -> Result<T, CallError> {
    channel.call::<(), T>(Method::GET, path, None).await
}

fn quick() -> Limits {
    Limits {
        handshake: Duration::from_millis(200),
        header_read: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        stall: Duration::from_millis(400),
        drain: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn both_ends_of_one_connection_and_no_other_share_the_channel_binding() {
    let world = world(Limits::default(), false).await;
    let (mut one, mut two) = (world.mutual().await, world.mutual().await);
    let there: Option<ChannelBinding> = get(&mut one, "/exporter").await.unwrap();
    assert_eq!(there, one.exporter().ok());
    let there: Option<ChannelBinding> = get(&mut two, "/exporter").await.unwrap();
    assert_eq!(there, two.exporter().ok());
    assert_ne!(one.exporter(), two.exporter());
    assert_eq!(one.peer_certificates(), std::slice::from_ref(&world.server.certificate));
}

use crate::exporter::{ChannelBinding, NoChannelBinding};

// RFC 9266 §4.2
#[tokio::test]
async fn tls_1_2_has_a_channel_binding_only_where_the_extended_master_secret_is_required() {
    for required in [false, true] {
        let world = world(Limits::default(), required).await;
        let mut config = client_config(&world.server, Some(&world.client), TLS12);
        config.require_ems = required;
        let mut channel = world.client(config).connect().await.unwrap();
        let there: Option<ChannelBinding> = get(&mut channel, "/exporter").await.unwrap();
        assert_eq!(there, channel.exporter().ok());
        assert_eq!(channel.exporter() == Err(NoChannelBinding), !required);
    }
}

#[tokio::test]
async fn a_connection_keeps_what_was_found_out_about_its_peer_and_others_do_not_see_it() {
    let world = world(Limits::default(), false).await;
    let (mut one, mut two) = (world.mutual().await, world.mutual().await);
    for expected in 0..3 {
        assert_eq!(get::<u32>(&mut one, "/count").await.unwrap(), expected);
    }
    assert_eq!(get::<u32>(&mut two, "/count").await.unwrap(), 0);
    assert!(get::<bool>(&mut one, "/certified").await.unwrap());
    let mut anonymous = world.client(client_config(&world.server, None, BOTH)).connect().await.unwrap();
    assert!(!get::<bool>(&mut anonymous, "/certified").await.unwrap());
}

// I6: the handle cuts the connection at once, also while a call is pending.
#[tokio::test]
async fn closing_the_handle_cuts_the_open_connection_and_no_other() {
    let mut world = world(Limits::default(), false).await;
    let (mut cut, mut other) = (world.mutual().await, world.mutual().await);
    get::<u32>(&mut other, "/count").await.unwrap();
    world.handles.recv().await.unwrap();
    let closed = cut.closed();
    let pending = tokio::spawn(async move { get::<()>(&mut cut, "/never").await });
    let peer = world.handles.recv().await.unwrap();
    peer.connection.close();
    closed.await;
    let error = pending.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unavailable { .. }), "{error:?}");
    assert!(peer.connection.is_closed());
    assert_eq!(get::<u32>(&mut other, "/count").await.unwrap(), 1);
}

// I6
#[tokio::test]
async fn once_closed_not_even_the_answer_under_way_leaves() {
    let world = world(Limits::default(), false).await;
    let mut channel = world.mutual().await;
    assert!(matches!(get::<bool>(&mut channel, "/close").await, Err(CallError::Unavailable { .. })));
}

#[tokio::test]
async fn closing_after_the_answer_lets_the_answer_out() {
    let world = world(Limits::default(), false).await;
    let mut channel = world.mutual().await;
    assert!(get::<bool>(&mut channel, "/last").await.unwrap());
    channel.closed().await;
    assert!(channel.is_closed());
}

#[tokio::test]
async fn answers_map_to_errors_that_name_server_and_reason() {
    let world = world(Limits::default(), false).await;
    let mut channel = world.mutual().await;
    get::<()>(&mut channel, "/empty").await.unwrap();
    match get::<()>(&mut channel, "/problem").await.unwrap_err() {
        CallError::Refused(problem) => assert_eq!((problem.status, problem.code()), (403, "not_approved")),
        other => panic!("{other:?}"),
    }
    let error = get::<()>(&mut channel, "/html").await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` answered 502 Bad Gateway: <h1>bad gateway</h1>", world.at()));
    assert!(error.is_transient());
    let error = get::<u32>(&mut channel, "/certified").await.unwrap_err();
    assert!(matches!(error, CallError::Malformed { .. }), "{error:?}");
    assert!(!error.is_transient());
}

// I12
#[tokio::test]
async fn answers_and_bodies_above_the_limit_are_refused() {
    let world = world(Limits::default(), false).await;
    let config = client_config(&world.server, Some(&world.client), BOTH);
    let mut channel = world.client(config).with_max_response(4999).connect().await.unwrap();
    let error = get::<()>(&mut channel, "/large").await.unwrap_err();
    assert!(error.to_string().contains("more than 4999 bytes"), "{error}");

    let mut channel = world.mutual().await;
    let ok: String = channel.call(Method::POST, "/echo", Some(&"x".repeat(98))).await.unwrap();
    assert_eq!(ok.len(), 98);
    let error = channel.call::<_, String>(Method::POST, "/echo", Some(&"x".repeat(99))).await.unwrap_err();
    assert!(error.to_string().contains("longer than 100 bytes"), "{error}");
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_does_not_answer_and_then_preferred() {
    let world = world(Limits::default(), false).await;
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string().parse::<Server>().unwrap()
    };
    let config = Arc::new(client_config(&world.server, Some(&world.client), BOTH));
    let client = Client::new(vec![dead.clone(), world.at()], config.clone());
    for _ in 0..2 {
        assert_eq!(client.connect().await.unwrap().server(), world.at().to_string());
    }
    let error = Client::new(vec![dead.clone()], config.clone()).connect().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(&dead.to_string()), "{error}");
    let error = Client::new(vec![dead.clone(), dead.clone()], config.clone()).connect().await.unwrap_err();
    assert!(error.to_string().starts_with("none of 2 servers answered"), "{error}");
    assert!(matches!(Client::new(vec![], config).connect().await, Err(CallError::Request(_))));
}

#[tokio::test]
async fn a_server_of_another_name_or_authority_and_a_foreign_client_are_refused_by_tls() {
    let world = world(Limits::default(), false).await;
    let good = Arc::new(client_config(&world.server, Some(&world.client), BOTH));
    let elsewhere = world.at().with_name(ServerName::try_from("elsewhere.example").unwrap());
    let error = Client::new(vec![elsewhere], good).connect().await.unwrap_err();
    assert!(matches!(error, CallError::Tls { .. }), "{error:?}");

    let foreign = Party::new("server");
    let config = client_config(&foreign, None, BOTH);
    let error = world.client(config).connect().await.unwrap_err();
    assert!(matches!(error, CallError::Tls { .. }), "{error:?}");

    // RFC 8446: the client has finished before the server judges its certificate; the alert comes with the answer.
    let config = client_config(&world.server, Some(&Party::new("client")), BOTH);
    let error = match world.client(config).connect().await {
        Ok(mut channel) => get::<()>(&mut channel, "/empty").await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, CallError::Tls { source: rustls::Error::AlertReceived(_), .. }), "{error:?}");
}

#[tokio::test]
async fn an_alert_that_came_before_the_call_is_still_told() {
    let world = world(Limits::default(), false).await;
    let config = client_config(&world.server, Some(&Party::new("client")), BOTH);
    let error = match world.client(config).connect().await {
        Ok(mut channel) => {
            channel.closed().await;
            get::<()>(&mut channel, "/empty").await.unwrap_err()
        }
        Err(error) => error,
    };
    assert!(matches!(error, CallError::Tls { source: rustls::Error::AlertReceived(_), .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_gives_whole_lines_and_ends_cleanly_or_not_at_all() {
    let world = world(Limits::default(), false).await;
    let idle = Duration::from_millis(300);
    let mut lines = world.mutual().await.stream("/lines", idle).await.unwrap();
    for expected in 1..=3u32 {
        assert_eq!(lines.next_json::<u32>().await.unwrap(), Some(expected));
    }
    assert_eq!(lines.next().await.unwrap(), None);

    let mut lines = world.mutual().await.stream("/cut", idle).await.unwrap();
    assert!(lines.next().await.unwrap().is_some() && lines.next().await.unwrap().is_some());
    assert!(lines.next().await.unwrap_err().to_string().contains("inside a line"));

    let mut lines = world.mutual().await.stream("/silent", idle).await.unwrap();
    assert_eq!(lines.next().await.unwrap().as_deref(), Some(b"1".as_slice()));
    assert!(lines.next().await.unwrap_err().to_string().contains("fell silent"));

    let refused = world.mutual().await.stream("/problem", idle).await;
    assert!(matches!(refused, Err(CallError::Refused(_))));
    let mut lines = world.mutual().await.stream("/large", idle).await.unwrap().with_max_line(4000);
    assert!(lines.next().await.unwrap_err().to_string().contains("longer than 4000 bytes"));
}

async fn raw(world: &World) -> tokio_rustls::client::TlsStream<TcpStream> {
    let config = Arc::new(client_config(&world.server, None, BOTH));
    let tcp = TcpStream::connect(world.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap()
}

async fn ends(mut stream: impl AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // An end without close_notify reads as an error; both are ends.
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "connection is still open");
}

// I12: strangers hold nothing for long.
#[tokio::test]
async fn silent_handshakes_slow_heads_idle_and_stalled_connections_are_closed() {
    let world = world(quick(), false).await;
    ends(TcpStream::connect(world.address).await.unwrap()).await;
    ends(raw(&world).await).await;
    let mut trickle = raw(&world).await;
    let started = tokio::time::Instant::now();
    while trickle.write_all(b"G").await.is_ok() && trickle.flush().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(started.elapsed() < Duration::from_secs(5), "a trickling head keeps its connection");
    }
    let mut stalled = raw(&world).await;
    stalled.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    ends(stalled).await;
    let mut body = raw(&world).await;
    body.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nab").await.unwrap();
    let mut start = [0; 12];
    body.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

// I12: whoever sends too much hears so, however far along the sending is; what would be endless is cut off.
#[tokio::test]
async fn who_sends_too_much_hears_it_before_the_connection_ends() {
    let world = world(Limits::default(), false).await;
    for (head, length) in [
        ("content-length: 600000", 600_000),
        ("transfer-encoding: chunked", 600_000),
        ("content-length: 90", 90),
    ] {
        let mut stream = raw(&world).await;
        let chunked = head.starts_with("transfer");
        stream
            .write_all(format!("POST /echo HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        if chunked {
            stream.write_all(format!("{length:x}\r\n").as_bytes()).await.unwrap();
        }
        // All of it is taken off the line: no write fails.
        for _ in 0..length / 10 {
            stream.write_all(b"0123456789").await.unwrap();
        }
        if chunked {
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        }
        stream.flush().await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        let expected: &[u8] = if length > 100 { b"HTTP/1.1 413" } else { b"HTTP/1.1 200" };
        assert_eq!(&start, expected, "{head}");
    }
    let mut endless = raw(&world).await;
    endless
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 99000000000\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0; 12];
    endless.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413", "at once");
}

#[tokio::test]
async fn connections_above_the_limit_wait_until_one_ends() {
    let world = world(Limits { max_connections: 1, ..Limits::default() }, false).await;
    let first = world.mutual().await;
    let mut second = pin!(world.mutual());
    let early = tokio::time::timeout(Duration::from_millis(200), second.as_mut()).await;
    assert!(early.is_err(), "a second connection was served");
    drop(first);
    get::<()>(&mut second.await, "/empty").await.unwrap();
}

// I12
#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let world = world(Limits { max_per_address: 2, ..Limits::default() }, false).await;
    let (first, _second) = (world.mutual().await, world.mutual().await);
    let mut third = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0, "a third connection was kept");
    drop(first);
    // The place comes back once the server has noticed.
    let again = async {
        loop {
            if let Ok(mut channel) = world.try_mutual().await
                && get::<()>(&mut channel, "/empty").await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
}

// I7: what is being answered is answered; nothing waits for ever.
#[tokio::test]
async fn shutdown_ends_idle_connections_at_once_and_hanging_ones_after_the_drain() {
    let mut world = world(quick(), false).await;
    let idle = world.mutual().await;
    let mut hanging = world.mutual().await;
    let pending = tokio::spawn(async move { get::<()>(&mut hanging, "/never").await });
    world.handles.recv().await.unwrap();
    world.shutdown.cancel();
    idle.closed().await;
    assert!(pending.await.unwrap().is_err());
    tokio::time::timeout(Duration::from_secs(5), &mut world.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_keeps_the_old_ones() {
    let (old, new, client) = (Party::new("old"), Party::new("new"), Party::new("client"));
    let current = Arc::new(Mutex::new(Arc::new(server_config(&old, &client))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: Server = listener.local_addr().unwrap().to_string().parse().unwrap();
    let shutdown = CancellationToken::new();
    let (told, _handles) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request| {
        let told = told.clone();
        async move { Ok(respond(request, told).await) }
    });
    let source = current.clone();
    let config = move || source.lock().unwrap().clone();
    tokio::spawn(serve(listener, config, Limits::default(), shutdown.clone(), service));
    let connect =
        |server: &Party| Client::new(vec![at.clone()], Arc::new(client_config(server, Some(&client), BOTH)));
    let mut before = connect(&old).connect().await.unwrap();
    *current.lock().unwrap() = Arc::new(server_config(&new, &client));
    connect(&new).connect().await.unwrap();
    assert!(matches!(connect(&old).connect().await, Err(CallError::Tls { .. })));
    get::<()>(&mut before, "/empty").await.unwrap();
    shutdown.cancel();
}
