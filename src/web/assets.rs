//! Style sheet, script and pictures of the console, embedded in the binary.

use axum::extract::{Path, RawQuery};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "src/web/assets/"]
struct Assets;

/// The address of an asset: it changes with the content, so that browsers may keep it for ever.
pub fn url(file: &str) -> String {
    let hash = Assets::get(file).map(|found| hex::encode(&found.metadata.sha256_hash()[..6]));
    format!("/assets/{file}?v={}", hash.unwrap_or_default())
}

/// `GET /assets/{file}`.
///
/// # Errors
/// When there is no such file.
pub async fn serve(Path(file): Path<String>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let found = Assets::get(&file).ok_or_else(|| ApiError::missing(format!("there is no asset {file}")))?;
    let keep = if query.is_some() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, kind(&file)), (header::CACHE_CONTROL, keep)];
    Ok((headers, found.data.into_owned()).into_response())
}

/// The media type, by the file's ending.
fn kind(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asset_has_its_media_type() {
        for file in Assets::iter() {
            assert_ne!(kind(&file), "application/octet-stream", "{file}");
        }
    }
}
