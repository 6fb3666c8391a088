//! The pure core: ids, money, the match life cycle, escrow, grants, stats, offers.
