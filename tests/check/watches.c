/* SPDX-License-Identifier: Apache-2.0 */
/* The guarantees of watches, each watch against the log of the finished replay. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/check/judge.h"

#define LONG(x) ((long long)(x))

/* A message as one watch got it: one for a whole stream stands here once per watch. */
struct delivery {
    uint32_t watch, message;
};

struct deliveries {
    struct delivery *all; /* by watch, each in the order of arrival */
    uint32_t *starts;     /* by watch; one more than there are watches */
};

/* One watch on its way through its messages. */
struct walk {
    struct judge *judge;
    const struct history_watch *watch;
    const struct delivery *deliveries;
    uint32_t delivery_count;
    struct model_range range;
    const struct model_change *expected; /* the changes of its range */
    size_t expected_count, next;
    int64_t start;    /* 0: not known yet */
    int64_t created;  /* the header of the created message; 0: not seen */
    int64_t last;     /* the revision of the last event */
    int64_t progress; /* of the last progress notification */
    bool any, after_fragment;
    const struct history_message *message;
    uint32_t message_index;
};

/* ---- which messages a watch got ---- */

static uint32_t watch_find(const struct map *by_id, uint64_t id)
{
    return (uint32_t)(uintptr_t)map_get_u64(by_id, id) - 1;
}

static bool is_progress(const struct history_message *message)
{
    return message->event_count == 0 && !message->is_created && !message->is_canceled &&
           message->compact_revision == 0;
}

/* How messages find their watches. */
struct post {
    const struct history *history;
    struct map by_id, by_stream;
    uint32_t *next_of_stream;
    uint32_t *counts; /* by watch: messages so far, or where the next one goes */
    bool *is_open;    /* by watch: created and not over; notes for its stream are for it too */
};

static void post_to(struct post *post, uint32_t watch, uint32_t message, struct delivery *out)
{
    if (out != NULL) {
        out[post->counts[watch]] = (struct delivery){watch, message};
    }
    post->counts[watch]++;
}

/* Gives how many watches get the message; fills out when it is not NULL. */
static uint32_t deliver(struct post *post, uint32_t index, struct delivery *out)
{
    const struct history_message *message = &post->history->messages[index];
    uint32_t total = 0;
    if (message->watch != 0) {
        uint32_t watch = watch_find(&post->by_id, message->watch);
        if (watch == JUDGE_NONE) {
            return 0;
        }
        post_to(post, watch, index, out);
        post->is_open[watch] = (post->is_open[watch] || message->is_created) &&
                               !message->is_canceled && message->compact_revision == 0;
        return 1;
    }
    for (uint32_t watch = watch_find(&post->by_stream, message->stream); watch != JUDGE_NONE;
         watch = post->next_of_stream[watch]) {
        if (post->is_open[watch]) {
            post_to(post, watch, index, out);
            total++;
        }
    }
    return total;
}

static struct deliveries deliveries_sort(struct judge *judge, bool tells)
{
    const struct history *history = judge->history;
    uint32_t count = (uint32_t)history->watch_count, total = 0;
    struct post post = {.history = history,
                        .next_of_stream = mem_array(count, sizeof(*post.next_of_stream)),
                        .counts = mem_array((size_t)count + 1, sizeof(*post.counts)),
                        .is_open = mem_array(count, sizeof(*post.is_open))};
    map_init(&post.by_id);
    map_init(&post.by_stream);
    for (uint32_t i = 0; i < count; i++) {
        const struct history_watch *watch = &history->watches[i];
        void *name = (void *)(uintptr_t)(i + 1);
        if (map_set_u64(&post.by_id, watch->id, name) != NULL && tells) {
            judge_violation(judge, CHECK_HISTORY, 0, "two watches have the id %llu",
                            (unsigned long long)watch->id);
        }
        void *before = map_set_u64(&post.by_stream, watch->stream, name);
        post.next_of_stream[i] = (uint32_t)(uintptr_t)before - 1;
    }
    for (uint32_t i = 0; i < history->message_count; i++) {
        uint32_t got = deliver(&post, i, NULL);
        if (got == 0 && history->messages[i].watch != 0 && tells) {
            judge_violation(judge, CHECK_HISTORY, 0, "a message of watch %llu, which nobody made",
                            (unsigned long long)history->messages[i].watch);
        }
        total += got;
    }
    struct deliveries sorted = {mem_array(total, sizeof(*sorted.all)),
                                mem_array((size_t)count + 1, sizeof(*sorted.starts))};
    for (uint32_t i = 0; i < count; i++) {
        sorted.starts[i + 1] = sorted.starts[i] + post.counts[i];
        post.is_open[i] = false;
    }
    memcpy(post.counts, sorted.starts, ((size_t)count + 1) * sizeof(*post.counts));
    for (uint32_t i = 0; i < history->message_count; i++) {
        (void)deliver(&post, i, sorted.all);
    }
    mem_free(post.counts);
    mem_free(post.next_of_stream);
    mem_free(post.is_open);
    map_free(&post.by_id);
    map_free(&post.by_stream);
    return sorted;
}

