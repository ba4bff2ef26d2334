use super::*;

fn traced(transport: Option<&str>, extension: Option<&str>) -> Record {
    let mut record = binary(&Message::new("a", "{}"));
    let headers = [
        (TraceContext::TRACEPARENT, transport),
        (TRACEPARENT, extension),
    ];
    for (name, value) in headers {
        if let Some(value) = value {
            record = record.with_header(name, value.to_owned());
        }
    }
    record
}

fn read(record: &Record) -> (Option<String>, Option<String>) {
    let message = record.to_message().expect("readable");
    for again in [binary(&message), structured(&message)] {
        assert_eq!(again.to_message().expect("readable"), message);
    }
    let extension = message.headers().text(TRACEPARENT).map(str::to_owned);
    (message.trace().traceparent().map(str::to_owned), extension)
}

#[test]
fn the_trace_of_the_hop_wins_and_that_of_the_beginning_is_passed_on() {
    let (hop, began) = (Some(PARENT), Some(OTHER_PARENT));
    let owned = |text: Option<&str>| text.map(str::to_owned);
    assert_eq!(read(&traced(hop, began)), (owned(hop), owned(began)));
    assert_eq!(read(&traced(None, began)), (owned(began), None));
    assert_eq!(read(&traced(hop, hop)), (owned(hop), None));
    assert_eq!(read(&traced(hop, None)), (owned(hop), None));
    assert_eq!(read(&traced(Some("nonsense"), began)), (owned(began), None));
    let malformed = Some("nonsense");
    assert_eq!(
        read(&traced(hop, malformed)),
        (owned(hop), owned(malformed))
    );
}

#[test]
fn nothing_in_a_trace_context_makes_a_message_unreadable() {
    for (name, value) in [
        (TraceContext::TRACEPARENT, &b"nonsense"[..]),
        (TraceContext::TRACEPARENT, b"\xff"),
        (TraceContext::TRACESTATE, b"\xff"),
        (TraceContext::TRACESTATE, b"\x00"),
        (TraceContext::BAGGAGE, b"\xff"),
        (TraceContext::BAGGAGE, b"a=\xc3\xa4"),
    ] {
        for record in [binary(&full()), structured(&full())] {
            let mut record = record;
            record.headers.set(name, value.to_vec());
            let message = record.to_message().expect("readable");
            let trace = message.trace();
            match name {
                TraceContext::BAGGAGE => assert_eq!(trace.baggage(), None),
                TraceContext::TRACESTATE => assert_eq!(trace.tracestate(), None),
                _ => assert_eq!(trace.baggage(), Some("k=v")),
            }
        }
    }
}

#[test]
fn both_headers_and_members_carry_the_trace_in_structured_mode() {
    let message = full();
    let record = structured(&message);
    let trace = message.trace();
    assert_eq!(record.headers.text("traceparent"), trace.traceparent());
    assert_eq!(record.headers.text("baggage"), Some("k=v"));
    assert_eq!(
        document(&record)["traceparent"].as_str(),
        trace.traceparent()
    );
    assert_eq!(document(&record)["tracestate"], "a=b");
    let mut bare = record;
    bare.headers.remove("traceparent");
    bare.headers.remove("tracestate");
    assert_eq!(bare.to_message().expect("readable"), message);
}

#[test]
fn baggage_needs_no_trace() {
    let message = Message::new("a", "{}").with_trace(TraceContext::default().with_baggage("k=v"));
    for record in [binary(&message), structured(&message)] {
        assert_eq!(record.to_message().expect("readable"), message);
    }
}

#[test]
fn an_extension_that_would_be_taken_for_the_trace_is_refused() {
    let extended = Message::new("a", "{}").with_header(TRACEPARENT, PARENT);
    let context = |parent| TraceContext::parse(parent).expect("well formed");
    for taken in [
        extended.clone(),
        extended.clone().with_trace(context(PARENT)),
    ] {
        let error = Record::from_message("t", &taken).expect_err("refused");
        assert!(error.to_string().contains(TRACEPARENT), "{error}");
    }
    let other = extended.with_trace(context(OTHER_PARENT));
    assert_eq!(binary(&other).to_message().expect("readable"), other);
}
