//! Serves a router on an address, on a thread and a runtime of its own: the portal, and every further listener.
//!
//! ```text
//! connection ─ (TLS) ─ request, bounded, and who sent it ─ router
//! ```
//! Invariants: every connection, head and wait is bounded, and no network but that of a proxy of ours holds all connections; a slow or
//! hostile caller takes nothing from logins, nor from another listener; a request that panics ends nothing but itself.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::tls;
use super::web::throttle::network;

/// How many connections are served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 512;
/// How many of them one network may hold; one more is closed as it comes. A proxy of ours speaks for many, and may hold them all.
const OF_A_NETWORK: u32 = 64;
/// How long a caller may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a caller may take over the head of a request, from the last answer on.
const HEAD: Duration = Duration::from_secs(10);
/// The longest head, in octets.
const HEAD_MAX: usize = 16 * 1024;
/// The most header lines.
const HEADERS_MAX: usize = 64;
/// No connection is older.
const LIFETIME: Duration = Duration::from_mins(2);
/// After an error of the listening socket nothing is accepted for so long.
const BREATH: Duration = Duration::from_millis(100);

/// What is listened on, and how.
#[derive(Clone, Debug)]
pub struct Listen {
    /// What messages and the thread are called: `portal`, `admin`, `metrics`.
    pub name: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<tls::Files>,
    /// Whose word on where a request came from is believed (X-Forwarded-For).
    pub proxies: Arc<[IpNet]>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its address cannot be listened on.
    #[error(
        "the {name} cannot listen on {address}: {fault}\n  hint: another program may have the address; choose another: --{name} ADDRESS:PORT"
    )]
    Bind {
        /// What wanted to.
        name: &'static str,
        /// Which one.
        address: SocketAddr,
        /// What the system says.
        fault: io::Error,
    },
    /// Its certificate cannot be used.
    #[error(
        "{0}\n  hint: a PEM file with the certificate first and those above it after, and one with its key"
    )]
    Tls(String),
    /// No thread, no runtime or no randomness.
    #[error("the {name} cannot run: {fault}\n  hint: look at the limits of processes and memory")]
    Thread {
        /// What wanted to.
        name: &'static str,
        /// What the system says.
        fault: io::Error,
    },
    /// No random octets.
    #[error(transparent)]
    Entropy(#[from] crate::server::system::EntropyFault),
}

/// Where a request came from: the other end of its connection, or whoever a trusted proxy says stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub IpAddr);

/// Something that is served. Dropped, it takes no more requests and ends.
#[derive(Debug)]
pub struct Serving {
    name: &'static str,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Listens; when this returns, the first request is answered.
    pub fn open(listen: &Listen, router: Router) -> Result<Serving, Fault> {
        Serving::open_beside(listen, router, std::future::ready(()))
    }

    /// The same, with work that is done beside it on the same thread until it ends.
    pub fn open_beside(
        listen: &Listen,
        router: Router,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Serving, Fault> {
        let name = listen.name;
        let acceptor = listen.tls.as_ref().map(tls::acceptor).transpose().map_err(Fault::Tls)?;
        let bind = |fault| Fault::Bind { name, address: listen.address, fault };
        let run = |fault| Fault::Thread { name, fault };
        let listener = std::net::TcpListener::bind(listen.address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(run)?;
        let (stop, stopped) = oneshot::channel();
        let manner = Manner { name, acceptor, proxies: Arc::clone(&listen.proxies), router };
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(beside);
                    let serving = async {
                        match TcpListener::from_std(listener) {
                            Ok(listener) => serve(listener, Arc::new(manner)).await,
                            Err(fault) => tracing::error!(%fault, "the {name} cannot listen"),
                        }
                    };
                    tokio::select! {
                        () = serving => {}
                        // An error is this dropped, which is what stopping is.
                        _ = stopped => {}
                    }
                });
            })
            .map_err(run)?;
        Ok(Serving { name, address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that is listened on, a port that the system chose filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the {} ended in a panic", self.name);
        }
    }
}

/// How connections are served.
struct Manner {
    name: &'static str,
    acceptor: Option<TlsAcceptor>,
    proxies: Arc<[IpNet]>,
    router: Router,
}

async fn serve(listener: TcpListener, manner: Arc<Manner>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let held = Arc::new(Held::default());
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(fault) => {
                tracing::warn!(%fault, "the {} could not accept a connection", manner.name);
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let peer = peer.ip().to_canonical();
        let share = if is_of(&manner.proxies, peer) {
            None
        } else {
            let Some(share) = Held::take(&held, network(peer)) else { continue };
            Some(share)
        };
        let manner = Arc::clone(&manner);
        tokio::spawn(async move {
            // A caller who is slow, or breaks the protocol, is hung up on.
            let _ended = timeout(LIFETIME, connection(stream, peer, manner)).await;
            drop((place, share));
        });
    }
}

