//! Runs the steps of one `JobSpec` where it stands; the one step runner of all back ends.
