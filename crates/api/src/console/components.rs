//! What many pages show alike. Each writes its own markup and escapes what it shows, so a template just names it.

use askama::Template;
use askama::filters::HtmlSafe;
use matchpurse_domain::money::format_major;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::now;

use crate::api::Api;
use crate::moment::Moment;

/// A time: how long ago, with the exact one on hover. The script keeps the words right while the page is open.
#[derive(Debug, Clone, Template)]
#[template(source = r#"<time datetime="{{ exact }}" title="{{ exact }}">{{ words }}</time>"#, ext = "html")]
pub(crate) struct When {
    exact: String,
    words: String,
}

/// An amount, with its currency and as many decimal places as that has.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<data class="money{% if negative %} negative{% endif %}" value="{{ minor_units }}">{{ text }} <span class="currency">{{ currency }}</span></data>"#,
    ext = "html"
)]
pub(crate) struct Money {
    minor_units: i64,
    text: String,
    currency: String,
    negative: bool,
}

/// A state in a word, with a mark and a colour.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<span class="chip {{ tone.word() }}"><span class="mark" aria-hidden="true">{{ tone.mark() }}</span>{{ text }}</span>"#,
    ext = "html"
)]
pub(crate) struct Chip {
    tone: Tone,
    text: String,
}

/// What a state means to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Done, as it should be.
    Good,
    /// Under way.
    Busy,
    /// Somebody should look.
    Warn,
    /// Something is wrong.
    Bad,
    /// Nothing follows from it.
    Quiet,
}

/// The way to the next page of a list, and back to its beginning.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"{% if first.is_some() || next.is_some() %}<nav class="pager" aria-label="Pages">
{%- if let Some(first) = first %}<a href="{{ first }}" rel="first">From the beginning</a>{% endif -%}
{%- if let Some(next) = next %}{% if let Some(at) = looked_back_to %}Looked back to {{ at }}. {% endif %}<a href="{{ next }}" rel="next">{% if looked_back_to.is_some() %}Go on{% else %}Next page{% endif %}</a>{% endif -%}</nav>{% endif %}"#,
    ext = "html"
)]
pub(crate) struct Pager {
    first: Option<String>,
    next: Option<String>,
    /// Where the search stopped before the page was full, and can go on.
    looked_back_to: Option<When>,
}

/// A choice of a filter, by a form's field of this name.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<div><label for="f-{{ name }}">{{ label }}</label><select id="f-{{ name }}" name="{{ name }}"><option value="">{{ any }}</option>
{%- for option in options %}<option value="{{ option }}"{% if chosen.as_ref() == Some(option) %} selected{% endif %}>{{ option }}</option>{% endfor -%}
</select></div>"#,
    ext = "html"
)]
pub(crate) struct Select {
    name: &'static str,
    label: &'static str,
    any: &'static str,
    options: Vec<String>,
    chosen: Option<String>,
}

/// Bars over time, drawn here. A table for who cannot see them stands beside it in words: the sentence `summary`.
#[derive(Debug, Clone, Template)]
#[template(path = "chart.html")]
pub(crate) struct Chart {
    title: String,
    summary: String,
    bars: Vec<Bar>,
    most: String,
    from: String,
    to: String,
}

#[derive(Debug, Clone)]
struct Bar {
    x: u64,
    y: u64,
    height: u64,
    label: String,
}

impl HtmlSafe for When {}
impl HtmlSafe for Money {}
impl HtmlSafe for Chip {}
impl HtmlSafe for Pager {}
impl HtmlSafe for Chart {}
impl HtmlSafe for Select {}

impl When {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self { exact: Moment(at).text(), words: ago(now().micros().saturating_sub(at.micros())) }
    }
}

/// How long ago, in one unit; what is still to come is `in …`.
fn ago(micros: i64) -> String {
    let seconds = micros.unsigned_abs() / 1_000_000;
    let text = match seconds {
        0..2 => return "now".to_owned(),
        2..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    if micros < 0 { format!("in {text}") } else { format!("{text} ago") }
}

/// How long something takes or took, in the unit that reads best.
pub(crate) fn duration(micros: i64) -> String {
    let micros = micros.max(0);
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{} ms", micros / 1000),
        1_000_000..120_000_000 => format!("{} s", format_major(micros / 100_000, 1)),
        120_000_000..7_200_000_000 => format!("{} min", micros / 60_000_000),
        7_200_000_000..172_800_000_000 => format!("{} h", micros / 3_600_000_000),
        _ => format!("{} days", micros / 86_400_000_000),
    }
}

impl Money {
    /// An amount in minor units. Of a currency that nobody has told us about we cannot say how many make a whole one.
    pub(crate) fn new(api: &Api, minor_units: i64, currency: &str) -> Self {
        let text = match api.exponent(currency) {
            Some(exponent) => grouped(&format_major(minor_units, exponent)),
            None => format!("{} minor units of", grouped(&minor_units.to_string())),
        };
        Self { minor_units, text, currency: currency.to_owned(), negative: minor_units < 0 }
    }
}

