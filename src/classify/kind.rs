use std::fmt;

use super::{Failure, Outcome};

/// The kinds of error that an application's own handlers and endpoints end with.
///
/// | kind | HTTP status | outcome |
/// |---|---|---|
/// | `Validation` | 422 | ignored |
/// | `NotFound` | 404 | ignored |
/// | `Conflict` | 409 | ignored |
/// | `Authorization` | 403 | ignored |
/// | `Business` | 422 | ignored |
/// | `Transient` | 503 | transient failure |
/// | `System` | 500 | permanent failure |
///
/// The first five are the caller's affair: they say nothing about the health of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller may not do this.
    Authorization,
    /// A rule of the business forbids it.
    Business,
    /// It clashes with what is there.
    Conflict,
    /// It does not exist, or not for this caller.
    NotFound,
    /// The service is at fault, and trying again will not help.
    System,
    /// The service is at fault, and trying again may help.
    Transient,
    /// The input is not well formed.
    Validation,
}

impl ErrorKind {
    /// The HTTP status that says the same.
    #[must_use]
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::Authorization => http::StatusCode::FORBIDDEN,
            Self::Business | Self::Validation => http::StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict => http::StatusCode::CONFLICT,
            Self::NotFound => http::StatusCode::NOT_FOUND,
            Self::System => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::Transient => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it tells about the service.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Authorization
            | Self::Business
            | Self::Conflict
            | Self::NotFound
            | Self::Validation => Outcome::Ignored,
            Self::System => Outcome::Failure(Failure::Permanent),
            Self::Transient => Outcome::Failure(Failure::Transient),
        }
    }

    /// A stable code for problem documents and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Business => "business",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::System => "system",
            Self::Transient => "transient",
            Self::Validation => "validation",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
