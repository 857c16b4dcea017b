/* SPDX-License-Identifier: Apache-2.0 */
/* The replay's key space. */
#include "tests/check/model.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

/* ---- which keys and leases there are ---- */

struct collector {
    struct model *model;
    uint32_t *texts;
    uint32_t count, capacity;
};

static void note_key(struct collector *all, uint32_t text)
{
    if (all->model->rank_of[text] != MODEL_NO_KEY) {
        return;
    }
    all->model->rank_of[text] = 0;
    if (all->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 256 : all->capacity * 2;
        all->texts = mem_realloc(all->texts, all->capacity * sizeof(*all->texts));
    }
    all->texts[all->count++] = text;
}

static void note_lease(struct model *model, int64_t id)
{
    if (id == 0 || map_get_u64(&model->lease_index, (uint64_t)id) != NULL) {
        return;
    }
    if ((model->lease_count & (model->lease_count - 1)) == 0) {
        size_t capacity = model->lease_count == 0 ? 1 : (size_t)model->lease_count * 2;
        model->leases = mem_realloc(model->leases, capacity * sizeof(*model->leases));
    }
    model->leases[model->lease_count++] = (struct model_lease){.id = id};
    (void)map_set_u64(&model->lease_index, (uint64_t)id, (void *)(uintptr_t)model->lease_count);
}

static void note_kvs(struct collector *all, const struct history_kv *kvs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        note_key(all, kvs[i].key);
        note_lease(all->model, kvs[i].lease);
    }
}

static void note_request(struct collector *all, const struct history_request *request)
{
    note_lease(all->model, request->lease);
    if (request->kind == HISTORY_PUT) {
        note_key(all, request->key);
    }
    for (uint32_t i = 0; i < request->then_count; i++) {
        note_request(all, &request->then_requests[i]);
    }
    for (uint32_t i = 0; i < request->else_count; i++) {
        note_request(all, &request->else_requests[i]);
    }
}

static void note_response(struct collector *all, const struct history_response *response)
{
    note_lease(all->model, response->lease);
    note_kvs(all, response->kvs, response->kv_count);
    for (uint32_t i = 0; i < response->response_count; i++) {
        note_response(all, &response->responses[i]);
    }
}

static int compare_texts(const void *a, const void *b, void *history)
{
    return bytes_compare(history_bytes(history, *(const uint32_t *)a),
                         history_bytes(history, *(const uint32_t *)b));
}

static void collect(struct collector *all, const struct history *history)
{
    for (size_t i = 0; i < history->op_count; i++) {
        note_request(all, history->ops[i].request);
        if (history->ops[i].response != NULL) {
            note_response(all, history->ops[i].response);
        }
    }
    for (size_t i = 0; i < history->message_count; i++) {
        for (uint32_t j = 0; j < history->messages[i].event_count; j++) {
            const struct history_event *event = &history->messages[i].events[j];
            note_kvs(all, &event->kv, 1);
            note_kvs(all, &event->prev, event->has_prev ? 1 : 0);
        }
    }
}

void model_init(struct model *model, const struct history *history)
{
    *model = (struct model){.history = history};
    map_init(&model->lease_index);
    model->rank_of = mem_array(history->text_count, sizeof(*model->rank_of));
    memset(model->rank_of, 0xff, history->text_count * sizeof(*model->rank_of));
    struct collector all = {.model = model};
    collect(&all, history);
    if (all.count > 0) {
        qsort_r(all.texts, all.count, sizeof(*all.texts), compare_texts,
                (void *)(uintptr_t)history);
    }
    model->key_count = all.count;
    model->keys = mem_array(all.count, sizeof(*model->keys));
    model->tree = mem_array((size_t)all.count + 1, sizeof(*model->tree));
    for (uint32_t i = 0; i < all.count; i++) {
        model->keys[i].text = all.texts[i];
        model->rank_of[all.texts[i]] = i;
    }
    mem_free(all.texts);
}