static void deliveries_free(struct deliveries *deliveries)
{
    mem_free(deliveries->all);
    mem_free(deliveries->starts);
}

/* ---- covers ---- */

static struct judge_cover cover_of(const struct judge *judge, const struct history_watch *watch,
                                   const struct delivery *deliveries, uint32_t count)
{
    struct judge_cover cover = {.range =
                                    model_range_of(&judge->model, watch->key, watch->range_end),
                                .from = watch->start_revision,
                                .no_put = watch->no_put,
                                .no_delete = watch->no_delete};
    for (uint32_t i = 0; i < count; i++) {
        const struct history_message *message = &judge->history->messages[deliveries[i].message];
        if (message->is_created && cover.from <= 0) {
            cover.from = message->revision + 1;
        } else if (is_progress(message)) {
            cover.to = BASE_MAX(cover.to, message->revision);
        } else if (message->event_count > 0) {
            int64_t last = message->events[message->event_count - 1].kv.mod_revision;
            cover.to = BASE_MAX(cover.to, last - message->is_fragment);
        }
    }
    cover.from = cover.from <= 0 ? INT64_MAX : cover.from;
    cover.to = BASE_MIN(cover.to, judge->last);
    cover.is_whole = !watch->no_put && !watch->no_delete && cover.range.lo == 0 &&
                     cover.range.hi == judge->model.key_count;
    return cover;
}

void judge_watches_prepare(struct judge *judge)
{
    const struct history *history = judge->history;
    struct deliveries deliveries = deliveries_sort(judge, true);
    judge->covers = mem_array(history->watch_count, sizeof(*judge->covers));
    for (uint32_t i = 0; i < history->watch_count; i++) {
        struct judge_cover cover =
            cover_of(judge, &history->watches[i], &deliveries.all[deliveries.starts[i]],
                     deliveries.starts[i + 1] - deliveries.starts[i]);
        if (cover.from > cover.to) {
            continue;
        }
        judge->covers[judge->cover_count++] = cover;
        for (int64_t revision = cover.from; cover.is_whole && revision <= cover.to; revision++) {
            judge->is_covered[revision] = true;
        }
    }
    deliveries_free(&deliveries);
}

/* ---- events ---- */

static void broken(const struct walk *walk, enum check_name name, int64_t revision,
                   const struct history_event *event, const char *why)
{
    struct judge_text kv = {""};
    if (event != NULL) {
        kv = event->is_delete ? judge_key_text(walk->judge, event->kv.key)
                              : judge_kv_text(walk->judge, &event->kv);
    }
    judge_violation(
        walk->judge, name, revision,
        "watch %llu (from %lld, client %u, message at %llu ns from member %llx, header "
        "%lld): %s%s%s%s; written by: %s",
        (unsigned long long)walk->watch->id, LONG(walk->watch->start_revision), walk->watch->client,
        (unsigned long long)(walk->message == NULL ? 0 : walk->message->time_ns),
        (unsigned long long)(walk->message == NULL ? 0 : walk->message->member),
        LONG(walk->message == NULL ? 0 : walk->message->revision), why, event == NULL ? "" : ": ",
        event != NULL && event->is_delete ? "deletion of " : "", kv.text,
        judge_cause_text(walk->judge, revision).text);
}

