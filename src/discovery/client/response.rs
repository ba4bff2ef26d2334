use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::error::{Error, Kind};
use super::transport::Sent;
use crate::discovery::Instance;

/// What a service answered, whatever the status.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The whole body.
    pub bytes: Bytes,
    /// The instance that answered.
    pub instance: Arc<Instance>,
    /// How many attempts it took, from 1.
    pub attempts: u32,
}

impl Response {
    /// The response itself when its status is not an error.
    ///
    /// # Errors
    ///
    /// [`Kind::Status`] for 4xx and 5xx.
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.status.is_client_error() || self.status.is_server_error() {
            return Err(Error::status(self.instance.service.clone(), self.status));
        }
        Ok(self)
    }

    /// The body read as JSON, for a response whose status is not an error.
    ///
    /// # Errors
    ///
    /// [`Kind::Status`] for 4xx and 5xx, [`Kind::Decode`] when the body is not a `T`.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let response = self.error_for_status()?;
        let service = &response.instance.service;
        serde_json::from_slice(&response.bytes).map_err(|error| {
            Error::new(service.clone(), Kind::Decode, error).with_sent(Sent::Unknown)
        })
    }
}
