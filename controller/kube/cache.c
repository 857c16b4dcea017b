/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch of one kind, one feed per namespace, into one map. */
#include "controller/kube/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "controller/kube/backoff.h"
#include "controller/kube/watch.h"

#define LIST_LIMIT      500
#define LIST_MS         60000u
#define PATH_MAX_BYTES  8192u
#define WATCH_SLACK_MS  30000u
#define EVENTS_PER_TURN 1000u

enum feed_state { FEED_IDLE, FEED_LISTING, FEED_WATCHING };

/* One collection: all namespaces, or one. */
struct feed {
    char *namespace_; /* NULL: all */
    enum feed_state state;
    struct http_transfer *transfer;
    char *version;       /* where to watch from; NULL: list first */
    char *page_token;    /* the next page of a list */
    struct json *listed; /* array of the pages so far */
    uint64_t due_ms;     /* FEED_IDLE: when to go on */
    uint32_t failures;
    bool synced;
    bool forbidden;
    bool progressed; /* this watch has delivered something */
    bool has_more;   /* whole lines are left over from the last turn */
};

struct kube_cache {
    struct kube_client *client;
    const struct clock_seam *clock;
    enum kube_kind_id kind;
    char *label_selector;
    kube_change_fn on_change;
    void *ctx;
    struct rng rng;
    struct feed *feeds;
    size_t feed_count;
    struct map objects; /* "namespace/name" to struct json */
};

static uint64_t now_ms_of(const struct kube_cache *cache)
{
    return clock_monotonic_ms(cache->clock);
}

static const char *object_version(const struct json *object)
{
    return json_path_str(object, "metadata.resourceVersion", "");
}

static size_t object_key(const char *namespace_, const char *name, char *out)
{
    size_t ns_size = namespace_ == NULL ? 0 : strlen(namespace_);
    size_t name_size = strlen(name);
    if (ns_size + name_size + 1 > KUBE_CACHE_KEY_MAX) {
        return 0; /* no Kubernetes name is that long: nothing is found under it */
    }
    memcpy(out, namespace_ == NULL ? "" : namespace_, ns_size);
    out[ns_size] = '/';
    memcpy(out + ns_size + 1, name, name_size);
    return ns_size + 1 + name_size;
}

static struct bytes key_of(const struct json *object, char *space)
{
    size_t size = object_key(json_path_str(object, "metadata.namespace", NULL),
                             json_path_str(object, "metadata.name", ""), space);
    return bytes_of(space, size);
}

static bool is_older(const char *a, const char *b)
{
    int order = 0;
    return kube_version_compare(a, b, &order) && order < 0;
}

/* Keeps object unless what is there is as new. Takes object. */
static bool keep(struct kube_cache *cache, struct json *object)
{
    char space[KUBE_CACHE_KEY_MAX];
    struct bytes key = key_of(object, space);
    /* Half of an object's bytes, and nobody here reads them. */
    json_remove(json_ensure_object(object, "metadata"), "managedFields");
    const struct json *old = map_get(&cache->objects, key);
    if (old != NULL && !is_older(object_version(old), object_version(object))) {
        int order = 0;
        if (kube_version_compare(object_version(old), object_version(object), &order)) {
            json_free(object);
            return false;
        }
    }
    json_free(map_set(&cache->objects, key, object));
    return true;
}

static void changed(struct kube_cache *cache, const struct json *object, bool deleted)
{
    if (cache->on_change != NULL) {
        cache->on_change(cache->ctx, cache->kind, object, deleted);
    }
}

static void take_changed(struct kube_cache *cache, struct json *object)
{
    char space[KUBE_CACHE_KEY_MAX];
    struct bytes key = key_of(object, space);
    if (keep(cache, object)) {
        changed(cache, map_get(&cache->objects, key), false);
    }
}

