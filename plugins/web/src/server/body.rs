//! Bodies of responses: a text that is there, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::quota::Permit;

/// Maximum bytes that a connection gets at once. Texts are shared by all that are sent the same one; what a connection
/// has got, it copies.
const PIECE: usize = 8 * 1024;

/// Body of a response.
#[derive(Debug)]
pub enum Content {
    /// A text; None when it was sent.
    Whole(Option<Bytes>),
    /// Events as they come, and the rest of the one that is sent. The permit ends with the stream.
    Stream {
        events: Receiver<Bytes>,
        rest: Bytes,
        _permit: Permit,
    },
}

impl Content {
    pub fn of(text: impl Into<Bytes>) -> Self {
        Self::Whole(Some(text.into()))
    }

    pub fn empty() -> Self {
        Self::Whole(None)
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(text) => {
                let piece = text.as_mut().filter(|it| !it.is_empty()).map(piece);
                Poll::Ready(piece.map(|it| Ok(Frame::data(it))))
            }
            Self::Stream { events, rest, .. } => {
                if rest.is_empty() {
                    match events.poll_recv(context) {
                        Poll::Ready(Some(event)) => *rest = event,
                        Poll::Ready(None) => return Poll::Ready(None),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Poll::Ready(Some(Ok(Frame::data(piece(rest)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

fn piece(text: &mut Bytes) -> Bytes {
    text.split_to(text.len().min(PIECE))
}
