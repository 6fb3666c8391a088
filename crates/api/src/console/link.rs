//! Addresses of pages.

use askama::filters::urlencode_strict;

/// A text as one part of a path, or as a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let Ok(encoded) = urlencode_strict(text);
    encoded.to_string()
}

/// An address on this console that a request names: a path of ours, or the first page.
pub(super) fn local(text: Option<&str>) -> &str {
    let good = |text: &&str| {
        (*text == "/console" || text.starts_with("/console/") || text.starts_with("/console?"))
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    text.filter(good).unwrap_or("/console")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_gone_back_to() {
        for good in ["/console", "/console/matches?q=a%20b", "/console?x=1"] {
            assert_eq!(local(Some(good)), good);
        }
        for bad in
            ["", "//evil.example", "/consolex", "https://evil.example", "/console/\r\nx", "/console/\\x"]
        {
            assert_eq!(local(Some(bad)), "/console", "{bad}");
        }
    }

    #[test]
    fn a_part_of_a_path_holds_no_slash_and_nothing_that_ends_it() {
        assert_eq!(encoded("a/b?c#d\"<é"), "a%2Fb%3Fc%23d%22%3C%C3%A9");
    }
}
