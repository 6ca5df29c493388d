//! The portal: HTTP for what reaches radmfa from phones, and from whoever speaks for them.
//!
//! ```text
//! connection ─ (TLS) ─ request, bounded ─ proof: signature or token ─ Answers ─► worker ─► login
//! ```
//! A thread and a runtime of its own, so that a slow or hostile caller takes nothing from logins; it reaches them through
//! [`Answers`] alone. Invariants: off unless it is configured; every connection, head, body and wait is bounded; nothing is
//! looked up for a caller who has proved nothing; a request that panics ends its own connection.

mod inbound;
mod push;
mod reply;
mod request;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::server::answers::Answers;

/// How many connections are served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 512;
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

/// Where the portal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How others reach it: scheme, host and port, without a path.
    pub public_url: Arc<str>,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<tls::Files>,
}

/// Why the portal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its address cannot be listened on.
    #[error(
        "the portal cannot listen on {address}: {fault}\n  hint: another program may have the address; choose another: --portal ADDRESS:PORT"
    )]
    Bind {
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
    /// No thread or no runtime.
    #[error("the portal cannot run: {0}\n  hint: look at the limits of processes and memory")]
    Thread(io::Error),
}

/// The running portal. Dropped, it takes no more requests and ends.
#[derive(Debug)]
pub struct Portal {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Portal {
    /// Listens; when this returns, the first request is answered.
    pub fn open(settings: &Settings, answers: Answers) -> Result<Portal, Fault> {
        let acceptor = settings.tls.as_ref().map(tls::acceptor).transpose().map_err(Fault::Tls)?;
        let bind = |fault| Fault::Bind { address: settings.listen, fault };
        let listener = std::net::TcpListener::bind(settings.listen).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("portal".into())
            .spawn(move || {
                runtime.block_on(async {
                    let serving = async {
                        match TcpListener::from_std(listener) {
                            Ok(listener) => serve(listener, acceptor, router(answers)).await,
                            Err(fault) => tracing::error!(%fault, "the portal cannot listen"),
                        }
                    };
                    tokio::select! {
                        () = serving => {}
                        // An error is the portal dropped, which is what stopping is.
                        _ = stopped => {}
                    }
                });
            })
            .map_err(Fault::Thread)?;
        Ok(Portal { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that is listened on, a port that the system chose filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the portal's thread ended in a panic");
        }
    }
}

fn router(answers: Answers) -> Router {
    Router::new()
        .route("/push/{channel}", post(push::answer))
        .route("/sms/{channel}", any(inbound::text))
        .route("/voice/{channel}", any(inbound::call))
        .fallback(reply::nothing_here)
        .with_state(answers)
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(fault) => {
                tracing::warn!(%fault, "the portal could not accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // A caller who is slow, or breaks the protocol, is hung up on.
            let _ended = timeout(LIFETIME, connection(stream, acceptor, router)).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, router: Router) {
    let _unset = stream.set_nodelay(true);
    match acceptor {
        None => speak(stream, router).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                speak(stream, router).await;
            }
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        // A router is always ready.
        router.clone().call(request.map(axum::body::Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(fault) = serving.await {
        tracing::debug!(%fault, "a connection to the portal broke off");
    }
}
