//! As much of Kafka's protocol as it takes to append a record that no client of ours would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Appends a record to partition 0 of `topic`, with header names as they are.
pub(crate) fn produce(address: &str, topic: &str, payload: &[u8], headers: &[(&[u8], &[u8])]) {
    let records = batch(&record(payload, headers));
    let mut request = Vec::new();
    // Produce, version 3, correlation id 1, client "t", no transaction, all replicas, 10 s.
    request.extend([0, 0, 0, 3, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff]);
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(length(records.len()));
    request.extend(records);

    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&length(request.len())).unwrap();
    stream.write_all(&request).unwrap();
    let mut answered = [0; 4];
    stream.read_exact(&mut answered).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(answered) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation id, one topic with its name, one partition with its number.
    let error = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "{answer:?}");
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap().to_be_bytes()
}

fn batch(record: &[u8]) -> Vec<u8> {
    // Attributes and the last offset, first and last timestamp, no producer, one record.
    let mut body = vec![0; 2 + 4 + 8 + 8];
    body.extend([0xff; 8 + 2 + 4]);
    body.extend(1_i32.to_be_bytes());
    body.extend(record);
    let mut batch = vec![0; 8];
    batch.extend(length(4 + 1 + 4 + body.len()));
    batch.extend([0xff, 0xff, 0xff, 0xff, 2]);
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(body);
    batch
}

fn record(payload: &[u8], headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    // Attributes, timestamp and offset, no key.
    let mut record = vec![0, 0, 0, 1];
    sized(&mut record, payload);
    varint(&mut record, headers.len());
    for (name, value) in headers {
        sized(&mut record, name);
        sized(&mut record, value);
    }
    let mut whole = Vec::new();
    sized(&mut whole, &record);
    whole
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len());
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, number: usize) {
    let mut left = number << 1;
    while left > 0x7f {
        out.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap());
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
    let add = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(!0, add)
}