static void take_deleted(struct kube_cache *cache, struct json *object)
{
    char space[KUBE_CACHE_KEY_MAX];
    struct bytes key = key_of(object, space);
    const struct json *old = map_get(&cache->objects, key);
    /* A late "deleted" of an earlier object must not take away the one that has its name now. */
    if (old != NULL && !is_older(object_version(object), object_version(old))) {
        struct json *gone = map_remove(&cache->objects, key);
        changed(cache, gone, true);
        json_free(gone);
    }
    json_free(object);
}

/* The feed waits after a failure, longer each time. */
static void feed_rest(struct kube_cache *cache, struct feed *feed, uint64_t wait_ms)
{
    http_transfer_free(feed->transfer);
    feed->transfer = NULL;
    feed->state = FEED_IDLE;
    feed->due_ms = now_ms_of(cache) + wait_ms;
    mem_free(feed->page_token);
    feed->page_token = NULL;
    json_free(feed->listed);
    feed->listed = NULL;
}

static void feed_fail(struct kube_cache *cache, struct feed *feed, uint64_t at_least_ms)
{
    feed->failures++;
    uint64_t wait_ms = kube_backoff_ms(feed->failures, KUBE_CACHE_BACKOFF_BASE_MS,
                                       KUBE_CACHE_BACKOFF_MAX_MS, &cache->rng);
    feed_rest(cache, feed, BASE_MAX(wait_ms, at_least_ms));
}

static void feed_path(const struct kube_cache *cache, const struct feed *feed, struct buf *path)
{
    kube_kind_path(&KUBE_KINDS[cache->kind], feed->namespace_, NULL, NULL, path);
    buf_append_byte(path, '?');
    if (cache->label_selector != NULL) {
        buf_append_str(path, "labelSelector=");
        kube_escape(cache->label_selector, path);
        buf_append_byte(path, '&');
    }
}

static void list_start(struct kube_cache *cache, struct feed *feed)
{
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    feed_path(cache, feed, &path);
    buf_printf(&path, "limit=%d", LIST_LIMIT);
    if (feed->page_token != NULL) {
        buf_append_str(&path, "&continue=");
        kube_escape(feed->page_token, &path);
    }
    http_transfer_free(feed->transfer);
    feed->transfer = kube_client_get(cache->client, buf_cstr(&path), false, LIST_MS, 0);
    feed->state = FEED_LISTING;
    buf_free(&path);
}

static void watch_start(struct kube_cache *cache, struct feed *feed)
{
    uint64_t seconds = KUBE_WATCH_SECONDS_MIN + rng_below(&cache->rng, KUBE_WATCH_SECONDS_SPREAD);
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    feed_path(cache, feed, &path);
    buf_append_str(&path, "watch=true&allowWatchBookmarks=true&resourceVersion=");
    kube_escape(feed->version, &path);
    buf_printf(&path, "&timeoutSeconds=%llu", (unsigned long long)seconds);
    feed->transfer =
        kube_client_get(cache->client, buf_cstr(&path), true, seconds * 1000 + WATCH_SLACK_MS, 0);
    feed->state = FEED_WATCHING;
    feed->progressed = false;
    feed->has_more = false;
    buf_free(&path);
}

static void version_set(struct feed *feed, const char *version)
{
    if (version[0] != 0) {
        mem_free(feed->version);
        feed->version = str_dup(version);
    }
}

static void version_forget(struct feed *feed)
{
    mem_free(feed->version);
    feed->version = NULL;
}

static bool feed_covers(const struct feed *feed, const struct json *object)
{
    return feed->namespace_ == NULL ||
           str_equal(feed->namespace_, json_path_str(object, "metadata.namespace", NULL));
}

/* Everything of this feed that a whole list did not name, and that is not newer than it, is gone.
 */
