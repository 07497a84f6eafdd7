//! Access tokens of OAuth 2: got under the account's lease, kept in memory and, sealed, in the store.
//!
//! Where the partner rotates refresh tokens, the new one is in the store before the access token that came with it is
//! used: a process that dies in between leaves the account usable.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::shared::{Shared, View};
use crate::canonical::ids::digest;
use crate::connector::auth;
use crate::connector::manifest::Auth;
use crate::connector::request::Fill;
use crate::connector::template::Template;
use crate::retry::later;

/// The space of the store in which tokens are kept, by account.
pub const SPACE: &str = "token";
/// A token that lives no longer than this is replaced before it is used.
const REST: Duration = Duration::from_mins(1);
/// For how long a token is taken to live whose partner does not say.
const LIFE: Duration = Duration::from_hours(1);
/// The secret that rotates.
const ROTATING: &str = "refresh_token";

/// What is known of the account's tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    kept: Option<Kept>,
    /// The store does not have `kept` yet.
    unsaved: bool,
    /// The partner has refused this access token.
    refused: Option<String>,
}

/// As kept in the store, sealed.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    access: String,
    until: Option<Timestamp>,
    refresh: Option<String>,
    /// Digest of the configured secrets: when a person changes them, what was kept is void.
    configured: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Shared {
    /// The access token for a call under a lease that is held; none when the partner needs none.
    pub(super) async fn token(&self, view: &View) -> Result<Option<SecretString>, String> {
        let Auth::OAuth2 { .. } = view.manifest().auth else { return Ok(None) };
        let mut present = self.tokens.present.lock().await;
        let configured = fingerprint(view);
        if present.kept.as_ref().is_none_or(|kept| kept.configured != configured) {
            present.kept = self.kept_token(&configured).await?;
            present.unsaved = false;
        }
        if present.unsaved {
            self.save_token(&mut present).await?;
        }
        let fresh = later(self.now(), REST);
        let usable = present.kept.as_ref().filter(|kept| {
            kept.until.is_some_and(|until| until > fresh) && present.refused.as_ref() != Some(&kept.access)
        });
        if let Some(kept) = usable {
            return Ok(Some(SecretString::from(kept.access.clone())));
        }
        let rotated = present.kept.as_ref().and_then(|kept| kept.refresh.clone());
        let kept = self.new_token(view, rotated, configured).await?;
        let access = SecretString::from(kept.access.clone());
        *present = Present { kept: Some(kept), unsaved: true, refused: None };
        self.save_token(&mut present).await?;
        Ok(Some(access))
    }

    /// The partner has refused `token`: the next call gets another.
    pub(super) async fn refuse_token(&self, token: Option<&SecretString>) {
        let mut present = self.tokens.present.lock().await;
        present.refused = token.map(|token| token.expose_secret().to_owned());
    }

    async fn kept_token(&self, configured: &str) -> Result<Option<Kept>, String> {
        let Some(seal) = &self.deps.seal else { return Ok(None) };
        let kept = self.deps.store.get(SPACE, self.account.as_str()).await;
        let kept = kept.map_err(|error| format!("the store does not give the token: {error}"))?;
        let sealed = kept.as_ref().and_then(|kept| kept.get("sealed")).and_then(Value::as_str);
        let Some(sealed) = sealed else { return Ok(None) };
        let opened = seal.open(self.account.as_str(), sealed);
        let Some(opened) = opened else {
            warn!(account = %self.account, "the kept token was sealed with another key; starting from the configured one");
            return Ok(None);
        };
        let kept = serde_json::from_str::<Kept>(&opened).ok();
        Ok(kept.filter(|kept| kept.configured == configured))
    }

    async fn save_token(&self, present: &mut Present) -> Result<(), String> {
        let (Some(seal), Some(kept)) = (&self.deps.seal, &present.kept) else {
            present.unsaved = false;
            return Ok(());
        };
        let clock = &self.deps.clock;
        let plain = serde_json::to_string(kept).map_err(|error| error.to_string())?;
        let sealed = seal
            .close(self.account.as_str(), &plain, [clock.random(), clock.random()])
            .ok_or("the token cannot be sealed")?;
        let put = self.deps.store.put(SPACE, self.account.as_str(), json!({ "sealed": sealed }), None).await;
        put.map_err(|error| format!("the store does not keep the new token: {error}"))?;
        present.unsaved = false;
        Ok(())
    }

    async fn new_token(
        &self,
        view: &View,
        rotated: Option<String>,
        configured: String,
    ) -> Result<Kept, String> {
        let manifest = view.manifest();
        let mut fill = Fill::of(&view.account);
        if let Some(rotated) = &rotated {
            fill.secrets.insert(ROTATING.to_owned(), vec![SecretString::from(rotated.clone())]);
        }
        let request = auth::token_request(manifest, &fill).map_err(|error| error.to_string())?;
        let request = request.ok_or("the connector uses no access tokens")?;
        let answer = self.deps.http.send(request, view.delivery().attempt_timeout).await;
        let answer = answer.map_err(|error| format!("no access token: {error}"))?;
        let token =
            auth::read_token(&manifest.auth, &answer).map_err(|error| format!("no access token: {error}"))?;
        info!(account = %self.account, rotated = token.refresh.is_some(), "got an access token");
        Ok(Kept {
            access: token.access.expose_secret().to_owned(),
            until: Some(later(self.now(), token.expires.unwrap_or(LIFE))),
            refresh: token.refresh.map(|refresh| refresh.expose_secret().to_owned()).or(rotated),
            configured,
        })
    }
}

/// Changes when a person changes a secret with which tokens are got.
fn fingerprint(view: &View) -> String {
    let Auth::OAuth2 { fields, .. } = &view.manifest().auth else { return String::new() };
    let mut parts: Vec<&str> = Vec::new();
    for name in fields.values().flat_map(Template::holes).filter_map(|hole| hole.strip_prefix("secret.")) {
        parts.push(name);
        parts.extend(
            view.account.secrets.get(name).and_then(|values| values.first()).map(SecretString::expose_secret),
        );
    }
    hex::encode(&digest(&parts)[..8])
}
