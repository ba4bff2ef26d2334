use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::transport::Sent;
use crate::classify::ErrorKind;
use crate::error::{BoxError, Rejected, cause, look_into};
use crate::problem::Problem;

/// A call to a service brought no usable response.
#[derive(Debug)]
pub struct Error {
    service: Arc<str>,
    kind: Kind,
    sent: Sent,
    source: Option<BoxError>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The response's body is not what was asked for.
    Decode,
    /// The request could not be built.
    Invalid,
    /// The registry could not be asked.
    Registry,
    /// A pattern refused the call; see [`Error::rejected`].
    Rejected,
    /// The service answered with an error status.
    Status(StatusCode),
    /// No response came, for all attempts that were allowed.
    Transport,
}

impl Error {
    /// A failure of a call of which no attempt was sent.
    pub(super) fn new(service: Arc<str>, kind: Kind, source: impl Into<BoxError>) -> Self {
        // Patterns around the client are to find a refusal in it.
        look_into(|error: &Self| Some(error));
        Self {
            service,
            kind,
            sent: Sent::No,
            source: Some(source.into()),
        }
    }

    pub(super) fn status(service: Arc<str>, status: StatusCode) -> Self {
        Self {
            service,
            kind: Kind::Status(status),
            sent: Sent::Unknown,
            source: None,
        }
    }

    pub(super) fn with_sent(mut self, sent: Sent) -> Self {
        self.sent = sent;
        self
    }

    /// The service that was called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The refusal, when a pattern refused the call.
    #[must_use]
    pub fn rejected(&self) -> Option<&Rejected> {
        cause(self)
    }

    /// Whether the call may have had its effect, by any of its attempts.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = &self.service;
        match self.kind {
            Kind::Decode => write!(f, "the response of {service} cannot be read"),
            Kind::Invalid => write!(f, "the request to {service} is not valid"),
            Kind::Registry => write!(f, "the instances of {service} could not be listed"),
            Kind::Rejected => write!(f, "the call to {service} was refused"),
            Kind::Status(status) => write!(f, "{service} answered {status}"),
            Kind::Transport => match self.sent {
                Sent::No => write!(f, "no instance of {service} could be reached"),
                Sent::Unknown => write!(f, "{service} did not answer"),
            },
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Of a pattern around the client. The service is named after what refused; whether it was asked is known of
/// all refusals but that the time was up.
impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        let service = rejected.name().cloned();
        let sent = match rejected {
            Rejected::Elapsed { .. } => Sent::Unknown,
            _ => Sent::No,
        };
        let service = service.unwrap_or_else(|| "a service".into());
        Self::new(service, Kind::Rejected, rejected).with_sent(sent)
    }
}

/// What a gateway answers: the refusal's own document, 502 for a service that answered badly or not,
/// 503 for a registry that could not be asked.
impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        if let Some(rejected) = error.rejected() {
            return Self::from(rejected);
        }
        match error.kind {
            Kind::Invalid => Self::from(ErrorKind::System),
            Kind::Registry => Self::from(ErrorKind::Transient),
            _ => Self::new(StatusCode::BAD_GATEWAY, "bad_gateway"),
        }
        .with_detail(error.to_string())
    }
}
