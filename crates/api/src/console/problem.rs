//! What a page looks like that could not be made.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, ResponseError as _};
use askama::Template;

use super::HTML;
use super::visitor::Chrome;
use crate::failure::Failure;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    chrome: Chrome,
    status: u16,
    title: &'static str,
    detail: String,
    advice: &'static str,
}

/// The page of a failure, with its status.
pub(super) fn page(failure: &Failure, chrome: Chrome) -> HttpResponse {
    let status = failure.status_code();
    let advice = match status.as_u16() {
        401 => "Log in again.",
        403 if failure.name() == "insufficient-scope" => {
            "Your token may look and not do this. Log in with one that has the scope `operate`."
        }
        403 => "Go back, open the page anew and try again.",
        404 => "Look at the address, or search from one of the pages in the menu.",
        409 | 422 | 400 => "Nothing was changed. Go back and look at the page anew.",
        429 => "Wait a little.",
        503 => {
            "The database is away or busy. Deliveries are still taken; what waits is applied when it is back. \
             This page can be loaded again in some seconds."
        }
        _ => "The service's log has the cause under the X-Request-Id of this answer.",
    };
    let shown = ProblemPage {
        chrome,
        status: status.as_u16(),
        title: failure.title(),
        detail: failure.detail().to_owned(),
        advice,
    };
    let body = shown.render().unwrap_or_else(|_| failure.to_string());
    HttpResponse::build(status).insert_header((CONTENT_TYPE, HTML)).body(body)
}
