//! Headless Chromium, driven over its `DevTools` pipe: no driver and no websocket between.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// A running browser.
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Value>,
    next: u64,
    aside: VecDeque<Value>,
    _profile: tempfile::TempDir,
}

/// One page of it.
pub struct Page<'b> {
    browser: &'b mut Browser,
    session: String,
    width: u32,
}

/// Where the browser is: `CHROMIUM`, or where Debian puts it.
fn path() -> PathBuf {
    let path = std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: run `apt-get install -y chromium` (scripts/setup does), or name another one in CHROMIUM",
        path.display()
    );
    path
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The DevTools pipe is descriptors 3 and 4; the shell lays them, and becomes the browser.
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 1>&2 0</dev/null", "sh"])
            .arg(path())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args([
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--lang=en-GB",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("TZ", "Europe/Berlin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                message.clear();
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        Self { child, input, output, next: 0, aside: VecDeque::new(), _profile: profile }
    }

    fn receive(&mut self, until: Instant) -> Option<Value> {
        self.output.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.ask(session, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The answer to a call, or the error that the browser names.
    fn ask(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, String> {
        self.next += 1;
        let id = self.next;
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&request).unwrap();
        bytes.push(0);
        self.input.as_mut().unwrap().write_all(&bytes).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let message =
                self.receive(until).unwrap_or_else(|| panic!("the browser does not answer {method}"));
            if message["id"] == id {
                return match &message["error"] {
                    Value::Null => Ok(message["result"].clone()),
                    error => Err(error.to_string()),
                };
            }
            self.aside.push_back(message);
        }
    }

    /// A page of this width, in the dark or light scheme.
    pub fn page(&mut self, width: u32, dark: bool) -> Page<'_> {
        let target = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = self.call(
            None,
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let mut page = Page { browser: self, session, width };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, json!({}));
        }
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        let scheme = if dark { "dark" } else { "light" };
        page.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        page.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.next += 1;
        let mut bytes = serde_json::to_vec(&json!({ "id": self.next, "method": "Browser.close" })).unwrap();
        bytes.push(0);
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(&bytes);
        }
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "callers make it for this")]
    fn call(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.clone();
        self.browser.call(Some(&session), method, &params)
    }

    /// Goes to `url` and waits until that page, and not one on its way before it, has loaded.
    pub fn open(&mut self, url: &str) {
        self.browser.aside.retain(|message| message["method"] != "Page.lifecycleEvent");
        let awaited = self.call("Page.navigate", json!({ "url": url }))["loaderId"].clone();
        let until = Instant::now() + PATIENCE;
        loop {
            let loaded = self.browser.aside.iter().any(|message| {
                message["method"] == "Page.lifecycleEvent"
                    && message["params"]["name"] == "load"
                    && message["params"]["loaderId"] == awaited
            });
            if loaded {
                return;
            }
            let message = self.browser.receive(until).unwrap_or_else(|| panic!("{url} does not load"));
            self.browser.aside.push_back(message);
        }
    }

    /// The value of a script's expression, or what it threw; an error also where the page goes to another meanwhile.
    fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let session = self.session.clone();
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.browser.ask(Some(&session), "Runtime.evaluate", &params)?;
        match &answer["exceptionDetails"] {
            Value::Null => Ok(answer["result"]["value"].clone()),
            thrown => Err(thrown.to_string()),
        }
    }

    /// The value of a script's expression.
    pub fn eval(&mut self, expression: &str) -> Value {
        self.evaluate(expression).unwrap_or_else(|thrown| panic!("{expression}: {thrown}"))
    }

    /// The text that a person sees.
    pub fn text(&mut self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `expression` is true. What it throws meanwhile counts as "not yet": a page on its way to
    /// another has none of the elements that are waited for.
    pub fn until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.evaluate(expression);
            if found == Ok(Value::Bool(true)) {
                return;
            }
            assert!(Instant::now() < until, "never true: {expression} ({found:?})\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pixels by which the page is wider than the window.
    pub fn overflow(&mut self) -> i64 {
        self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .as_i64()
            .unwrap()
    }

    /// The whole page as a picture.
    pub fn screenshot(&mut self, file: &Path) {
        let metrics = self.call("Page.getLayoutMetrics", json!({}));
        let height = metrics["cssContentSize"]["height"].as_f64().unwrap().clamp(600.0, 6000.0);
        let clip = json!({ "x": 0, "y": 0, "width": self.width, "height": height, "scale": 1 });
        let shot =
            self.call("Page.captureScreenshot", json!({ "clip": clip, "captureBeyondViewport": true }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What the browser complained about since the last call: errors of scripts, refused loads.
    pub fn complaints(&mut self) -> Vec<String> {
        self.eval("1");
        let mut found = Vec::new();
        self.browser.aside.retain(|message| {
            let params = &message["params"];
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => found.push(params["exceptionDetails"].to_string()),
                Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                    found.push(params["entry"]["text"].to_string());
                }
                _ => return true,
            }
            false
        });
        found
    }
}
