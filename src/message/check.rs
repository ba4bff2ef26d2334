use super::cloudevents::{self, Attribute, is_cloudevents, is_writable};
use super::{Excerpt, Message};
use crate::config::{ConfigError, Problems};
use crate::error::{Error, Kind};

/// CloudEvents knows no whole number above this one.
const MAX_VERSION: u32 = i32::MAX.unsigned_abs();

const TEXT: &str = "a text without control characters";

impl Message {
    /// Whether every CloudEvents reader can read it.
    ///
    /// What makes a record of a message asks this first, so that nothing leaves that nobody can
    /// read: id, source and type are there; source and data schema are URIs; no attribute has
    /// control characters; the version is from 1 to 2147483647; the year has four digits; the
    /// content type is not that of a whole event; and no free header has the name of an attribute,
    /// or a NUL in its name.
    ///
    /// A message that was read may fail here: readers are not as strict.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`]; its text lists every problem with field, value and what is allowed, and
    /// its source is the [`ConfigError`] with the same.
    pub fn check(&self) -> Result<(), Error> {
        let mut problems = Problems::default();
        self.check_texts(&mut problems);
        if !(1..=MAX_VERSION).contains(&self.version) {
            let allowed = format!("1 to {MAX_VERSION}");
            problems.add(cloudevents::DATA_VERSION, self.version, allowed);
        }
        if !is_writable(self.time) {
            problems.add(cloudevents::TIME, self.time, "the years 0 to 9999");
        }
        if let Some(content_type) = self.content_type().filter(|text| is_cloudevents(text)) {
            let allowed = "the type of the payload, not of the event";
            problems.add(cloudevents::CONTENT_TYPE, Excerpt(content_type), allowed);
        }
        self.check_headers(&mut problems);
        problems.into_result().map_err(invalid)
    }

    fn check_texts(&self, problems: &mut Problems) {
        let texts = [
            (Attribute::Id, Some(self.id().as_str())),
            (Attribute::Source, Some(self.source())),
            (Attribute::Type, Some(self.kind())),
            (Attribute::Subject, self.subject()),
            (Attribute::DataSchema, self.data_schema()),
            (Attribute::User, self.user()),
            (Attribute::Tenant, self.tenant()),
            (Attribute::Correlation, self.correlation_id()),
            (Attribute::Causation, self.causation_id()),
            (Attribute::ContentType, self.content_type()),
        ];
        for (attribute, text) in texts {
            let Some(text) = text else { continue };
            let is_uri = matches!(attribute, Attribute::Source | Attribute::DataSchema);
            if text.is_empty() {
                problems.add(attribute.header(), "empty", TEXT);
            } else if !is_text(text) {
                problems.add(attribute.header(), Excerpt(text), TEXT);
            } else if is_uri && !is_uri_reference(text) {
                let allowed = "a URI or a path, other characters as %20";
                problems.add(attribute.header(), Excerpt(text), allowed);
            }
        }
    }

    fn check_headers(&self, problems: &mut Problems) {
        for (name, ..) in self.headers.entries() {
            let is_attribute = name.attribute().is_some();
            let name = name.as_str();
            if is_attribute {
                let allowed = "the message's own method for it";
                problems.add("header", Excerpt(name), allowed);
            } else if name.contains('\0') {
                problems.add("header", Excerpt(name), "a name without NUL");
            }
        }
        let Some((parent, state)) = cloudevents::extension_trace(&self.headers) else {
            return;
        };
        let trace = self.trace();
        let same = trace.traceparent() == Some(&*parent) && trace.tracestate() == state.as_deref();
        if trace.is_empty() || same {
            let allowed = "one that differs from the trace context";
            problems.add(cloudevents::TRACEPARENT, parent, allowed);
        }
    }
}

fn invalid(problems: ConfigError) -> Error {
    let all: Vec<_> = problems
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    Error::new(Kind::Invalid, "cloudevents", "encode")
        .with_detail(all.join("; "))
        .with_source(problems)
}

/// What CloudEvents allows in a string: no control characters and no noncharacters.
fn is_text(text: &str) -> bool {
    // No early end: so the compiler looks at many at once.
    let printable = |fine, b| fine & matches!(b, b' '..=b'~');
    text.bytes().fold(true, printable) || is_unicode_text(text)
}

fn is_unicode_text(text: &str) -> bool {
    text.chars().all(|c| {
        let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
        !c.is_control() && !noncharacter
    })
}

/// By its characters, and by what stands before a first colon, as RFC 3986 has it. A reader that
/// takes a URI for one refuses the others.
fn is_uri_reference(text: &str) -> bool {
    let text = text.as_bytes();
    let characters = text.iter().enumerate().all(|(at, b)| match b {
        b'%' => {
            let hex = text.get(at + 1..at + 3);
            hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        }
        b'-' | b'.' | b'_' | b'~' => true,
        b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' => true,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
        _ => b.is_ascii_alphanumeric(),
    });
    let fragments = text.iter().filter(|b| **b == b'#').count();
    let scheme = text
        .iter()
        .position(|b| matches!(b, b':' | b'/' | b'?' | b'#'))
        .filter(|at| text.get(*at) == Some(&b':'))
        .and_then(|at| text.get(..at));
    let is_scheme = |scheme: &[u8]| {
        let rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(rest)
    };
    characters && fragments <= 1 && scheme.is_none_or(is_scheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Record;
    use crate::error::cause;

    #[test]
    fn every_problem_is_named_at_once() {
        let message = Message::new("", "{}")
            .with_id("".into())
            .with_source("my service")
            .with_version(0)
            .with_user("a\nb")
            .with_subject("\u{fffe}")
            .with_content_type("application/cloudevents+json")
            .with_time("+012026-01-31T00:00:00Z".parse().expect("a time"))
            .with_header("ce_id", "1")
            .with_header("Content-Type", "1")
            .with_header("a\0", "1");
        let error = message.check().expect_err("invalid");
        assert_eq!(error.kind(), Kind::Invalid);
        let problems = cause::<ConfigError>(&error)
            .expect("the problems")
            .problems();
        let fields: Vec<_> = problems.iter().map(|problem| &*problem.field).collect();
        let expected = [
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_subject",
            "ce_userid",
            "ce_dataversion",
            "ce_time",
            "content-type",
            "header",
            "header",
            "header",
        ];
        assert_eq!(fields, expected);
        let text = error.to_string();
        assert!(
            text.contains("ce_userid is a\\nb, allowed: a text without"),
            "{text}"
        );
        for sent in [
            Record::from_message("t", &message),
            Record::structured("t", &message),
        ] {
            assert_eq!(sent.expect_err("refused").to_string(), text);
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let message = Message::new("a", "{}").with_source(" ".repeat(1 << 20));
        let text = message.check().expect_err("invalid").to_string();
        assert!(text.len() < 300, "{}", text.len());
    }

    #[test]
    fn a_uri_reference_is_what_a_strict_reader_takes() {
        for good in [
            "/tasks",
            "https://github.com/cloudevents?a=b#c",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "1-555-123-4567",
            "a/b:c",
            "http://[::1]:80/%C3%A4",
        ] {
            assert!(is_uri_reference(good), "{good}");
        }
        for bad in [
            "my service",
            "ä",
            "%zz",
            "%a",
            ":a",
            "1a:b",
            "a#b#c",
            "a\"b",
            "a\\b",
        ] {
            assert!(!is_uri_reference(bad), "{bad}");
        }
    }
}
