//! Connections of browsers: numbers and times are bounded, so that those that are slow or many hold up no others.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::State;
use super::body::Content;
use super::crowd::{Admission, Crowd, Waiting};
use super::listen::{Listener, Stream};
use super::quota::Limit;
use super::router::{Visitor, answer};
use crate::config::is_local;

/// Numbers of connections, and of those that wait for a request or a handshake: each takes 33 kB of memory, also when it
/// has gone, for the next one.
pub const CONNECTIONS: Limit = Limit {
    all: 192,
    of_address: 32,
    of_this_node: 160,
};
pub const WAITING: Waiting = Waiting {
    most: 16,
    from_age: Duration::from_millis(100),
};
/// Pause of those that are admitted later.
const LATER: Duration = Duration::from_millis(5);
/// Maximum time for a handshake, for the head of a request, and between two requests.
pub const IDLE: Duration = Duration::from_secs(10);
/// Maximum time of a connection.
const LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// Pause after an error of the kernel, such as no descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// Limits of a request's head, which has to fit the buffer of its connection.
const HEAD_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// Serves a place until the plugin ends. With `tls`, connections are encrypted.
pub async fn serve(listener: Listener, tls: Option<TlsAcceptor>, crowd: Crowd, state: Arc<State>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::debug!("cannot accept a connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let place = loop {
            match crowd.admit(Instant::now(), peer) {
                Admission::Place(place) => break Some(place),
                Admission::Later => sleep(LATER).await,
                // one that is too many is closed at once
                Admission::Refused => break None,
            }
        };
        let Some(place) = place else { continue };
        let (tls, state, number) = (tls.clone(), state.clone(), place.number());
        let task = tokio::spawn(async move {
            let served = connection(stream, peer, tls, state, place.waiting());
            let _ = timeout(LIFETIME, served).await;
            drop(place);
        });
        crowd.set_task(number, task.abort_handle());
    }
}

async fn connection(
    stream: Stream,
    peer: IpAddr,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    is_waiting: Arc<AtomicBool>,
) {
    let visitor = Visitor {
        address: peer,
        is_local: is_local(peer) && stream.is_to_this_node(),
        is_secure: tls.is_some(),
    };
    match (stream, tls) {
        (Stream::Socket(stream), _) => requests(stream, visitor, state, &is_waiting).await,
        (Stream::Network(stream), None) => requests(stream, visitor, state, &is_waiting).await,
        (Stream::Network(stream), Some(tls)) => {
            // each in a box of its own: what a handshake needs is free when requests come
            let handshake = Box::pin(tls.accept(stream));
            if let Ok(Ok(stream)) = timeout(IDLE, handshake).await {
                Box::pin(requests(stream, visitor, state, &is_waiting)).await;
            }
        }
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    visitor: Visitor,
    state: Arc<State>,
    is_waiting: &AtomicBool,
) {
    let service = service_fn(|request| {
        let state = state.clone();
        async move {
            is_waiting.store(false, Ordering::Relaxed);
            let answer = answer(state, visitor, request).await;
            let is_stream = matches!(answer.body(), Content::Stream { .. });
            is_waiting.store(!is_stream, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("a connection of {}: {error}", visitor.address);
    }
}
