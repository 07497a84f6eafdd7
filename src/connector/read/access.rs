//! `[http]` and `[auth]`.

use super::Scope;
use super::values::{Place, path};
use crate::connector::manifest::{Auth, HttpSpec};
use crate::connector::template::Template;
use crate::tables::Table;

impl Scope<'_> {
    pub(super) fn http(&self, table: &Table<'_>) -> Option<HttpSpec> {
        let base = table.need("base", "the address of the API: \"https://api.example.com/v1\"");
        let base = base.and_then(|value| {
            let template = self.template(&value, Place::Settings)?;
            let text = template.to_string();
            let schemes = ["https://", "http://", "amqp://", "{"];
            if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
                value.wrong(
                    format!("`{text}` is no address"),
                    "expected https:// and a host, or amqp:// and a word for a partner that takes messages",
                );
            }
            Some(template)
        });
        let headers = self.templates(table.get("headers"), Place::Credentials);
        let graphql = table.text("graphql");
        let in_flight = table.whole("in_flight", 1, 1000).and_then(|number| usize::try_from(number).ok());
        table.finish();
        Some(HttpSpec { base: base?, headers, graphql, in_flight })
    }

    pub(super) fn auth(&self, table: &Table<'_>) -> Option<Auth> {
        let kind = table.need("kind", "none, bearer, basic or oauth2")?;
        let auth = match kind.word(&["none", "bearer", "basic", "oauth2"]) {
            Some("bearer") => {
                let secret = table.need("secret", "the name of a [secret.…]").and_then(|value| {
                    let name = value.text()?;
                    self.check_secret(&value, name);
                    Some(name.to_owned())
                });
                secret.map(|secret| Auth::Bearer { secret })
            }
            Some("basic") => {
                let user = table.need("user", "a template such as \"{secret.key}\"");
                let user = user.and_then(|value| self.template(&value, Place::Credentials));
                let password = table.get("password").map(|value| self.template(&value, Place::Credentials));
                match (user, password.unwrap_or_else(|| Some(Template::default()))) {
                    (Some(user), Some(password)) => Some(Auth::Basic { user, password }),
                    _ => None,
                }
            }
            Some("oauth2") => self.oauth2(table),
            Some(_) => Some(Auth::None),
            None => return None,
        };
        table.finish();
        auth
    }

    fn oauth2(&self, table: &Table<'_>) -> Option<Auth> {
        let url = table.need("url", "the token endpoint, below the base or absolute");
        let url = url.and_then(|value| self.template(&value, Place::Settings));
        let fields = table.need("fields", "the fields of the request, such as { grant_type = \"…\" }");
        let fields = self.templates(fields, Place::Credentials);
        let json = table.get("body").and_then(|value| value.word(&["form", "json"])) == Some("json");
        let at = |key: &str| table.get(key).and_then(|value| path(&value));
        let token = at("token").unwrap_or_else(|| "access_token".to_owned());
        let expires = at("expires").unwrap_or_else(|| "expires_in".to_owned());
        let rotates = at("rotates");
        Some(Auth::OAuth2 { url: url?, fields, json, token, expires, rotates })
    }
}
