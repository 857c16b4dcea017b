/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, roles and logins. All go through the log. Passwords are hashed and compared on a thread of
 * their own, because that is slow on purpose, and before they are proposed: the log holds hashes.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/log.h"
#include "engine/server/authz.h"
#include "engine/server/password.h"
#include "engine/server/process.h"
#include "engine/server/token.h"
#include "engine/server/version.h"

#define FIELD_AUTHENTICATE    1012u
#define FIELD_AUTH_STATUS     1013u
#define FIELD_USER_ADD        1100u
#define FIELD_CHANGE_PASSWORD 1103u
#define VERSION_KNOWN         3004 /* the oldest that we meet: below it nothing is decided yet */
#define VERSION_HASHED        3005 /* from here on entries hold the hash */
/* Passwords that wait for their thread; beyond it clients are told to come later. */
#define PASSWORDS_WAITING_MAX 256u

static const uint32_t FIELDS[RPC_COUNT] = {
    [RPC_AUTH_ENABLE] = 1000,
    [RPC_AUTH_DISABLE] = 1011,
    [RPC_USER_GET] = 1102,
    [RPC_USER_LIST] = 1106,
    [RPC_USER_DELETE] = 1101,
    [RPC_USER_GRANT_ROLE] = 1104,
    [RPC_USER_REVOKE_ROLE] = 1105,
    [RPC_ROLE_ADD] = 1200,
    [RPC_ROLE_GET] = 1202,
    [RPC_ROLE_LIST] = 1107,
    [RPC_ROLE_DELETE] = 1201,
    [RPC_ROLE_GRANT_PERMISSION] = 1203,
    [RPC_ROLE_REVOKE_PERMISSION] = 1204,
};

/* Names and passwords are strings of C here: one with a zero byte would count as a shorter one. */
static bool is_cut(struct server *server, struct request *request)
{
    if (proto_is_whole(request->message, request->wire)) {
        return false;
    }
    request_fail_text(server, request, GRPC_INVALID_ARGUMENT,
                      "etcdserver: names and passwords with a zero byte are not supported");
    return true;
}

void rpc_auth_change(struct server *server, struct request *request)
{
    ASSERT(FIELDS[request->method] != 0);
    bool has_keys = request->method == RPC_ROLE_GRANT_PERMISSION ||
                    request->method == RPC_ROLE_REVOKE_PERMISSION; /* which may hold any byte */
    if (!has_keys && is_cut(server, request)) {
        return;
    }
    propose_field(server, request, FIELDS[request->method], request->wire);
}

void rpc_auth_status(struct server *server, struct request *request)
{
    if (version_knows_entry(atomic_load(&server->shared.cluster_version), FIELD_AUTH_STATUS)) {
        propose_field(server, request, FIELD_AUTH_STATUS, request->wire);
        return;
    }
    Etcdserverpb__AuthStatusResponse response = ETCDSERVERPB__AUTH_STATUS_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    if (authz_answer(server, request)) {
        header_of(server, mvcc_revision(server->mvcc), &header);
        response.header = &header;
        response.enabled = auth_is_enabled(server->auth);
        response.authrevision = auth_revision(server->auth);
        request_reply_message(server, request, &response.base);
    }
}

/* ---- one password on its thread ---- */

struct password_job {
    struct server *server;
    struct request *request;
    void (*done)(struct password_job *job); /* state thread; the job is freed behind it */
    const char *password;                   /* in the request */
    char *stored;                           /* to compare with; NULL: there is no such user */
    bool compares, fine;
    int cost;
    uint8_t salt[PASSWORD_SALT_BYTES];
    char hash[PASSWORD_HASH_BYTES + 1];
    uint64_t revision; /* of users, when it was read */
};

static void password_done(void *ctx)
{
    struct password_job *job = ctx;
    job->server->passwords_running--;
    if (job->server->ended) {
        request_fail(job->server, job->request, ETCD_ERR_STOPPED);
    } else {
        job->done(job);
    }
    mem_free(job->stored);
    mem_free(job);
}

/* Password thread. */
static void password_run(void *ctx)
{
    struct password_job *job = ctx;
    if (job->compares) {
        struct bytes stored = {NULL, 0};
        if (job->stored != NULL) {
            stored = bytes_of_str(job->stored);
        }
        job->fine = password_matches(job->password, stored, job->cost);
    } else {
        job->fine = password_hash(job->password, job->cost, job->salt, job->hash);
    }
    loop_post(job->server->state.loop, password_done, job);
}

