use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::cloudevents::Attribute;

/// Named values in the order they were added. A name may appear more than once, as in Kafka.
///
/// Two are equal when each name has the same values in the same order; the order between different
/// names means nothing.
#[derive(Clone, Default)]
pub struct Headers(Vec<Header>);

/// The name of a header. Those of the attributes take no memory.
#[derive(Clone)]
pub struct HeaderName(Name);

#[derive(Clone)]
enum Name {
    Of(Attribute),
    Other(Arc<str>),
}

#[derive(Clone)]
struct Header {
    name: HeaderName,
    value: Bytes,
    form: Form,
}

/// What the value is in CloudEvents' JSON format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// A number, `true` or `false`, as it stood there.
    Literal,
}

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Copies all values into one piece of memory: for a broker that has them only for a moment, and
    /// cheaper than a copy each.
    #[must_use]
    pub fn copied<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut block = Vec::new();
        let take = |(name, value): (&'a str, &'a [u8])| {
            block.extend_from_slice(value);
            (name, block.len())
        };
        let ends: Vec<_> = headers.into_iter().map(take).collect();
        let block = Bytes::from(block);
        let mut start = 0;
        let slice = |(name, end): (&'a str, usize)| {
            let value = block.slice(start..end);
            start = end;
            (name, value)
        };
        ends.into_iter().map(slice).collect()
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds a header after those that are there.
    pub fn push(&mut self, name: impl Into<HeaderName>, value: impl Into<Bytes>) {
        self.push_as(name.into(), value.into(), Form::Text);
    }

    pub(super) fn push_as(&mut self, name: HeaderName, value: Bytes, form: Form) {
        self.0.push(Header { name, value, form });
    }

    /// Replaces every header `name` by this one.
    pub fn set(&mut self, name: impl Into<HeaderName>, value: impl Into<Bytes>) {
        let name = name.into();
        self.remove(name.as_str());
        self.push(name, value);
    }

    /// Takes out every header `name`.
    pub fn remove(&mut self, name: &str) {
        self.retain(|other| other != name);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|header| keep(header.name.as_str()));
    }

    /// The last value of `name`.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Bytes> {
        let mut latest_first = self.0.iter().rev();
        let header = latest_first.find(|header| header.name.as_str() == name)?;
        Some(&header.value)
    }

    /// The last value of `name` as text; `None` too when it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.last(name)?).ok()
    }

    /// All headers in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.0
            .iter()
            .map(|header| (header.name.as_str(), &header.value))
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &Bytes, Form)> {
        self.0
            .iter()
            .map(|header| (&header.name, &header.value, header.form))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &Bytes> {
        let named = move |header: &&Header| header.name.as_str() == name;
        self.0.iter().filter(named).map(|header| &header.value)
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        let same_order = || self.iter().eq(other.iter());
        let same_values = || {
            self.iter()
                .all(|(name, _)| self.values(name).eq(other.values(name)))
        };
        self.len() == other.len() && (same_order() || same_values())
    }
}

impl Eq for Headers {}

impl<N: Into<HeaderName>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let headers = headers.into_iter();
        let mut collected = Self::with_capacity(headers.size_hint().0);
        for (name, value) in headers {
            collected.push(name, value);
        }
        collected
    }
}

/// Shows names and sizes: a value may be a secret or large.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.iter().map(|(name, value)| (name, value.len()));
        f.debug_map().entries(sizes).finish()
    }
}

impl HeaderName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Of(attribute) => attribute.header(),
            Name::Other(name) => name,
        }
    }

    /// The attribute whose header it is, however it is spelled.
    pub(super) fn attribute(&self) -> Option<Attribute> {
        match &self.0 {
            Name::Of(attribute) => Some(*attribute),
            Name::Other(name) => Attribute::of_header(name),
        }
    }
}

impl From<Attribute> for HeaderName {
    fn from(attribute: Attribute) -> Self {
        Self(Name::Of(attribute))
    }
}

impl From<&str> for HeaderName {
    fn from(name: &str) -> Self {
        match Attribute::exactly(name) {
            Some(attribute) => Self::from(attribute),
            None => Self(Name::Other(name.into())),
        }
    }
}

impl From<String> for HeaderName {
    fn from(name: String) -> Self {
        Self::from(&*name)
    }
}

impl From<Arc<str>> for HeaderName {
    fn from(name: Arc<str>) -> Self {
        match Attribute::exactly(&name) {
            Some(attribute) => Self::from(attribute),
            None => Self(Name::Other(name)),
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl AsRef<str> for HeaderName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_one_name_counts() {
        let headers =
            |all: &[(&'static str, &'static str)]| all.iter().copied().collect::<Headers>();
        let one = headers(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(one, headers(&[("b", "2"), ("a", "1"), ("a", "3")]));
        assert_ne!(one, headers(&[("b", "2"), ("a", "3"), ("a", "1")]));
        assert_ne!(one, headers(&[("a", "1"), ("b", "2")]));
        assert_ne!(one, headers(&[("a", "1"), ("b", "2"), ("b", "3")]));
    }

    #[test]
    fn copies_are_what_they_were_and_stand_together() {
        let headers = [("a", &b"1"[..]), ("b", b""), ("a", b"\xff23")];
        let copied = Headers::copied(headers);
        assert!(
            copied.iter().eq(headers
                .map(|(n, v)| (n, Bytes::from_static(v)))
                .iter()
                .map(|(n, v)| (*n, v)))
        );
        let ends: Vec<_> = copied
            .iter()
            .map(|(_, value)| value.as_ptr_range())
            .collect();
        assert_eq!(ends[0].end, ends[2].start);
    }

    #[test]
    fn names_are_equal_however_they_are_kept() {
        let known = HeaderName::from("ce_id");
        assert_eq!(known, HeaderName::from("ce_id".to_owned()));
        assert_eq!(known, HeaderName::from(Arc::from("ce_id")));
        assert_eq!(known.as_str(), "ce_id");
    }
}
