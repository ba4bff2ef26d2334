use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::Permit;

/// How long a call keeps its place after it was answered.
///
/// Implemented by [`UntilResponse`] and [`UntilBody`]; a type of your own can hand the permit to a
/// stream or a connection.
pub trait Hold<Res> {
    /// The answer as the caller gets it.
    type Response;

    /// Makes it; whoever has the permit has the place.
    fn hold(permit: Permit, response: Res) -> Self::Response;
}

/// The place is free when the answer is there.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct UntilResponse;

/// The place is free when the body of the answer has been read to its end, has failed, or is dropped.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct UntilBody;

impl<Res> Hold<Res> for UntilResponse {
    type Response = Res;

    #[inline]
    fn hold(permit: Permit, response: Res) -> Res {
        drop(permit);
        response
    }
}

impl<B: Body> Hold<Response<B>> for UntilBody {
    type Response = Response<HeldBody<B>>;

    fn hold(permit: Permit, response: Response<B>) -> Self::Response {
        response.map(|body| HeldBody {
            permit: (!body.is_end_stream()).then_some(permit),
            body,
        })
    }
}

/// A body that keeps a place in a bulkhead until its end.
#[pin_project]
pub struct HeldBody<B> {
    #[pin]
    body: B,
    /// `None` once the body has ended.
    permit: Option<Permit>,
}

impl<B: Body> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        // Who reads a body may stop at the last frame and not ask for the end.
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for HeldBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody")
            .field("permit", &self.permit.is_some())
            .finish_non_exhaustive()
    }
}
