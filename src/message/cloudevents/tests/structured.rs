use serde_json::json;

use super::*;

fn minimal(more: &str) -> Record {
    let required = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;
    of_document(format!("{{{required}{more}}}"))
}

#[test]
fn a_message_reads_back_as_it_was() {
    let message = full();
    let record = structured(&message);
    assert_eq!(record.to_message().expect("readable"), message);
    assert_eq!(record.key.as_deref(), Some(&b"7"[..]));
    let mut document = document(&record);
    let members = document.as_object_mut().expect("an object");
    for generated in ["id", "time", "traceparent"] {
        assert!(members.remove(generated).is_some(), "{generated}");
    }
    let expected = json!({
        "specversion": "1.0", "source": "/tasks", "type": "task.created", "subject": "7",
        "dataschema": "https://example.org/s", "dataversion": 3, "userid": "ada",
        "tenantid": "t", "correlationid": "c", "causationid": "d",
        "datacontenttype": "application/json", "tracestate": "a=b", "region": "eu", "data": {},
    });
    assert_eq!(document, expected);
    let names: Vec<_> = record.headers.iter().map(|(name, _)| name).collect();
    let expected = [
        "content-type",
        "traceparent",
        "tracestate",
        "baggage",
        "x-own",
        "x-own",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_payload_reads_back_byte_for_byte() {
    let cases: [(&str, &[u8], &str, &str); 13] = [
        (
            "application/json",
            b"{ \"a\" : 1.50 }",
            "data",
            "{ \"a\" : 1.50 }",
        ),
        ("application/json", b"null", "data", "null"),
        ("application/json", b"\"text\"", "data", "\"text\""),
        ("application/problem+json", b"[]", "data", "[]"),
        ("application/json", b" {}", "data_base64", "\"IHt9\""),
        ("application/json", b"{}{}", "data_base64", "\"e317fQ==\""),
        ("application/json", b"", "data_base64", "\"\""),
        ("text/plain", b"a\n\"b\"", "data", "\"a\\n\\\"b\\\"\""),
        ("text/plain", b"", "data", "\"\""),
        (
            "application/xml; charset=utf-8",
            b"<a/>",
            "data",
            "\"<a/>\"",
        ),
        (
            "text/plain; charset=latin1",
            b"\xe4",
            "data_base64",
            "\"5A==\"",
        ),
        ("text/plain", b"\xff", "data_base64", "\"/w==\""),
        ("", b"{}", "data_base64", "\"e30=\""),
    ];
    for (content_type, payload, member, written) in cases {
        let message = Message::new("a", payload).with_content_type(content_type);
        let record = structured(&message);
        let document = record.payload.clone().expect("a document");
        let text = std::str::from_utf8(&document).expect("UTF-8");
        assert!(
            text.ends_with(&format!("\"{member}\":{written}}}")),
            "{text}"
        );
        assert_eq!(record.to_message().expect("readable"), message);
    }
}

#[test]
fn data_without_a_content_type_is_json() {
    let message = minimal(r#","data":"I'm just a string""#).to_message();
    let message = message.expect("readable");
    assert_eq!(message.content_type(), Some(Message::JSON));
    assert_eq!(message.payload().as_ref(), b"\"I'm just a string\"");
    let message = minimal(r#","data_base64":"eyB9""#).to_message();
    assert_eq!(message.expect("readable").content_type(), None);
}

#[test]
fn data_is_not_copied() {
    let record = structured(&full());
    let message = record.to_message().expect("readable");
    let document = record.payload.expect("a document").as_ptr_range();
    assert!(document.contains(&message.payload().as_ptr()));
}

#[test]
fn null_is_the_same_as_nothing_but_for_json_data() {
    let nulls = r#","subject":null,"region":null,"data_base64":null"#;
    let message = minimal(nulls).to_message().expect("readable");
    assert_eq!((message.subject(), message.headers().len()), (None, 0));
    assert!(!message.has_payload());
    let payload = |more| minimal(more).to_message().expect("readable").payload;
    assert_eq!(payload(r#","data":null"#).as_deref(), Some(&b"null"[..]));
    assert_eq!(
        payload(r#","datacontenttype":"text/plain","data":null"#),
        None
    );
}

#[test]
fn an_extension_keeps_its_type_until_it_goes_through_a_binary_record() {
    let more = r#","sampled":true,"rate":-5,"weight":1.50,"order":"12","note":"\u00e4\"\u0000""#;
    let message = minimal(more).to_message().expect("readable");
    for (name, text) in [
        ("ce_sampled", "true"),
        ("ce_rate", "-5"),
        ("ce_weight", "1.50"),
        ("ce_order", "12"),
        ("ce_note", "ä\"\0"),
    ] {
        assert_eq!(message.headers().text(name), Some(text));
    }
    let again = document(&structured(&message));
    assert_eq!(
        (&again["sampled"], &again["rate"]),
        (&json!(true), &json!(-5))
    );
    assert_eq!(
        (&again["weight"], &again["order"]),
        (&json!(1.50), &json!("12"))
    );
    assert_eq!(
        structured(&message).to_message().expect("readable"),
        message
    );

    let hopped = binary(&message).to_message().expect("readable");
    assert_eq!(hopped, message);
    let again = document(&structured(&hopped));
    assert_eq!(
        (&again["sampled"], &again["rate"]),
        (&json!("true"), &json!("-5"))
    );
}

#[test]
fn what_cannot_be_an_extension_stays_a_header() {
    let message = Message::new("a", "{}")
        .with_header("ce_Region", "eu")
        .with_header("ce_data", "x")
        .with_header("ce_datacontenttype", "x")
        .with_header("ce_twice", "1")
        .with_header("ce_raw", Bytes::from_static(b"\xff"))
        .with_header("ce_twice", "2")
        .with_header("ce_once", "1");
    let record = structured(&message);
    assert_eq!(document(&record)["once"], "1");
    assert_eq!(record.headers.len(), 1 + 6);
    assert_eq!(record.to_message().expect("readable"), message);
}

#[test]
fn the_document_wins_over_headers_beside_it() {
    let record = minimal(r#","region":"eu""#)
        .with_header("ce_id", "other")
        .with_header("ce_userid", Bytes::from_static(b"\xff"))
        .with_header("ce_region", "us")
        .with_header("ce_zone", "b")
        .with_header("x-own", "1");
    let message = record.to_message().expect("readable");
    assert_eq!((message.id().as_str(), message.user()), ("1", None));
    let headers: Vec<_> = message.headers().iter().map(|(n, v)| (n, &v[..])).collect();
    let expected = [
        ("ce_zone", &b"b"[..]),
        ("x-own", b"1"),
        ("ce_region", b"eu"),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn attributes_may_be_written_in_another_json_type() {
    let message = minimal(r#","dataversion":"2","correlationid":42"#).to_message();
    let message = message.expect("readable");
    assert_eq!(
        (message.version(), message.correlation_id()),
        (2, Some("42"))
    );
}

#[test]
fn the_content_type_is_a_prefix_in_any_case() {
    let mut record = structured(&full());
    record.headers.remove(CONTENT_TYPE);
    let record = record.with_header("Content-Type", "APPLICATION/CloudEvents+JSON;charset=utf-8");
    assert_eq!(record.to_message().expect("readable"), full_like(&record));
}

fn full_like(record: &Record) -> Message {
    let mut record = record.clone();
    record.headers.remove("Content-Type");
    record
        .with_header(CONTENT_TYPE, STRUCTURED)
        .to_message()
        .expect("readable")
}

#[test]
fn batches_and_other_formats_are_refused() {
    for other in ["-batch+json", "+avro", ""] {
        let content_type = format!("application/cloudevents{other}");
        let record = Record::new("t", "[]").with_header(CONTENT_TYPE, content_type.clone());
        let detail = refused(&record);
        assert!(
            detail.starts_with(&format!("content-type is {content_type}, ")),
            "{detail}"
        );
        assert!(detail.contains("one event per record"), "{detail}");
    }
}

#[test]
fn what_is_wrong_with_a_document_is_named_and_no_data_is_shown() {
    let cases = [
        (r#","id":"2""#, "member id stands twice"),
        (
            r#","id2":{"secret":1}"#,
            "id2, allowed: a text, a number, true or false",
        ),
        (r#","time":"secret""#, "time is secret, allowed: RFC 3339"),
        (
            r#","dataversion":1.5"#,
            "dataversion is 1.5, allowed: a whole number from 1",
        ),
        (
            r#","my_ext":"1""#,
            "member my_ext, allowed: names of a to z and 0 to 9",
        ),
        (
            r#","data":1,"data_base64":"""#,
            "data and data_base64 are both there",
        ),
        (r#","data_base64":"secret!""#, "data_base64 is not base64"),
        (r#","data_base64":1"#, "data_base64 is not base64"),
        (
            r#","datacontenttype":"text/plain","data":{"secret":1}"#,
            "data of text/plain, allowed",
        ),
        (r#","subject":"\ud800""#, "subject, allowed: a text"),
    ];
    for (more, expected) in cases {
        let detail = refused(&minimal(more));
        assert!(detail.starts_with(expected), "{detail}");
        assert!(
            !detail.contains("secret") || more.contains("time"),
            "{detail}"
        );
    }
    let mut gone = of_document("");
    gone.payload = None;
    assert_eq!(refused(&gone), "the document is missing");
    assert_eq!(
        refused(&of_document("{}")),
        "specversion is missing or empty"
    );
}

#[test]
fn a_document_that_was_cut_is_corrupt_wherever_it_was_cut() {
    let whole = structured(&full()).payload.expect("a document");
    for length in 0..whole.len() {
        let detail = refused(&of_document(whole.slice(..length)));
        assert_eq!(detail, "the document is not a JSON object", "{length}");
    }
}

#[test]
fn the_key_comes_from_the_record_and_on_request_from_the_extension() {
    let record = minimal(r#","partitionkey":"9""#).with_key("7");
    let message = record.to_message().expect("readable");
    assert_eq!(message.key(), Some(&"7".into()));
    assert_eq!(partition_key(&message), Some("9".into()));
    assert_eq!(document(&structured(&message))["partitionkey"], "9");
}
