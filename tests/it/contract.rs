//! The contract of `hookgate::store::Store`: one suite for every store and wrapper.
//!
//! `suite!(NAME, FACTORY)` makes a module of tests, one for each case. `FACTORY` is an `async fn() -> Subject`
//! that gives an empty store. A store of another kind needs nothing but a factory.

#![allow(
    clippy::unwrap_used,
    reason = "a case is called by a test, and fails it by panicking"
)]

mod accepting;
mod claiming;
mod damage;
mod embedded;
mod expiring;
mod filtering;
mod format_3;
mod listing;
mod migrating;
mod ordering;
mod pauses;
mod records;
mod redis;
mod replaying;
mod replays;
mod secrets;
mod settling;
mod subject;
mod together;

macro_rules! suite {
    ($name:ident, $factory:path) => {
        mod $name {
            suite!(@all $factory);
        }
    };
    (@all $factory:path) => {
            suite!(@cases $factory;
                accepting: accepts_once_and_then_answers_duplicate,
                accepting: tells_another_body_under_the_same_id,
                accepting: keeps_equal_ids_of_two_routes_apart,
                accepting: accepts_again_when_the_window_has_passed,
                accepting: accepts_one_of_many_at_once,
                accepting: answers_each_of_many_in_order,
                accepting: keeps_events_of_one_moment_apart,
                accepting: gives_back_the_same_bytes,
                accepting: gives_back_every_field,
                accepting: does_a_dropped_accept_whole_or_not_at_all,
                accepting: knows_nothing_of_an_unknown_uid,
                accepting: refuses_every_call_after_close,
                claiming: claims_those_longest_due_first_up_to_max,
                claiming: claims_nothing_twice,
                claiming: gives_each_delivery_to_one_of_many_claimers,
                claiming: answers_each_want_and_only_its_target,
                claiming: accepts_already_claimed,
                claiming: lets_another_claim_after_the_lease_with_a_greater_token,
                claiming: takes_a_late_settlement_while_nobody_else_claimed,
                settling: settles_a_claim_once,
                settling: ignores_a_token_that_nobody_holds,
                settling: retries_after_the_wait_and_counts_attempts,
                settling: releases_without_counting_an_attempt,
                settling: keeps_dead_letters_with_reason_and_attempt,
                settling: tells_how_deep_and_how_late_each_target_is,
                settling: settles_one_target_without_the_other,
                settling: settles_each_delivery_once_whatever_comes_at_once,
                settling: retires_removed_targets,
                expiring: removes_finished_events_by_age,
                expiring: removes_an_event_for_nobody_by_its_age,
                expiring: removes_the_oldest_finished_bodies_by_size,
                expiring: never_removes_an_unfinished_event,
                expiring: removes_an_event_once_its_last_delivery_is_settled,
                expiring: keeps_a_dead_letter_for_the_whole_retention_after_its_end,
                expiring: removes_by_size_what_it_kept_for_its_age,
                expiring: removes_dead_letters_from_the_depth,
                expiring: remembers_ids_longer_than_their_events,
                claiming: takes_from_routes_alternately,
                claiming: takes_from_each_route_in_turn_however_few_are_asked_for,
                claiming: tells_what_is_due_and_how_much_waits_over_all_routes,
                settling: changes_nothing_with_the_token_of_another_delivery,
                settling: keeps_every_attempt_oldest_first,
                settling: keeps_the_newest_of_very_many_attempts,
                ordering: gives_one_of_a_group_after_the_other,
                ordering: gives_no_lease_to_one_that_waits_for_its_turn,
                ordering: keeps_the_order_of_one_call,
                ordering: delivers_groups_beside_each_other_and_beside_those_without,
                ordering: keeps_the_turn_over_retries_and_releases,
                ordering: keeps_the_turn_when_a_lease_ends,
                ordering: gives_the_turn_on_when_a_delivery_is_dead,
                ordering: holds_those_behind_a_dead_letter_that_holds,
                ordering: frees_a_group_whose_dead_letter_expires,
                ordering: frees_the_groups_of_retired_targets,
                ordering: replays_at_the_old_place_after_the_one_whose_turn_it_is,
                ordering: replays_one_before_a_dead_letter_that_holds,
                ordering: gives_no_turn_when_what_was_delivered_expires,
                ordering: gives_no_turn_when_a_dead_letter_behind_the_first_expires,
                ordering: keeps_what_held_before_its_target_was_retired,
                ordering: takes_ordered_deliveries_to_very_many_targets,
                ordering: tells_the_order_of_what_is_claimed,
                ordering: keeps_order_whatever_comes_at_once,
                ordering: keeps_order_whatever_happens,
                replaying: makes_settled_deliveries_due_with_no_attempts_counted,
                replaying: changes_nothing_of_what_is_pending_or_unknown,
                replaying: replays_what_was_not_replayed_since,
                replaying: replays_one_target_without_the_other,
                replaying: knows_a_replayed_delivery_over_its_retries,
                replaying: takes_no_token_from_before_the_replay,
                replaying: keeps_a_replayed_event_until_it_is_settled_again,
                replaying: answers_each_of_many,
                listing: lists_both_ways_by_acceptance,
                listing: lists_dead_letters_of_targets_that_are_gone,
                listing: lists_by_each_filter,
                listing: tells_an_event_without_its_body,
                listing: gives_each_once_while_others_come_and_go,
                listing: finds_few_among_many,
                listing: refuses_a_cursor_that_no_page_ended_with,
                together: accepts_as_many_as_a_request_can_bring,
                together: keeps_the_order_of_one_request,
                together: leaves_nothing_of_more_than_a_request_can_bring,
                together: accepts_one_of_many_equal_requests_at_once,
                together: does_a_dropped_request_whole_or_not_at_all,
                filtering: filters_without_an_attempt,
                filtering: lists_what_was_filtered_apart,
                filtering: removes_what_was_filtered_by_its_age,
                filtering: replays_what_was_filtered,
                filtering: gives_the_turn_on_when_a_delivery_is_filtered,
                filtering: retires_nothing_that_was_filtered,
                secrets: keeps_the_first_secret_of_a_route_until_it_is_forgotten,
                secrets: keeps_one_of_many_secrets_at_once,
                secrets: keeps_secrets_whatever_expires,
                secrets: shows_no_secret,
                pauses: keeps_a_pause_until_the_target_is_resumed,
                pauses: pauses_and_resumes_once_whatever_comes_at_once,
                records: keeps_every_field,
                records: lists_newest_first_in_pages,
                records: lists_records_by_each_filter,
                records: keeps_a_record_as_it_came_first,
                records: keeps_the_newest_of_very_many,
                records: forgets_records_of_before_the_retention,
                records: keeps_no_more_bytes_of_bodies_than_it_may,
                records: refuses_a_cursor_that_is_no_id,
                records: refuses_calls_after_close,
                replays: keeps_a_replay_by_its_revision,
                replays: tells_replays_oldest_first,
                replays: keeps_one_of_those_that_change_a_replay_at_once,
            );
    };
    (@cases $factory:path; $($part:ident: $case:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$part::$case(&$factory().await).await;
            }
        )+
    };
}

suite!(on_embedded, super::embedded::subject);
suite!(on_metered, super::embedded::metered_subject);
suite!(on_spooled, super::embedded::spooled_subject);
suite!(on_redis, super::redis::subject);
