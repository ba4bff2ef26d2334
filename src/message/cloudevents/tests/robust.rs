//! Whatever comes does not panic, and what can be read reads back the same.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Reads `record`, and if it is a message that may be sent, sends and reads it again in both modes.
fn hold(record: &Record) {
    let Ok(message) = record.to_message() else {
        return;
    };
    let sent = [
        Record::from_message("t", &message),
        Record::structured("t", &message),
    ];
    if message.check().is_err() {
        assert!(sent.iter().all(Result::is_err));
        return;
    }
    for record in sent {
        let again = record.expect("checked").to_message().expect("readable");
        assert_eq!(again, message);
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[ -~]{0,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..12),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => Just(PARENT.into()),
        1 => Just(OTHER_PARENT.into()),
        1 => Just(b"a=b,c=d".to_vec()),
        1 => Just(STRUCTURED.into()),
        1 => Just(b"application/json".to_vec()),
        1 => Just(b"text/plain".to_vec()),
        1 => Just(b"2026-01-31T23:59:59.120+01:00".to_vec()),
        1 => (0..9_u32).prop_map(|number| number.to_string().into_bytes()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let attributes = Attribute::ALL.map(|attribute| attribute.header().to_owned());
    let special = [
        "Content-Type",
        TRACEPARENT,
        TRACESTATE,
        PARTITION_KEY,
        "ce_data",
        "ce_x",
        "x",
    ];
    prop_oneof![
        3 => proptest::sample::select(attributes.to_vec()),
        2 => proptest::sample::select(special.map(str::to_owned).to_vec()),
        1 => "ce_[a-z0-9]{0,3}",
        1 => any::<String>(),
    ]
}

/// What is required is there, and may be replaced by what comes after it.
fn record() -> impl Strategy<Value = Record> {
    let headers = vec((name(), value()), 0..12);
    let payload = prop_oneof![Just(None), value().prop_map(Some), json().prop_map(Some)];
    (headers, payload).prop_map(|(headers, payload)| {
        let mut record = binary(&Message::new("a.b", ""));
        record.payload = payload.map(Bytes::from);
        for (name, value) in headers {
            record = record.with_header(name, value);
        }
        record
    })
}

fn member() -> impl Strategy<Value = (String, String)> {
    let names = [
        "id",
        "source",
        "type",
        "time",
        "subject",
        "datacontenttype",
        "dataschema",
        "dataversion",
        "userid",
        "traceparent",
        "tracestate",
        "baggage",
        "data",
        "data_base64",
        "x",
        "y",
    ];
    let values = prop_oneof![
        4 => value().prop_map(|text| serde_json::to_string(&String::from_utf8_lossy(&text))
            .expect("JSON")),
        1 => proptest::sample::select(vec!["null", "true", "1", "-2.50", "{}", "[ 1 ]", "\"e30=\""])
            .prop_map(str::to_owned),
    ];
    let name = prop_oneof![
        9 => proptest::sample::select(names.map(str::to_owned).to_vec()),
        1 => "[a-z_]{0,3}",
    ];
    (name, values)
}

/// A document whose required members are there.
fn json() -> impl Strategy<Value = Vec<u8>> {
    vec(member(), 0..10).prop_map(|members| {
        let mut all = serde_json::Map::new();
        let required = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/s"),
            ("type", "t"),
        ];
        let required = required.map(|(name, text)| (name.to_owned(), format!("{text:?}")));
        for (name, raw) in required.into_iter().chain(members) {
            all.insert(name, serde_json::from_str(&raw).expect("JSON"));
        }
        serde_json::to_vec(&all).expect("JSON")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_headers_and_payload_hold(record in record()) {
        hold(&record);
    }

    #[test]
    fn any_document_holds(document in json(), headers in vec((name(), value()), 0..4)) {
        let mut record = of_document(document);
        for (name, value) in headers {
            if !name.eq_ignore_ascii_case(CONTENT_TYPE) {
                record = record.with_header(name, value);
            }
        }
        hold(&record);
    }

    #[test]
    fn a_document_with_wrong_bytes_holds(
        document in json(),
        wrong in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut document = document;
        for (at, byte) in wrong {
            let at = at.index(document.len());
            document[at] = byte;
        }
        hold(&of_document(document));
    }

    #[test]
    fn any_message_is_refused_or_reads_back(
        required in vec("[a-z/]{1,3}\\PC{0,1}", 2),
        texts in vec("\\PC{0,6}.{0,1}", 6),
        source in "[a-z/%:#]{0,3}",
        version in prop_oneof![3 => 0..5_u32, 1 => any::<u32>()],
        seconds in -70_000_000_000_i64..300_000_000_000,
        header in (name(), value()),
        payload in proptest::option::of(value()),
    ) {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        let message = Message::new(required[0].clone(), "")
            .with_id(required[1].as_str().into())
            .with_source(source)
            .with_version(version)
            .with_time(DateTime::from_timestamp(seconds, 0).expect("in range"))
            .with_subject(text())
            .with_content_type(text())
            .with_user(text())
            .with_tenant(text())
            .with_correlation_id(text())
            .with_causation_id(text())
            .with_header(header.0, header.1);
        let message = Message { payload: payload.map(Bytes::from), ..message };
        let sent = [Record::from_message("t", &message), Record::structured("t", &message)];
        for record in sent.into_iter().flatten() {
            prop_assert_eq!(&record.to_message().expect("readable"), &message);
        }
    }
}
