/* SPDX-License-Identifier: Apache-2.0 */
/* The members, and what the log may change about them. Forms are in membership_json.c. */
#include "engine/server/membership.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/membership_impl.h"

struct membership *membership_new(size_t max_learners)
{
    struct membership *membership = mem_zalloc(sizeof(*membership));
    membership->max_learners = max_learners;
    return membership;
}

void membership_clear(struct membership *membership)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        member_clear(&membership->members[i]);
    }
    mem_free(membership->members);
    mem_free(membership->removed);
    *membership = (struct membership){
        .max_learners = membership->max_learners,
        .cluster_id = membership->cluster_id,
    };
}

void membership_free(struct membership *membership)
{
    if (membership == NULL) {
        return;
    }
    membership_clear(membership);
    mem_free(membership);
}

void member_clear(struct member *member)
{
    mem_free(member->name);
    url_list_free(&member->peer_urls);
    url_list_free(&member->client_urls);
    *member = (struct member){0};
}

static struct url_list url_list_copy(const struct url_list *list)
{
    struct url_list copy = {0};
    for (size_t i = 0; i < list->count; i++) {
        url_list_add(&copy, list->urls[i]);
    }
    return copy;
}

struct member member_copy(const struct member *member)
{
    return (struct member){
        .id = member->id,
        .name = str_dup(member->name),
        .peer_urls = url_list_copy(&member->peer_urls),
        .client_urls = url_list_copy(&member->client_urls),
        .is_learner = member->is_learner,
    };
}

/* ---- reads ---- */

uint64_t membership_cluster_id(const struct membership *membership)
{
    return membership->cluster_id;
}

void membership_set_cluster_id(struct membership *membership, uint64_t cluster_id)
{
    membership->cluster_id = cluster_id;
}

size_t membership_count(const struct membership *membership)
{
    return membership->member_count;
}

size_t membership_voter_count(const struct membership *membership)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->member_count; i++) {
        count += membership->members[i].is_learner ? 0 : 1;
    }
    return count;
}

const struct member *membership_at(const struct membership *membership, size_t index)
{
    ASSERT(index < membership->member_count);
    return &membership->members[index];
}

static struct member *member_find(const struct membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        if (membership->members[i].id == id) {
            return &membership->members[i];
        }
    }
    return NULL;
}

const struct member *membership_find(const struct membership *membership, uint64_t id)
{
    return member_find(membership, id);
}

const struct member *membership_find_name(const struct membership *membership, const char *name)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        if (str_equal(membership->members[i].name, name)) {
            return &membership->members[i];
        }
    }
    return NULL;
}

size_t membership_removed_count(const struct membership *membership)
{
    return membership->removed_count;
}

uint64_t membership_removed_at(const struct membership *membership, size_t index)
{
    return membership->removed[index];
}

bool membership_is_removed(const struct membership *membership, uint64_t id)
{
    for (size_t i = 0; i < membership->removed_count; i++) {
        if (membership->removed[i] == id) {
            return true;
        }
    }
    return false;
}

const char *membership_version(const struct membership *membership)
{
    return membership->version[0] != '\0' ? membership->version : NULL;
}

bool membership_downgrade_is_enabled(const struct membership *membership)
{
    return membership->downgrade_is_enabled;
}

const char *membership_downgrade_target(const struct membership *membership)
{
    return membership->downgrade_target;
}

static bool member_is_started(const struct member *member)
{
    return member->name[0] != '\0';
}

/* ---- changes ---- */

struct member *membership_insert(struct membership *membership, struct member member)
{
    ASSERT(member_find(membership, member.id) == NULL);
    ASSERT(member.name != NULL);
    membership->members = mem_realloc(membership->members, (membership->member_count + 1) *
                                                               sizeof(*membership->members));
    size_t at = membership->member_count++;
    for (; at > 0 && membership->members[at - 1].id > member.id; at--) {
        membership->members[at] = membership->members[at - 1];
    }
    membership->members[at] = member;
    return &membership->members[at];
}

void membership_mark_removed(struct membership *membership, uint64_t id)
{
    if (membership_is_removed(membership, id)) {
        return;
    }
    membership->removed = mem_realloc(membership->removed, (membership->removed_count + 1) *
                                                               sizeof(*membership->removed));
    membership->removed[membership->removed_count++] = id;
}

static bool url_list_has(const struct url_list *list, const char *url)
{
    for (size_t i = 0; i < list->count; i++) {
        if (str_equal(list->urls[i], url)) {
            return true;
        }
    }
    return false;
}

