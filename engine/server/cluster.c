/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster as the log describes it: configuration changes, what members publish of themselves,
 * and the links that follow from it. Versions are in version.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/links.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"
#include "engine/server/version.h"

#define FIELD_CLUSTER_MEMBER_ATTR_SET 1301u
#define SUSPECT_NUDGE_MS              3000u

/* ---- what the log says ---- */

void apply_member_attributes(struct server *server,
                             const Membershippb__ClusterMemberAttrSetRequest *request)
{
    const Membershippb__Attributes *attributes = request->member_attributes;
    if (attributes == NULL) {
        return;
    }
    if (membership_set_attributes(server->membership, request->member_id, attributes->name,
                                  (const char *const *)attributes->client_urls,
                                  attributes->n_client_urls, server->batch) != 0) {
        LOG_WARN("attributes of an unknown member are ignored",
                 LOG_HEX("member-id", request->member_id));
    }
}

/* The form of clusters below 3.6; everything else that v2 could do is long gone. */
void apply_v2_request(struct server *server, const Etcdserverpb__Request *request)
{
    struct err err;
    if (!str_equal(request->method, "PUT") || request->path == NULL || request->val == NULL) {
        return;
    }
    if (strcmp(request->path, "/0/version") == 0) {
        apply_cluster_version(server, request->val);
        return;
    }
    if (membership_set_attributes_v2(server->membership, request->path, request->val, server->batch,
                                     &err) == E_CORRUPT) {
        server_fatal(server, "the log holds member attributes that cannot be read", err.text);
    }
}

/* State -> I/O: links follow the membership. */
struct link_job {
    struct server *server;
    uint64_t id;
    struct url_list urls;
    bool remove, keep_only;
    uint64_t kept[RAFT_MEMBERS_MAX];
    uint32_t kept_count;
};

static void io_link(void *ctx)
{
    struct link_job *job = ctx;
    if (job->server->io_closed) {
        /* links are gone */
    } else if (job->keep_only) {
        peer_keep_only(job->server->peers, job->kept, job->kept_count);
    } else if (job->remove) {
        peer_remove(job->server->peers, job->id);
    } else {
        peer_add(job->server->peers, job->id, (const char *const *)job->urls.urls,
                 (uint32_t)job->urls.count);
    }
    url_list_free(&job->urls);
    mem_free(job);
}

static struct link_job *link_new(struct server *server, uint64_t id)
{
    struct link_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->id = id;
    return job;
}

void cluster_link_member(struct server *server, const struct member *member)
{
    if (member->id == server->member_id) {
        return;
    }
    struct link_job *job = link_new(server, member->id);
    for (size_t i = 0; i < member->peer_urls.count; i++) {
        url_list_add(&job->urls, member->peer_urls.urls[i]);
    }
    loop_post(server->io.loop, io_link, job);
}

/* The table of links follows: who is watched, and whose calls are answered with "removed". */
static void refresh_links(struct server *server)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (size_t i = 0; i < membership_count(server->membership) && count < RAFT_MEMBERS_MAX; i++) {
        ids[count++] = membership_at(server->membership, i)->id;
    }
    links_set_members(server->links, ids, count);
    for (size_t i = 0; i < membership_removed_count(server->membership); i++) {
        links_add_removed(server->links, membership_removed_at(server->membership, i));
    }
}

void cluster_sync_peers(struct server *server)
{
    struct link_job *others = link_new(server, 0);
    others->keep_only = true;
    for (size_t i = 0;
         i < membership_count(server->membership) && others->kept_count < RAFT_MEMBERS_MAX; i++) {
        others->kept[others->kept_count++] = membership_at(server->membership, i)->id;
    }
    loop_post(server->io.loop, io_link, others);
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        cluster_link_member(server, membership_at(server->membership, i));
    }
    version_refresh(server);
    refresh_links(server);
    cluster_refresh_learner(server);
}

void cluster_refresh_learner(struct server *server)
{
    const struct member *self = membership_find(server->membership, server->member_id);
    atomic_store(&server->shared.is_learner, self != NULL && self->is_learner);
}

/* This member is out: it stops once the entry has had time to travel, as etcd does. */
static void removed_timer(void *ctx)
{
    struct server *server = ctx;
    LOG_WARN("the member has been permanently removed from the cluster");
    server_stop(server, 0);
}

