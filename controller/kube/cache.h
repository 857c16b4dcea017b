/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All objects of one kind, kept current by list and watch: resumed by resourceVersion, kept fresh
 * by bookmarks, listed again after 410, reconnected with backoff. Objects change only inside
 * kube_cache_turn and kube_cache_put, so what was borrowed in between stays valid.
 */
#ifndef CONTROLLER_KUBE_CACHE_H
#define CONTROLLER_KUBE_CACHE_H

#include "base/defs.h"
#include "base/json.h"
#include "base/seam/clock.h"
#include "controller/kube/client.h"

#define KUBE_WATCH_SECONDS_MIN     300u
#define KUBE_WATCH_SECONDS_SPREAD  300u
#define KUBE_CACHE_BACKOFF_BASE_MS 200u
#define KUBE_CACHE_BACKOFF_MAX_MS  20000u
#define KUBE_CACHE_FORBIDDEN_MS    60000u /* how often to ask again for what we may not read */
#define KUBE_CACHE_KEY_MAX         640u

struct kube_cache;

/* Told for every change: object as it is now, or as it was last when deleted. Borrowed for the
 * call. */
typedef void (*kube_change_fn)(void *ctx, enum kube_kind_id kind, const struct json *object,
                               bool deleted);

/* What to keep. All borrowed for the call of kube_cache_new only, client and clock excepted. */
struct kube_cache_options {
    struct kube_client *client;
    const struct clock_seam *clock;
    enum kube_kind_id kind;
    const char *const *namespaces; /* count 0: all of them */
    size_t namespace_count;
    const char *label_selector; /* NULL: all objects */
    kube_change_fn on_change;
    void *ctx;
    uint64_t seed; /* of the jitter */
};

struct kube_cache *kube_cache_new(const struct kube_cache_options *options);
void kube_cache_free(struct kube_cache *cache);

/* Takes in what has arrived, and starts lists and watches that are due. Calls on_change. */
void kube_cache_turn(struct kube_cache *cache);

/* When kube_cache_turn must be called next even if nothing arrives (monotonic ms, UINT64_MAX:
 * never). */
uint64_t kube_cache_next_ms(const struct kube_cache *cache);

/* True once every namespace was listed, or may not be read (kube_cache_readable tells). */
bool kube_cache_synced(const struct kube_cache *cache);

/* True when every namespace could be listed the last time it was tried. */
bool kube_cache_readable(const struct kube_cache *cache);

/* The object, NULL when absent. Borrowed until the next turn or put. */
const struct json *kube_cache_get(const struct kube_cache *cache, const char *namespace_,
                                  const char *name);

/* Walks all objects, in no order; start with *cursor = 0; NULL at the end. */
const struct json *kube_cache_next(const struct kube_cache *cache, size_t *cursor);

size_t kube_cache_count(const struct kube_cache *cache);

/*
 * What the server answered to a write of ours: kept at once (unless older than what is there), so
 * that the next pass sees it. Takes object. on_change is not called.
 */
void kube_cache_put(struct kube_cache *cache, struct json *object);

#endif
