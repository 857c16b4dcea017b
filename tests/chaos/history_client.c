/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients through failures, with a history of all that they did and saw for quorate-check:
 *
 *   history_client --endpoints URL,URL --out FILE [--seconds S] [--workers N] [--watchers N]
 * [--keys N]
 *                  [--rate PER_SECOND] [--timeout-ms N] [--seed N] [--compact 0|1]
 *                  [--watch-endpoints URL,URL]
 *
 * After so many seconds, or on SIGTERM (when the faults have healed), each worker puts once more
 * and reads everything, each watcher follows to there, and every member is asked for its HashKV at
 * that revision. One line of JSON tells how it went; exit 1 when that end was not reached.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/chaos/client.h"

#define POLL_MS         2
#define END_SECONDS_MAX 60
#define HASH_PAUSE_NS   200000000u
#define HASH_TIMEOUT_NS 5000000000u

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Asks one member for its HashKV until it answers. */
struct hasher {
    struct run *run;
    struct rpc_link link;
    struct rpc_call call;
    struct rpc_endpoint endpoint;
    bool is_done, must_drop;
    int64_t revision;
    uint32_t hash;
    uint64_t due_ns, not_before_ns;
    char text[128];
};

struct all {
    struct run run;
    struct worker workers[WORKERS_MAX];
    struct watcher watchers[WATCHERS_MAX];
    struct hasher hashers[ENDPOINTS_MAX];
    int64_t final_revision;
};

void run_record(struct run *run, const struct buf *line)
{
    if (fwrite(line->data, 1, line->size, run->file) != line->size ||
        fputc('\n', run->file) == EOF) {
        fprintf(stderr, "history_client: %s: %s\n", run->options.path, strerror(errno));
        exit(1);
    }
}

/* ---- HashKV ---- */

static void hash_message(struct rpc_call *call, struct bytes data)
{
    struct hasher *hasher = call->ctx;
    struct run *run = hasher->run;
    Etcdserverpb__HashKVResponse *answer =
        etcdserverpb__hash_kvresponse__unpack(NULL, data.size, data.data);
    if (answer == NULL || answer->header == NULL) {
        return;
    }
    hasher->is_done = true;
    hasher->hash = answer->hash;
    buf_clear(&run->line);
    buf_printf(&run->line, "hash %" PRIu64 " %" PRIx64 " %" PRId64 " %" PRId64 " %" PRIx32,
               rpc_now_ns(), answer->header->member_id, hasher->revision, answer->compact_revision,
               answer->hash);
    run_record(run, &run->line);
    etcdserverpb__hash_kvresponse__free_unpacked(answer, NULL);
}

static void hash_end(struct rpc_call *call, int status, const char *text)
{
    struct hasher *hasher = call->ctx;
    hasher->must_drop = status != 0;
    hasher->not_before_ns = rpc_now_ns() + HASH_PAUSE_NS;
    snprintf(hasher->text, sizeof(hasher->text), "status %d %.100s", status, text);
}

static const struct rpc_events hash_events = {.on_message = hash_message, .on_end = hash_end};

static void hasher_move(struct hasher *hasher, int64_t revision, uint64_t now_ns)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    if (hasher->call.link != NULL && now_ns > hasher->due_ns) {
        rpc_cancel(&hasher->call);
        hasher->must_drop = true;
    }
    if (hasher->must_drop) {
        hasher->must_drop = false;
        rpc_link_drop(&hasher->link, "left");
    }
    if (hasher->is_done || hasher->call.link != NULL || now_ns < hasher->not_before_ns) {
        return;
    }
    request.revision = hasher->revision = revision;
    hasher->due_ns = now_ns + HASH_TIMEOUT_NS;
    hasher->not_before_ns = now_ns + HASH_PAUSE_NS;
    if (rpc_start(&hasher->link, &hasher->endpoint, &hasher->call,
                  "/etcdserverpb.Maintenance/HashKV", &request.base, true) != 0) {
        hasher->must_drop = true;
    }
}

/* ---- all together ---- */

static size_t collect_links(struct all *all, struct rpc_link **out)
{
    size_t count = 0;
    for (int i = 0; i < all->run.options.workers; i++) {
        out[count++] = &all->workers[i].link;
    }
    for (int i = 0; i < all->run.options.watchers; i++) {
        out[count++] = &all->watchers[i].link;
    }
    for (int i = 0; i < all->run.options.endpoint_count; i++) {
        out[count++] = &all->hashers[i].link;
    }
    return count;
}