void cluster_removed(struct server *server)
{
    if (!server->removed) {
        server->removed = true;
        loop_timer_set(&server->removed_timer, 1000);
    }
}

void cluster_init_timers(struct server *server)
{
    loop_timer_init(server->state.loop, &server->removed_timer, removed_timer, server);
}

static void carry_out(struct server *server, const struct membership_change *change)
{
    membership_apply(server->membership, change, server->batch);
    if (change->type == RAFT_CONF_REMOVE_NODE) {
        LOG_INFO("removed member", LOG_HEX("removed-remote-peer-id", change->id));
        if (change->id == server->member_id) {
            cluster_removed(server);
        } else {
            struct link_job *job = link_new(server, change->id);
            job->remove = true;
            loop_post(server->io.loop, io_link, job);
        }
        return;
    }
    const struct member *member = membership_find(server->membership, change->id);
    ASSERT(member != NULL);
    LOG_INFO(change->is_promote                      ? "promote member"
             : change->type == RAFT_CONF_UPDATE_NODE ? "updated member"
                                                     : "added member",
             LOG_HEX("cluster-id", server->cluster_id),
             LOG_HEX("local-member-id", server->member_id), LOG_HEX("added-peer-id", change->id),
             LOG_BOOL("added-peer-is-learner", member->is_learner));
    cluster_link_member(server, member);
}

void apply_conf_change(struct server *server, uint64_t index, struct bytes data)
{
    struct raftpb_conf_change wire;
    struct membership_change change;
    struct raft_conf_state conf;
    struct err err = {{0}};
    int rc = raftpb_conf_change_decode(data, &wire);
    if (rc == 0) {
        rc = membership_change_parse(&wire, &change, &err);
    }
    if (rc != 0) {
        server_fatal(server, "the log holds a configuration change that cannot be read", err.text);
    }
    /* Every member refuses what its membership forbids; the core then counts it as done without
     * effect. */
    enum etcd_error error = membership_check(server->membership, &change);
    if (error != ETCD_OK) {
        LOG_WARN("a committed membership change was refused", LOG_U64("index", index),
                 LOG_STR("reason", etcd_error_text(error)));
        raft_apply_conf_change(server->raft, NULL, &conf);
    } else {
        struct raft_conf_change raft_change = {.type = wire.type, .node_id = wire.node_id};
        carry_out(server, &change);
        raft_apply_conf_change(server->raft, &raft_change, &conf);
        server->conf_state = conf;
        if (!(PLANT(promotion_not_stored) && change.is_promote)) {
            cluster_store_conf_state(server->batch, &conf);
        }
        refresh_links(server);
        cluster_refresh_learner(server);
    }
    struct request *request = waiter_take(server, wire.id);
    if (request != NULL && error != ETCD_OK) {
        request_fail(server, request, error);
    } else if (request != NULL) {
        rpc_member_applied(server, request);
    }
    membership_change_clear(&change);
}

/* ---- publishing: name and client URLs of this member ---- */

static void published(struct server *server, struct request *request, enum etcd_error error)
{
    (void)request;
    server->publishing = false;
    server->republish = server->republish && error != ETCD_OK;
    if (error == ETCD_OK && !server->published) {
        server->published = true;
        LOG_INFO("published local member to cluster through raft",
                 LOG_HEX("local-member-id", server->member_id),
                 LOG_HEX("cluster-id", server->cluster_id), LOG_STR("name", server->config->name));
        server_ready(server);
    }
}

