use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::error::{BoxError, Rejected, look_into, rejected};

/// Sends one request to one instance: a Tower service from request to response, bodies in memory.
///
/// Implemented for every such service. Dropping the future gives the request up.
pub trait Transport:
    Service<
        Request<Bytes>,
        Response = Response<Bytes>,
        Error = TransportError,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Transport for S where
    S: Service<
            Request<Bytes>,
            Response = Response<Bytes>,
            Error = TransportError,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

pub(super) type Boxed = BoxCloneSyncService<Request<Bytes>, Response<Bytes>, TransportError>;

/// No response came.
#[derive(Debug)]
pub struct TransportError {
    sent: Sent,
    source: BoxError,
}

/// Whether a request that brought no response may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "either it certainly was not sent, or nobody knows"
)]
pub enum Sent {
    /// Certainly not a byte of it arrived: it may be repeated.
    No,
    /// It may have arrived.
    Unknown,
}

impl TransportError {
    /// The request was certainly not sent, e.g. the connection was refused.
    #[must_use]
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self::new(Sent::No, source.into())
    }

    /// The request may have been sent.
    #[must_use]
    pub fn unknown(source: impl Into<BoxError>) -> Self {
        Self::new(Sent::Unknown, source.into())
    }

    fn new(sent: Sent, source: BoxError) -> Self {
        // Patterns around a transport are to find a refusal in it.
        look_into(|error: &Self| Some(error));
        Self { sent, source }
    }

    /// Whether the request may have had its effect.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Whether a pattern around the transport held it back. Time that was up is no refusal: the service
    /// was too slow.
    pub(super) fn is_refused(&self) -> bool {
        rejected(&self.source).is_some_and(|refusal| !matches!(refusal, Rejected::Elapsed { .. }))
    }
}

/// Of a pattern around a transport: nothing was sent, unless the time was up.
impl From<Rejected> for TransportError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Elapsed { .. } => Self::unknown(rejected),
            _ => Self::not_sent(rejected),
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sent {
            Sent::No => "the request was not sent",
            Sent::Unknown => "no response came",
        })
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
