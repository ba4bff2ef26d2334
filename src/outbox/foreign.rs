//! Rows that something else than this library wrote, with no more than Debezium's columns.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EntryId, Routing};
use crate::broker::Record;
use crate::error::{Chain, Error, Kind};
use crate::message::{Headers, Message, cloudevents};

/// What a row without headers has in their place, as both databases give it: an array in JSON, in the
/// order of the fields.
#[derive(Debug, Deserialize)]
struct Columns {
    event_id: String,
    kind: String,
    source: Option<String>,
    aggregate_id: Option<String>,
    text_headers: Option<String>,
}

/// A row without headers.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) id: EntryId,
    /// [`Columns`].
    pub(super) columns: String,
    pub(super) topic: Option<String>,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Option<Bytes>,
    pub(super) created_at: DateTime<Utc>,
}

impl Foreign {
    /// The record that a [`Message`] with these attributes would be. When there is none: what could be made
    /// of it, and why there is not more.
    pub(super) fn record(
        self,
        backend: &'static str,
        routing: &Routing,
    ) -> (Record, Option<String>) {
        let columns = match serde_json::from_str::<Columns>(&self.columns) {
            Ok(columns) => columns,
            Err(error) => {
                let reason = format!("row {}: {}", self.id, Chain(&error));
                return (self.remains(None), Some(reason));
            }
        };
        let key = self.key.clone();
        let key = key.or_else(|| columns.aggregate_id.clone().map(Bytes::from));
        match self.whole(backend, routing, &columns, key.clone()) {
            Ok(record) => (record, None),
            Err(error) => {
                let (id, kind) = (self.id, &columns.kind);
                let reason = format!("row {id} of type {kind:?}: {}", Chain(&error));
                (self.remains(key), Some(reason))
            }
        }
    }

    fn whole(
        &self,
        backend: &'static str,
        routing: &Routing,
        columns: &Columns,
        key: Option<Bytes>,
    ) -> Result<Record, Error> {
        let (headers, payload) = (columns.headers(backend)?, self.payload.clone());
        let message = cloudevents::from_record(&headers, key, payload, Some(self.created_at))?;
        // One that is empty is that of a row that could not be routed before.
        match self.topic.as_deref().filter(|topic| !topic.is_empty()) {
            Some(topic) => Record::from_message(topic, &message),
            None => Record::from_message(routing.topic(backend, &message)?, &message),
        }
    }

    fn remains(self, key: Option<Bytes>) -> Record {
        let mut record = Record::new(self.topic.unwrap_or_default(), Bytes::new());
        record.key = key.or(self.key);
        record.payload = self.payload;
        record
    }
}

impl Columns {
    fn headers(&self, backend: &'static str) -> Result<Headers, Error> {
        let mut headers: Headers = [
            (cloudevents::SPEC_VERSION, "1.0".to_owned()),
            (cloudevents::ID, self.event_id.clone()),
            (cloudevents::TYPE, self.kind.clone()),
        ]
        .into_iter()
        .collect();
        let source = self.source.as_deref().unwrap_or(Message::DEFAULT_SOURCE);
        headers.push(cloudevents::SOURCE, source.to_owned());
        if let Some(subject) = &self.aggregate_id {
            headers.push(cloudevents::SUBJECT, subject.clone());
        }
        for (name, value) in self.text_headers(backend)? {
            let value = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(no_headers(backend, &format!("{name:?} is no text")));
                }
            };
            headers.set(name, value);
        }
        Ok(headers)
    }

    fn text_headers(&self, backend: &'static str) -> Result<Map<String, Value>, Error> {
        let Some(json) = &self.text_headers else {
            return Ok(Map::new());
        };
        serde_json::from_str(json)
            .map_err(|source| no_headers(backend, "not an object").with_source(source))
    }
}

fn no_headers(backend: &'static str, detail: &str) -> Error {
    Error::new(Kind::Corrupt, backend, "read").with_detail(format!("text_headers: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &str) -> Foreign {
        Foreign {
            id: EntryId::new(7),
            columns: columns.to_owned(),
            topic: None,
            key: None,
            payload: Some(Bytes::from_static(b"{}")),
            created_at: DateTime::from_timestamp_millis(1_000).expect("a time"),
        }
    }

    fn read(row: Foreign) -> (Record, Option<String>) {
        let by_type = Routing::by(|message| match message.kind() {
            "task.created" => Some("tasks".into()),
            _ => None,
        });
        row.record("test", &by_type)
    }

    #[test]
    fn a_row_is_the_record_that_its_message_would_be() {
        let (record, unreadable) = read(row(r#"["id","task.created",null,"42",null]"#));
        assert_eq!(unreadable, None);
        let message = Message::new("task.created", "{}")
            .with_id("id".into())
            .with_time(DateTime::from_timestamp_millis(1_000).expect("a time"))
            .with_subject("42")
            .with_key("42");
        assert_eq!(
            record,
            Record::from_message("tasks", &message).expect("valid")
        );
    }

    #[test]
    fn a_header_in_text_is_an_attribute_or_a_header() {
        let headers = r#"{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"ce_subject\":\"other\",\"content-type\":\"application/json\",\"n\":1,\"none\":null}"#;
        let (record, unreadable) = read(row(&format!(
            r#"["id","task.created","/shop","42","{headers}"]"#
        )));
        assert_eq!(unreadable, None);
        let message = record.to_message().expect("a message");
        assert_eq!(message.source(), "/shop");
        assert_eq!(message.subject(), Some("other"));
        assert_eq!(message.content_type(), Some(Message::JSON));
        assert!(message.trace().traceparent().is_some());
        assert_eq!(message.headers().text("n"), Some("1"));
        assert_eq!(message.headers().len(), 1);
    }

    #[test]
    fn what_is_no_message_says_which_row_it_is() {
        for (columns, what) in [
            (r#"["id","task.deleted",null,"42",null]"#, "no topic is set"),
            (r#"["id","task.created",null,"42","[]"]"#, "not an object"),
            (r#"["id","task.created",null,"42","{\"a\":[]}"]"#, "no text"),
            (r#"["id","task.created",null,"42","{"]"#, "not an object"),
            (r#"["","task.created",null,"42",null]"#, "ce_id"),
            (r#"["id","task.created","no uri",null,null]"#, "ce_source"),
        ] {
            let (record, unreadable) = read(row(columns));
            let reason = unreadable.expect("unreadable");
            assert!(reason.contains("row 7 of type \"task."), "{reason}");
            assert!(reason.contains(what), "{reason}");
            assert_eq!(record.payload.as_deref(), Some(&b"{}"[..]));
            let has_key = columns.contains("42");
            assert_eq!(record.key.is_some(), has_key);
        }
        let (_, unreadable) = read(row("[1]"));
        assert!(unreadable.expect("unreadable").starts_with("row 7: "));
    }
}