static void wait_and_read(struct all *all)
{
    struct rpc_link *links[WORKERS_MAX + WATCHERS_MAX + ENDPOINTS_MAX];
    struct pollfd polled[WORKERS_MAX + WATCHERS_MAX + ENDPOINTS_MAX];
    size_t count = collect_links(all, links);
    for (size_t i = 0; i < count; i++) {
        polled[i] = rpc_link_poll(links[i]);
    }
    if (poll(polled, count, POLL_MS) <= 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (polled[i].fd >= 0 && polled[i].fd == links[i]->fd) {
            rpc_link_ready(links[i], polled[i].revents);
        }
    }
}

/* The newest revision that a worker's last read told; 0: not all have read for the last time. */
static int64_t last_revision(const struct all *all)
{
    int64_t newest = 0;
    for (int i = 0; i < all->run.options.workers; i++) {
        const struct worker *worker = &all->workers[i];
        if (worker->phase != WORKER_DONE) {
            return 0;
        }
        newest = worker->final_revision > newest ? worker->final_revision : newest;
    }
    return newest;
}

static bool watchers_done(const struct all *all, int64_t revision)
{
    for (int i = 0; i < all->run.options.watchers; i++) {
        if (all->watchers[i].seen_revision < revision) {
            return false;
        }
    }
    return true;
}

static bool hashers_done(const struct all *all)
{
    for (int i = 0; i < all->run.options.endpoint_count; i++) {
        if (!all->hashers[i].is_done) {
            return false;
        }
    }
    return true;
}

static void move_all(struct all *all)
{
    uint64_t now = rpc_now_ns();
    for (int i = 0; i < all->run.options.workers; i++) {
        worker_move(&all->workers[i], now);
    }
    for (int i = 0; i < all->run.options.watchers; i++) {
        watcher_move(&all->watchers[i], now);
    }
    for (int i = 0; all->final_revision > 0 && i < all->run.options.endpoint_count; i++) {
        hasher_move(&all->hashers[i], all->final_revision, now);
    }
    wait_and_read(all);
}

/* NULL, or what did not come to an end. */
static const char *run_all(struct all *all)
{
    struct run *run = &all->run;
    uint64_t start = rpc_now_ns();
    uint64_t end = start + (uint64_t)(run->options.seconds * 1e9);
    run->last_write_ns = start;
    while (!stopped && (run->options.seconds <= 0 || rpc_now_ns() < end)) {
        move_all(all);
    }
    run->is_draining = true;
    end = rpc_now_ns() + END_SECONDS_MAX * 1000000000ull;
    while (all->final_revision == 0 || !watchers_done(all, all->final_revision) ||
           !hashers_done(all)) {
        if (all->final_revision == 0) {
            all->final_revision = last_revision(all);
        }
        if (rpc_now_ns() > end) {
            return all->final_revision == 0                   ? "the last reads"
                   : !watchers_done(all, all->final_revision) ? "the watches"
                                                              : "HashKV";
        }
        move_all(all);
    }
    for (int i = 1; i < run->options.endpoint_count; i++) {
        if (all->hashers[i].hash != all->hashers[0].hash) {
            return "equal hashes";
        }
    }
    return NULL;
}

static void print_summary(const struct all *all, const char *missing, double seconds)
{
    const struct run *run = &all->run;
    printf("{\"ok\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"not_sent\":%" PRIu64 ",\"events\":%" PRIu64 ",\"watches\":%" PRIu64
           ",\"revision\":%" PRId64 ",\"longest_gap\":%.3f,\"seconds\":%.3f,\"missing\":\"%s\"}\n",
           run->counts[OUTCOME_OK], run->counts[OUTCOME_UNKNOWN], run->counts[OUTCOME_REFUSED],
           run->not_sent, run->events, run->resumes, all->final_revision,
           (double)run->longest_gap_ns / 1e9, seconds, missing == NULL ? "" : missing);
    for (int i = 0; missing != NULL && i < run->options.endpoint_count; i++) {
        fprintf(stderr, "history_client: %s: hash %08" PRIx32 " %s\n",
                all->hashers[i].endpoint.authority, all->hashers[i].hash, all->hashers[i].text);
    }
}

/* ---- options ---- */

static void usage(void)
{
    fprintf(stderr,
            "usage: history_client --endpoints URL,URL --out FILE [--seconds S] [--workers N]\n"
            "       [--watchers N] [--keys N] [--rate PER_SECOND] [--timeout-ms N] [--seed N]\n"
            "       [--compact 0|1] [--watch-endpoints URL,URL]\n");
    exit(2);
}

