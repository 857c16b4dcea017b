/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader asks all members for hashes and raises CORRUPT for those that deviate. One check runs
 * at a time; it asks itself, the others, and itself again.
 */
#include "engine/server/corrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/server/ask.h"
#include "engine/server/fetch.h"
#include "engine/server/rpc.h"

#define FIELD_ALARM     10u
#define HASH_TIMEOUT_MS 10000u
/* A compaction is no question that somebody waits for: its hash takes short turns. */
#define COMPACTION_RECORDS_PER_SLICE 2000u

/* One check on its way. */
struct check {
    struct server *server;
    bool of_compaction;
    struct key_hash before, after;
    struct member_hash peers[CORRUPT_PEERS_MAX];
    size_t peer_count, outstanding;
};

struct check_fetch {
    struct check *check;
    size_t peer;
};

struct corruption {
    struct key_hash kept[CORRUPT_HASHES_MAX]; /* oldest first */
    size_t kept_count;
    int64_t checked_revision; /* of compactions: all peers were compared up to here */
    uint64_t next_now_ms, next_compaction_ms;
    bool running;
    /* the hash of the compaction that is being applied, then taken in slices */
    bool hashing, pending;
    struct mvcc_hash hash;
    uint64_t generation;
};

struct corruption *corruption_new(void)
{
    return mem_zalloc(sizeof(struct corruption));
}

void corruption_free(struct corruption *corruption)
{
    mem_free(corruption);
}

/* ---- the alarm ---- */

static void raise_alarm(struct server *server, uint64_t id)
{
    struct alarm alarm = {id, ETCDSERVERPB__ALARM_TYPE__CORRUPT};
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    if (alarms_has(&server->alarms, alarm)) {
        return;
    }
    LOG_ERROR("found data inconsistency: the key space of a member is not that of the others",
              LOG_HEX("member-id", id));
    request.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    request.alarm = ETCDSERVERPB__ALARM_TYPE__CORRUPT;
    request.memberid = id;
    propose_message(server, request_internal(NULL), FIELD_ALARM, &request.base);
}

/* ---- questions ---- */

static void check_end(struct check *check)
{
    struct server *server = check->server;
    struct corruption *corruption = server->corruption;
    uint64_t ids[CORRUPT_PEERS_MAX + 1];
    size_t count;
    bool complete = true;
    if (check->of_compaction) {
        count = corrupt_judge_compaction(server->member_id, &check->before, check->peers,
                                         check->peer_count, ids, &complete);
        if (complete) {
            corruption->checked_revision = check->before.revision;
            LOG_INFO("finished compaction hash check", LOG_I64("revision", check->before.revision),
                     LOG_U64("number-of-peers-checked", check->peer_count));
        }
    } else {
        count = corrupt_judge_now(server->member_id, &check->before, &check->after, check->peers,
                                  check->peer_count, ids);
        LOG_INFO("finished peer corruption check",
                 LOG_U64("number-of-peers-checked", check->peer_count));
    }
    for (size_t i = 0; i < count; i++) {
        raise_alarm(server, ids[i]);
    }
    corruption->running = false;
    mem_free(check);
}

static void check_drop(struct check *check)
{
    check->server->corruption->running = false;
    mem_free(check);
}

static bool take_own_hash(const struct request *request, enum etcd_error error,
                          struct key_hash *out)
{
    struct arena arena;
    Etcdserverpb__HashKVResponse *response;
    arena_init(&arena, BUF_NO_LIMIT);
    bool fine = error == ETCD_OK && request->answer != NULL &&
                PROTO_UNPACK(etcdserverpb__hash_kvresponse, buf_bytes(request->answer), &arena,
                             &response) == 0;
    if (fine) {
        *out =
            (struct key_hash){response->hash, response->hash_revision, response->compact_revision};
    }
    arena_free(&arena);
    return fine;
}

/* Asks this member itself, as any client would. */
static void ask_self(struct check *check,
                     void (*on_done)(struct server *server, struct request *request,
                                     enum etcd_error error))
{
    struct request *request = request_internal(on_done);
    arena_free(&request->arena);
    arena_init(&request->arena, BUF_NO_LIMIT);
    Etcdserverpb__HashKVRequest *asked = arena_zalloc(&request->arena, sizeof(*asked));
    etcdserverpb__hash_kvrequest__init(asked);
    request->server = check->server;
    request->message = &asked->base;
    request->user = check;
    rpc_hash_kv(check->server, request);
}

static void on_after(struct server *server, struct request *request, enum etcd_error error)
{
    struct check *check = request->user;
    (void)server;
    if (take_own_hash(request, error, &check->after)) {
        check_end(check);
    } else {
        check_drop(check);
    }
}