static const struct model_version *version_of(const struct walk *walk,
                                              const struct model_change *change)
{
    return &walk->judge->model.keys[change->key].versions[change->version];
}

static bool is_wanted(const struct walk *walk, const struct model_change *change)
{
    return version_of(walk, change)->is_delete ? !walk->watch->no_delete : !walk->watch->no_put;
}

/* The first change of a revision of at least that. */
static size_t expected_from(const struct walk *walk, int64_t revision)
{
    size_t lo = 0, hi = walk->expected_count;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (walk->expected[middle].revision < revision) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo;
}

static void start_at(struct walk *walk, int64_t revision)
{
    walk->start = revision;
    walk->next = expected_from(walk, revision);
}

/* Skips what the filters leave out. */
static void skip_filtered(struct walk *walk)
{
    while (walk->next < walk->expected_count && !is_wanted(walk, &walk->expected[walk->next])) {
        walk->next++;
    }
}

/* Was this very event in an earlier message, or earlier in this one? */
static bool was_delivered(const struct walk *walk, const struct history_event *event)
{
    for (uint32_t i = 0; i < walk->delivery_count; i++) {
        const struct history_message *message =
            &walk->judge->history->messages[walk->deliveries[i].message];
        for (uint32_t j = 0; j < message->event_count; j++) {
            if (&message->events[j] == event) {
                return false;
            }
            if (message->events[j].kv.key == event->kv.key &&
                message->events[j].kv.mod_revision == event->kv.mod_revision) {
                return true;
            }
        }
    }
    return false;
}

static void check_prev(const struct walk *walk, const struct history_event *event,
                       const struct model_change *change)
{
    const struct model_version *prev = change->version == 0 ? NULL : version_of(walk, change) - 1;
    prev = prev != NULL && prev->is_delete ? NULL : prev;
    if (!event->has_prev) {
        bool is_compacted =
            judge_compactable(walk->judge, walk->message->time_ns) >= change->revision;
        if (walk->watch->wants_prev_kv && prev != NULL && !is_compacted) {
            broken(walk, CHECK_WATCH_PREV_KV, change->revision, event,
                   "the previous value is missing");
        }
    } else if (!walk->watch->wants_prev_kv) {
        broken(walk, CHECK_WATCH_PREV_KV, change->revision, event,
               "a previous value that was not asked for");
    } else if (prev == NULL || !judge_kv_equal(&event->prev, prev, false)) {
        char why[2 * JUDGE_TEXT_BYTES + 64];
        (void)snprintf(why, sizeof(why), "the previous value is told as %s, but it was %s",
                       judge_kv_text(walk->judge, &event->prev).text,
                       prev == NULL ? "nothing"
                                    : judge_cause_text(walk->judge, prev->revision).text);
        broken(walk, CHECK_WATCH_PREV_KV, change->revision, event, why);
    }
}

static void check_content(const struct walk *walk, const struct history_event *event,
                          const struct model_change *change)
{
    const struct model_version *version = version_of(walk, change);
    bool tells_create = event->kv.create_revision == event->kv.mod_revision;
    if (event->is_delete != version->is_delete) {
        broken(walk, CHECK_WATCH_CONTENT, change->revision, event,
               version->is_delete ? "a put is told where a deletion was"
                                  : "a deletion is told where a put was");
        return;
    }
    if (!event->is_delete && (tells_create != (version->create_revision == version->revision) ||
                              tells_create != (event->kv.version == 1))) {
        broken(walk, CHECK_WATCH_IS_CREATE, change->revision, event,
               tells_create ? "an update is told as a creation"
                            : "a creation is told as an update");
    } else if (!event->is_delete && !judge_kv_equal(&event->kv, version, false)) {
        broken(walk, CHECK_WATCH_CONTENT, change->revision, event, "this is not what was written");
    }
    check_prev(walk, event, change);
}

/* Everything from walk->next to below index was passed over. */
static void check_missing(struct walk *walk, size_t index)
{
    uint32_t missing = 0;
    int64_t first = 0;
    for (; walk->next < index; walk->next++) {
        if (is_wanted(walk, &walk->expected[walk->next])) {
            first = missing++ == 0 ? walk->expected[walk->next].revision : first;
        }
    }
    if (missing > 0) {
        char why[96];
        (void)snprintf(why, sizeof(why), "%u event%s missing, the first at revision %lld", missing,
                       missing == 1 ? "" : "s", LONG(first));
        broken(walk, walk->any ? CHECK_WATCH_RELIABLE : CHECK_WATCH_RESUMABLE, first, NULL, why);
    }
}

