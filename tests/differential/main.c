/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The differential run: the same random operations to Quorate and to etcd, and every field of every
 * answer and event compared (print.h says what not).
 *
 *   differential --endpoints OURS,THEIRS --etcd 3.4|3.6 [--seed S] [--count N] [--save FILE]
 *   differential --endpoints OURS,THEIRS --etcd 3.4|3.6 --replay FILE
 *   differential --left-out       prints what is not compared, and why
 *
 * Both servers must be fresh. Exit 0: no difference; 1: one, printed, and the operations up to it
 * are in FILE; 2: no run.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "tests/differential/generate.h"
#include "tests/differential/known.h"
#include "tests/differential/print.h"
#include "tests/differential/side.h"

#define SETTLE_EVERY  500 /* operations; events are compared meanwhile as they come */
#define PROGRESS_EACH 20000
#define OUTCOMES_MAX  200
#define LATE_NS       1000000000u /* a lease of seconds may have ended by itself */
#define KNOWN_MAX     32
#define SHOWN_BYTES   6000

struct outcome {
    char text[160];
    uint64_t count;
};

struct run {
    struct rpc_endpoint endpoints[2];
    const char *replay, *save, *version;
    uint64_t seed, count;
    struct side sides[2];
    struct generate gen;
    struct op_list ops;
    const struct known *known;
    uint64_t known_counts[KNOWN_MAX];
    struct outcome outcomes[OUTCOMES_MAX];
    size_t outcome_count;
    uint64_t events, late, short_grant_ns;
    bool has_compacted, is_auth_on;
};

static bool is_old(const struct run *run)
{
    return strcmp(run->version, "3.4") == 0;
}

/* ---- what happened ---- */

/* Counts "put ok", "range code 11: ...": what the run has met. */
static void note_outcome(struct run *run, const struct op *op, struct buf *answer)
{
    char text[160];
    const char *said = buf_cstr(answer);
    const char *code = strncmp(said, "code ", 5) == 0 ? said : "ok";
    if ((op->kind == OP_WATCH || op->kind == OP_STREAM_CREATE) &&
        strstr(said, "canceled") != NULL) {
        code = strstr(said, "compact_revision") != NULL ? "cancelled, compacted" : "refused";
    }
    snprintf(text, sizeof(text), "%s %.120s", op_rpc(op->kind)->name, code);
    for (size_t i = 0; i < run->outcome_count; i++) {
        if (strcmp(run->outcomes[i].text, text) == 0) {
            run->outcomes[i].count++;
            return;
        }
    }
    if (run->outcome_count < OUTCOMES_MAX) {
        struct outcome *outcome = &run->outcomes[run->outcome_count++];
        memcpy(outcome->text, text, sizeof(text));
        outcome->count = 1;
    }
}

static bool met_one(const struct run *run, const char *wanted)
{
    for (size_t i = 0; i < run->outcome_count; i++) {
        if (strstr(run->outcomes[i].text, wanted) != NULL) {
            return true;
        }
    }
    printf("the run never met \"%s\"\n", wanted);
    return false;
}