/// How many connections each network holds; as many entries as there are connections at most.
#[derive(Default)]
struct Held(Mutex<HashMap<IpAddr, u32>>);

/// One of them. Dropped, another may take its place.
struct Share {
    held: Arc<Held>,
    network: IpAddr,
}

impl Held {
    /// `None`: the network has as many as one may have.
    fn take(held: &Arc<Held>, network: IpAddr) -> Option<Share> {
        let mut table = held.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.entry(network).or_default();
        if *count >= OF_A_NETWORK {
            return None;
        }
        *count += 1;
        Some(Share { held: Arc::clone(held), network })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = table.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.network);
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, manner: Arc<Manner>) {
    let _unset = stream.set_nodelay(true);
    match &manner.acceptor {
        None => speak(stream, peer, manner).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                speak(stream, peer, manner).await;
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: IpAddr,
    manner: Arc<Manner>,
) {
    let name = manner.name;
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        let caller = Caller(origin(peer, request.headers(), &manner.proxies));
        request.extensions_mut().insert(caller);
        // A router is always ready.
        manner.router.clone().call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(fault) = serving.await {
        tracing::debug!(%fault, "a connection to the {name} broke off");
    }
}

fn is_of(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// Who sent a request: read from the right, each proxy names the one before it, and the first that is no proxy of ours is the
/// last whose word counts.
fn origin(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let trusted = |address: IpAddr| is_of(proxies, address);
    if !trusted(peer) {
        return peer;
    }
    let said: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut last = peer;
    for one in said.iter().rev() {
        let Ok(address) = one.trim().parse::<IpAddr>() else { return last };
        last = address.to_canonical();
        if !trusted(last) {
            return last;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A listener that answers everybody, and whose proxies are these.
    fn answering(proxies: &[&str]) -> Serving {
        let proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        let listen =
            Listen { name: "portal", address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: None, proxies };
        Serving::open(&listen, Router::new().fallback(|| async { "here" })).unwrap()
    }

    /// A connection from `from`, which has to be an address of this machine.
    fn connect(serving: &Serving, from: [u8; 4]) -> std::net::TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&serving.address().into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.into()
    }

    /// Whether a request is answered there, rather than hung up on.
    fn is_answered(mut stream: std::net::TcpStream) -> bool {
        use std::io::{Read as _, Write as _};
        // Whoever is hung up on may learn it as an error.
        let _cut = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut said = Vec::new();
        let _reset = stream.read_to_end(&mut said);
        said.starts_with(b"HTTP/1.1 200")
    }

    #[test]
    fn one_network_holds_its_share_of_the_connections_and_a_proxy_of_ours_as_many_as_it_needs() {
        const HOST: [u8; 4] = [127, 0, 0, 1];
        let serving = answering(&[]);
        let mut silent: Vec<_> = (0..OF_A_NETWORK).map(|_| connect(&serving, HOST)).collect();
        assert!(!is_answered(connect(&serving, HOST)), "one more than its share");
        assert!(is_answered(connect(&serving, [127, 0, 0, 2])), "another network");
        silent.clear();
        // It may take a moment until it is seen that they are gone.
        let lent = (0..10_000).any(|_| is_answered(connect(&serving, HOST)));
        assert!(lent, "what was given back is not lent again");

        let serving = answering(&["127.0.0.1/32"]);
        let _through: Vec<_> = (0..OF_A_NETWORK).map(|_| connect(&serving, HOST)).collect();
        assert!(is_answered(connect(&serving, HOST)), "a proxy of ours");
    }

    #[test]
    fn a_subscriber_has_one_share_however_many_addresses_and_what_is_given_back_is_forgotten() {
        let held = Arc::new(Held::default());
        let take = |last: u32| Held::take(&held, network(address(&format!("2001:db8::{last:x}"))));
        let shares: Vec<_> = (0..OF_A_NETWORK).map(|last| take(last).unwrap()).collect();
        assert!(take(OF_A_NETWORK).is_none());
        assert!(Held::take(&held, network(address("2001:db8:0:1::1"))).is_some());
        drop(shares);
        assert!(held.0.lock().unwrap().is_empty());
    }

    #[test]
    fn only_a_proxy_of_ours_says_where_a_request_came_from_and_only_the_last_word_counts() {
        let proxies: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
        let from = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for one in said {
                headers.append("x-forwarded-for", one.parse().unwrap());
            }
            origin(address(peer), &headers, &proxies).to_string()
        };
        assert_eq!(from("203.0.113.9", &["198.51.100.7"]), "203.0.113.9", "a stranger's word");
        assert_eq!(from("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(from("127.0.0.1", &["6.6.6.6, 198.51.100.7, 10.1.2.3"]), "198.51.100.7");
        assert_eq!(from("127.0.0.1", &["6.6.6.6", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(from("127.0.0.1", &["198.51.100.7, unknown"]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
    }
}