static void drop_unlisted(struct kube_cache *cache, const struct feed *feed,
                          const struct map *listed)
{
    size_t cursor = 0;
    struct bytes key;
    for (void *value; map_next(&cache->objects, &cursor, &key, &value);) {
        struct json *object = value;
        if (!feed_covers(feed, object) || map_get(listed, key) != NULL ||
            is_older(feed->version, object_version(object))) {
            continue;
        }
        map_remove(&cache->objects, key);
        changed(cache, object, true);
        json_free(object);
    }
}

static void list_apply(struct kube_cache *cache, struct feed *feed)
{
    struct map names;
    map_init(&names);
    char space[KUBE_CACHE_KEY_MAX];
    for (size_t i = 0; i < json_count(feed->listed); i++) {
        map_set(&names, key_of(json_at(feed->listed, i), space), cache);
    }
    drop_unlisted(cache, feed, &names);
    map_free(&names);
    while (json_count(feed->listed) > 0) {
        size_t last = json_count(feed->listed) - 1;
        struct json *object = json_copy(json_at(feed->listed, last));
        json_remove_at(feed->listed, last);
        take_changed(cache, object);
    }
}

/* A list of a built-in kind says the kind once, not in its items; watches say it in each object. */
static void name_kind(const struct kube_cache *cache, struct json *item)
{
    const struct kube_kind *kind = &KUBE_KINDS[cache->kind];
    struct buf api_version;
    buf_init(&api_version, PATH_MAX_BYTES);
    kube_kind_api_version(kind, &api_version);
    json_set_str(item, "apiVersion", buf_cstr(&api_version));
    json_set_str(item, "kind", kind->kind);
    buf_free(&api_version);
}

static void list_page_take(struct kube_cache *cache, struct feed *feed, struct json *page)
{
    if (feed->listed == NULL) {
        feed->listed = json_array();
    }
    const struct json *items = json_get(page, "items");
    char *version = str_dup(json_path_str(page, "metadata.resourceVersion", ""));
    for (size_t i = 0; i < json_count(items); i++) {
        struct json *item = json_copy(json_at(items, i));
        name_kind(cache, item);
        json_append(feed->listed, item);
    }
    const char *token = json_path_str(page, "metadata.continue", "");
    mem_free(feed->page_token);
    feed->page_token = token[0] == 0 ? NULL : str_dup(token);
    json_free(page);
    if (feed->page_token != NULL) {
        list_start(cache, feed);
    } else {
        version_set(feed, version);
        list_apply(cache, feed);
        feed->synced = true;
        feed->forbidden = false;
        feed->failures = 0;
        feed_rest(cache, feed, 0);
    }
    mem_free(version);
}

static void failure_log(const struct kube_cache *cache, const struct feed *feed, const char *what,
                        const struct err *err)
{
    LOG_WARN(what, LOG_STR("kind", KUBE_KINDS[cache->kind].kind),
             LOG_STR("namespace", feed->namespace_ == NULL ? "" : feed->namespace_),
             LOG_U64("failures", feed->failures), LOG_STR("error", err->text));
}

static void list_finish(struct kube_cache *cache, struct feed *feed)
{
    struct err err = {{0}};
    int rc = http_result(feed->transfer, &err);
    if (rc == 0) {
        rc =
            kube_status_error(http_status(feed->transfer), http_body(feed->transfer), "list", &err);
    }
    struct json *page = NULL;
    if (rc == 0) {
        struct bytes body = http_body(feed->transfer);
        page = json_parse((const char *)body.data, body.size, &err);
        rc = page == NULL ? E_CORRUPT : 0;
    }
    if (rc == 0) {
        list_page_take(cache, feed, page);
        return;
    }
    uint64_t wait_ms = 0;
    if (rc == E_AGAIN) {
        wait_ms = kube_retry_after_ms(http_header(feed->transfer, "retry-after"), 1000);
    }
    /* Forbidden, or a kind that is not installed: that is an answer, ask again later. */
    if (rc == E_PERMISSION || rc == E_NOT_FOUND) {
        if (!feed->forbidden) {
            failure_log(cache, feed, "may not be read", &err);
        }
        feed->forbidden = true;
        wait_ms = rc == E_PERMISSION ? KUBE_CACHE_FORBIDDEN_MS : 1000;
    } else {
        failure_log(cache, feed, "list failed", &err);
    }
    feed_fail(cache, feed, wait_ms);
}

