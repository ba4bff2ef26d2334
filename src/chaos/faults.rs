/// Makes the errors that are injected.
///
/// Implemented for closures `Fn() -> Err`.
pub trait Faults<Err> {
    /// An error; `None` when it has none to give.
    fn fault(&self) -> Option<Err>;
}

/// No errors are injected.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct NoFault;

impl<Err> Faults<Err> for NoFault {
    fn fault(&self) -> Option<Err> {
        None
    }
}

impl<F, Err> Faults<Err> for F
where
    F: Fn() -> Err,
{
    fn fault(&self) -> Option<Err> {
        Some(self())
    }
}

/// Picks the calls that may be broken.
///
/// Implemented for closures `Fn(&Req) -> bool`.
pub trait Gate<Req> {
    /// Whether the call of `request` may be broken.
    fn picks(&self, request: &Req) -> bool;
}

/// Picks every call.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct Always;

impl<Req> Gate<Req> for Always {
    fn picks(&self, _: &Req) -> bool {
        true
    }
}

impl<F, Req> Gate<Req> for F
where
    F: Fn(&Req) -> bool,
{
    fn picks(&self, request: &Req) -> bool {
        self(request)
    }
}
