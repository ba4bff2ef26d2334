//! Base64 as CloudEvents' JSON format has it: RFC 4648, the standard alphabet, padded.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD: u8 = b'=';

pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4_usize {
            let value = (group >> (18 - 6 * digit)) & 0x3f;
            let is_used = digit <= chunk.len();
            out.push(if is_used {
                ALPHABET[value as usize]
            } else {
                PAD
            });
        }
    }
}

/// `None` when it is not what [`encode`] writes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let pads = text.iter().rev().take_while(|b| **b == PAD).count();
    let digits = text.get(..text.len() - pads).filter(|_| pads <= 2)?;
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut group = 0_u32;
        for digit in chunk {
            group = group << 6 | value(*digit)?;
        }
        group <<= 6 * (4 - chunk.len());
        let [_, bytes @ ..] = group.to_be_bytes();
        let (used, unused) = bytes.split_at(chunk.len() - 1);
        if unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(out)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, code) in vectors {
            assert_eq!(encoded(plain.as_bytes()), code);
            assert_eq!(decode(code).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn every_byte_reads_back() {
        for length in 0..600 {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            assert_eq!(decode(&encoded(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for bad in [
            "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9\n", "Zh==", "Zm9=", "Zm-_",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