static void read_done(struct server *server, struct request *request)
{
    struct check *check = request->user;
    (void)server;
    request_free(request);
    ask_self(check, on_after);
}

static void read_failed(struct server *server, struct request *request, enum etcd_error error)
{
    (void)server;
    (void)error; /* no leader any more: the next check is another's */
    check_drop(request->user);
}

static void all_answered(struct check *check)
{
    if (check->server->ended || !atomic_load(&check->server->shared.is_leader)) {
        check_drop(check);
    } else if (check->of_compaction) {
        check_end(check);
    } else {
        struct request *request = request_internal(read_failed);
        request->user = check;
        request->run = read_done;
        read_linearizable(check->server, request);
    }
}

/* {"header":{"revision":..},"hash":..,"compact_revision":..,"hash_revision":..} */
static bool parse_answer(struct bytes body, struct member_hash *out)
{
    struct json *root = json_parse((const char *)body.data, body.size, NULL);
    bool fine = json_is(json_get(root, "hash"), JSON_INT);
    if (fine) {
        out->hash.hash = (uint32_t)json_path_i64(root, "hash", 0);
        out->hash.compact_revision = json_path_i64(root, "compact_revision", 0);
        out->hash.revision = json_path_i64(root, "hash_revision", 0);
        out->current_revision = json_path_i64(root, "header.revision", 0);
        out->answered = true;
    }
    json_free(root);
    return fine;
}

static void on_fetched(struct server *server, void *ctx, const struct fetch_answer *answer)
{
    struct check_fetch *fetch = ctx;
    struct check *check = fetch->check;
    struct member_hash *peer = &check->peers[fetch->peer];
    (void)server;
    if (answer->code != 0 || answer->status != 200 || !parse_answer(answer->body, peer)) {
        LOG_WARN("failed to get the hash of a peer's key space",
                 LOG_HEX("remote-peer-id", peer->member_id));
    }
    mem_free(fetch);
    if (--check->outstanding == 0) {
        all_answered(check);
    }
}

static void ask_peers(struct check *check)
{
    struct server *server = check->server;
    char body[64];
    int size = snprintf(body, sizeof(body), "{\"revision\":%" PRId64 "}", check->before.revision);
    check->outstanding = 1;
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        const struct member *member = membership_at(server->membership, i);
        if (member->id == server->member_id || check->peer_count == CORRUPT_PEERS_MAX) {
            continue;
        }
        struct check_fetch *fetch = mem_zalloc(sizeof(*fetch));
        const char *url = member->peer_urls.count > 0 ? member->peer_urls.urls[0] : "";
        fetch->check = check;
        fetch->peer = check->peer_count;
        check->peers[check->peer_count++] = (struct member_hash){.member_id = member->id};
        check->outstanding++;
        const struct fetch ask = {.url = url,
                                  .method = "GET",
                                  .path = "/members/hashkv",
                                  .body = bytes_of(body, (size_t)size),
                                  .timeout_ms = HASH_TIMEOUT_MS,
                                  .on_done = on_fetched,
                                  .ctx = fetch};
        fetch_start(server, &ask);
    }
    if (--check->outstanding == 0) {
        all_answered(check);
    }
}

static void on_before(struct server *server, struct request *request, enum etcd_error error)
{
    struct check *check = request->user;
    (void)server;
    if (take_own_hash(request, error, &check->before)) {
        ask_peers(check);
    } else {
        check_drop(check);
    }
}

static struct check *check_new(struct server *server)
{
    struct check *check = mem_zalloc(sizeof(*check));
    check->server = server;
    server->corruption->running = true;
    return check;
}

/* ---- when ---- */

static void start_now(struct server *server)
{
    LOG_INFO("starting corruption check of the peers");
    ask_self(check_new(server), on_before);
}

/* The newest compaction that not all peers were compared for. */
static void start_compaction(struct server *server)
{
    struct corruption *corruption = server->corruption;
    if (corruption->kept_count == 0) {
        return;
    }
    const struct key_hash *newest = &corruption->kept[corruption->kept_count - 1];
    if (newest->revision > corruption->checked_revision) {
        struct check *check = check_new(server);
        check->of_compaction = true;
        check->before = *newest;
        ask_peers(check);
    }
}

void corruption_check(struct server *server)
{
    struct corruption *corruption = server->corruption;
    const struct server_config *config = server->config;
    uint64_t now = server_now_ms(server);
    if (corruption->running || server->ended) {
        return;
    }
    bool leads = atomic_load(&server->shared.is_leader);
    if (config->corrupt_check_ms > 0 && now >= corruption->next_now_ms) {
        bool first = corruption->next_now_ms == 0;
        corruption->next_now_ms = now + (uint64_t)config->corrupt_check_ms;
        if (leads && !first) {
            start_now(server);
            return;
        }
    }
    if (config->compact_hash_check && now >= corruption->next_compaction_ms) {
        corruption->next_compaction_ms = now + (uint64_t)config->compact_hash_check_ms;
        if (leads) {
            start_compaction(server);
        }
    }
}