static bool is_published(const struct server *server)
{
    const struct member *self = membership_find(server->membership, server->member_id);
    if (self == NULL || strcmp(self->name, server->config->name) != 0 ||
        self->client_urls.count != server->config->advertise_client_urls.count) {
        return false;
    }
    for (size_t i = 0; i < self->client_urls.count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < server->config->advertise_client_urls.count; j++) {
            found = found || strcmp(self->client_urls.urls[i],
                                    server->config->advertise_client_urls.urls[j]) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static void publish_v3(struct server *server)
{
    Membershippb__Attributes attributes = MEMBERSHIPPB__ATTRIBUTES__INIT;
    Membershippb__ClusterMemberAttrSetRequest set =
        MEMBERSHIPPB__CLUSTER_MEMBER_ATTR_SET_REQUEST__INIT;
    attributes.name = (char *)(uintptr_t)server->config->name;
    attributes.client_urls = (char **)(uintptr_t)server->config->advertise_client_urls.urls;
    attributes.n_client_urls = server->config->advertise_client_urls.count;
    set.member_id = server->member_id;
    set.member_attributes = &attributes;
    propose_message(server, request_internal(published), FIELD_CLUSTER_MEMBER_ATTR_SET, &set.base);
}

static void publish_v2(struct server *server)
{
    char path[64];
    struct json *value = json_object();
    json_set_str(value, "name", server->config->name);
    struct json *urls = json_set(value, "clientURLs", json_array());
    for (uint32_t i = 0; i < server->config->advertise_client_urls.count; i++) {
        json_append(urls, json_string(server->config->advertise_client_urls.urls[i]));
    }
    char *text = json_text(value, JSON_COMPACT);
    snprintf(path, sizeof(path), "/0/members/%" PRIx64 "/attributes", server->member_id);
    version_propose_v2_put(server, request_internal(published), path, text);
    mem_free(text);
    json_free(value);
}

/* Tried again with every lease timer until it went through. */
void cluster_publish(struct server *server)
{
    if (server->published || server->publishing || !state_has_leader(server)) {
        return;
    }
    server->publishing = true;
    if (is_published(server) && !server->republish) {
        published(server, NULL, ETCD_OK);
    } else if (cluster_uses_v3_membership(server)) {
        publish_v3(server);
    } else {
        publish_v2(server);
    }
}

/* A suspect member is proved by a write that follows its question (engine/raft/suspect.c). In a
 * cluster where nobody writes it makes one itself: it says again who it is. */
void cluster_nudge_when_suspect(struct server *server)
{
    uint64_t now = server_now_ms(server);
    if (!server->suspect || server->publishing || !server->published ||
        now < server->next_nudge_ms) {
        return;
    }
    server->next_nudge_ms = now + SUSPECT_NUDGE_MS;
    server->published = false;
    server->republish = true;
    cluster_publish(server);
}

/* ---- leadership ---- */

bool state_has_leader(const struct server *server)
{
    return atomic_load_explicit(&server->shared.leader, memory_order_relaxed) != RAFT_NO_ID;
}

const char *cluster_leader_url(const struct server *server)
{
    uint64_t leader = atomic_load(&server->shared.leader);
    const struct member *member = membership_find(server->membership, leader);
    return leader == server->member_id || member == NULL || member->peer_urls.count == 0
               ? NULL
               : member->peer_urls.urls[0];
}

void cluster_on_role_change(struct server *server)
{
    struct raft_status status;
    raft_status(server->raft, &status);
    bool was_primary = lessor_is_primary(server->lessor);
    if (status.leader != server->seen_leader && status.leader != RAFT_NO_ID) {
        metric_add(&METRIC_LEADER_CHANGES, 1);
        LOG_INFO("raft elected leader", LOG_HEX("local-member-id", server->member_id),
                 LOG_HEX("leader", status.leader), LOG_U64("term", status.term));
    }
    server->seen_leader = status.leader;
    watch_hub_set_term(server->watch_hub, status.term);
    if (status.role == RAFT_LEADER && !was_primary) {
        lessor_promote(server->lessor, server_lease_now_ms(server), server->config->election_ms);
        cluster_poll_versions(server);
    } else if (status.role != RAFT_LEADER && was_primary && !PLANT(lease_kept_after_demotion)) {
        lessor_demote(server->lessor);
        streams_on_demotion(server);
    }
    reads_on_leader_change(server);
    if (status.leader != RAFT_NO_ID) {
        proposals_retry(server);
        cluster_publish(server);
    }
    streams_check_leader(server);
    transfer_check(server);
}

size_t cluster_connected_voters(const struct server *server)
{
    uint64_t now = server_now_ms(server);
    uint64_t since = now > MEMBERSHIP_HEALTH_INTERVAL_MS ? now - MEMBERSHIP_HEALTH_INTERVAL_MS : 0;
    size_t count = 0;
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        const struct member *member = membership_at(server->membership, i);
        bool connected =
            member->id == server->member_id || links_active_since(server, member->id, since);
        count += !member->is_learner && connected ? 1 : 0;
    }
    return count;
}

bool cluster_is_connected(const struct server *server, uint64_t id)
{
    return id == server->member_id || links_active_since(server, id, server_now_ms(server));
}
