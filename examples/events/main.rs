//! Another system that listens to Crossdock: prints the events of the bus, one a line.
//!
//! ```sh
//! cargo run --example events -- amqp://user:password@localhost:5672/%2f 'acme.order.#'
//! ```

mod listen;

#[expect(clippy::print_stdout, reason = "what the example is for")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url =
        arguments.next().ok_or("expected the broker's address: amqp://user:password@host:5672/vhost")?;
    let pattern = arguments.next().unwrap_or_else(|| "#".to_owned());
    let print = |event: &serde_json::Value| {
        println!("{event}");
        false
    };
    listen::listen(&url, "example.events", &pattern, print).await?;
    Err("the broker closed the connection".into())
}
