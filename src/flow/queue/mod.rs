//! The state machine over all runs of a store: concurrency groups, capacity, order, fairness.
