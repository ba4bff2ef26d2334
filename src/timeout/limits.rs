use std::time::Duration;

/// Says how long the call of a request may take.
///
/// Implemented for closures `Fn(&Req) -> Option<Duration>`.
pub trait Limits<Req> {
    /// The limit for `request`; `None` takes that of the policy.
    fn limit(&self, request: &Req) -> Option<Duration>;
}

/// The policy's limit for every request.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Fixed;

impl<Req> Limits<Req> for Fixed {
    #[inline]
    fn limit(&self, _: &Req) -> Option<Duration> {
        None
    }
}

impl<F, Req> Limits<Req> for F
where
    F: Fn(&Req) -> Option<Duration>,
{
    fn limit(&self, request: &Req) -> Option<Duration> {
        self(request)
    }
}