/* True when another member than id has one of these URLs. */
static bool peer_url_is_taken(const struct membership *membership, uint64_t id,
                              const struct url_list *urls)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        const struct member *member = &membership->members[i];
        for (size_t u = 0; member->id != id && u < urls->count; u++) {
            if (url_list_has(&member->peer_urls, urls->urls[u])) {
                return true;
            }
        }
    }
    return false;
}

static enum etcd_error add_check(const struct membership *membership,
                                 const struct membership_change *change)
{
    const struct member *known = member_find(membership, change->id);
    if (change->is_promote) {
        if (known == NULL) {
            return ETCD_ERR_MEMBER_NOT_FOUND;
        }
        return known->is_learner ? ETCD_OK : ETCD_ERR_MEMBER_NOT_LEARNER;
    }
    if (known != NULL) {
        return ETCD_ERR_MEMBER_EXIST;
    }
    if (peer_url_is_taken(membership, change->id, &change->member.peer_urls)) {
        return ETCD_ERR_PEER_URL_EXIST;
    }
    size_t learners = membership->member_count - membership_voter_count(membership);
    if (change->type == RAFT_CONF_ADD_LEARNER && change->member.is_learner &&
        learners + 1 > membership->max_learners) {
        return ETCD_ERR_TOO_MANY_LEARNERS;
    }
    return ETCD_OK;
}

enum etcd_error membership_check(const struct membership *membership,
                                 const struct membership_change *change)
{
    if (membership_is_removed(membership, change->id)) {
        return ETCD_ERR_MEMBER_NOT_FOUND;
    }
    switch (change->type) {
    case RAFT_CONF_ADD_NODE:
    case RAFT_CONF_ADD_LEARNER:
        return add_check(membership, change);
    case RAFT_CONF_REMOVE_NODE:
        return member_find(membership, change->id) != NULL ? ETCD_OK : ETCD_ERR_MEMBER_NOT_FOUND;
    case RAFT_CONF_UPDATE_NODE:
        if (member_find(membership, change->id) == NULL) {
            return ETCD_ERR_MEMBER_NOT_FOUND;
        }
        return peer_url_is_taken(membership, change->id, &change->member.peer_urls)
                   ? ETCD_ERR_PEER_URL_EXIST
                   : ETCD_OK;
    default:
        ASSERT(false); /* membership_change_parse lets no other type through */
        return ETCD_ERR_MEMBER_NOT_FOUND;
    }
}

static void member_remove(struct membership *membership, uint64_t id)
{
    struct member *member = member_find(membership, id);
    ASSERT(member != NULL);
    size_t at = (size_t)(member - membership->members);
    member_clear(member);
    memmove(member, member + 1, (membership->member_count - at - 1) * sizeof(*member));
    membership->member_count--;
    membership_mark_removed(membership, id);
}

void membership_apply(struct membership *membership, const struct membership_change *change,
                      struct store_batch *batch)
{
    ASSERT(membership_check(membership, change) == ETCD_OK);
    if (change->type == RAFT_CONF_REMOVE_NODE) {
        member_remove(membership, change->id);
        if (batch != NULL) {
            member_store_removed(change->id, batch);
        }
        return;
    }
    struct member *member = member_find(membership, change->id);
    if (change->is_promote) {
        member->is_learner = false;
    } else if (change->type == RAFT_CONF_UPDATE_NODE) {
        url_list_free(&member->peer_urls);
        member->peer_urls = url_list_copy(&change->member.peer_urls);
        member->is_learner = change->member.is_learner;
    } else {
        member = membership_insert(membership, member_copy(&change->member));
    }
    if (batch != NULL) {
        member_store(member, batch);
    }
}

int membership_set_attributes(struct membership *membership, uint64_t id, const char *name,
                              const char *const *client_urls, size_t client_url_count,
                              struct store_batch *batch)
{
    struct member *member = member_find(membership, id);
    if (member == NULL) {
        return membership_is_removed(membership, id) ? 0 : E_NOT_FOUND;
    }
    char *new_name = str_dup(name);
    struct url_list new_urls = {0};
    for (size_t i = 0; i < client_url_count; i++) {
        url_list_add(&new_urls, client_urls[i]);
    }
    mem_free(member->name);
    url_list_free(&member->client_urls);
    member->name = new_name;
    member->client_urls = new_urls;
    if (batch != NULL) {
        member_store(member, batch);
    }
    return 0;
}

bool version_is_valid(const char *version)
{
    size_t dots = 0;
    size_t digits = 0;
    if (strlen(version) >= VERSION_BYTES_MAX) {
        return false;
    }
    for (const char *at = version; *at != '\0'; at++) {
        if (*at == '.' && digits > 0) {
            dots++;
            digits = 0;
        } else if (*at >= '0' && *at <= '9') {
            digits++;
        } else {
            return false;
        }
    }
    return dots == 2 && digits > 0;
}