static long number_of(const char *text, long least, long most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || *text == '\0' || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "history_client: \"%s\" is no number from %ld to %ld\n", text, least, most);
        exit(2);
    }
    return value;
}

static void read_endpoints(struct rpc_endpoint *endpoints, int *count, char *text)
{
    char *rest = NULL;
    for (char *url = strtok_r(text, ",", &rest); url != NULL; url = strtok_r(NULL, ",", &rest)) {
        if (*count == ENDPOINTS_MAX || rpc_endpoint_parse(url, &endpoints[(*count)++]) != 0) {
            usage();
        }
    }
}

static void read_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.workers = 8,
                                .watchers = 3,
                                .keys = 30,
                                .per_second = 300,
                                .timeout_ns = 1000000000u,
                                .compacts = true};
    for (int i = 1; i + 1 < argc; i += 2) {
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--endpoints") == 0) {
            read_endpoints(options->endpoints, &options->endpoint_count, value);
        } else if (strcmp(argv[i], "--watch-endpoints") == 0) {
            read_endpoints(options->watch_endpoints, &options->watch_endpoint_count, value);
        } else if (strcmp(argv[i], "--out") == 0) {
            options->path = value;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options->seconds = (double)number_of(value, 0, 86400);
        } else if (strcmp(argv[i], "--workers") == 0) {
            options->workers = (int)number_of(value, 1, WORKERS_MAX);
        } else if (strcmp(argv[i], "--watchers") == 0) {
            options->watchers = (int)number_of(value, 0, WATCHERS_MAX);
        } else if (strcmp(argv[i], "--keys") == 0) {
            options->keys = (int)number_of(value, 1, KEYS_MAX);
        } else if (strcmp(argv[i], "--rate") == 0) {
            options->per_second = (double)number_of(value, 1, 1000000);
        } else if (strcmp(argv[i], "--timeout-ms") == 0) {
            options->timeout_ns = (uint64_t)number_of(value, 1, 600000) * 1000000u;
        } else if (strcmp(argv[i], "--seed") == 0) {
            options->seed = (uint64_t)number_of(value, 0, LONG_MAX);
        } else if (strcmp(argv[i], "--compact") == 0) {
            options->compacts = number_of(value, 0, 1) == 1;
        } else {
            usage();
        }
    }
    if (argc % 2 == 0 || options->endpoint_count == 0 || options->path == NULL) {
        usage();
    }
    if (options->watch_endpoint_count == 0) {
        memcpy(options->watch_endpoints, options->endpoints, sizeof(options->endpoints));
        options->watch_endpoint_count = options->endpoint_count;
    }
}

static void init_all(struct all *all)
{
    struct run *run = &all->run;
    buf_init(&run->line, BUF_NO_LIMIT);
    for (int i = 0; i < run->options.workers; i++) {
        worker_init(&all->workers[i], run, (unsigned)i);
    }
    for (int i = 0; i < run->options.watchers; i++) {
        watcher_init(&all->watchers[i], run, (unsigned)i);
    }
    for (int i = 0; i < run->options.endpoint_count; i++) {
        struct hasher *hasher = &all->hashers[i];
        *hasher = (struct hasher){.run = run, .endpoint = run->options.endpoints[i]};
        rpc_link_init(&hasher->link);
        rpc_call_init(&hasher->call, &hash_events, hasher);
    }
}

static void free_all(struct all *all)
{
    for (int i = 0; i < all->run.options.workers; i++) {
        worker_free(&all->workers[i]);
    }
    for (int i = 0; i < all->run.options.watchers; i++) {
        watcher_free(&all->watchers[i]);
    }
    for (int i = 0; i < all->run.options.endpoint_count; i++) {
        rpc_call_free(&all->hashers[i].call);
        rpc_link_drop(&all->hashers[i].link, "over");
    }
    buf_free(&all->run.line);
}

int main(int argc, char **argv)
{
    struct all *all = mem_zalloc(sizeof(*all));
    read_options(argc, argv, &all->run.options);
    all->run.file = fopen(all->run.options.path, "w");
    if (all->run.file == NULL) {
        fprintf(stderr, "history_client: %s: %s\n", all->run.options.path, strerror(errno));
        return 1;
    }
    fprintf(all->run.file, "quorate-history 1\n");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    init_all(all);
    uint64_t start = rpc_now_ns();
    const char *missing = run_all(all);
    print_summary(all, missing, (double)(rpc_now_ns() - start) / 1e9);
    free_all(all);
    bool is_written = fclose(all->run.file) == 0;
    mem_free(all);
    return missing == NULL && is_written ? 0 : 1;
}
