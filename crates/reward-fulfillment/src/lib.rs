//! Worker: reward-fulfillment.