/// A number with its thousands apart, and a real minus sign.
pub(crate) fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("\u{2212}", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut shown = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && whole.len().saturating_sub(place) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    if let Some(fraction) = fraction {
        shown.push('.');
        shown.push_str(fraction);
    }
    shown
}

/// A count, readable.
pub(crate) fn count(number: impl Into<i128>) -> String {
    grouped(&number.into().to_string())
}

impl Chip {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into() }
    }
}

impl Select {
    /// Among these; what was chosen is among them even when it is none of them, so that a filter never goes unseen.
    pub(crate) fn new(
        name: &'static str,
        label: &'static str,
        any: &'static str,
        options: impl IntoIterator<Item = impl Into<String>>,
        chosen: Option<&str>,
    ) -> Self {
        let mut options: Vec<String> = options.into_iter().map(Into::into).collect();
        if let Some(other) = chosen.filter(|chosen| !options.iter().any(|option| option == chosen)) {
            options.push(other.to_owned());
        }
        Self { name, label, any, options, chosen: chosen.map(str::to_owned) }
    }
}

impl Tone {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Busy => "…",
            Self::Warn => "!",
            Self::Bad => "✕",
            Self::Quiet => "–",
        }
    }
}

impl Pager {
    /// Of a list at `address`, which may have a query already: the page behind `next`, and the first one unless this is
    /// it.
    pub(crate) fn new(address: &str, is_first: bool, next: Option<String>) -> Self {
        let joint = if address.contains('?') { '&' } else { '?' };
        Self {
            first: (!is_first).then(|| address.to_owned()),
            next: next.map(|cursor| format!("{address}{joint}cursor={cursor}")),
            looked_back_to: None,
        }
    }

    /// Of a list of which only so much is looked at for one page: where there are fewer rows than fit on it, up to when
    /// that was.
    pub(crate) fn short(self, rows: usize, most: u32, up_to: Option<Timestamp>) -> Self {
        let is_short = usize::try_from(most).is_ok_and(|most| rows < most);
        Self { looked_back_to: up_to.filter(|_| is_short).map(When::new), ..self }
    }
}

impl Chart {
    const HEIGHT: u64 = 60;

    /// Bars for counts, the oldest first. `times` says when each began; `unit` is what is counted, in the plural.
    pub(crate) fn new(title: &str, unit: &str, values: &[(String, u64)]) -> Self {
        let most = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
        let sum: u64 = values.iter().fold(0, |sum, (_, value)| sum.saturating_add(*value));
        let bar = |(x, (time, value)): (u64, &(String, u64))| {
            let height = value.saturating_mul(Self::HEIGHT).checked_div(most).unwrap_or(0);
            // What is there can be seen, however little it is.
            let height = height.max(u64::from(*value > 0).saturating_mul(2));
            let label = format!("{time}: {} {unit}", count(*value));
            Bar { x: x.saturating_mul(10), y: Self::HEIGHT.saturating_sub(height), height, label }
        };
        let edge = |found: Option<&(String, u64)>| found.map(|(time, _)| time.clone()).unwrap_or_default();
        let (from, to) = (edge(values.first()), edge(values.last()));
        Self {
            title: title.to_owned(),
            summary: format!("{} {unit} from {from} to {to}, at most {} at once", count(sum), count(most)),
            bars: (0..).zip(values).map(bar).collect(),
            most: count(most),
            from,
            to,
        }
    }

    fn width(&self) -> u64 {
        u64::try_from(self.bars.len()).unwrap_or(1).max(1).saturating_mul(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago_is_said_in_one_unit() {
        let seconds = |seconds: i64| ago(seconds * 1_000_000);
        let said = [0, 59, 119, 120, 3600, 7200, 172_800, -30].map(seconds);
        assert_eq!(
            said,
            ["now", "59 s ago", "119 s ago", "2 min ago", "60 min ago", "2 h ago", "2 days ago", "in 30 s"]
        );
        assert_eq!(duration(1_250_000), "1.2 s");
        assert_eq!([duration(7), duration(7_000)], ["7 µs", "7 ms"]);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in
            [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-1234567.50", "\u{2212}1,234,567.50")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn what_a_component_shows_is_escaped() {
        let hostile = "<script>alert(1)</script>\"'&";
        let shown = Chip::new(Tone::Bad, hostile).to_string();
        assert!(!shown.contains("<script"), "{shown}");
        let chart = Chart::new(hostile, hostile, &[(hostile.to_owned(), 3), ("b".to_owned(), 0)]);
        assert!(!chart.to_string().contains("<script"), "{chart}");
    }

    #[test]
    fn a_pager_keeps_what_the_list_is_about() {
        let pager = Pager::new("/console/parked?kind=technical", false, Some("abc".to_owned())).to_string();
        assert!(pager.contains("href=\"/console/parked?kind=technical&#38;cursor=abc\""), "{pager}");
        assert_eq!(Pager::new("/console/parked", true, None).to_string(), "");
    }
}
