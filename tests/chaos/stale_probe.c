/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks for stale linearizable reads: writers put one key as fast as they can at any member that
 * takes it, readers read it from every member all the time, also from one that stands still, so
 * that reads wait for it at the very moment it goes on. A read must see at least the newest put
 * that was acknowledged before the read left.
 *
 *   stale_probe --endpoints URL,URL,... [--seconds S] [--read-ms N]
 *
 * Ends after so many seconds or on SIGTERM with one line of JSON; exit 1 when a read was stale.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/proto/rpc.pb-c.h"
#include "tests/chaos/rpc.h"

#define ENDPOINTS_MAX    8
#define WRITERS          3
#define READS_MAX        512 /* in flight at one member */
#define WRITE_TIMEOUT_NS 400000000u
#define READ_TIMEOUT_NS  4000000000u
#define LATE_NS          150000000u /* it waited for a member that stood still */
#define PAUSE_NS         10000000u
#define POLL_MS          2
#define KEY              "pause/key"

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

struct probe;

struct writer {
    struct probe *probe;
    struct rpc_link link;
    struct rpc_call call;
    int endpoint;
    bool must_drop;
    uint64_t due_ns, not_before_ns, counter;
    int number;
};

struct read {
    struct reader *reader;
    struct rpc_call call;
    uint64_t invoke_ns;
    int64_t floor; /* newest acknowledged revision when it left */
    bool is_answered;
};

/* All reads of one member share a connection, so that they lie ready in its socket. */
struct reader {
    struct probe *probe;
    struct rpc_endpoint endpoint;
    struct rpc_link link;
    bool must_drop;
    uint64_t next_ns;
    struct read reads[READS_MAX];
};

struct probe {
    struct rpc_endpoint endpoints[ENDPOINTS_MAX];
    int endpoint_count;
    double seconds;
    uint64_t read_ns;
    int64_t acked; /* newest revision of an acknowledged put */
    uint64_t puts, puts_unknown, reads, reads_failed, late, stale;
    uint64_t last_ack_ns, longest_gap_ns;
    struct writer writers[WRITERS];
    struct reader readers[ENDPOINTS_MAX];
};

/* ---- writers ---- */

static void put_answer(struct rpc_call *call, struct bytes data)
{
    struct writer *writer = call->ctx;
    struct probe *probe = writer->probe;
    Etcdserverpb__PutResponse *answer =
        etcdserverpb__put_response__unpack(NULL, data.size, data.data);
    if (answer == NULL || answer->header == NULL) {
        return;
    }
    uint64_t now = rpc_now_ns();
    uint64_t gap = now - probe->last_ack_ns;
    probe->longest_gap_ns = gap > probe->longest_gap_ns ? gap : probe->longest_gap_ns;
    probe->last_ack_ns = now;
    probe->puts++;
    if (answer->header->revision > probe->acked) {
        probe->acked = answer->header->revision;
    }
    etcdserverpb__put_response__free_unpacked(answer, NULL);
}

static void put_failed(struct writer *writer)
{
    writer->probe->puts_unknown++;
    writer->endpoint = (writer->endpoint + 1) % writer->probe->endpoint_count;
    writer->must_drop = true;
    writer->not_before_ns = rpc_now_ns() + PAUSE_NS;
}

static void put_end(struct rpc_call *call, int status, const char *text)
{
    (void)text;
    if (status != 0) {
        put_failed(call->ctx);
    }
}

static const struct rpc_events put_events = {.on_message = put_answer, .on_end = put_end};

static void writer_move(struct writer *writer, uint64_t now)
{
    struct probe *probe = writer->probe;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    char value[48];
    if (writer->call.link != NULL && now > writer->due_ns) {
        rpc_cancel(&writer->call);
        put_failed(writer);
    }
    if (writer->must_drop) {
        writer->must_drop = false;
        rpc_link_drop(&writer->link, "left");
    }
    if (writer->call.link != NULL || now < writer->not_before_ns) {
        return;
    }
    int size = snprintf(value, sizeof(value), "%d-%" PRIu64, writer->number, writer->counter++);
    put.key = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)KEY, .len = strlen(KEY)};
    put.value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = (size_t)size};
    writer->due_ns = now + WRITE_TIMEOUT_NS;
    if (rpc_start(&writer->link, &probe->endpoints[writer->endpoint], &writer->call,
                  "/etcdserverpb.KV/Put", &put.base, true) != 0) {
        put_failed(writer);
    }
}

/* ---- readers ---- */

static void judge(struct read *read, int64_t mod_revision, int64_t revision, uint64_t member)
{
    struct probe *probe = read->reader->probe;
    uint64_t waited = rpc_now_ns() - read->invoke_ns;
    probe->reads++;
    probe->late += waited > LATE_NS ? 1 : 0;
    if (mod_revision >= read->floor && revision >= read->floor) {
        return;
    }
    probe->stale++;
    fprintf(stderr,
            "stale: member %" PRIx64 " at %s answered revision %" PRId64 " (key at %" PRId64
            ") after %.3f s, %" PRId64 " was acknowledged before\n",
            member, read->reader->endpoint.authority, revision, mod_revision, (double)waited / 1e9,
            read->floor);
}

static void read_answer(struct rpc_call *call, struct bytes data)
{
    struct read *read = call->ctx;
    Etcdserverpb__RangeResponse *answer =
        etcdserverpb__range_response__unpack(NULL, data.size, data.data);
    if (answer == NULL || answer->header == NULL) {
        return;
    }
    read->is_answered = true;
    judge(read, answer->n_kvs == 0 ? 0 : answer->kvs[0]->mod_revision, answer->header->revision,
          answer->header->member_id);
    etcdserverpb__range_response__free_unpacked(answer, NULL);
}