/* Where the log has the event; SIZE_MAX: nowhere. */
static size_t locate(const struct walk *walk, const struct history_event *event)
{
    uint32_t key = walk->judge->model.rank_of[event->kv.key];
    int64_t revision = event->kv.mod_revision;
    size_t at = walk->next; /* mostly it is the next one */
    if (at < walk->expected_count && walk->expected[at].revision == revision &&
        walk->expected[at].key == key) {
        return at;
    }
    for (at = expected_from(walk, revision);
         at < walk->expected_count && walk->expected[at].revision == revision; at++) {
        if (walk->expected[at].key == key) {
            return at;
        }
    }
    return SIZE_MAX;
}

/* False when the event is not one that the watch may bring at all. */
static bool check_admissible(const struct walk *walk, const struct history_event *event)
{
    uint32_t key = walk->judge->model.rank_of[event->kv.key];
    int64_t revision = event->kv.mod_revision;
    if (key < walk->range.lo || key >= walk->range.hi ||
        (event->is_delete ? walk->watch->no_delete : walk->watch->no_put)) {
        broken(walk, CHECK_WATCH_FILTER, revision, event, "this was not asked for");
        return false;
    }
    if (walk->message->revision != 0 && revision > walk->message->revision) {
        broken(walk, CHECK_WATCH_HEADER, revision, event, "it is newer than its message's header");
    }
    if (walk->start != 0 && revision < walk->start) {
        bool is_future = walk->created != 0 && walk->watch->start_revision > walk->created;
        broken(walk, is_future ? CHECK_WATCH_FUTURE : CHECK_WATCH_RESUMABLE, revision, event,
               "it is older than the start of the watch");
        return false;
    }
    if (revision <= walk->progress) {
        broken(walk, CHECK_WATCH_BOOKMARKABLE, revision, event,
               "it comes after a progress notification that covered it");
    }
    return true;
}

static void walk_event(struct walk *walk, const struct history_event *event, bool is_first)
{
    int64_t revision = event->kv.mod_revision;
    walk->judge->verdict->watch_events++;
    if (!check_admissible(walk, event)) {
        return;
    }
    if (walk->start == 0) {
        start_at(walk, revision);
    }
    skip_filtered(walk);
    size_t at = locate(walk, event);
    if (at == SIZE_MAX) {
        broken(walk, CHECK_WATCH_CONTENT, revision, event, "it never happened");
        return;
    }
    if (at < walk->next) {
        bool is_repeated = was_delivered(walk, event);
        broken(walk, is_repeated ? CHECK_WATCH_UNIQUE : CHECK_WATCH_ORDERED, revision, event,
               is_repeated ? "it comes twice" : "it comes after later ones");
        return;
    }
    check_missing(walk, at);
    if (is_first && walk->any && revision == walk->last && !walk->after_fragment) {
        broken(walk, CHECK_WATCH_ATOMIC, revision, event,
               "others of its revision came in an earlier message");
    }
    check_content(walk, event, &walk->expected[at]);
    walk->next = at + 1;
    walk->last = revision;
    walk->any = true;
}

/* ---- messages ---- */

static void walk_cancel(struct walk *walk)
{
    int64_t compacted = walk->message->compact_revision;
    int64_t position = BASE_MAX(walk->start, BASE_MAX(walk->last, walk->progress) + 1);
    if (compacted == 0) {
        return;
    }
    if (compacted > judge_compactable(walk->judge, walk->message->time_ns)) {
        broken(walk, CHECK_WATCH_COMPACTED, compacted, NULL,
               "ended by a compaction that nobody asked for");
    } else if (position >= compacted && walk->start != 0) {
        broken(walk, CHECK_WATCH_COMPACTED, compacted, NULL,
               "ended by a compaction that it was not behind");
    }
}

