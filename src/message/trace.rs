use std::sync::Arc;

/// The W3C trace context of a message: `traceparent`, `tracestate` and `baggage`.
///
/// See <https://www.w3.org/TR/trace-context/>.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    parent: Option<Arc<str>>,
    state: Option<Arc<str>>,
    baggage: Option<Arc<str>>,
}

impl TraceContext {
    /// The header that carries the trace id and the parent span.
    pub const TRACEPARENT: &'static str = "traceparent";
    /// The header that carries vendors' own state.
    pub const TRACESTATE: &'static str = "tracestate";
    /// The header that carries the application's own pairs.
    pub const BAGGAGE: &'static str = "baggage";

    /// The context that `traceparent` names, or `None` when it is malformed.
    ///
    /// Wanted is version `00` or a later one: two hexadecimal digits, a trace id of 32, a span id
    /// of 16, flags of 2, in lower case, and neither id all zero.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let fits = is_hex(version, 2)
            && version != "ff"
            && is_hex(trace, 32)
            && is_hex(span, 16)
            && is_hex(flags, 2)
            && !is_zero(trace)
            && !is_zero(span)
            && (version != "00" || parts.next().is_none());
        fits.then(|| Self {
            parent: Some(traceparent.into()),
            state: None,
            baggage: None,
        })
    }

    /// A new, sampled trace with a random trace id and span id.
    #[must_use]
    pub fn generate() -> Self {
        let trace = fastrand::u128(1..);
        let span = fastrand::u64(1..);
        Self {
            parent: Some(format!("00-{trace:032x}-{span:016x}-01").into()),
            ..Self::default()
        }
    }

    /// The same trace with a new random span id: what to send to the next hop.
    #[must_use]
    pub fn child(&self) -> Self {
        let Some(trace) = self.trace_id() else {
            return Self::generate();
        };
        let span = fastrand::u64(1..);
        let flags = self
            .parent
            .as_deref()
            .and_then(|p| p.get(53..55))
            .unwrap_or("01");
        Self {
            parent: Some(format!("00-{trace}-{span:016x}-{flags}").into()),
            ..self.clone()
        }
    }

    /// Sets the vendors' state.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Arc<str>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Sets the baggage.
    #[must_use]
    pub fn with_baggage(mut self, baggage: impl Into<Arc<str>>) -> Self {
        self.baggage = Some(baggage.into());
        self
    }

    /// The `traceparent` value.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// The `tracestate` value.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The `baggage` value.
    #[must_use]
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_deref()
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.parent.as_deref()?.split('-').nth(1)
    }

    /// Whether there is no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parent.is_none()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|b| b == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_well_formed_traceparent_is_taken() {
        assert!(TraceContext::parse(GOOD).is_some());
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        ] {
            assert!(TraceContext::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_child_keeps_the_trace_and_the_flags() {
        let parent = TraceContext::parse(GOOD)
            .expect("well formed")
            .with_baggage("a=b");
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.traceparent(), parent.traceparent());
        assert!(child.traceparent().is_some_and(|p| p.ends_with("-01")));
        assert_eq!(child.baggage(), Some("a=b"));
        assert!(TraceContext::generate().child().trace_id().is_some());
    }
}
