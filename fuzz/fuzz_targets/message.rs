//! Any record: it may be no message, but what is one reads back the same in both modes.
//!
//! The input is headers as a byte of length and the bytes of name and value, each, until a length of
//! 255, and then the payload.
#![no_main]

use bowline::broker::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = record(input).to_message() else {
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
});

fn record(input: &[u8]) -> Record {
    let mut rest = input;
    let mut headers = Vec::new();
    while let Some(name) = part(&mut rest) {
        let value = part(&mut rest).unwrap_or_default();
        headers.push((String::from_utf8_lossy(name), value));
    }
    let mut record = Record::new("t", rest.to_vec());
    for (name, value) in headers {
        record = record.with_header(&*name, value.to_vec());
    }
    record
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first()?;
    let end = usize::from(*length).min(after.len());
    let (part, after) = match length {
        255 => (None, after),
        _ => (after.get(..end), after.get(end..).unwrap_or_default()),
    };
    *rest = after;
    part
}
