//! Files that pages need. Their paths hold their digests, so a browser may keep them for ever and never has an old one.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};

/// A file that is part of the program.
pub(super) struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    path: String,
}

impl Asset {
    fn new(name: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        let digest: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { name, media_type, bytes, path: format!("/console/assets/{digest}/{name}") }
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        Asset::new("console.css", "text/css; charset=utf-8", include_bytes!("../../assets/console.css")),
        Asset::new("console.js", SCRIPT, include_bytes!("../../assets/console.js")),
        // htmx 2, as its authors publish it; its licence stands beside it.
        Asset::new("htmx.min.js", SCRIPT, include_bytes!("../../assets/htmx.min.js")),
        Asset::new("icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
    ]
});

/// Where a file is, by its name. Templates call it.
pub(crate) fn path(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map_or("/console/assets/missing", |asset| &asset.path)
}

/// `GET /console/assets/{digest}/{name}`
pub(super) async fn serve(
    request: actix_web::HttpRequest,
    _: web::Path<(String, String)>,
) -> Result<HttpResponse> {
    let found = ASSETS.iter().find(|asset| asset.path == request.path());
    let asset = found.ok_or_else(Failure::no_such_page)?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.media_type))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.bytes))
}
