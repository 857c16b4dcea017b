/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster version: polled and decided by the leader, set by the log, held on request, and told
 * to the other members.
 */
#include "engine/server/version.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/server/fetch.h"

#define FIELD_V2                      2u
#define FIELD_AUTH_STATUS             1013u
#define FIELD_CLUSTER_VERSION_SET     1300u
#define FIELD_CLUSTER_MEMBER_ATTR_SET 1301u
#define FIELD_DOWNGRADE_INFO_SET      1302u
#define VERSION_TIMEOUT_MS            2000u

/* ---- pure ---- */

int version_number(const char *text)
{
    int major = 0;
    int minor = 0;
    return text != NULL && sscanf(text, "%4d.%3d", &major, &minor) == 2 ? major * 1000 + minor : 0;
}

int version_parse_hold(const char *text, int *out_number, struct err *err)
{
    static const char *const known[] = {"3.4", "3.5", "3.6"};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (strcmp(text, known[i]) == 0) {
            *out_number = version_number(text);
            return 0;
        }
    }
    if (*text != '\0') {
        return err_set(err, E_INVALID, "--hold-cluster-version \"%s\": say 3.4, 3.5 or 3.6", text);
    }
    *out_number = 0;
    return 0;
}

bool version_knows_entry(int version, uint32_t field)
{
    switch (field) {
    case FIELD_AUTH_STATUS:
    case FIELD_DOWNGRADE_INFO_SET:
        return version >= 3005;
    case FIELD_CLUSTER_MEMBER_ATTR_SET:
        return version >= VERSION_V3_MEMBERSHIP;
    default:
        /* All others are those of 3.4, the oldest that we meet. FIELD_CLUSTER_VERSION_SET brings
         * the version that knows it: version_next has asked every member. */
        return field < FIELD_CLUSTER_MEMBER_ATTR_SET;
    }
}

int version_next(const struct version_votes *votes)
{
    if (votes->current == 0) {
        return votes->any_unknown ? version_number(SERVER_MIN_CLUSTER_VERSION) : votes->lowest;
    }
    if (votes->any_unknown) {
        return 0;
    }
    if (votes->downgrading) {
        return votes->current == votes->target + 1 && votes->lowest == votes->target + 1
                   ? votes->target
                   : 0;
    }
    return votes->lowest > votes->current ? votes->lowest : 0;
}

int version_may_join(int decided, int highest, int hold, struct err *err)
{
    if (decided > highest) {
        return err_set(err, E_UNSUPPORTED,
                       "incompatible with current running cluster: its version is decided as "
                       "%d.%d, and this member knows versions up to %d.%d",
                       decided / 1000, decided % 1000, highest / 1000, highest % 1000);
    }
    if (hold != 0 && decided > hold) {
        return err_set(err, E_UNSUPPORTED,
                       "incompatible with current running cluster: --hold-cluster-version is "
                       "%d.%d, but its version is decided as %d.%d already and cannot be held "
                       "lower; start without the flag, or with %d.%d",
                       hold / 1000, hold % 1000, decided / 1000, decided % 1000, decided / 1000,
                       decided % 1000);
    }
    return 0;
}

/* ---- what is decided ---- */

static bool is_held(const struct server *server)
{
    int hold = server->config->hold_cluster_version;
    return hold != 0 && atomic_load(&server->shared.cluster_version) <= hold;
}

void version_refresh(struct server *server)
{
    int hold = server->config->hold_cluster_version;
    int version = version_number(membership_version(server->membership));
    int before = atomic_exchange(&server->shared.cluster_version, version);
    lessor_set_persist_checkpoints(server->lessor,
                                   version >= VERSION_V3_MEMBERSHIP ||
                                       server->config->features[FEATURE_LEASE_CHECKPOINT_PERSIST]);
    if (hold != 0 && version > hold && version != before) {
        LOG_WARN("the cluster version is decided higher than --hold-cluster-version: it cannot be "
                 "held there any more, and members older than it cannot join",
                 LOG_STR("cluster-version", membership_version(server->membership)),
                 LOG_I64("hold-minor", hold % 1000));
    }
}

/*
 * From 3.6 on members and version have entries of their own; an older member would not know them
 * (3.4 panics), so before that they go in the old form that all understand.
 */
bool cluster_uses_v3_membership(const struct server *server)
{
    return atomic_load(&server->shared.cluster_version) >= VERSION_V3_MEMBERSHIP;
}

/*
 * A member that holds the version says that it is of that version. So a leader that knows nothing
 * of holding, as one of etcd's, does not raise it either while such a member belongs to the
 * cluster.
 */
const char *version_for_peers(const struct server *server)
{
    if (is_held(server)) {
        switch (server->config->hold_cluster_version) {
        case 3004:
            return "3.4.0";
        case 3005:
            return "3.5.0";
        default:
            break;
        }
    }
    return SERVER_VERSION;
}

void version_propose_v2_put(struct server *server, struct request *request, const char *path,
                            const char *value)
{
    Etcdserverpb__Request put = ETCDSERVERPB__REQUEST__INIT;
    put.method = (char *)(uintptr_t) "PUT";
    put.path = (char *)(uintptr_t)path;
    put.val = (char *)(uintptr_t)value;
    propose_message(server, request, FIELD_V2, &put.base);
}

static void version_proposed(struct server *server, struct request *request, enum etcd_error error)
{
    (void)request;
    (void)error; /* asked again at the next poll */
    server->version_proposed = false;
}

