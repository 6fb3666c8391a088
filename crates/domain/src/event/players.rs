use crate::ids::PlayerId;
use crate::money::Money;

/// Something about a player that moves no money here; it is archived and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerActivity {
    /// The player.
    pub player_id: PlayerId,
    /// What happened.
    pub activity: Activity,
}

/// What a player did at the provider. Names, addresses and telephone numbers stay in the raw body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Signed up.
    SignedUp,
    /// Was identified for the first time.
    IdentityVerified,
    /// Paid money in at the provider.
    FundsDeposited {
        /// How much, if the provider said it in a form that we can read.
        amount: Option<Money>,
        /// The provider's id of the payment.
        transaction_id: Option<String>,
        /// The provider's word for how it went.
        status: Option<String>,
    },
}

/// The provider could not do something: complete a game, take a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFailure {
    /// What it concerns: a match or tournament.
    pub entity_id: String,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub reason: String,
    /// The provider's id of the attempt's request.
    pub request_id: Option<String>,
    /// Which attempt it was, from 1.
    pub attempt: Option<u32>,
    /// False when the provider has given up.
    pub will_retry: Option<bool>,
}
