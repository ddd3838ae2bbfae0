//! Faults around a manager, with figures: crowds, floods, kills and clock changes, injected around
//! the built `labwire` while a pair of bystanders keeps working.
//!
//! ```console
//! $ cargo test --test faults                      # the short form, two minutes at most
//! $ cargo test --release --test faults -- --long  # the full figures
//! ```
//!
//! Each case prints one line, and checks in addition to its own figures:
//!
//! - each request has exactly one outcome;
//! - the bystander pair has every request of its hundred per second answered, 99 of 100 within 50
//!   ms and none after more than 500 ms; a control pair at an idle manager shows the influence of
//!   the machine alone;
//! - within five seconds the registry, links, locks and descriptors match the connected peers;
//! - no step of the manager's routing thread took longer than 5 ms, unless one of the idle
//!   manager's did;
//! - the manager has not panicked, and its memory is below the stated bound.
//!
//! The cases run one after another, since each needs the whole machine.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails, which is what it is for"
)]

mod budgets;
mod bystander;
mod clients;
mod clock;
mod contention;
mod counting;
mod crowds;
mod endings;
mod generator;
mod guesses;
#[path = "../hardening/support.rs"]
#[allow(dead_code, reason = "the other black-box tests need more of it")]
mod hostile;
mod long_calls;
mod notifications;
mod observed;
mod outcomes;
mod peer;
mod programs;
mod proxy;
mod rejections;
mod runner;
mod services;
mod sessions;
mod stalls;
mod strangers;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other black-box tests need more of it")]
mod support;
mod vanished;

use std::process::ExitCode;

use runner::Case;

/// Returns cases with the names of their functions.
macro_rules! cases {
    ($($module:ident::$name:ident,)*) => {
        &[$(Case { name: stringify!($name), run: $module::$name }),*]
    };
}

const CASES: &[Case] = cases![
    strangers::slow_strangers_do_not_delay_a_login,
    strangers::slow_strangers_do_not_delay_a_login_over_tls,
    strangers::broken_tls_handshakes_leave_nothing_behind,
    guesses::guesses_from_one_address_do_not_delay_a_login,
    guesses::guesses_from_many_addresses_do_not_delay_a_login,
    rejections::rejected_connections_fill_neither_the_log_nor_the_table_of_connections,
    budgets::lines_without_an_end_take_no_more_than_their_budget_and_are_thrown_away,
    budgets::requests_in_flight_of_many_clients_take_no_more_than_their_budget,
    budgets::queues_of_peers_that_do_not_read_take_no_more_than_their_budget,
    crowds::idle_clients_are_served_up_to_the_limit_and_the_next_are_told_why,
    crowds::a_manager_without_descriptors_neither_spins_nor_stays_deaf,
    notifications::a_stuck_reader_of_a_flood_is_cut_and_the_others_miss_nothing,
    services::a_killed_service_ends_each_request_that_it_held_once_and_at_once,
    services::a_service_that_is_stopped_for_a_while_delays_nobody_else,
    clients::clients_that_reset_in_the_middle_of_a_reply_leave_no_ghost,
    clients::a_lock_whose_holder_is_stopped_refuses_at_once_and_goes_with_its_holder,
    endings::a_manager_that_is_asked_to_stop_ends_each_request_once_within_the_drain_time,
    endings::a_manager_whose_requests_are_never_answered_still_stops,
    endings::what_an_administrator_was_told_is_saved_survives_kills,
    contention::a_large_request_is_served_in_its_turn_among_small_ones,
    contention::a_client_that_never_reads_and_returns_costs_only_its_own_replies,
    contention::a_manager_that_stops_delivers_what_is_queued_within_the_drain_time,
    vanished::peers_behind_a_cut_cable_are_gone_at_the_stated_time_and_their_services_make_way,
    stalls::a_listing_of_all_connections_stalls_nobody,
    stalls::huge_identities_stall_nobody_whoever_comes_and_goes,
    stalls::refused_links_cost_little_however_many_clients_are_linked,
    stalls::a_service_leaves_at_once_whatever_its_callers_wait_for,
    stalls::half_closed_clients_cost_nothing_while_they_wait,
    sessions::calls_in_flight_over_a_network_that_is_cut_end_once_with_their_replies,
    sessions::calls_in_flight_over_a_network_that_falls_silent_end_once_with_their_replies,
    sessions::a_lock_is_its_holders_again_after_kills_of_the_manager_and_a_rival_never_gets_in,
    sessions::breaks_returns_cancels_deadlines_and_slow_readers_leave_each_call_one_outcome,
    sessions::breaks_of_peers_for_whom_little_is_kept_leave_each_call_one_outcome,
    long_calls::a_reader_that_stops_amid_items_is_cut_in_time_and_one_that_goes_on_loses_nothing,
    long_calls::a_service_that_ignores_deadlines_and_cancellation_keeps_no_caller_beyond_them,
    clock::the_wall_clock_decides_about_no_deadline_link_or_connection,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, arguments @ ..] = &arguments[..]
        && role == programs::ROLE
    {
        return programs::run(arguments);
    }
    runner::run(CASES)
}
