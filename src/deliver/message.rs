//! Accounts whose partner takes messages instead of calls: a connector whose base is `amqp://…` has its commands published to
//! the broker, each under its name, and a confirmed one counts as done.

use crate::canonical::AccountId;
use crate::canonical::ids::digest;
use crate::ports::{Bus, Command, HttpError, HttpRequest, HttpResponse};

/// The header that carries our key, where the manifest names it for `once`: the receiver knows a copy by it.
const ID: &str = "Message-Id";

/// The message that `request` is, for a partner that takes messages: `POST amqp://anything/order.create` goes out under
/// `<account>.order.create`. None for a call.
pub(super) fn message(account: &AccountId, request: &HttpRequest) -> Option<Result<Command, HttpError>> {
    let (_, name) = request.url.strip_prefix("amqp://")?.split_once('/')?;
    let name = name.split('?').next().unwrap_or_default();
    if request.method != "POST" {
        return Some(Err(HttpError::NotSent(format!(
            "{} {name}: messages can only be sent",
            request.method
        ))));
    }
    let header = |wanted: &str| {
        let found = request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone())
    };
    let key = format!("{account}.{}", name.replace('/', "."));
    let same = || hex::encode(&digest(&[&key, &String::from_utf8_lossy(&request.body)])[..16]);
    Some(Ok(Command {
        id: header(ID).unwrap_or_else(same),
        content_type: header("Content-Type").unwrap_or_else(|| "application/json".to_owned()),
        body: request.body.clone(),
        key,
    }))
}

/// Publishes a message; the broker's confirm is the answer.
pub(super) async fn publish(
    bus: &dyn Bus,
    message: Result<Command, HttpError>,
) -> Result<HttpResponse, HttpError> {
    match bus.command(&message?).await {
        Ok(()) => Ok(HttpResponse { status: 202, headers: Vec::new(), body: bytes::Bytes::new() }),
        // It may have gone out all the same.
        Err(error) => Err(HttpError::NoAnswer(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> HttpRequest {
        HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: bytes::Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn what_goes_to_a_broker_is_a_message() {
        let account = AccountId::from("hall");
        assert!(message(&account, &request("POST", "https://wms.example/order", &[])).is_none());
        let headers = [("content-type", "text/csv"), ("message-id", "k1")];
        let sent = message(&account, &request("POST", "amqp://commands/order.create", &headers));
        let sent = sent.unwrap().unwrap();
        assert_eq!((sent.key.as_str(), sent.id.as_str()), ("hall.order.create", "k1"));
        assert_eq!(sent.content_type, "text/csv");
        let one = message(&account, &request("POST", "amqp://commands/order/cancel", &[])).unwrap().unwrap();
        let again =
            message(&account, &request("POST", "amqp://commands/order/cancel", &[])).unwrap().unwrap();
        assert_eq!((one.key.as_str(), &one.id), ("hall.order.cancel", &again.id));
        let asked = message(&account, &request("GET", "amqp://commands/orders", &[])).unwrap();
        assert!(matches!(asked, Err(HttpError::NotSent(_))));
    }
}
