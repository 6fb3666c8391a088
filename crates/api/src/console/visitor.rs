//! Who looks at a page, and what stands around it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

use super::session::cookie;
use crate::auth::Actor;
use crate::failure::{Failure, Result};

/// Who is logged in. Handlers take it as they take the query.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who acts; it stands in every record.
    pub(crate) actor: Actor,
    /// Whether the token has the scope `operate`: only then a page shows what can be done.
    pub(crate) operates: bool,
    pub(super) csrf: String,
    pub(super) theme: Theme,
    /// What the last action came to.
    pub(super) flash: Option<String>,
}

/// Light or dark, as chosen; without a choice the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// The pages, in the order of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Flow,
    Matches,
    Rewards,
    Players,
    Leaderboards,
    Offers,
    Parked,
    Anomalies,
    Endpoints,
    Sources,
}

/// What the layout shows around a page's content. Every full page's view has one in its field `chrome`.
#[derive(Debug, Clone)]
pub(crate) struct Chrome {
    pub(crate) section: Option<Section>,
    /// None where nobody is logged in.
    pub(crate) actor: Option<String>,
    pub(crate) operates: bool,
    /// For the hidden field `csrf` of every form that changes something.
    pub(crate) csrf: String,
    pub(crate) theme: Theme,
    pub(crate) flash: Option<String>,
}

impl Section {
    /// The menu: groups of pages, each with a name. A page is added here when it is there.
    pub(crate) const MENU: &'static [(&'static str, &'static [Self])] = &[
        ("Now", &[Self::Overview, Self::Flow]),
        ("Game", &[Self::Matches, Self::Rewards, Self::Players, Self::Leaderboards, Self::Offers]),
        ("Attention", &[Self::Parked, Self::Anomalies]),
        ("Set-up", &[Self::Endpoints, Self::Sources]),
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Flow => "Flow",
            Self::Matches => "Matches",
            Self::Rewards => "Rewards",
            Self::Players => "Players",
            Self::Leaderboards => "Leaderboards",
            Self::Offers => "Offers",
            Self::Parked => "Parked",
            Self::Anomalies => "Anomalies",
            Self::Endpoints => "Endpoints",
            Self::Sources => "Sources",
        }
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/console",
            Self::Flow => "/console/flow",
            Self::Matches => "/console/matches",
            Self::Rewards => "/console/rewards",
            Self::Players => "/console/players",
            Self::Leaderboards => "/console/leaderboards",
            Self::Offers => "/console/offers",
            Self::Parked => "/console/parked",
            Self::Anomalies => "/console/anomalies",
            Self::Endpoints => "/console/endpoints",
            Self::Sources => "/console/sources",
        }
    }
}

impl Visitor {
    /// What stands around a page of this section.
    pub(crate) fn chrome(&self, section: Section) -> Chrome {
        Chrome { section: Some(section), ..self.astray() }
    }

    /// What stands around a page of no section.
    pub(super) fn astray(&self) -> Chrome {
        Chrome {
            section: None,
            actor: Some(self.actor.as_str().to_owned()),
            operates: self.operates,
            csrf: self.csrf.clone(),
            theme: self.theme,
            flash: self.flash.clone(),
        }
    }
}

impl Chrome {
    /// Around a page for nobody in particular.
    pub(super) fn of_nobody(headers: &HeaderMap) -> Self {
        let (actor, csrf, flash) = (None, String::new(), None);
        Self { section: None, actor, operates: false, csrf, theme: Theme::of(headers), flash }
    }

    /// The attribute value for `aria-current` in the menu, or nothing.
    pub(crate) fn is(&self, section: &Section) -> bool {
        self.section == Some(*section)
    }
}

impl Theme {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match cookie(headers, "theme").as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl FromRequest for Visitor {
    type Error = Failure;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let visitor = request.extensions().get::<Self>().cloned();
        ready(visitor.ok_or_else(|| Failure::internal("a page stands outside of the door".to_owned())))
    }
}