static void read_end(struct rpc_call *call, int status, const char *text)
{
    struct read *read = call->ctx;
    (void)status;
    (void)text;
    read->reader->probe->reads_failed += read->is_answered ? 0 : 1;
}

static const struct rpc_events read_events = {.on_message = read_answer, .on_end = read_end};

static void reader_start(struct reader *reader, struct read *read, uint64_t now)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)KEY, .len = strlen(KEY)};
    read->invoke_ns = now;
    read->floor = reader->probe->acked;
    read->is_answered = false;
    if (rpc_start(&reader->link, &reader->endpoint, &read->call, "/etcdserverpb.KV/Range",
                  &range.base, true) != 0) {
        reader->must_drop = true;
    }
}

static void reader_move(struct reader *reader, uint64_t now)
{
    struct read *idle = NULL;
    for (int i = 0; i < READS_MAX; i++) {
        struct read *read = &reader->reads[i];
        if (read->call.link != NULL && now > read->invoke_ns + READ_TIMEOUT_NS) {
            rpc_cancel(&read->call);
            reader->probe->reads_failed++;
        }
        idle = read->call.link == NULL ? read : idle;
    }
    if (reader->must_drop) {
        reader->must_drop = false;
        rpc_link_drop(&reader->link, "left");
        reader->next_ns = now + PAUSE_NS;
    }
    if (idle != NULL && now >= reader->next_ns) {
        reader->next_ns = now + reader->probe->read_ns;
        reader_start(reader, idle, now);
    }
}

/* ---- the run ---- */

static void wait_and_read(struct probe *probe)
{
    struct rpc_link *links[WRITERS + ENDPOINTS_MAX];
    struct pollfd polled[WRITERS + ENDPOINTS_MAX];
    size_t count = 0;
    for (int i = 0; i < WRITERS; i++) {
        links[count++] = &probe->writers[i].link;
    }
    for (int i = 0; i < probe->endpoint_count; i++) {
        links[count++] = &probe->readers[i].link;
    }
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

static void run(struct probe *probe)
{
    uint64_t start = rpc_now_ns();
    uint64_t end = start + (uint64_t)(probe->seconds * 1e9);
    probe->last_ack_ns = start;
    while (!stopped && (probe->seconds <= 0 || rpc_now_ns() < end)) {
        uint64_t now = rpc_now_ns();
        for (int i = 0; i < WRITERS; i++) {
            writer_move(&probe->writers[i], now);
        }
        for (int i = 0; i < probe->endpoint_count; i++) {
            reader_move(&probe->readers[i], now);
        }
        wait_and_read(probe);
    }
    printf("{\"puts\":%" PRIu64 ",\"puts_unknown\":%" PRIu64 ",\"reads\":%" PRIu64
           ",\"reads_failed\":%" PRIu64 ",\"late\":%" PRIu64 ",\"stale\":%" PRIu64
           ",\"longest_gap\":%.3f}\n",
           probe->puts, probe->puts_unknown, probe->reads, probe->reads_failed, probe->late,
           probe->stale, (double)probe->longest_gap_ns / 1e9);
}

static void init(struct probe *probe)
{
    for (int i = 0; i < WRITERS; i++) {
        struct writer *writer = &probe->writers[i];
        *writer =
            (struct writer){.probe = probe, .number = i, .endpoint = i % probe->endpoint_count};
        rpc_link_init(&writer->link);
        rpc_call_init(&writer->call, &put_events, writer);
    }
    for (int i = 0; i < probe->endpoint_count; i++) {
        struct reader *reader = &probe->readers[i];
        reader->probe = probe;
        reader->endpoint = probe->endpoints[i];
        rpc_link_init(&reader->link);
        for (int j = 0; j < READS_MAX; j++) {
            reader->reads[j].reader = reader;
            rpc_call_init(&reader->reads[j].call, &read_events, &reader->reads[j]);
        }
    }
}

static void release(struct probe *probe)
{
    for (int i = 0; i < WRITERS; i++) {
        rpc_call_free(&probe->writers[i].call);
        rpc_link_drop(&probe->writers[i].link, "over");
    }
    for (int i = 0; i < probe->endpoint_count; i++) {
        for (int j = 0; j < READS_MAX; j++) {
            rpc_call_free(&probe->readers[i].reads[j].call);
        }
        rpc_link_drop(&probe->readers[i].link, "over");
    }
}

static bool read_options(struct probe *probe, int argc, char **argv)
{
    probe->read_ns = 10000000u;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--endpoints")) {
            char *rest = NULL;
            for (char *url = strtok_r(argv[i + 1], ",", &rest); url != NULL;
                 url = strtok_r(NULL, ",", &rest)) {
                if (probe->endpoint_count == ENDPOINTS_MAX ||
                    rpc_endpoint_parse(url, &probe->endpoints[probe->endpoint_count++]) != 0) {
                    return false;
                }
            }
        } else if (str_equal(argv[i], "--seconds")) {
            probe->seconds = strtod(argv[i + 1], NULL);
        } else if (str_equal(argv[i], "--read-ms")) {
            probe->read_ns = strtoull(argv[i + 1], NULL, 10) * 1000000u;
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && probe->endpoint_count > 0;
}

int main(int argc, char **argv)
{
    struct probe *probe = mem_zalloc(sizeof(*probe));
    if (!read_options(probe, argc, argv)) {
        fprintf(stderr, "usage: stale_probe --endpoints URL,URL [--seconds S] [--read-ms N]\n");
        return 2;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    init(probe);
    run(probe);
    release(probe);
    bool is_stale = probe->stale > 0;
    mem_free(probe);
    return is_stale ? 1 : 0;
}