static void walk_message(struct walk *walk)
{
    const struct history_message *message = walk->message;
    walk->judge->verdict->watch_messages++;
    if (message->is_created) {
        walk->created = message->revision;
        if (walk->start == 0) {
            start_at(walk, message->revision + 1);
        }
    }
    if (is_progress(message)) {
        walk->judge->verdict->progress_notes++;
        if (message->revision < walk->last) {
            broken(walk, CHECK_WATCH_HEADER, message->revision, NULL,
                   "a progress notification is older than an event before it");
        }
        walk->progress = BASE_MAX(walk->progress, message->revision);
    }
    for (uint32_t i = 0; i < message->event_count; i++) {
        walk_event(walk, &message->events[i], i == 0);
    }
    walk->after_fragment = message->is_fragment;
    if (message->is_canceled || message->compact_revision != 0) {
        walk_cancel(walk);
    }
}

static void walk_watch(struct walk *walk)
{
    if (walk->watch->start_revision > 0) {
        start_at(walk, walk->watch->start_revision);
    }
    for (uint32_t i = 0; i < walk->delivery_count; i++) {
        walk->message = &walk->judge->history->messages[walk->deliveries[i].message];
        walk_message(walk);
    }
    if (walk->start == 0) {
        return;
    }
    size_t covered = expected_from(walk, walk->progress + 1);
    if (covered > walk->next) {
        walk->any = true; /* it is not the first event that is late, but all of them */
        check_missing(walk, covered);
    }
}

/* ---- all watches, those of one range together ---- */

struct by_range {
    struct model_range range;
    uint32_t watch;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct by_range *left = a, *right = b;
    if (left->range.lo != right->range.lo) {
        return left->range.lo < right->range.lo ? -1 : 1;
    }
    if (left->range.hi != right->range.hi) {
        return left->range.hi < right->range.hi ? -1 : 1;
    }
    return left->watch < right->watch ? -1 : left->watch > right->watch;
}

/* The changes of a range, in order. */
static size_t changes_of(const struct model *model, struct model_range range,
                         struct model_change **out)
{
    size_t count = 0;
    if (range.hi - range.lo == 1) {
        const struct model_key *key = &model->keys[range.lo];
        *out = mem_array(key->count, sizeof(**out));
        for (uint32_t i = 0; i < key->count; i++) {
            (*out)[count++] = (struct model_change){key->versions[i].revision, range.lo, i};
        }
        return count;
    }
    for (size_t i = 0; i < model->log_count; i++) {
        count += model->log[i].key >= range.lo && model->log[i].key < range.hi;
    }
    *out = mem_array(count, sizeof(**out));
    count = 0;
    for (size_t i = 0; i < model->log_count; i++) {
        if (model->log[i].key >= range.lo && model->log[i].key < range.hi) {
            (*out)[count++] = model->log[i];
        }
    }
    return count;
}

void judge_watches(struct judge *judge)
{
    const struct history *history = judge->history;
    struct deliveries deliveries = deliveries_sort(judge, false);
    struct by_range *order = mem_array(history->watch_count, sizeof(*order));
    for (uint32_t i = 0; i < history->watch_count; i++) {
        const struct history_watch *watch = &history->watches[i];
        order[i] =
            (struct by_range){model_range_of(&judge->model, watch->key, watch->range_end), i};
    }
    qsort(order, history->watch_count, sizeof(*order), compare_ranges);
    struct model_change *changes = NULL;
    size_t change_count = 0;
    for (uint32_t i = 0; i < history->watch_count; i++) {
        if (i == 0 || order[i].range.lo != order[i - 1].range.lo ||
            order[i].range.hi != order[i - 1].range.hi) {
            mem_free(changes);
            change_count = changes_of(&judge->model, order[i].range, &changes);
        }
        uint32_t watch = order[i].watch, from = deliveries.starts[watch];
        struct walk walk = {.judge = judge,
                            .watch = &history->watches[watch],
                            .deliveries = &deliveries.all[from],
                            .delivery_count = deliveries.starts[watch + 1] - from,
                            .range = order[i].range,
                            .expected = changes,
                            .expected_count = change_count};
        walk_watch(&walk);
    }
    judge->verdict->watches = history->watch_count;
    mem_free(changes);
    mem_free(order);
    deliveries_free(&deliveries);
}
