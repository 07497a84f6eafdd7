//! localstripe, a gateway that speaks Stripe's forms, as a process of its own.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossdock::ports::{Http, HttpRequest};
use serde_json::Value;

pub const KEY: &str = "sk_test_crossdock";
const PYTHON: &str = "target/tools/localstripe/bin/python";
const INSTALL: &str = "run `scripts/setup`, or `python3 -m venv target/tools/localstripe && \
    target/tools/localstripe/bin/pip install localstripe==1.15.10`, or name a Python that has it in \
    CROSSDOCK_LOCALSTRIPE_PYTHON";

/// A running localstripe. It ends with this.
pub struct Gateway {
    child: Child,
    /// The process ends when this is closed, however the test ends.
    _input: ChildStdin,
    pub port: u16,
    http: Arc<dyn Http>,
}

impl Gateway {
    pub fn start(http: Arc<dyn Http>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("CROSSDOCK_LOCALSTRIPE_PYTHON")
            .unwrap_or_else(|| OsString::from(root.join(PYTHON)));
        let mut child = Command::new(&python)
            .arg("-B")
            .arg(root.join("tests/live/serve_gateway.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("localstripe: {}: {error}: {INSTALL}", python.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(port) = line.trim().parse() else {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("localstripe does not start: {words}\n{INSTALL}");
        };
        Self { _input: child.stdin.take().unwrap(), child, port, http }
    }

    async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = HttpRequest {
            method: method.to_owned(),
            url: format!("http://127.0.0.1:{}{path}", self.port),
            headers: vec![
                ("authorization".to_owned(), format!("Bearer {KEY}")),
                ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ],
            body: Bytes::from(pairs.join("&")),
        };
        let answer = self.http.send(request, Duration::from_secs(20)).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Sends its webhooks to `url`, signed with `secret`.
    pub async fn deliver_to(&self, url: &str, secret: &str) {
        let (status, _) =
            self.call("POST", "/_config/webhooks/crossdock", &[("url", url), ("secret", secret)]).await;
        assert_eq!(status, 200);
    }

    /// A card payment that is authorised, and captured by hand.
    pub async fn authorise(&self, amount: i64, currency: &str, order: &str) -> Value {
        let card = [
            ("type", "card"),
            ("card[number]", "4242424242424242"),
            ("card[exp_month]", "12"),
            ("card[exp_year]", "2040"),
            ("card[cvc]", "123"),
        ];
        let (_, card) = self.call("POST", "/v1/payment_methods", &card).await;
        let (status, intent) = self
            .call(
                "POST",
                "/v1/payment_intents",
                &[
                    ("amount", &amount.to_string()),
                    ("currency", currency),
                    ("payment_method", card["id"].as_str().unwrap()),
                    ("capture_method", "manual"),
                    ("confirm", "true"),
                    ("metadata[order_id]", order),
                ],
            )
            .await;
        assert_eq!((status, intent["status"].as_str()), (200, Some("requires_capture")), "{intent:#}");
        intent
    }

    /// The payment intent as it is now.
    pub async fn payment(&self, id: &str) -> Value {
        self.call("GET", &format!("/v1/payment_intents/{id}"), &[]).await.1
    }

    /// Tries to capture it once more, as anyone might: status and answer.
    pub async fn capture(&self, id: &str) -> (u16, Value) {
        self.call("POST", &format!("/v1/payment_intents/{id}/capture"), &[]).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}
