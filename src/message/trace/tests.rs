use super::*;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn only_a_well_formed_traceparent_is_taken() {
    assert!(TraceContext::parse(GOOD).is_some());
    for bad in [
        "",
        "00",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
    ] {
        assert!(TraceContext::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn a_later_version_is_read_as_version_00() {
    for later in [
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be",
    ] {
        let trace = TraceContext::parse(later).expect("well formed");
        assert_eq!(trace.traceparent(), Some(GOOD), "{later}");
    }
    let glued = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what";
    assert!(TraceContext::parse(glued).is_none());
}

#[test]
fn state_and_baggage_are_cut_between_members() {
    let trace = TraceContext::parse(GOOD).expect("well formed");
    let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>();
    let state = |text: &str| {
        trace
            .clone()
            .with_state(text)
            .tracestate()
            .map(str::to_owned)
    };
    assert_eq!(state(&many(40).join(",")), Some(many(32).join(",")));
    let long = format!("a=1 , b={} , c=3", "x".repeat(512));
    assert_eq!(state(&long).as_deref(), Some("a=1"));
    assert_eq!(state("a=1\n"), None);
    assert_eq!(state(" , "), None);

    let baggage = |text: &str| {
        let context = TraceContext::default().with_baggage(text);
        context.baggage().map(str::to_owned)
    };
    assert_eq!(baggage(&many(200).join(",")), Some(many(180).join(",")));
    let long = format!("a=1,b={}", "x".repeat(8192));
    assert_eq!(baggage(&long).as_deref(), Some("a=1"));
    assert_eq!(baggage("a=ä"), None);
}

#[test]
fn state_needs_a_parent_and_baggage_does_not() {
    let alone = TraceContext::default()
        .with_state("a=b")
        .with_baggage("k=v");
    assert_eq!(alone.tracestate(), None);
    assert_eq!(alone.baggage(), Some("k=v"));
    assert!(alone.is_empty());
    assert_eq!(alone.child().baggage(), Some("k=v"));
}

#[test]
fn a_child_passes_on_no_flag_that_version_00_does_not_know() {
    let odd = GOOD.replace("-01", "-ff");
    let child = TraceContext::parse(&odd).expect("well formed").child();
    assert!(child.traceparent().is_some_and(|p| p.ends_with("-03")));
}

#[test]
fn a_child_keeps_the_trace_and_the_flags() {
    let parent = TraceContext::parse(GOOD)
        .expect("well formed")
        .with_baggage("a=b");
    let child = parent.child();
    assert_eq!(child.trace_id(), parent.trace_id());
    assert_ne!(child.traceparent(), parent.traceparent());
    assert!(child.traceparent().is_some_and(|p| p.ends_with("-01")));
    assert_eq!(child.baggage(), Some("a=b"));
    assert!(TraceContext::generate().child().trace_id().is_some());
}
