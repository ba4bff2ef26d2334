//! What a content type says about how an event or its data is written.

/// How a record holds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Binary,
    Json,
    /// Many events in one record, or in a format that is not JSON.
    Unsupported,
}

/// How JSON holds data of a content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Json,
    Text,
    Bytes,
}

const CLOUDEVENTS: &str = "application/cloudevents";

impl Mode {
    pub(super) fn of(content_type: &str) -> Self {
        if !is_cloudevents(content_type) {
            return Self::Binary;
        }
        let (media_type, _) = split(content_type);
        if media_type.eq_ignore_ascii_case("application/cloudevents+json") {
            Self::Json
        } else {
            Self::Unsupported
        }
    }
}

/// Whether a record of this content type is an event in structured mode.
pub(in crate::message) fn is_cloudevents(content_type: &str) -> bool {
    let prefix = content_type.get(..CLOUDEVENTS.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(CLOUDEVENTS))
}

impl Data {
    pub(super) fn of(content_type: &str) -> Self {
        let (media_type, parameters) = split(content_type);
        let media_type = media_type.to_ascii_lowercase();
        let subtype = media_type
            .split_once('/')
            .map_or("", |(_, subtype)| subtype);
        let is = |format: &str| {
            let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
            subtype == format || suffix == Some(format)
        };
        if is("json") {
            return Self::Json;
        }
        // In another charset the bytes are not those of the text.
        let is_text = media_type.starts_with("text/") || is("xml") || is("yaml");
        if is_text && is_utf8(parameters) {
            return Self::Text;
        }
        Self::Bytes
    }
}

/// Whether a text is the same as its bytes.
pub(super) fn is_utf8_text(content_type: &str) -> bool {
    is_utf8(split(content_type).1)
}

fn split(content_type: &str) -> (&str, &str) {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    (media_type.trim(), parameters)
}

fn is_utf8(parameters: &str) -> bool {
    let charsets = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    });
    let allowed = ["utf-8", "utf8", "us-ascii"];
    charsets.into_iter().all(|charset| {
        allowed
            .iter()
            .any(|name| name.eq_ignore_ascii_case(charset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_mode_is_known_by_its_prefix() {
        let cases = [
            ("application/cloudevents+json", Mode::Json),
            ("Application/CloudEvents+JSON; charset=UTF-8", Mode::Json),
            ("application/cloudevents-batch+json", Mode::Unsupported),
            ("application/cloudevents+avro", Mode::Unsupported),
            ("application/cloudevents", Mode::Unsupported),
            ("application/json", Mode::Binary),
            ("application/cloudevent", Mode::Binary),
            ("application/clöudevents+json", Mode::Binary),
            ("", Mode::Binary),
        ];
        for (content_type, mode) in cases {
            assert_eq!(Mode::of(content_type), mode, "{content_type}");
        }
    }

    #[test]
    fn data_is_json_text_or_bytes() {
        let cases = [
            ("application/json", Data::Json),
            ("TEXT/JSON; charset=utf-8", Data::Json),
            ("application/problem+json", Data::Json),
            ("text/plain", Data::Text),
            ("text/plain; Charset=\"UTF-8\"", Data::Text),
            ("image/svg+xml", Data::Text),
            ("text/plain; charset=iso-8859-1", Data::Bytes),
            ("application/avro", Data::Bytes),
            ("json", Data::Bytes),
            ("", Data::Bytes),
        ];
        for (content_type, data) in cases {
            assert_eq!(Data::of(content_type), data, "{content_type}");
        }
    }
}
