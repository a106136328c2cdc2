//! One file a rule. A rule is bound here in two lines: its module, and its place in the list.

mod action_inputs;
mod bad_cron;
mod bad_glob;
mod both_filters;
mod constant_condition;
mod deprecated_command;
mod env_name;
mod gate_baseline;
mod gate_bounds;
mod gate_metric;
mod gpu_mismatch;
mod incompatible_comparison;
mod input_default;
mod insecure_commands;
mod matrix_duplicate;
mod matrix_exclude;
mod matrix_outputs;
mod missing_artifact;
mod missing_metric;
mod not_a_mapping;
mod number_range;
mod object_as_text;
mod outside_environment;
mod plain_password;
mod remote_action;
mod runner_label;
mod secret_printed;
mod several_instances;
mod shell_name;
mod undefined_data;
mod undefined_input;
mod undefined_job;
mod undefined_matrix_key;
mod undefined_output;
mod undefined_property;
mod undefined_secret;
mod undefined_step;
mod unreachable_job;
mod unsound_contains;
mod unsound_ternary;
mod untrusted_text;
mod unused_needs;

use super::Rule;

/// All rules, in the order in which they run.
pub const RULES: &[Rule] = &[
    action_inputs::RULE,
    bad_cron::RULE,
    bad_glob::RULE,
    both_filters::RULE,
    constant_condition::RULE,
    deprecated_command::RULE,
    env_name::RULE,
    gate_baseline::RULE,
    gate_bounds::RULE,
    gate_metric::RULE,
    gpu_mismatch::RULE,
    incompatible_comparison::RULE,
    input_default::RULE,
    insecure_commands::RULE,
    matrix_duplicate::RULE,
    matrix_exclude::RULE,
    matrix_outputs::RULE,
    missing_artifact::RULE,
    missing_metric::RULE,
    not_a_mapping::RULE,
    number_range::RULE,
    object_as_text::RULE,
    outside_environment::RULE,
    plain_password::RULE,
    remote_action::RULE,
    runner_label::RULE,
    secret_printed::RULE,
    several_instances::RULE,
    shell_name::RULE,
    undefined_data::RULE,
    undefined_input::RULE,
    undefined_job::RULE,
    undefined_matrix_key::RULE,
    undefined_output::RULE,
    undefined_property::RULE,
    undefined_secret::RULE,
    undefined_step::RULE,
    unreachable_job::RULE,
    unsound_contains::RULE,
    unsound_ternary::RULE,
    untrusted_text::RULE,
    unused_needs::RULE,
];