/* Returns false when the watch is over. */
static bool event_take(struct kube_cache *cache, struct feed *feed, struct kube_watch_event *event)
{
    char *version = str_dup(object_version(event->object));
    bool goes_on = true;
    switch (event->type) {
    case KUBE_WATCH_ADDED:
    case KUBE_WATCH_MODIFIED:
        take_changed(cache, event->object);
        break;
    case KUBE_WATCH_DELETED:
        take_deleted(cache, event->object);
        break;
    case KUBE_WATCH_BOOKMARK:
        json_free(event->object);
        break;
    case KUBE_WATCH_ERROR:
    default:
        LOG_INFO("watch ended by the server", LOG_STR("kind", KUBE_KINDS[cache->kind].kind),
                 LOG_I64("code", event->error_code),
                 LOG_STR("message", json_str(json_get(event->object, "message"), "")));
        if (event->error_code == 410) {
            version_forget(feed);
        }
        json_free(event->object);
        goes_on = false;
        break;
    }
    if (goes_on) {
        version_set(feed, version);
        feed->progressed = true;
        feed->failures = 0;
    }
    mem_free(version);
    return goes_on;
}

/* Takes in the whole lines that have arrived. Returns false when the watch is over. */
static bool watch_read(struct kube_cache *cache, struct feed *feed)
{
    struct bytes body = http_body(feed->transfer);
    size_t eaten = 0;
    bool goes_on = true;
    bool is_full = true;
    for (size_t count = 0; goes_on && count < EVENTS_PER_TURN; count++) {
        struct kube_watch_event event;
        struct err err = {{0}};
        size_t used = 0;
        int rc =
            kube_watch_decode(bytes_of(body.data + eaten, body.size - eaten), &used, &event, &err);
        eaten += used;
        if (rc == E_AGAIN) {
            is_full = false;
            break;
        }
        if (rc != 0) {
            failure_log(cache, feed, "watch stream is broken", &err);
            goes_on = false;
        } else {
            goes_on = event_take(cache, feed, &event);
        }
    }
    http_consume(feed->transfer, eaten);
    feed->has_more = goes_on && is_full;
    return goes_on;
}

static void watch_finish(struct kube_cache *cache, struct feed *feed)
{
    struct err err = {{0}};
    int rc = http_result(feed->transfer, &err);
    if (rc == 0 && feed->progressed) {
        feed_rest(cache, feed, 0); /* its time was up: resume */
        return;
    }
    if (rc == 0) {
        rc = kube_status_error(http_status(feed->transfer), http_body(feed->transfer), "watch",
                               &err);
    }
    uint64_t wait_ms = 0;
    if (rc == E_COMPACTED) {
        version_forget(feed);
    } else if (rc == E_PERMISSION) {
        version_forget(feed);
        feed->forbidden = true;
        wait_ms = KUBE_CACHE_FORBIDDEN_MS;
    } else if (rc == E_AGAIN) {
        wait_ms = kube_retry_after_ms(http_header(feed->transfer, "retry-after"), 1000);
    }
    if (rc != 0 && rc != E_UNAVAILABLE) {
        failure_log(cache, feed, "watch failed", &err);
    }
    feed_fail(cache, feed, wait_ms);
}

static bool answered_well(const struct feed *feed)
{
    int status = http_status(feed->transfer);
    return status >= 200 && status < 300;
}

