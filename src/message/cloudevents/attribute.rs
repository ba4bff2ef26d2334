use crate::message::TraceContext;

use super::{
    CAUSATION_ID, CONTENT_TYPE, CORRELATION_ID, DATA_SCHEMA, DATA_VERSION, ID, SOURCE,
    SPEC_VERSION, SUBJECT, TENANT_ID, TIME, TYPE, USER_ID,
};

/// What has a header of its own, in the order in which the headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    SpecVersion,
    Id,
    Source,
    Type,
    Time,
    Subject,
    DataSchema,
    DataVersion,
    User,
    Tenant,
    Correlation,
    Causation,
    ContentType,
    Traceparent,
    Tracestate,
    Baggage,
}

/// Of every attribute, by its number, what there is of it.
pub(super) type PerAttribute<T> = [T; Attribute::ALL.len()];

impl Attribute {
    pub(super) const ALL: [Self; 16] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Time,
        Self::Subject,
        Self::DataSchema,
        Self::DataVersion,
        Self::User,
        Self::Tenant,
        Self::Correlation,
        Self::Causation,
        Self::ContentType,
        Self::Traceparent,
        Self::Tracestate,
        Self::Baggage,
    ];

    pub(crate) const fn header(self) -> &'static str {
        match self {
            Self::SpecVersion => SPEC_VERSION,
            Self::Id => ID,
            Self::Source => SOURCE,
            Self::Type => TYPE,
            Self::Time => TIME,
            Self::Subject => SUBJECT,
            Self::DataSchema => DATA_SCHEMA,
            Self::DataVersion => DATA_VERSION,
            Self::User => USER_ID,
            Self::Tenant => TENANT_ID,
            Self::Correlation => CORRELATION_ID,
            Self::Causation => CAUSATION_ID,
            Self::ContentType => CONTENT_TYPE,
            Self::Traceparent => TraceContext::TRACEPARENT,
            Self::Tracestate => TraceContext::TRACESTATE,
            Self::Baggage => TraceContext::BAGGAGE,
        }
    }

    /// The name in CloudEvents' JSON format; none for what travels beside the event.
    pub(super) fn member(self) -> Option<&'static str> {
        match self {
            Self::ContentType => Some("datacontenttype"),
            Self::Traceparent | Self::Tracestate | Self::Baggage => None,
            _ => self.header().strip_prefix("ce_"),
        }
    }

    /// Whether W3C's rules decide what becomes of it; nothing in it makes a message unreadable.
    pub(super) fn is_trace(self) -> bool {
        matches!(self, Self::Traceparent | Self::Tracestate | Self::Baggage)
    }

    /// The attribute whose header this is. Attributes of CloudEvents are spelled in one way only;
    /// the names that come from HTTP may be in any case.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        Self::exactly(name).or_else(|| {
            let from_http = [
                Self::ContentType,
                Self::Traceparent,
                Self::Tracestate,
                Self::Baggage,
            ];
            from_http
                .into_iter()
                .find(|attribute| attribute.header().eq_ignore_ascii_case(name))
        })
    }

    pub(super) fn of_member(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|attribute| attribute.member() == Some(name))
    }

    pub(crate) fn exactly(name: &str) -> Option<Self> {
        // The length leaves a few.
        let candidates: &[Self] = match name.len() {
            5 => &[Self::Id],
            7 => &[Self::Type, Self::Time, Self::Baggage],
            9 => &[Self::Source, Self::User],
            10 => &[Self::Subject, Self::Tracestate],
            11 => &[Self::Tenant, Self::Traceparent],
            12 => &[Self::ContentType],
            13 => &[Self::DataSchema],
            14 => &[Self::SpecVersion, Self::DataVersion, Self::Causation],
            16 => &[Self::Correlation],
            _ => &[],
        };
        let mut candidates = candidates.iter();
        candidates
            .find(|attribute| attribute.header() == name)
            .copied()
    }
}

/// The extension attribute that a free header is: `ce_` and a name that CloudEvents allows, and that
/// means nothing else in its JSON format.
pub(super) fn extension(header: &str) -> Option<&str> {
    header.strip_prefix("ce_").filter(|name| is_extension(name))
}

pub(super) fn is_extension(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !name.is_empty()
        && name.bytes().all(allowed)
        && name != "data"
        && Attribute::of_member(name).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_names() {
        for (number, attribute) in Attribute::ALL.into_iter().enumerate() {
            assert_eq!(attribute as usize, number);
            assert_eq!(Attribute::exactly(attribute.header()), Some(attribute));
            if let Some(member) = attribute.member() {
                assert_eq!(Attribute::of_member(member), Some(attribute));
            }
        }
        assert_eq!(
            Attribute::of_header("Content-Type"),
            Some(Attribute::ContentType)
        );
        assert_eq!(Attribute::of_header("CE_ID"), None);
    }

    #[test]
    fn an_extension_has_a_name_that_cloudevents_allows() {
        assert_eq!(extension("ce_partitionkey"), Some("partitionkey"));
        for other in [
            "ce_",
            "ce_Id",
            "ce_a_b",
            "ce_data",
            "ce_datacontenttype",
            "ce_id",
            "x",
        ] {
            assert_eq!(extension(other), None, "{other}");
        }
    }
}
