/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `snapshot save` from a member that runs: one gRPC stream into FILE.part, never more than one
 * message of it in memory; the checksum that comes last is compared on what the disk holds, and
 * then the file gets its name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "controller/etcd/frame.h"
#include "ctl/client.h"
#include "ctl/offline.h"
#include "ctl/output.h"
#include "ctl/part_file.h"
#include "ctl/report/format.h"
#include "ctl/snapshot.h"
#include "engine/proto/codec.h"
#include "engine/store/bolt.h"
#include "rpc.pb-c.h"

#define METHOD            "/etcdserverpb.Maintenance/Snapshot"
#define MESSAGE_BYTES_MAX (4u * 1024u * 1024u)
#define IDLE_MS           60000u /* a member lays out pages before the first byte */
#define TURN_MS           200u
#define PROGRESS_FROM_MS  2000
#define PROGRESS_EACH_MS  500
#define VERSION_BYTES     32u

struct saving {
    struct ctl_client *client;
    struct http_transfer *transfer;
    struct part_file file;
    int signal_fd;
    uint64_t total_bytes; /* 0: not known yet */
    char version[VERSION_BYTES];
    int64_t begun_ms, shown_ms;
    bool is_shown, is_terminal;
    struct err *err;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* On a terminal at once, elsewhere when it takes long; the line is written over itself. */
static void show_progress(struct saving *saving)
{
    int64_t now = now_ms();
    if (now - saving->shown_ms < PROGRESS_EACH_MS || saving->total_bytes == 0 ||
        (!saving->is_terminal && now - saving->begun_ms < PROGRESS_FROM_MS)) {
        return;
    }
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    format_size(saving->file.written_bytes, &line);
    buf_append_str(&line, " of ");
    format_size(saving->total_bytes, &line);
    fprintf(stderr, saving->is_terminal ? "\r%s   " : "%s\n", buf_cstr(&line));
    fflush(stderr);
    buf_free(&line);
    saving->shown_ms = now;
    saving->is_shown = true;
}

static int take_message(struct saving *saving, struct bytes wire)
{
    Etcdserverpb__SnapshotResponse *message = NULL;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(wire.size));
    int rc = PROTO_UNPACK(etcdserverpb__snapshot_response, wire, &arena, &message);
    if (rc != 0) {
        rc = err_set(saving->err, E_CORRUPT, "a message of the snapshot cannot be read");
    } else {
        rc = part_file_write(&saving->file, message->blob.data, message->blob.len, saving->err);
        saving->total_bytes = saving->file.written_bytes + message->remaining_bytes;
        if (message->version != NULL && message->version[0] != '\0') {
            snprintf(saving->version, sizeof(saving->version), "%s", message->version);
        }
    }
    arena_free(&arena);
    return rc;
}

/* All whole messages that have arrived. */
static int take_arrived(struct saving *saving)
{
    struct bytes body = http_body(saving->transfer);
    size_t used = 0;
    int rc = 0;
    while (rc == 0 && body.size - used >= ETCD_FRAME_HEAD_BYTES) {
        const uint8_t *head = body.data + used;
        uint32_t size = get_be32(head + 1);
        if (head[0] != 0 || size > MESSAGE_BYTES_MAX) {
            return err_set(saving->err, E_UNSUPPORTED,
                           "a message of the snapshot is compressed or too large");
        }
        if (body.size - used < ETCD_FRAME_HEAD_BYTES + size) {
            break;
        }
        rc = take_message(saving, bytes_of(head + ETCD_FRAME_HEAD_BYTES, size));
        used += ETCD_FRAME_HEAD_BYTES + size;
    }
    http_consume(saving->transfer, used);
    return rc;
}

static int outcome(struct saving *saving)
{
    enum grpc_code code;
    int rc = http_result(saving->transfer, saving->err);
    if (rc != 0) {
        return rc;
    }
    int status = http_status(saving->transfer);
    if (status != 200) {
        return err_set(saving->err, E_UNAVAILABLE, "HTTP status %d", status);
    }
    rc = etcd_trailers_parse(http_header(saving->transfer, "grpc-status"),
                             http_header(saving->transfer, "grpc-message"), &code, saving->err);
    if (rc == 0 && http_body(saving->transfer).size != 0) {
        rc = err_set(saving->err, E_TRUNCATED, "the snapshot ends inside a message");
    }
    return rc;
}