/* Takes the request. */
static void password_start(struct server *server, struct request *request,
                           struct password_job order)
{
    if (server->passwords_running >= PASSWORDS_WAITING_MAX) {
        request_fail(server, request, ETCD_ERR_TOO_MANY_REQUESTS);
        mem_free(order.stored);
        return;
    }
    struct password_job *job = mem_zalloc(sizeof(*job));
    *job = order;
    job->server = server;
    job->request = request;
    int64_t cost = server->config->bcrypt_cost;
    job->cost =
        cost < PASSWORD_COST_MIN || cost > PASSWORD_COST_MAX ? PASSWORD_COST_DEFAULT : (int)cost;
    for (size_t i = 0; i < PASSWORD_SALT_BYTES; i += sizeof(uint64_t)) {
        put_be64(job->salt + i, process_random());
    }
    server->passwords_running++;
    loop_post(server->auth_worker.loop, password_run, job);
}

/* ---- users with passwords ---- */

static bool is_user_add(const struct request *request)
{
    return request->message->descriptor == &etcdserverpb__auth_user_add_request__descriptor;
}

/* The entry, with the password as it is (for members of etcd 3.4) or with its hash, or without. */
static void propose_user(struct server *server, struct request *request, const char *password,
                         const char *hashed)
{
    if (is_user_add(request)) {
        Etcdserverpb__AuthUserAddRequest add =
            *(const Etcdserverpb__AuthUserAddRequest *)request->message;
        add.password = (char *)(uintptr_t)password;
        add.hashedpassword = (char *)(uintptr_t)hashed;
        propose_message(server, request, FIELD_USER_ADD, &add.base);
    } else {
        Etcdserverpb__AuthUserChangePasswordRequest change =
            *(const Etcdserverpb__AuthUserChangePasswordRequest *)request->message;
        change.password = (char *)(uintptr_t)password;
        change.hashedpassword = (char *)(uintptr_t)hashed;
        propose_message(server, request, FIELD_CHANGE_PASSWORD, &change.base);
    }
}

static const char *password_in(const struct request *request)
{
    return is_user_add(request)
               ? ((const Etcdserverpb__AuthUserAddRequest *)request->message)->password
               : ((const Etcdserverpb__AuthUserChangePasswordRequest *)request->message)->password;
}

static void user_hashed(struct password_job *job)
{
    struct buf encoded;
    if (!job->fine) {
        request_fail_text(job->server, job->request, GRPC_UNKNOWN, PASSWORD_TOO_LONG);
        return;
    }
    buf_init(&encoded, BUF_NO_LIMIT);
    base64_encode(bytes_of(job->hash, PASSWORD_HASH_BYTES), BASE64_PADDED, &encoded);
    propose_user(job->server, job->request, "", buf_cstr(&encoded));
    buf_free(&encoded);
}

/*
 * Members of etcd 3.4 know no hashes in entries: they would store the hash of an empty password.
 * As long as the cluster version is theirs, the entry holds the password, as they write it.
 */
static void user_with_password(struct server *server, struct request *request)
{
    int version = atomic_load(&server->shared.cluster_version);
    if (version < VERSION_KNOWN) {
        request_arm_deadline(server, request);
        list_append(&server->password_waiters, &request->link);
    } else if (version < VERSION_HASHED) {
        LOG_WARN("the cluster has members of etcd 3.4: the log holds this password as it is");
        propose_user(server, request, password_in(request), "");
    } else {
        password_start(
            server, request,
            (struct password_job){.done = user_hashed, .password = password_in(request)});
    }
}

void rpc_auth_retry(struct server *server)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_empty(&server->password_waiters)) {
        struct list *first = server->password_waiters.next;
        list_remove(first);
        list_append(&waiting, first);
    }
    while (!list_empty(&waiting)) {
        struct request *request = LIST_ENTRY(waiting.next, struct request, link);
        list_remove(&request->link);
        if (atomic_load(&server->shared.cluster_version) >= VERSION_KNOWN) {
            request_disarm(server, request);
        }
        user_with_password(server, request);
    }
    tokens_expire(server->tokens, server_now_ms(server));
}

/* Nobody's passwords are not worth the work: the entry would be refused. */
static bool is_refused(struct server *server, struct request *request)
{
    struct auth_who who;
    enum etcd_error error = authz_identify(server, request, &who);
    if (is_cut(server, request)) {
        return true;
    }
    if (error == ETCD_OK && auth_is_enabled(server->auth) && *who.name == '\0') {
        error = ETCD_ERR_USER_EMPTY;
    }
    if (error != ETCD_OK) {
        request_fail(server, request, error);
    }
    return error != ETCD_OK;
}

