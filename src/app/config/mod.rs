//! `.ml/config.yaml` and where things are.