/* A run that met none of these is no test of them. */
static bool met_all(const struct run *run)
{
    static const char *const WANTED[] = {
        "key is not provided",
        "key not found",
        "value is provided",
        "lease is provided",
        "too many operations in txn request",
        "duplicate key given in txn request",
        "request is too large",
        "received message larger than max",
        "required revision has been compacted",
        "required revision is a future revision",
        "too large lease TTL",
        "requested lease not found",
        "lease already exists",
        "put ok",
        "range ok",
        "delete ok",
        "txn ok",
        "compact ok",
        "grant ok",
        "revoke ok",
        "ttl ok",
        "leases ok",
        "keepalive ok",
        "hash ok",
        "hash code 11",
        "auth-enable ok",
        "auth-enable code 9: etcdserver: root user does not exist",
        "auth-disable ok",
        "authenticate ok",
        "authentication failed, invalid user ID or password",
        "user-add ok",
        "user name already exists",
        "user name not found",
        "user name is empty",
        "user-get ok",
        "user-list ok",
        "user-delete ok",
        "user-password ok",
        "user-grant ok",
        "user-revoke ok",
        "role is not granted to the user",
        "role-add ok",
        "role name already exists",
        "role name not found",
        "role-get ok",
        "role-list ok",
        "role-delete ok",
        "role-grant ok",
        "role-revoke ok",
        "permission is not granted to the role",
        "invalid auth management",
        "invalid auth token",
        "put code 7: etcdserver: permission denied",
        "range code 7: etcdserver: permission denied",
        "delete code 7: etcdserver: permission denied",
        "txn code 7: etcdserver: permission denied",
        "member-add ok",
        "too many learner members in cluster",
        "given member URLs are invalid",
        "member-remove ok",
        "member not found",
        "member-update ok",
        "can only promote a learner member which is in sync with leader",
        "member-list ok",
        "bad leader transferee",
        "alarm ok",
        "mvcc: database space exceeded",
        "corrupt cluster",
        "status ok",
        "health ok",
        "health-watch ok",
    };
    static const char *const WANTED_OF_NEW[] = {
        "invalid sort option", "auth-status ok",        "watch ok",         "watch refused",
        "stream-create ok",    "stream-create refused", "stream-cancel ok", "stream-sync ok",
    };
    bool met = true;
    for (size_t i = 0; i < ARRAY_COUNT(WANTED); i++) {
        met &= met_one(run, WANTED[i]);
    }
    for (size_t i = 0; !is_old(run) && i < ARRAY_COUNT(WANTED_OF_NEW); i++) {
        met &= met_one(run, WANTED_OF_NEW[i]);
    }
    return met;
}

static bool met_known(const struct run *run)
{
    bool met = true;
    for (size_t i = 0; run->known[i].name != NULL; i++) {
        printf("  %8" PRIu64 "  known difference of etcd %s: %s (%s)\n", run->known_counts[i],
               run->version, run->known[i].name, run->known[i].reason);
        if (run->known_counts[i] == 0 && !run->known[i].is_rare) {
            printf("it did not occur: take it out of the table (known.c)\n");
            met = false;
        }
    }
    return met;
}

static void print_summary(const struct run *run)
{
    for (size_t i = 0; i < run->outcome_count; i++) {
        printf("  %8" PRIu64 "  %s\n", run->outcomes[i].count, run->outcomes[i].text);
    }
    printf("  %8" PRIu64 "  events of the watch over everything\n", run->events);
    if (run->late > 0) {
        printf("  %8" PRIu64 "  revocations too late to compare (the machine was busy)\n",
               run->late);
    }
}

/* ---- differences ---- */

/* Both texts from a little before the first byte that differs. */
static void print_difference(const struct run *run, struct buf *const *texts)
{
    size_t at = 0;
    while (at < texts[0]->size && at < texts[1]->size && texts[0]->data[at] == texts[1]->data[at]) {
        at++;
    }
    size_t from = at > SHOWN_BYTES / 2 ? at - SHOWN_BYTES / 2 : 0;
    for (int i = 0; i < 2; i++) {
        const char *said = buf_cstr(texts[i]);
        const char *start = said + BASE_MIN(from, texts[i]->size);
        printf("%s%s\n%.*s%s\n", run->sides[i].name, from > 0 ? " ..." : "", SHOWN_BYTES, start,
               strlen(start) > SHOWN_BYTES ? "..." : "");
    }
    printf("first difference at byte %zu: \"%.60s\" and \"%.60s\"\n", at,
           buf_cstr(texts[0]) + BASE_MIN(at, texts[0]->size),
           buf_cstr(texts[1]) + BASE_MIN(at, texts[1]->size));
}

static void print_op(const struct op *op)
{
    struct buf text;
    ProtobufCMessage *request = op_request(op);
    buf_init(&text, BUF_NO_LIMIT);
    print_message(&text, request);
    printf("%s (user %d) %s\n", op_rpc(op->kind)->name, (int)op->user, buf_cstr(&text));
    protobuf_c_message_free_unpacked(request, NULL);
    buf_free(&text);
}

static int report(struct run *run, const char *what, struct buf *const *texts)
{
    size_t number = run->ops.count;
    printf("DIFFERENCE (%s), seed %" PRIu64 ", operation %zu:\n", what, run->seed, number);
    if (number > 0) {
        print_op(&run->ops.ops[number - 1]);
    }
    for (int i = 0; i < 2; i++) {
        if (run->sides[i].broken[0] != '\0') {
            printf("%s: %s\n", run->sides[i].name, run->sides[i].broken);
        }
    }
    if (texts != NULL) {
        print_difference(run, texts);
    }
    if (run->save != NULL && op_list_save(&run->ops, run->save) != 0) {
        fprintf(stderr, "differential: %s: %s\n", run->save, strerror(errno));
    }
    return 1;
}

