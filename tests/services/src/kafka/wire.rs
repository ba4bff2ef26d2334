//! As much of Kafka's protocol as it takes to ask a broker whether it serves.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A metadata request, version 4, for no topic: length, API key 3, version, correlation id 1,
/// client id "t", zero topics, no automatic creation.
const METADATA: [u8; 20] = [
    0, 0, 0, 16, 0, 3, 0, 4, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 0, 0,
];
const LARGEST_ANSWER: usize = 1 << 20;

/// Succeeds once the broker lists itself: the port opens before that, and a broker that was
/// killed comes back only when its old registration has run out.
pub(super) fn is_serving(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&METADATA)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > LARGEST_ANSWER {
        return Err(io::Error::other("not an answer of Kafka"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    // Correlation id, throttle time, number of brokers.
    match answer.get(8..12) {
        Some(count) if count != [0; 4] => Ok(()),
        _ => Err(io::Error::other("the broker is not yet registered")),
    }
}
