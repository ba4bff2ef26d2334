mod binary;
mod robust;
mod structured;
mod traces;

use super::*;
use crate::broker::Record;
use crate::message::TraceContext;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01";

fn full() -> Message {
    Message::new("task.created", "{}")
        .with_source("/tasks")
        .with_version(3)
        .with_subject("7")
        .with_content_type(Message::JSON)
        .with_data_schema("https://example.org/s")
        .with_key("7")
        .with_user("ada")
        .with_tenant("t")
        .with_correlation_id("c")
        .with_causation_id("d")
        .with_trace(
            TraceContext::generate()
                .with_state("a=b")
                .with_baggage("k=v"),
        )
        .with_header("x-own", "1")
        .with_header("ce_region", "eu")
        .with_header("x-own", Bytes::from_static(&[0xff]))
}

fn binary(message: &Message) -> Record {
    Record::from_message("t", message).expect("valid")
}

fn structured(message: &Message) -> Record {
    Record::structured("t", message).expect("valid")
}

/// The detail of the error that reading gives.
fn refused(record: &Record) -> String {
    let error = record.to_message().expect_err("no message");
    assert_eq!(error.kind(), Kind::Corrupt);
    error.detail().unwrap_or_default().to_owned()
}

fn document(record: &Record) -> serde_json::Value {
    serde_json::from_slice(record.payload.as_ref().expect("a document")).expect("JSON")
}

fn of_document(document: impl Into<Bytes>) -> Record {
    Record::new("t", document).with_header(CONTENT_TYPE, STRUCTURED)
}
