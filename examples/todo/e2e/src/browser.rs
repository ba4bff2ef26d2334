use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

/// Headless Chromium, driven over WebDriver by Debian's chromedriver.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// A browser with an empty profile and a window of `width` by `height` pixels.
    ///
    /// # Panics
    ///
    /// When chromedriver or Chromium is missing or does not start.
    #[must_use]
    pub fn open(width: u32, height: u32) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; it comes with Debian's package chromium-driver");
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        let mut browser = Self {
            driver,
            session: String::new(),
            agent,
            _profile: profile,
        };
        let base = format!("http://127.0.0.1:{port}");
        crate::eventually("chromedriver", || {
            browser.agent.get(format!("{base}/status")).call().ok()
        });
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}});
        browser.session = format!("{base}/session");
        let made = browser.send("POST", "", &wanted);
        let id = made["sessionId"].as_str().expect("a session");
        browser.session = format!("{base}/session/{id}");
        browser
    }

    /// Goes to `url`.
    pub fn visit(&self, url: &str) {
        self.send("POST", "/url", &json!({"url": url}));
    }

    /// Waits for the element that `css` selects and is visible, and clicks it.
    pub fn click(&self, css: &str) {
        crate::eventually(css, || {
            let element = self.find(css)?;
            self.try_send("POST", &format!("/element/{element}/click"), &json!({}))
                .ok()
        });
    }

    /// Types `text` into the element that `css` selects, replacing what is there.
    pub fn fill(&self, css: &str, text: &str) {
        crate::eventually(css, || {
            let element = self.find(css)?;
            self.try_send("POST", &format!("/element/{element}/clear"), &json!({}))
                .ok()?;
            let keys = json!({"text": text});
            self.try_send("POST", &format!("/element/{element}/value"), &keys)
                .ok()
        });
    }

    /// Waits until the text of the element that `css` selects contains `text`.
    pub fn wait_for_text(&self, css: &str, text: &str) {
        crate::eventually(&format!("{text:?} in {css}"), || {
            let element = self.find(css)?;
            let seen = self
                .try_send("GET", &format!("/element/{element}/text"), &Value::Null)
                .ok()?;
            seen.as_str()?.contains(text).then_some(())
        });
    }

    /// How many elements `css` selects.
    #[must_use]
    pub fn count(&self, css: &str) -> usize {
        let found = self.send("POST", "/elements", &selector(css));
        found.as_array().map_or(0, Vec::len)
    }

    /// The value of a JavaScript expression.
    #[must_use]
    pub fn evaluate(&self, expression: &str) -> Value {
        let script = json!({"script": format!("return ({expression});"), "args": []});
        self.send("POST", "/execute/sync", &script)
    }

    /// Writes a picture of the page to `path`.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn screenshot(&self, path: &Path) {
        let picture = self.send("GET", "/screenshot", &Value::Null);
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().expect("a picture"))
            .expect("base64");
        std::fs::write(path, bytes).expect("the picture is written");
    }

    fn find(&self, css: &str) -> Option<String> {
        let found = self.try_send("POST", "/element", &selector(css)).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_send(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let response = match method {
            "GET" => self.agent.get(url).call(),
            "DELETE" => self.agent.delete(url).call(),
            _ => self.agent.post(url).send_json(body),
        };
        let mut response = response.map_err(|error| error.to_string())?;
        let ok = response.status().is_success();
        let mut answer: Value = response
            .body_mut()
            .read_json()
            .map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        if ok {
            Ok(value)
        } else {
            Err(value.to_string())
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the page showed when the test gave up is the best explanation.
            let page = "document.body.innerText";
            let script = json!({"script": format!("return {page};"), "args": []});
            if let Ok(text) = self.try_send("POST", "/execute/sync", &script) {
                eprintln!("the page showed: {text}");
            }
        }
        // The session owns the browser's processes; without it there is nothing to end.
        drop(self.try_send("DELETE", "", &Value::Null));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

fn selector(css: &str) -> Value {
    json!({"using": "css selector", "value": css})
}