/* ---- the hash of a compaction: of what it is about to trim ---- */

static void keep_hash(struct corruption *corruption, const struct mvcc_hash *hash)
{
    if (corruption->kept_count == CORRUPT_HASHES_MAX) {
        corruption->kept_count--;
        memmove(corruption->kept, corruption->kept + 1,
                corruption->kept_count * sizeof(corruption->kept[0]));
    }
    corruption->kept[corruption->kept_count++] =
        (struct key_hash){hash->hash, hash->hash_revision, hash->compact_revision};
}

static void hash_some(void *ctx)
{
    struct server *server = ctx;
    struct corruption *corruption = server->corruption;
    if (server->installing && !server->ended) {
        loop_post(server->state.loop, hash_some, server); /* the key space may be replaced */
        return;
    }
    if (corruption->generation != server->store_generation) {
        corruption->hashing = false; /* and the pin went with what was replaced */
        return;
    }
    int rc = server->ended
                 ? 0
                 : mvcc_hash_slice(server->mvcc, &corruption->hash, COMPACTION_RECORDS_PER_SLICE);
    mvcc_release(server->mvcc);
    if (rc != 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
    if (!server->ended && !corruption->hash.done) {
        loop_post(server->state.loop, hash_some, server);
        return;
    }
    mvcc_hash_end(server->mvcc, &corruption->hash);
    corruption->hashing = false;
    if (corruption->hash.done) {
        keep_hash(corruption, &corruption->hash);
        loop_timer_set(&server->compact_timer, 0); /* it was held back meanwhile */
    }
}

void corruption_before_compaction(struct server *server, int64_t revision)
{
    struct corruption *corruption = server->corruption;
    /* As etcd: while one runs, or was cut short by a stop, the next one's hash is not kept. */
    if (corruption == NULL || corruption->hashing || mvcc_compacting(server->mvcc) ||
        revision <= 0 || mvcc_hash_begin(server->mvcc, revision, &corruption->hash) != 0) {
        return;
    }
    corruption->hashing = corruption->pending = true;
    corruption->generation = server->store_generation;
}

void corruption_after_compaction(struct server *server, bool done)
{
    struct corruption *corruption = server->corruption;
    if (corruption == NULL || !corruption->pending) {
        return;
    }
    corruption->pending = false;
    if (done) {
        loop_post(server->state.loop, hash_some, server);
    } else {
        mvcc_hash_end(server->mvcc, &corruption->hash);
        corruption->hashing = false;
    }
}

const struct key_hash *corruption_kept(const struct server *server, int64_t revision)
{
    const struct corruption *corruption = server->corruption;
    for (size_t i = 0; corruption != NULL && i < corruption->kept_count; i++) {
        if (corruption->kept[i].revision == revision) {
            return &corruption->kept[i];
        }
    }
    return NULL;
}

/* ---- before serving ---- */

int corruption_check_first(struct server *server, struct err *err)
{
    struct mvcc_hash own;
    size_t differing = 0;
    int rc = mvcc_hash_kv(server->mvcc, 0, &own);
    mvcc_release(server->mvcc);
    if (rc != 0) {
        return err_set(err, rc, "hash the key space: %s", err_code_text(rc));
    }
    LOG_INFO("starting initial corruption check", LOG_HEX("local-member-id", server->member_id));
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        const struct member *member = membership_at(server->membership, i);
        struct member_hash peer = {.member_id = member->id};
        struct buf body;
        if (member->id == server->member_id || member->peer_urls.count == 0 ||
            ask_hash(server, member->peer_urls.urls[0], own.hash_revision, &body) != 0) {
            continue; /* not there, behind, or compacted further: nothing to compare */
        }
        if (parse_answer(buf_bytes(&body), &peer) &&
            peer.hash.compact_revision == own.compact_revision && peer.hash.hash != own.hash) {
            differing++;
            LOG_ERROR("found different hash values from remote peer",
                      LOG_HEX("remote-peer-id", member->id),
                      LOG_I64("revision", own.hash_revision));
        }
        buf_free(&body);
    }
    if (differing > 0) {
        return err_set(err, E_CORRUPT,
                       "%" PRIx64 " found data inconsistency with peers: remove this member and "
                       "add it again with an empty data directory",
                       server->member_id);
    }
    LOG_INFO("initial corruption checking passed; no corruption",
             LOG_HEX("local-member-id", server->member_id));
    return 0;
}
