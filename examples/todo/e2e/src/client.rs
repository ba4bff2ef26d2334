use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::{Value, json};

/// A person with an account, as the gateway sees one. Clones are the same person.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

/// What the gateway answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The JSON body, or null.
    pub body: Value,
}

/// The live events of one person, read line by line.
#[derive(Debug)]
pub struct Events(std::sync::mpsc::Receiver<Value>);

/// What an operator of the distributed system must know to register.
pub(crate) const INVITATION: &str = "an invitation for tests";

impl Client {
    /// Nobody yet, at `base`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        Self {
            agent,
            base: base.trim_end_matches('/').to_owned(),
            token: None,
        }
    }

    /// The same person at another address, after a restart.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// A new account `name@example.org`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn register(base: &str, name: &str) -> Self {
        let mut client = Self::new(base);
        let body = json!({
            "email": format!("{name}@example.org"),
            "password": "correct horse",
            "invitation": INVITATION,
        });
        let answer = crate::eventually("a registration", || {
            client
                .call("POST", "/api/users/register", Some(&body), &[])
                .ok()
                .filter(Answer::is_success)
        });
        client.token = answer.body["token"].as_str().map(str::to_owned);
        assert!(client.token.is_some(), "no token in {answer:?}");
        client
    }

    /// One request.
    ///
    /// # Errors
    ///
    /// When the connection failed, so that nobody knows what happened.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let text = body.map(Value::to_string);
        self.raw(method, path, text.as_deref().map(str::as_bytes), headers)
    }

    /// One request with the bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection failed, so that nobody knows what happened.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.unwrap_or_default().to_vec())?;
        let mut response = self.agent.run(request)?;
        let headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let text = response.body_mut().read_to_string()?;
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: headers
                .iter()
                .find(|(name, _)| name == "content-type")
                .map(|(_, value)| value.clone())
                .unwrap_or_default(),
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }

    /// Creates a task under an idempotency key.
    ///
    /// # Errors
    ///
    /// When the connection failed.
    pub fn create(&self, title: &str, key: &str) -> Result<Answer, ureq::Error> {
        self.call(
            "POST",
            "/api/tasks",
            Some(&json!({"title": title})),
            &[("idempotency-key", key)],
        )
    }

    /// All items of a paged list.
    ///
    /// # Panics
    ///
    /// When a page does not come within the patience of a test.
    #[must_use]
    pub fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let page = crate::eventually(path, || {
                self.call("GET", &format!("{path}{after}"), None, &[])
                    .ok()
                    .filter(Answer::is_success)
            });
            items.extend(page.body["items"].as_array().cloned().unwrap_or_default());
            match page.body["next"].as_str() {
                Some(next) => after = format!("?after={next}"),
                None => return items,
            }
        }
    }

    /// Opens the stream of live events and waits until it is there.
    ///
    /// # Panics
    ///
    /// When the gateway does not open it.
    #[must_use]
    pub fn events(&self) -> Events {
        let token = self.token.as_deref().expect("an account");
        let agent = ureq::Agent::config_builder().build().new_agent();
        let response = agent
            .get(format!("{}/api/events", self.base))
            .header("authorization", format!("Bearer {token}"))
            .call()
            .expect("the stream opens");
        let (sender, receiver) = std::sync::mpsc::channel();
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let data = line
                    .strip_prefix("data:")
                    .and_then(|d| serde_json::from_str(d.trim()).ok());
                if data.is_some_and(|data| sender.send(data).is_err()) {
                    return;
                }
            }
        });
        Events(receiver)
    }
}

impl Answer {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it is a problem document with a title and a code.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        self.content_type.starts_with("application/problem+json")
            && self.body["title"].is_string()
            && self.body["code"].is_string()
            && self.body["status"] == self.status
    }

    /// A field of the body as text.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

impl Events {
    /// The next event.
    ///
    /// # Panics
    ///
    /// When none comes within the patience of a test.
    #[must_use]
    pub fn next(&self) -> Value {
        self.0.recv_timeout(crate::PATIENCE).expect("a live event")
    }
}