static void feed_turn(struct kube_cache *cache, struct feed *feed)
{
    if (feed->state == FEED_IDLE && now_ms_of(cache) >= feed->due_ms) {
        if (feed->version == NULL) {
            list_start(cache, feed);
        } else {
            watch_start(cache, feed);
        }
    } else if (feed->state == FEED_LISTING && http_done(feed->transfer)) {
        list_finish(cache, feed);
    } else if (feed->state == FEED_WATCHING) {
        if (answered_well(feed) && !watch_read(cache, feed)) {
            feed_fail(cache, feed, 0);
        } else if (http_done(feed->transfer) && !feed->has_more) {
            watch_finish(cache, feed);
        }
    }
}

struct kube_cache *kube_cache_new(const struct kube_cache_options *options)
{
    struct kube_cache *cache = mem_zalloc(sizeof(*cache));
    cache->client = options->client;
    cache->clock = options->clock;
    cache->kind = options->kind;
    cache->label_selector = str_dup(options->label_selector);
    cache->on_change = options->on_change;
    cache->ctx = options->ctx;
    rng_seed(&cache->rng, options->seed);
    map_init(&cache->objects);
    bool is_whole = options->namespace_count == 0 || !KUBE_KINDS[options->kind].namespaced;
    cache->feed_count = is_whole ? 1 : options->namespace_count;
    cache->feeds = mem_array(cache->feed_count, sizeof(*cache->feeds));
    for (size_t i = 0; i < cache->feed_count && !is_whole; i++) {
        cache->feeds[i].namespace_ = str_dup(options->namespaces[i]);
    }
    return cache;
}

void kube_cache_free(struct kube_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < cache->feed_count; i++) {
        feed_rest(cache, &cache->feeds[i], 0);
        mem_free(cache->feeds[i].namespace_);
        mem_free(cache->feeds[i].version);
    }
    mem_free(cache->feeds);
    size_t cursor = 0;
    for (void *value; map_next(&cache->objects, &cursor, NULL, &value);) {
        json_free(value);
    }
    map_free(&cache->objects);
    mem_free(cache->label_selector);
    mem_free(cache);
}

void kube_cache_turn(struct kube_cache *cache)
{
    for (size_t i = 0; i < cache->feed_count; i++) {
        feed_turn(cache, &cache->feeds[i]);
    }
}

uint64_t kube_cache_next_ms(const struct kube_cache *cache)
{
    uint64_t next_ms = UINT64_MAX;
    for (size_t i = 0; i < cache->feed_count; i++) {
        const struct feed *feed = &cache->feeds[i];
        if (feed->state == FEED_IDLE) {
            next_ms = BASE_MIN(next_ms, feed->due_ms);
        } else if (http_done(feed->transfer) || feed->has_more) {
            next_ms = 0;
        }
    }
    return next_ms;
}

bool kube_cache_synced(const struct kube_cache *cache)
{
    for (size_t i = 0; i < cache->feed_count; i++) {
        if (!cache->feeds[i].synced && !cache->feeds[i].forbidden) {
            return false;
        }
    }
    return true;
}

bool kube_cache_readable(const struct kube_cache *cache)
{
    for (size_t i = 0; i < cache->feed_count; i++) {
        if (cache->feeds[i].forbidden || !cache->feeds[i].synced) {
            return false;
        }
    }
    return true;
}

const struct json *kube_cache_get(const struct kube_cache *cache, const char *namespace_,
                                  const char *name)
{
    char space[KUBE_CACHE_KEY_MAX];
    size_t size = object_key(KUBE_KINDS[cache->kind].namespaced ? namespace_ : NULL, name, space);
    return map_get(&cache->objects, bytes_of(space, size));
}

const struct json *kube_cache_next(const struct kube_cache *cache, size_t *cursor)
{
    void *value = NULL;
    return map_next(&cache->objects, cursor, NULL, &value) ? value : NULL;
}

size_t kube_cache_count(const struct kube_cache *cache)
{
    return cache->objects.count;
}

void kube_cache_put(struct kube_cache *cache, struct json *object)
{
    (void)keep(cache, object);
}