static void propose_version(struct server *server, int number)
{
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.0", number / 1000, number % 1000);
    LOG_INFO("setting cluster version", LOG_STR("cluster-version", text));
    server->version_proposed = true;
    if (number >= VERSION_V3_MEMBERSHIP) {
        Membershippb__ClusterVersionSetRequest set =
            MEMBERSHIPPB__CLUSTER_VERSION_SET_REQUEST__INIT;
        set.ver = text;
        propose_message(server, request_internal(version_proposed), FIELD_CLUSTER_VERSION_SET,
                        &set.base);
    } else {
        version_propose_v2_put(server, request_internal(version_proposed), "/0/version", text);
    }
}

/* ---- one poll of all members; decides when the last answer is there ---- */

struct version_poll {
    size_t outstanding;
    int highest;
    struct version_votes votes;
    uint64_t members; /* who was asked */
};

/* Two sets of members that are the same have the same mark. */
static uint64_t members_mark(const struct membership *membership)
{
    uint64_t mark = membership_count(membership);
    for (size_t i = 0; i < membership_count(membership); i++) {
        mark = mark * 0x9e3779b97f4a7c15u + membership_at(membership, i)->id;
    }
    return mark;
}

/* Every member runs the version that was aimed at: the downgrade is over. */
static void end_downgrade(struct server *server)
{
    Membershippb__DowngradeInfoSetRequest set = MEMBERSHIPPB__DOWNGRADE_INFO_SET_REQUEST__INIT;
    LOG_INFO("the cluster has been downgraded",
             LOG_STR("cluster-version", membership_version(server->membership)));
    server->version_proposed = true;
    propose_message(server, request_internal(version_proposed), FIELD_DOWNGRADE_INFO_SET,
                    &set.base);
}

static void version_decide(struct server *server, struct version_poll *poll)
{
    if (--poll->outstanding > 0) {
        return;
    }
    struct version_votes votes = poll->votes;
    int highest = poll->highest;
    bool same_members = poll->members == members_mark(server->membership);
    mem_free(poll);
    if (!atomic_load(&server->shared.is_leader) || server->version_proposed || !same_members) {
        return; /* one that was added meanwhile may be older than all that were asked */
    }
    votes.current = atomic_load(&server->shared.cluster_version);
    votes.downgrading = membership_downgrade_is_enabled(server->membership);
    votes.target = version_number(membership_downgrade_target(server->membership));
    int next = version_next(&votes);
    if (next != 0) {
        propose_version(server, next);
    } else if (votes.downgrading && !votes.any_unknown && votes.lowest == votes.target &&
               highest == votes.target && votes.current == votes.target) {
        end_downgrade(server);
    }
}

static void version_fetched(struct server *server, void *ctx, const struct fetch_answer *answer)
{
    struct version_poll *poll = ctx;
    int number = 0;
    if (answer->code == 0 && answer->status == 200) {
        struct json *body = json_parse((const char *)answer->body.data, answer->body.size, NULL);
        number = version_number(json_path_str(body, "etcdserver", NULL));
        json_free(body);
    }
    if (number == 0) {
        poll->votes.any_unknown = true;
    } else {
        poll->votes.lowest = BASE_MIN(poll->votes.lowest, number);
        poll->highest = BASE_MAX(poll->highest, number);
    }
    version_decide(server, poll);
}

void cluster_poll_versions(struct server *server)
{
    if (!atomic_load(&server->shared.is_leader) || server->version_proposed) {
        return;
    }
    struct version_poll *poll = mem_zalloc(sizeof(*poll));
    size_t count = membership_count(server->membership);
    poll->outstanding = 1;
    poll->members = members_mark(server->membership);
    poll->votes.lowest = version_number(version_for_peers(server));
    poll->highest = poll->votes.lowest;
    for (size_t i = 0; i < count; i++) {
        const struct member *member = membership_at(server->membership, i);
        if (member->id == server->member_id) {
            continue;
        }
        const struct fetch fetch = {.url = member->peer_urls.count > 0 ? member->peer_urls.urls[0]
                                                                       : "",
                                    .method = "GET",
                                    .path = "/version",
                                    .timeout_ms = VERSION_TIMEOUT_MS,
                                    .on_done = version_fetched,
                                    .ctx = poll};
        poll->outstanding++;
        fetch_start(server, &fetch);
    }
    version_decide(server, poll);
}

/* ---- what the log says ---- */

void apply_cluster_version(struct server *server, const char *version)
{
    if (membership_set_version(server->membership, version, server->batch) != 0) {
        server_fatal(server, "the log sets a cluster version that cannot be read", version);
    }
    version_refresh(server);
    if (atomic_load(&server->shared.cluster_version) > version_number(SERVER_CLUSTER_VERSION)) {
        server_fatal(server, "the cluster has been upgraded past this server's version", version);
    }
    LOG_INFO("updated cluster version", LOG_HEX("cluster-id", server->cluster_id),
             LOG_HEX("local-member-id", server->member_id), LOG_STR("to", version));
}

void apply_downgrade(struct server *server, const Membershippb__DowngradeInfoSetRequest *request)
{
    membership_set_downgrade(server->membership, request->enabled,
                             request->enabled && request->ver != NULL ? request->ver : "",
                             server->batch);
    LOG_INFO(request->enabled ? "The downgrade is ready, the cluster version follows"
                              : "The downgrade is canceled",
             LOG_STR("target-version", request->enabled ? request->ver : ""));
}