static int receive(struct saving *saving)
{
    int rc = 0;
    for (;;) {
        bool is_done = http_done(saving->transfer);
        rc = take_arrived(saving);
        if (rc != 0 || is_done) {
            break;
        }
        if (output_interrupted(saving->signal_fd)) {
            return err_set(saving->err, E_CLOSED, "interrupted");
        }
        show_progress(saving);
        http_turn(saving->client->http, TURN_MS);
    }
    return rc == 0 ? outcome(saving) : rc;
}

static void start(struct saving *saving)
{
    static const uint8_t EMPTY_MESSAGE[ETCD_FRAME_HEAD_BYTES];
    struct ctl_client *client = saving->client;
    char *url = str_printf("%s" METHOD, client->url);
    char *token = client->token == NULL ? NULL : str_printf("authorization: %s", client->token);
    char *own = client->token == NULL ? NULL : str_printf("token: %s", client->token);
    const char *headers[] = {"content-type: application/grpc", "te: trailers", token, own};
    struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .header_count = token == NULL ? 2 : 4,
        .body = bytes_of(EMPTY_MESSAGE, sizeof(EMPTY_MESSAGE)),
        .has_body = true,
        .is_stream = true,
        .version = HTTP_VERSION_2_ONLY,
        .tls = client->endpoint.tls,
        .idle_ms = IDLE_MS,
    };
    saving->transfer = http_start(client->http, &request);
    mem_free(url);
    mem_free(token);
    mem_free(own);
}

static int save_stream(struct saving *saving, const char *path)
{
    int rc = part_file_open(disk_posix(), path, &saving->file, saving->err);
    if (rc != 0) {
        return rc;
    }
    start(saving);
    rc = receive(saving);
    http_transfer_free(saving->transfer);
    if (saving->is_shown && saving->is_terminal) {
        fprintf(stderr, "\n");
    }
    if (rc != 0) { /* what curl says names the member already */
        return str_starts_with(saving->err->text, saving->client->url)
                   ? rc
                   : err_wrap(saving->err, rc, "%s", saving->client->url);
    }
    rc = part_file_finish(&saving->file, saving->err);
    if (rc == 0) {
        rc = bolt_verify_sha256(disk_posix(), saving->file.part, saving->err);
        if (rc == E_NOT_FOUND) {
            rc = err_set(saving->err, E_CORRUPT, "%s: the snapshot came without its checksum",
                         saving->client->url);
        }
    }
    return rc == 0 ? part_file_publish(&saving->file, saving->err) : rc;
}

static int save_online(const struct ctl_values *values, const char *path, struct err *err)
{
    struct ctl_client client;
    struct saving saving = {.client = &client,
                            .signal_fd = output_signals(),
                            .begun_ms = now_ms(),
                            .is_terminal = isatty(STDERR_FILENO) == 1,
                            .err = err};
    int rc = client_open(values, &client, err);
    if (rc == 0) {
        if (saving.signal_fd >= 0) {
            http_watch_fd(client.http, saving.signal_fd);
        }
        rc = save_stream(&saving, path);
        part_file_close(&saving.file);
    }
    client_close(&client);
    if (saving.signal_fd >= 0) {
        (void)close(saving.signal_fd);
    }
    if (rc == 0) {
        printf("Snapshot saved at %s\n", path);
        if (saving.version[0] != '\0') {
            printf("Server version %s\n", saving.version);
        }
    }
    return rc;
}

int snapshot_save(const struct ctl_values *values, char *const *args)
{
    struct err err = {{0}};
    struct offline_result result;
    int rc;
    if (values->data_dir[0] == '\0') {
        rc = save_online(values, args[0], &err);
        return rc == 0 ? 0 : output_fail(&err);
    }
    rc = offline_save(disk_posix(), values->data_dir, values->wal_dir, args[0], &result, &err);
    if (rc != 0) {
        return output_fail(&err);
    }
    if (result.note[0] != '\0') {
        fprintf(stderr, "Warning: %s\n", result.note);
    }
    printf("Snapshot saved at %s\n", args[0]);
    return 0;
}
