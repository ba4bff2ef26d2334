use bytes::Bytes;

use super::attribute::{Attribute, PerAttribute};
use super::{VERSION, time};
use crate::message::headers::Form;
use crate::message::{Headers, Message};

/// All values stand in one block: a header costs no memory of its own.
pub(super) fn write(message: &Message) -> Headers {
    let texts = texts(message);
    let long = texts.iter().flatten().map(|text| text.len());
    let numbers = time::LONGEST + "4294967295".len();
    let mut block = String::with_capacity(long.sum::<usize>() + numbers);
    let mut ends = [None; Attribute::ALL.len()];
    for (attribute, end) in Attribute::ALL.into_iter().zip(&mut ends) {
        match attribute {
            Attribute::Time => time::push(&mut block, message.time),
            Attribute::DataVersion => push_number(&mut block, message.version),
            _ => match texts[attribute as usize] {
                Some(text) => block.push_str(text),
                None => continue,
            },
        }
        *end = Some(block.len());
    }
    let block = Bytes::from(block);
    let mut headers = Headers::with_capacity(ends.len() + message.headers.len());
    let mut start = 0;
    for (attribute, end) in Attribute::ALL.into_iter().zip(ends) {
        let Some(end) = end else { continue };
        headers.push(attribute, block.slice(start..end));
        start = end;
    }
    for (name, value, _) in message.headers.entries() {
        headers.push_as(name.clone(), value.clone(), Form::Text);
    }
    headers
}

/// The attributes that are texts, which time and version are not.
pub(super) fn texts(message: &Message) -> PerAttribute<Option<&str>> {
    let trace = message.trace();
    [
        Some(VERSION),
        Some(message.id().as_str()),
        Some(message.source()),
        Some(message.kind()),
        None,
        message.subject(),
        message.data_schema(),
        None,
        message.user(),
        message.tenant(),
        message.correlation_id(),
        message.causation_id(),
        message.content_type(),
        trace.traceparent(),
        trace.tracestate(),
        trace.baggage(),
    ]
}

fn push_number(out: &mut String, number: u32) {
    if let Some(rest) = number.checked_div(10).filter(|rest| *rest > 0) {
        push_number(out, rest);
    }
    if let Some(digit) = char::from_digit(number % 10, 10) {
        out.push(digit);
    }
}
