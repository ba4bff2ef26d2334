//! As much of PostgreSQL's protocol 3.0 as it takes to run one statement without a password.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const PROTOCOL: i32 = 3 << 16;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `sql` and returns the first column of the last row, if there is one.
pub(crate) fn query(
    address: &str,
    user: &str,
    database: &str,
    sql: &str,
) -> io::Result<Option<String>> {
    let address = address.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&startup(user, database)?)?;
    until_ready(&mut stream)?;
    stream.write_all(&message(b"Q", &[sql.as_bytes(), b"\0"].concat())?)?;
    let row = until_ready(&mut stream)?;
    stream.write_all(&message(b"X", b"")?)?;
    Ok(row)
}

fn startup(user: &str, database: &str) -> io::Result<Vec<u8>> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    message(b"", &body)
}

fn message(tag: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
    let length = i32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([tag, &length.to_be_bytes(), body].concat())
}

/// Reads until the server waits for the next statement.
fn until_ready(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut row = None;
    let mut failure: Option<String> = None;
    loop {
        let mut head = [0; 5];
        let read = stream.read_exact(&mut head);
        if let (Err(_), Some(failure)) = (&read, &failure) {
            // After a fatal error the server closes the connection.
            return Err(io::Error::other(failure.clone()));
        }
        read?;
        let [tag, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
        let mut body = vec![0; length.saturating_sub(4)];
        stream.read_exact(&mut body)?;
        match (tag, &body[..]) {
            (b'R', [0, 0, 0, 0, ..]) => {}
            (b'R', _) => return Err(io::Error::other("it asks for a password")),
            (b'E', body) => failure = Some(error_text(body)),
            (b'D', body) => row = first_column(body),
            (b'Z', _) => return failure.map_or(Ok(row), |text| Err(io::Error::other(text))),
            _ => {}
        }
    }
}

/// The human part of an error: fields of a letter and a text, each ended by a zero.
fn error_text(body: &[u8]) -> String {
    body.split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"M"))
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}

fn first_column(body: &[u8]) -> Option<String> {
    let length = i32::from_be_bytes(body.get(2..6)?.try_into().ok()?);
    let end = 6 + usize::try_from(length).ok()?;
    Some(String::from_utf8_lossy(body.get(6..end)?).into_owned())
}
