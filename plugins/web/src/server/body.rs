//! Bodies of responses: a text that is there, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::quota::Permit;

/// Body of a response.
#[derive(Debug)]
pub enum Content {
    /// A text; None when it was sent.
    Whole(Option<Bytes>),
    /// Events as they come. The permit ends with the stream.
    Stream {
        events: Receiver<Bytes>,
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
            Self::Whole(text) => Poll::Ready(text.take().map(|it| Ok(Frame::data(it)))),
            Self::Stream { events, .. } => {
                let event = events.poll_recv(context);
                event.map(|it| it.map(|bytes| Ok(Frame::data(bytes))))
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