void rpc_user_add(struct server *server, struct request *request)
{
    const Etcdserverpb__AuthUserAddRequest *add =
        (const Etcdserverpb__AuthUserAddRequest *)request->message;
    if (is_refused(server, request)) {
        return;
    }
    if (add->options != NULL && add->options->no_password) {
        propose_user(server, request, "", "");
    } else {
        user_with_password(server, request);
    }
}

void rpc_user_change_password(struct server *server, struct request *request)
{
    if (is_refused(server, request)) {
        return;
    }
    if (*password_in(request) == '\0') {
        propose_user(server, request, "",
                     ((const Etcdserverpb__AuthUserChangePasswordRequest *)request->message)
                         ->hashedpassword);
    } else {
        user_with_password(server, request);
    }
}

/* ---- logins ---- */

static void login_checked(struct password_job *job)
{
    struct server *server = job->server;
    const Etcdserverpb__AuthenticateRequest *asked =
        (const Etcdserverpb__AuthenticateRequest *)job->request->message;
    Etcdserverpb__InternalAuthenticateRequest entry =
        ETCDSERVERPB__INTERNAL_AUTHENTICATE_REQUEST__INIT;
    char prefix[TOKEN_PREFIX_LETTERS + 1];
    if (!job->fine) {
        LOG_WARN("invalid authentication was requested", LOG_STR("user", asked->name));
        request_fail(server, job->request, ETCD_ERR_AUTH_FAILED);
        return;
    }
    tokens_prefix(server->tokens, prefix);
    entry.name = asked->name;
    entry.simple_token = prefix;
    job->request->number = job->revision;
    propose_message(server, job->request, FIELD_AUTHENTICATE, &entry.base);
}

static void login_now(struct server *server, struct request *request)
{
    const Etcdserverpb__AuthenticateRequest *asked =
        (const Etcdserverpb__AuthenticateRequest *)request->message;
    const Authpb__User *user = auth_user(server->auth, asked->name);
    struct password_job job = {.done = login_checked,
                               .password = asked->password,
                               .compares = true,
                               .revision = auth_revision(server->auth)};
    if (!auth_is_enabled(server->auth)) {
        request_fail(server, request, ETCD_ERR_AUTH_NOT_ENABLED);
        return;
    }
    if (user != NULL && user->options != NULL && user->options->no_password) {
        request_fail(server, request, ETCD_ERR_NO_PASSWORD_USER);
        return;
    }
    if (user != NULL) {
        job.stored = str_from(user->password.data, user->password.len);
    }
    password_start(server, request, job);
}

void rpc_authenticate(struct server *server, struct request *request)
{
    if (is_cut(server, request)) {
        return;
    }
    request->run = login_now;
    read_linearizable(server, request);
}

bool rpc_auth_is_stale(const struct server *server, const struct request *request)
{
    return request->is_call && request->method == RPC_AUTHENTICATE &&
           request->number != auth_revision(server->auth);
}

/* ---- start and end ---- */

static bool hash_old_entry(void *ctx, const char *user, const char *password, struct buf *out)
{
    const struct server *server = ctx;
    return apply_password_hash(server, user, password, out);
}

void auth_init(struct server *server)
{
    server->auth = auth_new(hash_old_entry, server);
    int rc = tokens_new("simple", server->config->auth_token_ttl_s, &server->tokens, NULL);
    ASSERT(rc == 0); /* they need nothing */
}

int auth_start(struct server *server, struct err *err)
{
    const char *kind = server->config->auth_token;
    int64_t cost = server->config->bcrypt_cost;
    if (cost < PASSWORD_COST_MIN || cost > PASSWORD_COST_MAX) {
        LOG_WARN("use default bcrypt cost instead of the invalid given cost",
                 LOG_I64("default-cost", PASSWORD_COST_DEFAULT), LOG_I64("given-cost", cost));
    }
    if (kind == NULL || strcmp(kind, "simple") == 0) {
        LOG_WARN("simple token is not cryptographically signed");
        return 0;
    }
    struct tokens *tokens;
    int rc = tokens_new(kind, server->config->auth_token_ttl_s, &tokens, err);
    if (rc == 0) {
        tokens_free(server->tokens);
        server->tokens = tokens;
    }
    return rc;
}

void auth_stop(struct server *server)
{
    tokens_free(server->tokens);
    auth_free(server->auth);
}