/* The events that both have told; takes them. */
static int compare_events(struct run *run)
{
    struct buf *const texts[2] = {&run->sides[0].events, &run->sides[1].events};
    size_t common = BASE_MIN(texts[0]->size, texts[1]->size);
    if (run->sides[0].broken[0] != '\0' || run->sides[1].broken[0] != '\0') {
        return report(run, "a watch", NULL);
    }
    if (common > 0 && memcmp(texts[0]->data, texts[1]->data, common) != 0) {
        return report(run, "events", texts);
    }
    for (size_t i = 0; i < common; i++) {
        run->events += texts[0]->data[i] == '\n' ? 1 : 0;
    }
    if (common > 0) {
        buf_consume(texts[0], common);
        buf_consume(texts[1], common);
    }
    return 0;
}

static int settle(struct run *run)
{
    struct buf *const texts[2] = {&run->sides[0].events, &run->sides[1].events};
    if (sides_settle(run->sides) != 0) {
        return report(run, "a watch", NULL);
    }
    int rc = compare_events(run);
    if (rc == 0 && (texts[0]->size > 0 || texts[1]->size > 0)) {
        rc = report(run, "events", texts);
    }
    return rc;
}

static bool is_known(struct run *run, const struct op *op)
{
    const char *ours = buf_cstr(&run->sides[0].answer);
    const char *theirs = buf_cstr(&run->sides[1].answer);
    for (size_t i = 0; run->known[i].name != NULL; i++) {
        if (run->known[i].fits(op, ours, theirs)) {
            run->known_counts[i]++;
            return true;
        }
    }
    return false;
}

/* A lease of seconds that was revoked too late may have ended by itself on one of them. */
static bool is_late(struct run *run, const struct op *op)
{
    uint64_t now = rpc_now_ns();
    if (op->kind == OP_GRANT) {
        run->short_grant_ns = now;
        return false;
    }
    return op->kind == OP_REVOKE && now - run->short_grant_ns > LATE_NS && run->ops.count >= 2 &&
           run->ops.ops[run->ops.count - 2].kind == OP_GRANT;
}

static int run_op(struct run *run, const struct op *op)
{
    struct buf *const texts[2] = {&run->sides[0].answer, &run->sides[1].answer};
    /* What a compaction takes away may be the value before an event that is not sent yet. */
    if (op->kind == OP_COMPACT || run->ops.count % SETTLE_EVERY == 0) {
        int rc = settle(run);
        if (rc != 0) {
            return rc;
        }
    }
    if (sides_run(run->sides, op) != 0) {
        return report(run, "no answer", texts);
    }
    note_outcome(run, op, texts[0]);
    bool late = is_late(run, op);
    if (texts[0]->size != texts[1]->size ||
        (texts[0]->size > 0 && memcmp(texts[0]->data, texts[1]->data, texts[0]->size) != 0)) {
        if (late) {
            run->late++;
        } else if (!is_known(run, op)) {
            return report(run, "answers", texts);
        }
    }
    if (op->kind == OP_AUTH_ENABLE || op->kind == OP_AUTH_DISABLE) {
        run->is_auth_on = run->sides[0].status == 0 ? op->kind == OP_AUTH_ENABLE : run->is_auth_on;
    }
    run->has_compacted = op->kind == OP_COMPACT && run->sides[0].status == 0;
    return compare_events(run);
}

/* ---- the run ---- */

