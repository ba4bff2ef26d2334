#[cfg(feature = "otel")]
mod otel;

use std::borrow::Cow;
use std::sync::Arc;

use super::text::Text;

/// The W3C trace context of a message: `traceparent`, `tracestate` and `baggage`.
///
/// See [Trace Context](https://www.w3.org/TR/trace-context/) and
/// [Baggage](https://www.w3.org/TR/baggage/). What it holds can always be sent:
///
/// | part | kept | more than that |
/// |---|---|---|
/// | `traceparent` | version `00` as it is; a later one as version `00`, with the sampled flag only | |
/// | `tracestate` | with a `traceparent`, visible ASCII | 512 bytes or 32 members: the first ones that fit |
/// | `baggage` | visible ASCII, also alone | 8192 bytes or 180 members: the first ones that fit |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext {
    parent: Option<Text>,
    state: Option<Text>,
    baggage: Option<Text>,
}

/// Bits of the flags that version `00` knows: sampled, and random trace id.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b1;

impl TraceContext {
    /// The header that carries the trace id and the parent span.
    pub const TRACEPARENT: &'static str = "traceparent";
    /// The header that carries vendors' own state.
    pub const TRACESTATE: &'static str = "tracestate";
    /// The header that carries the application's own pairs.
    pub const BAGGAGE: &'static str = "baggage";

    /// The context that `traceparent` names, or `None` when it is malformed.
    ///
    /// Wanted is two hexadecimal digits of version, a trace id of 32, a span id of 16 and flags of
    /// 2, in lower case, and neither id all zero. Version `00` has nothing after that, a later one
    /// may; it is read as version `00`, `ff` is none.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let parent = parent(traceparent)?;
        Some(Self {
            parent: Some(Text::Whole(parent.into())),
            ..Self::default()
        })
    }

    /// Of parts that [`parent`], [`state`] and [`baggage`] have let through.
    pub(super) fn of(parent: Option<Text>, state: Option<Text>, baggage: Option<Text>) -> Self {
        Self {
            parent,
            state,
            baggage,
        }
    }

    /// A new, sampled trace with a random trace id and span id.
    #[must_use]
    pub fn generate() -> Self {
        let trace = fastrand::u128(1..);
        let span = fastrand::u64(1..);
        Self {
            parent: Some(Text::Whole(
                format!("00-{trace:032x}-{span:016x}-01").into(),
            )),
            ..Self::default()
        }
    }

    /// The same trace with a new random span id: what to send to the next hop.
    #[must_use]
    pub fn child(&self) -> Self {
        let Some(trace) = self.trace_id() else {
            return Self {
                baggage: self.baggage.clone(),
                ..Self::generate()
            };
        };
        let span = fastrand::u64(1..);
        let flags = self.flags() & KNOWN_FLAGS;
        Self {
            parent: Some(Text::Whole(
                format!("00-{trace}-{span:016x}-{flags:02x}").into(),
            )),
            ..self.clone()
        }
    }

    /// Sets the vendors' state. Without a `traceparent` it means nothing and is not kept.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Arc<str>>) -> Self {
        self.state = self.parent.as_ref().and(kept(state.into(), self::state));
        self
    }

    /// Sets the baggage.
    #[must_use]
    pub fn with_baggage(mut self, baggage: impl Into<Arc<str>>) -> Self {
        self.baggage = kept(baggage.into(), self::baggage);
        self
    }

    /// What this one lacks is taken from `other`.
    pub(super) fn or(mut self, other: &Self) -> Self {
        if self.parent.is_none() {
            self.parent.clone_from(&other.parent);
            self.state.clone_from(&other.state);
        }
        self.baggage = self.baggage.or_else(|| other.baggage.clone());
        self
    }

    /// The `traceparent` value.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.parent.as_ref().map(Text::as_str)
    }

    /// The `tracestate` value.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_ref().map(Text::as_str)
    }

    /// The `baggage` value.
    #[must_use]
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_ref().map(Text::as_str)
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent()?.get(3..35)
    }

    /// Whether there is no trace. There may be baggage.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parent.is_none()
    }

    fn flags(&self) -> u8 {
        let flags = self.traceparent().and_then(|parent| parent.get(53..55));
        flags.map_or(SAMPLED, flag_bits)
    }
}

/// The `traceparent` as version `00`, if it is well formed.
pub(super) fn parent(text: &str) -> Option<Cow<'_, str>> {
    let part = |from, to| text.get(from..to);
    let (version, trace, span, flags) = (part(0, 2)?, part(3, 35)?, part(36, 52)?, part(53, 55)?);
    let dashes = [2, 35, 52].map(|at| part(at, at + 1));
    let fits = [version, trace, span, flags].into_iter().all(is_hex)
        && dashes == [Some("-"); 3]
        && version != "ff"
        && !is_zero(trace)
        && !is_zero(span);
    match text.get(55..) {
        _ if !fits => None,
        Some("") if version == "00" => Some(Cow::Borrowed(text)),
        Some(rest) if version != "00" && (rest.is_empty() || rest.starts_with('-')) => {
            let flags = flag_bits(flags) & SAMPLED;
            Some(Cow::Owned(format!("00-{trace}-{span}-{flags:02x}")))
        }
        _ => None,
    }
}

/// What of a `tracestate` is kept.
pub(super) fn state(text: &str) -> Option<&str> {
    first_members(text, 32, 512)
}

/// What of a `baggage` is kept.
pub(super) fn baggage(text: &str) -> Option<&str> {
    first_members(text, 180, 8192)
}

/// The members of a list that fit; none of a list that no HTTP header could carry.
fn first_members(list: &str, most: usize, longest: usize) -> Option<&str> {
    if !list.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
        return None;
    }
    let separators = [',', ' ', '\t'];
    let list = list.trim_matches(separators);
    let ends = list.match_indices(',').map(|(at, _)| at);
    let ends = ends.chain([list.len()]).take(most);
    let end = ends.take_while(|end| *end <= longest).last()?;
    let members = list.get(..end)?.trim_end_matches(separators);
    (!members.is_empty()).then_some(members)
}

fn kept(text: Arc<str>, fit: fn(&str) -> Option<&str>) -> Option<Text> {
    let fits = fit(&text)?;
    if fits.len() == text.len() {
        return Some(Text::Whole(text));
    }
    Some(Text::Whole(fits.into()))
}

fn flag_bits(flags: &str) -> u8 {
    u8::from_str_radix(flags, 16).unwrap_or(0)
}

fn is_hex(text: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    // No early end: so the compiler looks at many at once.
    text.bytes().fold(true, |fine, b| fine & digit(b))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|b| b == b'0')
}

#[cfg(test)]
mod tests;
