/// Says whether and how a request can be sent again.
///
/// Implemented for closures `Fn(&Req) -> Option<Req>`.
pub trait CloneRequest<Req> {
    /// A copy for a later attempt; `None` when the request can go only once.
    fn clone_request(&self, request: &Req) -> Option<Req>;
}

/// Sends every request again: a clone of it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct CloneAll;

impl<Req: Clone> CloneRequest<Req> for CloneAll {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

impl<F, Req> CloneRequest<Req> for F
where
    F: Fn(&Req) -> Option<Req>,
{
    fn clone_request(&self, request: &Req) -> Option<Req> {
        self(request)
    }
}
