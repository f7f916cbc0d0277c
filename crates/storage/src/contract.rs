//! The contract every adapter must pass: each MUST of the ports is a case, and what may happen once is raced for.
//!
//! A case is one async function over [`Stores`]. [`durable_contract!`](crate::durable_contract) and
//! [`session_contract!`](crate::session_contract) make a test of each.
#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    clippy::indexing_slicing,
    reason = "these are tests that live in the library so that other crates can run them"
)]

pub mod addresses;
pub mod authenticators;
pub mod challenges;
pub mod data_keys;
pub mod days;
pub mod devices;
pub mod grace;
pub mod keys;
pub mod logins;
pub mod messages;
pub mod outbox;
pub mod pairs;
pub mod proofs;
pub mod races;
pub mod records;
pub mod refresh;
pub mod repudiations;
pub mod sessions;
pub mod throttles;
pub mod users;

use std::{any::Any, future::Future, sync::Arc};

use tokio::sync::Barrier;

use crate::open::Stores;

/// Empty stores, and what must live as long as they do.
pub struct Opened {
    /// The stores; dropped first.
    pub stores: Stores,
    /// A folder, a server.
    pub guard: Box<dyn Any + Send>,
}

/// What `contestants` callers get who start at the same moment.
pub async fn race<T, F>(contestants: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(contestants));
    let tasks: Vec<_> = (0..contestants)
        .map(|n| {
            let (barrier, contestant) = (Arc::clone(&barrier), make(n));
            tokio::spawn(async move {
                barrier.wait().await;
                contestant.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(contestants);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Makes a test of each case of the durable ports. The argument is an `async fn() -> Opened`.
#[macro_export]
macro_rules! durable_contract {
    ($open:path) => {
        $crate::contract_cases! { $open;
            users::names_are_unique_across_kinds,
            users::names_compare_by_byte_within_a_realm,
            users::a_taken_name_leaves_the_others_in,
            users::what_was_stored_is_what_is_read,
            users::authenticators_of_every_kind_read_back,
            users::a_list_continues_where_it_ended,
            users::an_operators_change_ends_what_is_in_flight,
            users::a_reset_removes_all_factors,
            users::addresses_change_in_one_step,
            users::every_change_of_addresses_counts,
            users::nobody_is_changed_who_does_not_exist,
            authenticators::an_enrolment_waits_and_is_confirmed,
            authenticators::an_enrolment_obeys_its_conditions,
            authenticators::expired_enrolments_go_with_their_recovery_code,
            authenticators::a_recovery_code_belongs_to_who_was_shown_it,
            authenticators::only_one_is_preferred,
            authenticators::only_active_ones_of_ones_own_are_changed,
            authenticators::a_removal_raises_the_epoch_unless_it_was_pending,
            authenticators::a_removal_that_spares_is_of_its_epoch,
            authenticators::the_recovery_code_goes_with_the_last_authenticator,
            logins::what_was_learned_of_a_clock_is_kept_with_its_code,
            logins::a_step_only_rises,
            logins::a_transaction_is_used_once,
            logins::a_challenge_that_goes_with_a_login_needs_one,
            logins::a_refusal_changes_nothing,
            logins::an_account_that_changed_is_refused,
            logins::the_mark_is_judged_first_and_the_proof_last,
            logins::a_recovery_code_is_used_once_and_replaced,
            logins::ids_and_digests_compare_by_byte,
            logins::a_confirmation_comes_in_time,
            logins::a_confirmation_may_require_that_nobody_is_enrolled,
            logins::failures_disable_at_the_ceiling,
            logins::a_completed_login_is_known,
            logins::nothing_counts_with_a_login_that_is_completed,
            logins::failures_disable_the_recovery_code,
            logins::a_success_forgets_failures,
            logins::a_purge_takes_what_no_longer_matters,
            pairs::what_was_enrolled_together_is_confirmed_together,
            pairs::a_pair_expires_together,
            pairs::a_success_forgets_the_failures_of_the_pair,
            pairs::a_device_and_its_app_count_for_themselves,
            pairs::failures_count_for_the_pair_and_disable_it,
            pairs::naming_both_of_a_pair_counts_once,
            pairs::what_is_paired_is_removed_together,
            pairs::a_pending_pair_is_removed_without_raising_the_epoch,
            pairs::the_limit_counts_the_companion,
            pairs::anothers_pair_of_the_same_name_is_not_touched,
            addresses::a_code_to_the_verified_address_is_used_once,
            addresses::an_address_that_is_not_verified_proves_nothing,
            addresses::failures_of_the_address_raise_the_epoch_at_the_ceiling,
            messages::an_enrolment_that_begins_leaves_its_messages,
            messages::a_login_that_is_decided_leaves_its_messages,
            messages::a_removal_leaves_its_messages,
            messages::a_pending_removal_leaves_none,
            messages::a_reset_leaves_its_messages,
            messages::a_revocation_leaves_its_messages,
            messages::a_notice_is_left_at_exactly_that_many_failures,
            messages::each_target_has_its_own_notice,
            messages::one_notice_is_left_whoever_fails,
            repudiations::a_link_reads_back_and_is_spent_once,
            repudiations::a_link_that_expired_removes_nothing,
            repudiations::a_link_comes_with_its_confirmation_alone,
            repudiations::a_link_goes_with_its_authenticator,
            repudiations::a_link_removes_the_pair_and_leaves_the_others,
            repudiations::one_link_has_one_winner,
            repudiations::a_removal_and_a_link_do_not_cross,
            repudiations::a_purge_takes_expired_links,
            outbox::a_row_reads_back_with_one_attempt_more,
            outbox::a_message_is_there_once_however_often_it_is_inserted,
            outbox::what_is_due_first_is_claimed_first,
            outbox::a_channel_is_claimed_by_itself,
            outbox::each_row_has_one_claimer,
            outbox::a_claimed_row_returns_after_its_lease,
            outbox::a_postponed_row_waits,
            outbox::an_expired_row_is_not_claimed_and_is_swept,
            outbox::what_is_being_tried_is_not_swept,
            outbox::what_is_swept_is_named_by_its_kind,
            outbox::a_removed_row_is_gone_and_written_down_once,
            outbox::the_oldest_is_the_channels_own,
            days::a_count_of_the_day_is_met_exactly,
            days::a_message_is_charged_to_all_of_its_counts_or_none,
            days::an_enrolment_after_the_end_of_its_day_is_not_begun,
            days::enrolments_and_logins_share_a_day,
            days::each_day_begins_anew_and_is_swept_after_the_next,
            devices::a_device_registers_once,
            devices::a_device_registers_for_nothing_else,
            devices::an_active_device_changes,
            devices::one_of_many_devices_registers,
            races::one_step_has_one_winner,
            races::one_transaction_has_one_winner,
            races::one_recovery_code_has_one_winner,
            races::one_enrolment_is_confirmed_once,
            races::one_challenge_has_one_winner,
            races::one_login_with_its_challenge_has_one_winner,
            races::one_code_to_the_address_has_one_winner,
            races::one_pair_is_confirmed_once,
            races::one_of_many_first_confirmations_wins,
            races::one_recovery_code_is_stored_by_many_enrolments,
            races::an_assertion_is_used_once,
            races::the_limit_holds,
            races::one_name_has_one_winner,
            races::every_failure_counts,
            races::one_is_preferred_whoever_asks,
            races::a_block_and_logins_do_not_cross,
            proofs::a_second_factor_is_remembered_with_its_login,
            proofs::what_was_not_committed_is_not_remembered,
            proofs::the_oldest_network_goes,
            proofs::what_ends_everything_forgets_networks,
            proofs::many_networks_at_once_keep_the_bound,
            grace::grace_begins_once,
            grace::who_had_a_factor_was_told,
            grace::a_login_that_tells_twice_leaves_everything,
            grace::one_of_many_first_logins_tells,
            refresh::a_family_reads_back,
            refresh::a_token_is_exchanged_once,
            refresh::an_exchange_without_rotation_keeps_the_generation,
            refresh::a_refused_exchange_leaves_everything,
            refresh::an_exchange_may_come_with_a_proof,
            refresh::an_exchange_adds_what_was_proven_with_it,
            refresh::a_revoked_family_is_gone,
            refresh::a_revocation_may_end_the_whole_grant,
            refresh::there_are_two_hundred_and_the_oldest_goes,
            refresh::a_family_is_swept_when_it_may_be,
            refresh::one_generation_has_one_winner,
            refresh::ten_thousand_rotations_do_not_fork,
            refresh::a_revocation_and_exchanges_do_not_cross,
            refresh::a_device_is_spent_with_its_login_or_not_at_all,
            refresh::one_device_token_has_one_winner,
            keys::an_algorithm_has_one_current_and_one_next_key,
            keys::keys_are_listed_newest_first,
            keys::a_key_takes_over_once,
            keys::a_key_begins_where_none_signs_and_ends_where_none_shall,
            keys::a_retired_key_is_forgotten,
            keys::a_key_is_replaced_with_all_that_stood_on_it,
            data_keys::a_data_key_reads_back_and_the_first_comes_with_it,
            data_keys::one_data_key_waits_at_a_time,
            data_keys::seals_of_a_data_key_are_taken_up_to_its_limit,
            data_keys::values_are_counted_by_their_data_key,
            data_keys::values_are_replaced_as_they_were_read,
            data_keys::a_data_key_in_use_is_not_dropped,
            data_keys::nothing_gets_in_under_a_dropped_data_key,
        }
    };
}

/// Makes a test of each case of the session port. The argument is an `async fn() -> Opened`; only `sessions` is used.
#[macro_export]
macro_rules! session_contract {
    ($open:path) => {
        $crate::contract_cases! { $open;
            sessions::a_transaction_reads_back,
            sessions::an_insert_does_not_replace,
            sessions::exhaustion_is_kept,
            sessions::an_unknown_transaction_is_not_made_by_exhausting_it,
            sessions::a_settled_transaction_is_forgotten,
            sessions::it_answers_a_ping,
            challenges::a_challenge_reads_back,
            challenges::tries_run_out_and_never_return,
            challenges::sixty_four_at_once_share_five_tries,
            challenges::a_newer_challenge_takes_the_slot,
            challenges::one_of_many_stays_in_the_slot,
            challenges::an_unknown_challenge_has_no_tries,
            challenges::a_settled_challenge_is_forgotten,
            challenges::looking_takes_nothing,
            challenges::the_first_decision_stands,
            challenges::sixty_four_decisions_are_one,
            throttles::three_hundred_at_once_get_exactly_ten,
            throttles::the_same_attempt_is_charged_once,
            throttles::the_same_attempt_at_once_is_charged_once,
            throttles::an_attempt_comes_back_after_its_interval,
            throttles::all_buckets_or_none_are_charged,
            throttles::many_buckets_raced_for_stay_in_step,
            throttles::a_refund_gives_one_back,
            throttles::several_refunds_go_to_their_buckets,
            throttles::a_refund_never_exceeds_the_capacity,
            throttles::a_refunded_attempt_is_charged_when_it_returns,
            throttles::the_last_attempt_locks_for_a_whole_interval,
            throttles::a_reset_fills_the_bucket,
            throttles::counters_and_subjects_are_apart,
            throttles::asking_for_the_wait_charges_nothing,
        }
    };
}

/// The tests behind the two contracts.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($open:path; $($file:ident :: $case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let opened = $open().await;
                $crate::contract::$file::$case(&opened.stores).await;
            }
        )*
    };
}
