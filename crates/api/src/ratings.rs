//! A player's skill ratings.

use actix_web::{HttpResponse, web};
use matchpurse_domain::money::format_major;
use matchpurse_store::boards::{RatingLine, StepLine, is_known, ratings_of};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::failure::Result;
use crate::matches::NoQuery;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_player};
use crate::wire::answer_one;

/// Matches of each game that are shown.
const STEPS: u32 = 20;

/// Ratings are kept in millionths.
const PLACES: u8 = 6;

#[derive(Serialize, ToSchema)]
#[schema(as = PlayerRatings)]
pub(crate) struct Ratings {
    source: String,
    player_id: String,
    /// One a game, by the game's name.
    ratings: Vec<GameRating>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct GameRating {
    game: String,
    #[serde(flatten)]
    rating: Rating,
    matches: i64,
    /// Since when the game's matches are being rated anew: a late one came, or one was corrected. What is shown until
    /// then is right up to an earlier match.
    recomputing_since: Option<Moment>,
    /// The last matches, the newest first.
    history: Vec<Step>,
}

/// Decimal numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = SkillRating)]
pub(crate) struct Rating {
    /// What boards rank by: the mean less three times the uncertainty.
    skill: String,
    mean: String,
    uncertainty: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RatingStep)]
pub(crate) struct Step {
    /// The match; none for the moment in which it is being forgotten.
    source: Option<String>,
    match_id: Option<String>,
    ended_at: Moment,
    before: Rating,
    after: Rating,
}

impl Rating {
    fn of(mean: i64, uncertainty: i64) -> Self {
        let skill = mean.saturating_sub(uncertainty.saturating_mul(3));
        let text = |millionths| format_major(millionths, PLACES);
        Self { skill: text(skill), mean: text(mean), uncertainty: text(uncertainty) }
    }
}

impl GameRating {
    fn of(line: RatingLine) -> Self {
        Self {
            rating: Rating::of(line.rated.mean, line.rated.uncertainty),
            matches: line.rated.matches,
            recomputing_since: line.recomputing_since.map(Moment),
            history: line.steps.into_iter().map(Step::of).collect(),
            game: line.game,
        }
    }
}

impl Step {
    fn of(StepLine { step, of }: StepLine) -> Self {
        let (source, match_id) = of.unzip();
        Self {
            source: source.map(|source| source.as_str().to_owned()),
            match_id,
            ended_at: step.position.at.into(),
            before: Rating::of(step.before.0, step.before.1),
            after: Rating::of(step.after.mean, step.after.uncertainty),
        }
    }
}

/// `GET /players/{source}/{player}/ratings`
pub(crate) async fn of_player(
    api: web::Data<Api>,
    path: web::Path<(String, String)>,
    _: Query<NoQuery>,
) -> Result<HttpResponse> {
    let (source, player) = path.into_inner();
    let (source, player) = (request::source(&source)?, request::player(player)?);
    let unknown = api.not_found(&source, unknown_player());
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let key = player.key(&source);
            let ratings = ratings_of(&client, key, STEPS).await?;
            if ratings.is_empty() && !is_known(&client, key).await? {
                return Err(unknown);
            }
            Ok(Ratings {
                source: source.as_str().to_owned(),
                player_id: player.as_str().to_owned(),
                ratings: ratings.into_iter().map(GameRating::of).collect(),
            })
        })
        .await?;
    Ok(answer_one(&shown))
}
