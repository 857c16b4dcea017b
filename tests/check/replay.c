/* SPDX-License-Identifier: Apache-2.0 */
/* The replay: revision by revision, each write and every answer that shows the state after it. */
#include "tests/check/judge.h"

/* An event does not fit the state: a matter for the rules of watches, unless a choice is to blame.
 */
static bool events_fit(struct judge *judge, int64_t revision)
{
    for (uint32_t i = judge->events_at[revision]; i < judge->events_at[revision + 1]; i++) {
        const struct history_event *event = judge->events[i];
        uint32_t key = judge->model.rank_of[event->kv.key];
        const struct model_version *now = model_at(&judge->model, key, revision);
        const struct model_version *prev = model_at(&judge->model, key, revision - 1);
        bool fits = now != NULL && now->revision == revision && now->is_delete == event->is_delete;
        fits = fits && (event->is_delete || judge_kv_equal(&event->kv, now, false));
        if (fits && event->has_prev) {
            fits = prev != NULL && judge_kv_equal(&event->prev, prev, false);
        }
        if (!fits) {
            judge_mismatch(judge, CHECK_WATCH_CONTENT, revision,
                           "an event of %s at revision %lld fits no order of the unknown writes",
                           judge_key_text(judge, event->kv.key).text, (long long)revision);
            return false;
        }
    }
    return true;
}

/* Applies a revision and compares what shows it; false: something does not fit. */
static bool step(struct judge *judge, int64_t revision)
{
    judge->found.is_set = false;
    uint32_t owner = judge->owner[revision];
    if (owner != JUDGE_NONE) {
        (void)judge_execute(judge, owner, revision, JUDGE_APPLY);
    } else if (revision > 1 && !judge_search_explain(judge, revision)) {
        return false;
    }
    bool is_settled = judge_search_is_settled(judge, revision);
    for (uint32_t i = judge->looks_at[revision]; i < judge->looks_at[revision + 1]; i++) {
        (void)judge_execute(judge, judge->looks[i], revision, JUDGE_LOOK);
        if (judge->found.is_set && !is_settled) {
            return false;
        }
    }
    if (!is_settled && judge_search_is_open(judge) && !events_fit(judge, revision)) {
        return false;
    }
    return !judge->found.is_set;
}

void judge_replay(struct judge *judge)
{
    judge_search_begin(judge);
    int64_t revision = 1;
    while (revision <= judge->last) {
        if (step(judge, revision)) {
            judge_search_passed(judge, revision);
            revision++;
        } else if (judge_search_is_settled(judge, revision)) {
            revision++;
        } else {
            judge->found.revision = revision;
            revision = judge_search_retry(judge, revision);
        }
    }
    judge->found.is_set = false;
    judge_search_end(judge);
}
