//! Headers as one blob, as databases keep them: for each the length and bytes of its name, then of its value. Lengths are
//! 32 bits, little endian.

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite", test))]
use bytes::Buf;
use bytes::{BufMut, Bytes, BytesMut};

use super::{Excerpt, Headers};
use crate::error::{Error, Kind};

const CODEC: &str = "headers";

/// Writes `headers`.
pub(crate) fn encode(headers: &Headers) -> Result<Bytes, Error> {
    let mut blob = BytesMut::new();
    for (name, value) in headers.iter() {
        for part in [name.as_bytes(), value] {
            let length = u32::try_from(part.len()).map_err(|source| {
                Error::new(Kind::TooLarge, CODEC, "encode")
                    .with_detail(format!("header {}", Excerpt(name)))
                    .with_source(source)
            })?;
            blob.put_u32_le(length);
            blob.put_slice(part);
        }
    }
    Ok(blob.freeze())
}

/// Reads headers back; the values share the memory of `blob`.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite", test))]
pub(crate) fn decode(mut blob: Bytes) -> Result<Headers, Error> {
    let mut headers = Headers::new();
    while blob.has_remaining() {
        let name = part(&mut blob)?;
        let value = part(&mut blob)?;
        let name = std::str::from_utf8(&name)
            .map_err(|source| corrupt("header name is not UTF-8").with_source(source))?;
        headers.push(name, value);
    }
    Ok(headers)
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite", test))]
fn part(blob: &mut Bytes) -> Result<Bytes, Error> {
    let length = blob
        .try_get_u32_le()
        .ok()
        .and_then(|length| usize::try_from(length).ok())
        .filter(|length| *length <= blob.len())
        .ok_or_else(|| corrupt("headers end too early"))?;
    Ok(blob.split_to(length))
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite", test))]
fn corrupt(detail: &'static str) -> Error {
    Error::new(Kind::Corrupt, CODEC, "decode").with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_in_order_with_duplicates() {
        let headers: Headers = [("a", &b"\xff"[..]), ("", b""), ("a", b"2")]
            .into_iter()
            .collect();
        let blob = encode(&headers).expect("short");
        assert_eq!(decode(blob).expect("whole"), headers);
        assert_eq!(decode(Bytes::new()).expect("whole"), Headers::new());
    }

    #[test]
    fn a_blob_that_was_cut_is_corrupt() {
        let headers: Headers = [("name", "value")].into_iter().collect();
        let blob = encode(&headers).expect("short");
        for length in 1..blob.len() {
            let error = decode(blob.slice(..length)).expect_err("cut");
            assert_eq!(error.kind(), Kind::Corrupt, "{length}");
        }
    }
}
