use std::future::{Future, Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};

use tower::Service;
use tower::util::Oneshot;

use crate::request::{CloneAll, CloneRequest};

/// What stands in for a call that has failed.
pub trait Substitute<Req, Res, Err> {
    /// What it needs to know of the request.
    type Kept;
    /// Its answer.
    type Future: Future<Output = Result<Res, Err>>;

    /// Keeps of `request` what a fallback would need, before the request is sent.
    fn keep(&self, request: &Req) -> Self::Kept;

    /// The answer in place of `failed`; `Err` gives it back when there is none.
    ///
    /// # Errors
    ///
    /// `failed`, as it was.
    fn answer(
        &self,
        kept: Self::Kept,
        failed: Result<Res, Err>,
    ) -> Result<Self::Future, Result<Res, Err>>;
}

/// The same answer each time: a clone of it, made when it is needed.
#[derive(Debug)]
pub struct Value<T>(Arc<T>);

/// A function of the failed result.
#[derive(Debug, Clone, Copy)]
pub struct FromFn<F>(pub(super) F);

/// A function of what was kept of the request, and of the failed result.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<K, F> {
    pub(super) keep: K,
    pub(super) answer: F,
}

/// Another service, which gets a copy of the request. It is cloned when it is needed.
#[derive(Debug)]
pub struct Backup<S, R = CloneAll> {
    // The lock lets services be shared that are no `Sync`; it is held for the clone only.
    service: Arc<Mutex<S>>,
    requests: R,
}

impl<T> Value<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Backup<S> {
    pub(super) fn new(service: S) -> Self {
        Self {
            service: Arc::new(Mutex::new(service)),
            requests: CloneAll,
        }
    }
}

impl<S, R> Backup<S, R> {
    pub(super) fn with_requests<Q>(self, requests: Q) -> Backup<S, Q> {
        let service = self.service;
        Backup { service, requests }
    }
}

impl<S, R: Clone> Clone for Backup<S, R> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            requests: self.requests.clone(),
        }
    }
}

impl<T: Clone, Req, Err> Substitute<Req, T, Err> for Value<T> {
    type Kept = ();
    type Future = Ready<Result<T, Err>>;

    fn keep(&self, _: &Req) {}

    fn answer(&self, (): (), _: Result<T, Err>) -> Result<Self::Future, Result<T, Err>> {
        Ok(ready(Ok(T::clone(&self.0))))
    }
}

impl<F, Req, Res, Err> Substitute<Req, Res, Err> for FromFn<F>
where
    F: Fn(Result<Res, Err>) -> Result<Res, Err>,
{
    type Kept = ();
    type Future = Ready<Result<Res, Err>>;

    fn keep(&self, _: &Req) {}

    fn answer(&self, (): (), failed: Result<Res, Err>) -> Result<Self::Future, Result<Res, Err>> {
        Ok(ready((self.0)(failed)))
    }
}

impl<K, F, T, Req, Res, Err> Substitute<Req, Res, Err> for Keeping<K, F>
where
    K: Fn(&Req) -> T,
    F: Fn(T, Result<Res, Err>) -> Result<Res, Err>,
{
    type Kept = T;
    type Future = Ready<Result<Res, Err>>;

    fn keep(&self, request: &Req) -> T {
        (self.keep)(request)
    }

    fn answer(&self, kept: T, failed: Result<Res, Err>) -> Result<Self::Future, Result<Res, Err>> {
        Ok(ready((self.answer)(kept, failed)))
    }
}

impl<S, R, Req> Substitute<Req, S::Response, S::Error> for Backup<S, R>
where
    S: Service<Req> + Clone,
    R: CloneRequest<Req>,
{
    type Kept = Option<Req>;
    type Future = Oneshot<S, Req>;

    fn keep(&self, request: &Req) -> Option<Req> {
        self.requests.clone_request(request)
    }

    fn answer(
        &self,
        kept: Option<Req>,
        failed: Result<S::Response, S::Error>,
    ) -> Result<Self::Future, Result<S::Response, S::Error>> {
        match kept {
            Some(request) => {
                let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(Oneshot::new(service.clone(), request))
            }
            None => Err(failed),
        }
    }
}
