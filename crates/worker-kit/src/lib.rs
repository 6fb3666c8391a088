//! How every worker runs: a batch is one transaction, halved until the culprit is found.
