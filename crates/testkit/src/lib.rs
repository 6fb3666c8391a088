//! For tests: isolated databases and virtual hosts, a fault proxy, builders.
