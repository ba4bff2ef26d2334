//! Channels of notifications: one that is down opens its breaker, delays what it has to send and holds
//! up nobody else; when it is back everything comes, once and in order.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use todo_e2e::{Client, Cluster, Mode, eventually};

/// What somebody else's server has taken.
#[derive(Debug, Clone)]
struct Hook {
    address: String,
    down: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let hook = Self {
            address,
            down: Arc::default(),
            taken: Arc::default(),
        };
        let answering = hook.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hook = answering.clone();
                thread::spawn(move || hook.serve(&stream));
            }
        });
        hook
    }

    /// Answers the requests of one connection.
    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((key, body)) = request(&mut reader) {
            let status = if self.down.load(Ordering::SeqCst) {
                "503 Service Unavailable"
            } else {
                self.taken.lock().expect("alone").push((key, body));
                "204 No Content"
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn texts(&self) -> Vec<String> {
        let taken = self.taken.lock().expect("alone");
        let text = |(_, body): &(String, Value)| body["text"].as_str().unwrap_or_default().into();
        taken.iter().map(text).collect()
    }
}

/// The idempotency key and the body of one request; `None` when the connection has ended.
fn request(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("idempotency-key", value)) => value.clone_into(&mut key),
            Some(("content-length", value)) => length = value.parse().ok()?,
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((key, serde_json::from_slice(&body).ok()?))
}

#[test]
fn a_channel_that_is_down_delays_its_own_notifications_and_no_others() {
    let hook = Hook::start();
    let mails = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start_with(
        Mode::Embedded,
        true,
        &[
            ("TODO_WEBHOOK", &hook.address),
            ("TODO_MAIL_FOLDER", &mails.path().display().to_string()),
        ],
    );
    let ada = Client::register(cluster.url(), "ada");
    eventually("closed channels", || {
        let closed = channel(&ada, "mail") == "closed" && channel(&ada, "webhook") == "closed";
        closed.then_some(())
    });

    hook.down.store(true, Ordering::SeqCst);
    for n in 0..6 {
        let made = ada.create(&format!("task {n}"), &format!("key {n}"));
        assert!(made.expect("an answer").is_success());
    }
    eventually("an open webhook", || {
        (channel(&ada, "webhook") == "open").then_some(())
    });
    eventually("six mails", || (count(mails.path()) == 6).then_some(()));
    assert_eq!(channel(&ada, "mail"), "closed", "the other channel goes on");
    assert_eq!(
        ada.all("/api/notifications").len(),
        6,
        "and so does the page"
    );
    assert!(hook.texts().is_empty());
    let letters = operations(&ada)["dead_letters"].as_array().cloned();
    assert_eq!(letters, Some(Vec::new()), "an outage is no dead letter");

    hook.down.store(false, Ordering::SeqCst);
    let expected = by_creation(&ada);
    eventually("all webhooks", || {
        (hook.texts().len() >= expected.len()).then_some(())
    });
    // One key, one partition: as they were made.
    assert_eq!(hook.texts(), expected, "each once and in order");
    eventually("a closed webhook", || {
        (channel(&ada, "webhook") == "closed").then_some(())
    });
}

#[test]
fn mail_can_be_switched_off_and_is_sent_later() {
    let mails = tempfile::tempdir().expect("a folder");
    let folder = mails.path().display().to_string();
    let cluster = Cluster::start_with(Mode::Embedded, true, &[("TODO_MAIL_FOLDER", &folder)]);
    let ada = Client::register(cluster.url(), "ada");
    fault(&ada, &json!({"no_mail": true}));
    let made = ada.create("buy milk", "one").expect("an answer");
    assert!(made.is_success());
    eventually("an open mail channel", || {
        (channel(&ada, "mail") == "open").then_some(())
    });
    assert_eq!(count(mails.path()), 0);

    fault(&ada, &json!({}));
    eventually("a mail", || (count(mails.path()) == 1).then_some(()));
    let mail = fs::read_dir(mails.path()).expect("a folder").next();
    let mail = fs::read_to_string(mail.expect("a mail").expect("readable").path());
    let mail = mail.expect("text");
    for line in [
        "To: ada@example.org",
        "Subject: New task: buy milk",
        "Message-ID: <",
    ] {
        assert!(mail.contains(line), "{line} in {mail}");
    }
}

fn by_creation(ada: &Client) -> Vec<String> {
    let notifications = ada.all("/api/notifications");
    let texts = notifications.iter().rev().map(|one| one["text"].as_str());
    texts.flatten().map(str::to_owned).collect()
}

fn count(folder: &Path) -> usize {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|end| end == "eml"))
        .count()
}

fn fault(ada: &Client, faults: &Value) {
    let answer = ada.call("POST", "/api/ops/faults", Some(faults), &[]);
    assert!(answer.expect("an answer").is_success());
}

fn operations(ada: &Client) -> Value {
    ada.call("GET", "/api/ops", None, &[])
        .expect("an answer")
        .body
}

/// What the operations page shows of the circuit of a channel.
fn channel(ada: &Client, name: &str) -> String {
    let view = operations(ada);
    let breakers = view["breakers"].as_array().cloned().unwrap_or_default();
    let found = breakers.iter().find(|breaker| breaker["name"] == name);
    found
        .and_then(|breaker| breaker["state"].as_str())
        .unwrap_or_default()
        .to_owned()
}