void model_free(struct model *model)
{
    for (uint32_t i = 0; i < model->key_count; i++) {
        mem_free(model->keys[i].versions);
    }
    for (uint32_t i = 0; i < model->lease_count; i++) {
        mem_free(model->leases[i].keys);
    }
    mem_free(model->keys);
    mem_free(model->leases);
    mem_free(model->rank_of);
    mem_free(model->tree);
    mem_free(model->log);
    map_free(&model->lease_index);
    *model = (struct model){0};
}

uint32_t model_rank(const struct model *model, uint32_t text)
{
    return model->rank_of[text];
}

struct model_lease *model_lease(const struct model *model, int64_t id)
{
    uintptr_t index = (uintptr_t)map_get_u64(&model->lease_index, (uint64_t)id);
    return id == 0 || index == 0 ? NULL : &model->leases[index - 1];
}

/* The first rank whose key is not before text. */
static uint32_t lower_bound(const struct model *model, uint32_t text)
{
    if (model->rank_of[text] != MODEL_NO_KEY) {
        return model->rank_of[text];
    }
    struct bytes wanted = history_bytes(model->history, text);
    uint32_t lo = 0, hi = model->key_count;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (bytes_compare(history_bytes(model->history, model->keys[middle].text), wanted) < 0) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo;
}

struct model_range model_range_of(const struct model *model, uint32_t key, uint32_t range_end)
{
    uint32_t lo = lower_bound(model, key);
    if (range_end == HISTORY_EMPTY) {
        return (struct model_range){lo, lo + (model->rank_of[key] != MODEL_NO_KEY)};
    }
    struct bytes end = history_bytes(model->history, range_end);
    if (end.size == 1 && end.data[0] == 0) {
        return (struct model_range){lo, model->key_count};
    }
    uint32_t hi = lower_bound(model, range_end);
    return (struct model_range){lo, BASE_MAX(lo, hi)};
}

/* ---- states ---- */

const struct model_version *model_at(const struct model *model, uint32_t key, int64_t revision)
{
    const struct model_key *of = &model->keys[key];
    uint32_t lo = 0, hi = of->count; /* the first version after revision */
    if (hi > 0 && of->versions[hi - 1].revision <= revision) {
        return &of->versions[hi - 1];
    }
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (of->versions[middle].revision <= revision) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo == 0 ? NULL : &of->versions[lo - 1];
}

const struct model_version *model_now(const struct model *model, uint32_t key)
{
    const struct model_key *of = &model->keys[key];
    if (of->count == 0 || of->versions[of->count - 1].is_delete) {
        return NULL;
    }
    return &of->versions[of->count - 1];
}

static void tree_add(struct model *model, uint32_t key, bool lives)
{
    model->alive += lives ? 1 : UINT32_MAX;
    for (uint32_t i = key + 1; i <= model->key_count; i += i & (0 - i)) {
        model->tree[i] += lives ? 1 : UINT32_MAX;
    }
}

/* Living keys below that rank. */
static uint32_t tree_below(const struct model *model, uint32_t rank)
{
    uint32_t sum = 0;
    for (uint32_t i = rank; i > 0; i -= i & (0 - i)) {
        sum += model->tree[i];
    }
    return sum;
}

uint32_t model_count(const struct model *model, struct model_range range)
{
    if (range.hi - range.lo == 1) {
        return model_now(model, range.lo) != NULL;
    }
    return tree_below(model, range.hi) - tree_below(model, range.lo);
}

uint32_t model_next(const struct model *model, uint32_t from)
{
    for (uint32_t i = 0; i < 4; i++) { /* mostly it is near */
        if (from + i >= model->key_count) {
            return MODEL_NO_KEY;
        }
        if (model_now(model, from + i) != NULL) {
            return from + i;
        }
    }
    uint32_t skip = tree_below(model, from);
    if (skip >= model->alive) {
        return MODEL_NO_KEY;
    }
    uint32_t step = 1, at = 0; /* the place where skip + 1 living keys are reached */
    while (step <= model->key_count / 2) {
        step *= 2;
    }
    for (; step > 0; step /= 2) {
        if (at + step <= model->key_count && model->tree[at + step] <= skip) {
            at += step;
            skip -= model->tree[at];
        }
    }
    return at;
}

/* ---- changes ---- */