int membership_set_version(struct membership *membership, const char *version,
                           struct store_batch *batch)
{
    if (!version_is_valid(version)) {
        return E_INVALID;
    }
    memmove(membership->version, version, strlen(version) + 1);
    if (batch != NULL) {
        version_store(membership, batch);
    }
    return 0;
}

void membership_set_downgrade(struct membership *membership, bool is_enabled, const char *target,
                              struct store_batch *batch)
{
    membership->downgrade_is_enabled = is_enabled;
    (void)snprintf(membership->downgrade_target, sizeof(membership->downgrade_target), "%s",
                   target);
    if (batch != NULL) {
        downgrade_store(membership, batch);
    }
}

/* ---- strict reconfiguration ---- */

static size_t started_voters(const struct membership *membership, uint64_t except_id,
                             size_t *out_voters)
{
    size_t started = 0;
    size_t voters = 0;
    for (size_t i = 0; i < membership->member_count; i++) {
        const struct member *member = &membership->members[i];
        if (!member->is_learner && member->id != except_id) {
            voters++;
            started += member_is_started(member) ? 1 : 0;
        }
    }
    *out_voters = voters;
    return started;
}

static size_t quorum_of(size_t voters)
{
    return voters / 2 + 1;
}

enum etcd_error membership_may_add(const struct membership *membership, bool is_learner,
                                   const struct membership_health *health)
{
    size_t voters = 0;
    size_t started = started_voters(membership, 0, &voters);
    /* From one to two needs two started members by the rule, and could never be done. */
    bool is_second = started == 1 && voters == 1;
    if (!is_learner && !is_second && started < quorum_of(voters + 1)) {
        return ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED;
    }
    return health->connected_voters == voters ? ETCD_OK : ETCD_ERR_UNHEALTHY;
}

enum etcd_error membership_may_remove(const struct membership *membership, uint64_t id,
                                      bool target_is_active, const struct membership_health *health)
{
    const struct member *member = member_find(membership, id);
    if (member != NULL && member->is_learner) {
        return ETCD_OK;
    }
    size_t others = 0;
    size_t started = started_voters(membership, id, &others);
    if (started < quorum_of(others)) {
        return ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED;
    }
    /* Who is down is no part of the quorum that works: removing it costs nothing. */
    if (id != health->local_id && !target_is_active) {
        return ETCD_OK;
    }
    size_t voters = membership_voter_count(membership);
    size_t needed_after = 1 + (voters > 0 ? (voters - 1) / 2 : 0);
    return health->connected_voters >= needed_after + 1 ? ETCD_OK : ETCD_ERR_UNHEALTHY;
}

bool membership_learner_is_ready(uint64_t learner_match, uint64_t leader_match)
{
    return (double)learner_match >= (double)leader_match * 0.9;
}

enum etcd_error membership_may_promote(const struct membership *membership, uint64_t id,
                                       uint64_t learner_match, uint64_t leader_match)
{
    const struct member *member = member_find(membership, id);
    if (member != NULL && !membership_learner_is_ready(learner_match, leader_match)) {
        return ETCD_ERR_LEARNER_NOT_READY;
    }
    size_t voters = 0;
    size_t started = started_voters(membership, 0, &voters);
    /* The learner counts on both sides: it is a voter to be, and it runs. */
    return started + 1 < quorum_of(voters + 1) ? ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED : ETCD_OK;
}

/* ---- for clients ---- */

static char **urls_to_proto(const struct url_list *list, struct arena *arena)
{
    char **urls = arena_zalloc(arena, (list->count + 1) * sizeof(*urls));
    for (size_t i = 0; i < list->count; i++) {
        urls[i] = arena_str(arena, list->urls[i]);
    }
    return urls;
}

void membership_to_proto(const struct membership *membership, struct arena *arena,
                         Etcdserverpb__Member ***out_members, size_t *out_count)
{
    size_t count = membership->member_count;
    Etcdserverpb__Member **members = arena_zalloc(arena, (count + 1) * sizeof(*members));
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &membership->members[i];
        members[i] = arena_zalloc(arena, sizeof(**members));
        etcdserverpb__member__init(members[i]);
        members[i]->id = member->id;
        members[i]->name = arena_str(arena, member->name);
        members[i]->peerurls = urls_to_proto(&member->peer_urls, arena);
        members[i]->n_peerurls = member->peer_urls.count;
        members[i]->clienturls = urls_to_proto(&member->client_urls, arena);
        members[i]->n_clienturls = member->client_urls.count;
        members[i]->islearner = member->is_learner;
    }
    *out_members = members;
    *out_count = count;
}