static int run_random(struct run *run)
{
    const Etcdserverpb__HashKVRequest hash = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    uint64_t started = rpc_now_ns();
    int rc = 0;
    generate_init(&run->gen, run->seed);
    run->gen.spares_old = is_old(run);
    for (uint64_t i = 0; rc == 0 && i < run->count; i++) {
        const struct generate_seen seen = {.revision = run->sides[0].revision,
                                           .compacted = run->sides[0].compacted,
                                           .has_compacted = run->has_compacted,
                                           .is_auth_on = run->is_auth_on};
        generate_op(&run->gen, seen, &run->ops);
        rc = run_op(run, &run->ops.ops[run->ops.count - 1]);
        if ((i + 1) % PROGRESS_EACH == 0) {
            printf("%" PRIu64 " operations, revision %" PRId64 ", %.0f s\n", i + 1,
                   run->sides[0].revision, (double)(rpc_now_ns() - started) / 1e9);
            fflush(stdout);
        }
    }
    generate_free(&run->gen);
    if (rc == 0) {
        op_list_add(&run->ops, OP_HASH, &hash.base)->user =
            run->is_auth_on ? USER_ROOT : USER_NOBODY;
        rc = run_op(run, &run->ops.ops[run->ops.count - 1]);
    }
    if (rc == 0) {
        rc = settle(run);
    }
    if (rc == 0) {
        printf("%" PRIu64 " operations, no difference; seed %" PRIu64 ", revision %" PRId64
               ", %.0f s\n",
               run->count, run->seed, run->sides[0].revision,
               (double)(rpc_now_ns() - started) / 1e9);
        print_summary(run);
        rc = met_known(run) && (met_all(run) || run->count < PROGRESS_EACH) ? 0 : 1;
    }
    return rc;
}

static int run_replay(struct run *run)
{
    struct op_list all = {.ops = NULL};
    int rc = op_list_load(&all, run->replay);
    if (rc != 0) {
        fprintf(stderr, "differential: %s: %s\n", run->replay, strerror(errno));
        return 2;
    }
    for (size_t i = 0; rc == 0 && i < all.count; i++) {
        ProtobufCMessage *request = op_request(&all.ops[i]);
        if (request == NULL) {
            fprintf(stderr, "differential: %s: line %zu is no request\n", run->replay, i + 1);
            return 2;
        }
        struct op *op = op_list_add(&run->ops, all.ops[i].kind, request);
        op->user = all.ops[i].user;
        protobuf_c_message_free_unpacked(request, NULL);
        rc = run_op(run, op);
    }
    op_list_free(&all);
    rc = rc == 0 ? settle(run) : rc;
    if (rc == 0) {
        printf("%zu operations, no difference\n", run->ops.count);
    }
    return rc;
}

static void usage(void)
{
    fprintf(stderr, "usage: differential --endpoints OURS,THEIRS --etcd 3.4|3.6\n"
                    "         [--seed S] [--count N] [--save FILE] | --replay FILE\n"
                    "       differential --left-out\n");
    exit(2);
}

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        usage();
    }
    return value;
}

static void read_endpoints(struct run *run, char *text)
{
    char *comma = strchr(text, ',');
    if (comma == NULL) {
        usage();
    }
    *comma = '\0';
    if (rpc_endpoint_parse(text, &run->endpoints[0]) != 0 ||
        rpc_endpoint_parse(comma + 1, &run->endpoints[1]) != 0) {
        usage();
    }
}

static void read_options(int argc, char **argv, struct run *run)
{
    *run = (struct run){.seed = 1, .count = 20000};
    for (int i = 1; i + 1 < argc; i += 2) {
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--endpoints") == 0) {
            read_endpoints(run, value);
        } else if (strcmp(argv[i], "--etcd") == 0) {
            run->version = value;
            run->known = known_of(value);
        } else if (strcmp(argv[i], "--seed") == 0) {
            run->seed = number_of(value);
        } else if (strcmp(argv[i], "--count") == 0) {
            run->count = number_of(value);
        } else if (strcmp(argv[i], "--save") == 0) {
            run->save = value;
        } else if (strcmp(argv[i], "--replay") == 0) {
            run->replay = value;
        } else {
            usage();
        }
    }
    if (argc % 2 == 0 || run->known == NULL || run->endpoints[1].authority[0] == '\0') {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct run *run = mem_zalloc(sizeof(*run));
    if (argc == 2 && strcmp(argv[1], "--left-out") == 0) {
        print_left_out();
        mem_free(run);
        return 0;
    }
    read_options(argc, argv, run);
    side_init(&run->sides[0], "quorate", &run->endpoints[0]);
    side_init(&run->sides[1], "etcd", &run->endpoints[1]);
    int rc = 2;
    if (sides_open(run->sides) != 0) {
        fprintf(stderr, "differential: a server does not answer: %s%s\n", run->sides[0].broken,
                run->sides[1].broken);
    } else {
        rc = run->replay != NULL ? run_replay(run) : run_random(run);
    }
    side_free(&run->sides[0]);
    side_free(&run->sides[1]);
    op_list_free(&run->ops);
    mem_free(run);
    return rc;
}
