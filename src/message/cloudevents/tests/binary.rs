use super::*;

#[test]
fn a_message_reads_back_as_it_was() {
    let message = full();
    assert_eq!(binary(&message).to_message().expect("readable"), message);
    let headers = binary(&message).headers;
    let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
    let expected = "ce_specversion ce_id ce_source ce_type ce_time ce_subject ce_dataschema \
        ce_dataversion ce_userid ce_tenantid ce_correlationid ce_causationid content-type \
        traceparent tracestate baggage x-own ce_region x-own";
    assert_eq!(names.join(" "), expected);
    assert_eq!(headers.text(SPEC_VERSION), Some("1.0"));
    assert_eq!(headers.text(DATA_VERSION), Some("3"));
}

#[test]
fn each_bad_attribute_is_named() {
    let cases: [(&str, &[u8]); 8] = [
        (ID, b""),
        (TYPE, b""),
        (SOURCE, b""),
        (SPEC_VERSION, b"0.3"),
        (TIME, b"yesterday"),
        (DATA_VERSION, b"0"),
        (DATA_VERSION, b"4294967296"),
        (USER_ID, &[0xff]),
    ];
    for (name, value) in cases {
        let mut record = binary(&full());
        record.headers.set(name, Bytes::copy_from_slice(value));
        let detail = refused(&record);
        assert!(detail.contains(name), "{detail}");
    }
    let detail = refused(&Record::new("t", "{}"));
    assert!(detail.contains(SPEC_VERSION), "{detail}");
}

#[test]
fn two_halves_of_a_character_are_not_a_text() {
    let mut record = binary(&full());
    // They stand one after the other, as user and tenant do.
    record.headers.set(USER_ID, Bytes::from_static(b"\xc3"));
    record.headers.set(TENANT_ID, Bytes::from_static(b"\xa4"));
    assert_eq!(refused(&record), "ce_userid is not UTF-8");
}

#[test]
fn an_error_shows_no_more_than_a_line_of_a_value() {
    for name in [SPEC_VERSION, TIME, DATA_VERSION, CONTENT_TYPE] {
        let mut record = binary(&full());
        let long = format!("application/cloudevents-{}", "x".repeat(1 << 20));
        record.headers.set(name, long);
        let detail = refused(&record);
        assert!(detail.len() < 250, "{}", detail.len());
    }
}

#[test]
fn no_payload_and_an_empty_one_are_two_things() {
    let empty = full().with_content_type("text/plain");
    let empty = Message {
        payload: Some(Bytes::new()),
        ..empty
    };
    let tombstone = empty.clone().without_payload();
    assert_ne!(empty, tombstone);
    assert!(empty.has_payload() && !tombstone.has_payload());
    assert!(tombstone.payload().is_empty());
    assert_eq!(binary(&tombstone).payload, None);
    assert_eq!(binary(&empty).payload, Some(Bytes::new()));
    for message in [empty, tombstone] {
        assert_eq!(binary(&message).to_message().expect("readable"), message);
        assert_eq!(
            structured(&message).to_message().expect("readable"),
            message
        );
    }
}

#[test]
fn content_type_is_known_in_any_case_and_attributes_in_one() {
    let mut record = binary(&full());
    record.headers.remove(CONTENT_TYPE);
    let record = record
        .with_header("Content-Type", "text/plain")
        .with_header("CE_USERID", "eve");
    let message = record.to_message().expect("readable");
    assert_eq!(message.content_type(), Some("text/plain"));
    assert_eq!(message.user(), Some("ada"));
    assert_eq!(message.headers().text("CE_USERID"), Some("eve"));
    assert_eq!(message.headers().last("Content-Type"), None);
    assert_eq!(binary(&message).to_message().expect("readable"), message);
}

#[test]
fn of_an_attribute_that_comes_twice_the_last_counts() {
    let record = binary(&full())
        .with_header(USER_ID, "bob")
        .with_header("x-own", "3");
    let message = record.to_message().expect("readable");
    assert_eq!(message.user(), Some("bob"));
    assert_eq!(message.headers().last(USER_ID), None);
    let own: Vec<_> = message
        .headers()
        .iter()
        .filter(|(name, _)| *name == "x-own")
        .collect();
    assert_eq!(own.len(), 3);
}

#[test]
fn an_empty_attribute_is_one_that_is_missing() {
    let mut record = binary(&full());
    for name in [SUBJECT, USER_ID, CONTENT_TYPE, TIME, DATA_VERSION] {
        record.headers.set(name, "");
    }
    let message = record.to_message().expect("readable");
    assert_eq!(
        (message.subject(), message.user(), message.content_type()),
        (None, None, None)
    );
    assert_eq!(message.version(), 1);
    let built = full().with_subject("").with_user("").with_content_type("");
    assert_eq!(
        (built.subject(), built.user(), built.content_type()),
        (None, None, None)
    );
}

#[test]
fn a_message_without_a_time_has_that_of_its_record_every_time() {
    let mut record = binary(&full());
    record.headers.remove(TIME);
    let stamp: DateTime<Utc> = "2026-01-31T23:59:59Z".parse().expect("a time");
    for _ in 0..2 {
        let message = from_record(&record.headers, None, None, Some(stamp));
        assert_eq!(message.expect("readable").time(), stamp);
    }
}

#[test]
fn values_share_one_block() {
    let headers = binary(&full()).headers;
    let (first, second) = (headers.last(SPEC_VERSION), headers.last(ID));
    let (first, second) = (first.expect("there"), second.expect("there"));
    assert_eq!(first.as_ptr_range().end, second.as_ptr_range().start);
}