static void lease_attach(struct model *model, int64_t id, uint32_t key)
{
    struct model_lease *lease = model_lease(model, id);
    if (lease == NULL) {
        return;
    }
    lease->alive++;
    if (lease->key_count > 0 && lease->keys[lease->key_count - 1] == key) {
        return;
    }
    if (lease->key_count == lease->key_capacity) {
        lease->key_capacity = lease->key_capacity == 0 ? 4 : lease->key_capacity * 2;
        lease->keys = mem_realloc(lease->keys, lease->key_capacity * sizeof(*lease->keys));
    }
    lease->keys[lease->key_count++] = key;
}

static void lease_detach(struct model *model, int64_t id)
{
    struct model_lease *lease = model_lease(model, id);
    if (lease != NULL) {
        lease->alive--;
    }
}

void model_force(struct model *model, uint32_t key, const struct model_version *version)
{
    struct model_key *of = &model->keys[key];
    const struct model_version *before = model_now(model, key);
    if (before != NULL && before->lease != 0) {
        lease_detach(model, before->lease);
    }
    if ((before != NULL) == version->is_delete) {
        tree_add(model, key, !version->is_delete);
    }
    if (of->count == of->capacity) {
        of->capacity = of->capacity == 0 ? 1 : of->capacity * 2;
        of->versions = mem_realloc(of->versions, of->capacity * sizeof(*of->versions));
    }
    of->versions[of->count++] = *version;
    if (!version->is_delete && version->lease != 0) {
        lease_attach(model, version->lease, key);
    }
    if (model->log_count == model->log_capacity) {
        model->log_capacity = model->log_capacity == 0 ? 1024 : model->log_capacity * 2;
        model->log = mem_realloc(model->log, model->log_capacity * sizeof(*model->log));
    }
    ASSERT(model->log_count == 0 || model->log[model->log_count - 1].revision <= version->revision);
    model->log[model->log_count++] = (struct model_change){version->revision, key, of->count - 1};
}

void model_put(struct model *model, int64_t revision, uint32_t key, uint32_t value, int64_t lease)
{
    const struct model_version *before = model_now(model, key);
    struct model_version version = {
        .revision = revision,
        .create_revision = before == NULL ? revision : before->create_revision,
        .version = before == NULL ? 1 : before->version + 1,
        .lease = lease,
        .value = value,
    };
    model_force(model, key, &version);
}

void model_delete(struct model *model, int64_t revision, uint32_t key)
{
    ASSERT(model_now(model, key) != NULL);
    model_force(model, key, &(struct model_version){.revision = revision, .is_delete = true});
}

void model_rewind(struct model *model, int64_t revision)
{
    while (model->log_count > 0 && model->log[model->log_count - 1].revision > revision) {
        uint32_t key = model->log[--model->log_count].key;
        struct model_key *of = &model->keys[key];
        const struct model_version *undone = &of->versions[of->count - 1];
        bool lived = !undone->is_delete;
        if (lived && undone->lease != 0) {
            lease_detach(model, undone->lease);
        }
        of->count--;
        const struct model_version *now = model_now(model, key);
        if (now != NULL && now->lease != 0) {
            lease_attach(model, now->lease, key);
        }
        if ((now != NULL) != lived) {
            tree_add(model, key, now != NULL);
        }
    }
}

static int compare_ranks(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

uint32_t model_end_lease(struct model *model, int64_t revision, struct model_lease *lease)
{
    uint32_t count = 0;
    if (lease->alive == 0) {
        return 0;
    }
    qsort(lease->keys, lease->key_count, sizeof(*lease->keys), compare_ranks);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < lease->key_count; i++) { /* repeated ones go */
        if (kept == 0 || lease->keys[kept - 1] != lease->keys[i]) {
            lease->keys[kept++] = lease->keys[i];
        }
    }
    lease->key_count = kept;
    for (uint32_t i = 0; i < kept; i++) {
        const struct model_version *now = model_now(model, lease->keys[i]);
        if (now != NULL && now->lease == lease->id) {
            model_delete(model, revision, lease->keys[i]);
            count++;
        }
    }
    return count;
}
