//! Who may ask: a bearer token, or the console's log-in cookie; without a configured token, only this machine. Requests
//! that change something must come from our own pages or from a program.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::{Shared, Web};

const COOKIE: &str = "crossdock";
/// How long a log-in lasts.
const LASTS: SignedDuration = SignedDuration::from_hours(12);

/// Lets a request pass when it may.
pub async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let token = web.token();
    let allowed = match &token {
        None => known_host(&web, headers).map(|()| Caller::Person),
        Some(token) => caller(token, headers, web.clock.now()).ok_or_else(|| unknown(headers)),
    };
    let checked = allowed.and_then(|caller| {
        let safe = matches!(*request.method(), Method::GET | Method::HEAD);
        if safe || caller == Caller::Program { Ok(()) } else { same_origin(&web, headers) }
    });
    match checked {
        Ok(()) => next.run(request).await,
        Err(error) if error.status == StatusCode::UNAUTHORIZED && wants_page(&request) => {
            let target = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let query = serde_urlencoded::to_string([("next", target)]).unwrap_or_default();
            Redirect::to(&format!("/login?{query}")).into_response()
        }
        Err(error) => {
            let unauthorised = error.status == StatusCode::UNAUTHORIZED;
            let mut response = error.into_response();
            if unauthorised {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// By bearer token: no browser adds that by itself.
    Program,
    /// By cookie, or on a machine without token.
    Person,
}

fn caller(token: &SecretString, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if bearer.is_some_and(|given| is_token(token, given.trim())) {
        return Some(Caller::Program);
    }
    cookie(headers).is_some_and(|value| is_cookie(token, value, now)).then_some(Caller::Person)
}

/// Whether `given` is the token; compared by digest, so that the time taken tells nothing.
pub fn is_token(token: &SecretString, given: &str) -> bool {
    Sha256::digest(token.expose_secret()) == Sha256::digest(given)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

fn signer(token: &SecretString) -> Option<Hmac<Sha256>> {
    let key = Sha256::digest(format!("crossdock console {}", token.expose_secret()));
    Hmac::new_from_slice(&key).ok()
}

fn is_cookie(token: &SecretString, value: &str, now: Timestamp) -> bool {
    let Some((until, signature)) = value.split_once('.') else { return false };
    let (Ok(seconds), Ok(signature), Some(mut mac)) =
        (until.parse::<i64>(), hex::decode(signature), signer(token))
    else {
        return false;
    };
    mac.update(until.as_bytes());
    mac.verify_slice(&signature).is_ok() && seconds > now.as_second()
}

/// The `Set-Cookie` value of a log-in at `now`; over https only when `secure`.
pub fn log_in(token: &SecretString, now: Timestamp, secure: bool) -> Option<String> {
    let until = (now + LASTS).as_second().to_string();
    let mut mac = signer(token)?;
    mac.update(until.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let secure = if secure { "; Secure" } else { "" };
    let age = LASTS.as_secs();
    Some(format!("{COOKIE}={until}.{signature}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"))
}

/// The `Set-Cookie` value that ends a log-in.
pub fn log_out() -> String {
    format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
}

fn unknown(headers: &HeaderMap) -> ApiError {
    let error = if headers.contains_key(header::AUTHORIZATION) {
        "the token is not the right one"
    } else {
        "a token is needed"
    };
    ApiError::new(StatusCode::UNAUTHORIZED, error)
        .help("send `Authorization: Bearer …` with the token of [server] in config.toml")
}

fn wants_page(request: &Request) -> bool {
    let path = request.uri().path();
    !path.starts_with("/api/") && path != "/metrics"
}

/// Without a token, a page of a stranger must not read us through a name of its own that it points at this machine.
fn known_host(web: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = host(headers).unwrap_or_default();
    let name = host_name(given);
    let here = name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok()
        || public_host(web).is_some_and(|public| host_name(&public) == name);
    if here {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, format!("this daemon is not known as `{name}`"))
        .help("set `public_url` (and a `token`) under [server] in config.toml"))
}

/// A request that changes something must not come from another site's page. Programs send neither header.
///
/// # Errors
/// When it does.
pub fn same_origin(web: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fine = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let from = origin.split_once("://").map_or(origin, |(_, rest)| rest);
            Some(from) == host(headers) || public_host(web).is_some_and(|public| public == from)
        }
        (None, None) => true,
    };
    if fine {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "the request comes from another site's page")
        .help("use the console itself, or a program with `Authorization: Bearer …`"))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).and_then(|value| value.to_str().ok())
}

/// The name without the port; brackets of IPv6 addresses removed.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn public_host(web: &Shared) -> Option<String> {
    let world = web.world.load();
    let rest = world.config.server.public_url.split_once("://")?.1;
    Some(rest.split('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_holds_for_its_token_until_it_ends() {
        let token = SecretString::from("s3cret");
        let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        let set = log_in(&token, now, true).unwrap();
        assert!(set.contains("HttpOnly; SameSite=Strict; Secure"));
        let value = set.split([';', '=']).nth(1).unwrap();
        assert!(is_cookie(&token, value, now));
        assert!(!is_cookie(&SecretString::from("other"), value, now));
        assert!(!is_cookie(&token, value, now + LASTS));
        let later = value.replacen('1', "2", 1);
        assert!(!is_cookie(&token, &later, now));
        assert!(!is_cookie(&token, "", now));
    }

    #[test]
    fn host_names_lose_their_port() {
        assert_eq!(host_name("localhost:7070"), "localhost");
        assert_eq!(host_name("[::1]:7070"), "::1");
        assert_eq!(host_name("example.com"), "example.com");
    }

    #[test]
    fn tokens_are_told_apart() {
        let token = SecretString::from("s3cret");
        assert!(is_token(&token, "s3cret"));
        assert!(!is_token(&token, "s3cre"));
    }
}
