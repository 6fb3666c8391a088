//! Addresses of pages.

use askama::filters::urlencode_strict;

/// A text as one part of a path, or as a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let Ok(encoded) = urlencode_strict(text);
    encoded.to_string()
}

/// A path with those parts of a query that are there.
pub(crate) fn address(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let mut address = path.to_owned();
    let mut joint = '?';
    for (name, value) in query {
        if let Some(value) = value {
            address.push(joint);
            address.push_str(name);
            address.push('=');
            address.push_str(&encoded(value));
            joint = '&';
        }
    }
    address
}

/// What a form's field says; one that was left empty says nothing.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
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
    fn an_address_says_what_is_given() {
        let query = [("a", None), ("b", Some("x&y")), ("c", Some(" "))];
        assert_eq!(address("/console/x", &query), "/console/x?b=x%26y&c=%20");
        assert_eq!(address("/console/x", &[]), "/console/x");
        assert_eq!(given(Some("  ".to_owned())), None);
    }

    #[test]
    fn a_part_of_a_path_holds_no_slash_and_nothing_that_ends_it() {
        assert_eq!(encoded("a/b?c#d\"<é"), "a%2Fb%3Fc%23d%22%3C%C3%A9");
    }
}
