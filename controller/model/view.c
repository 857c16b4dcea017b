/* SPDX-License-Identifier: Apache-2.0 */
/* The join by name. Members of etcd are recognised by peer URL, because one that was added and
 * never started has no name yet; so a crash between "member added" and "Pod made" loses nothing. */
#include "controller/model/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/model/evidence.h"

static bool is_fresh(int64_t then_ms, int64_t now_ms)
{
    return then_ms > 0 && now_ms - then_ms <= OBSERVED_FRESH_MAX_MS;
}

/* The row of that name, made when there is room; NULL when there is none. */
static struct member_view *row(struct view *view, const char *name, int64_t ordinal)
{
    size_t place = 0;
    for (; place < view->member_count; place++) {
        const struct member_view *other = &view->members[place];
        if (strcmp(other->name.text, name) == 0) {
            return &view->members[place];
        }
        bool foreign = ordinal == OBSERVED_NO_ORDINAL;
        if (!foreign && (other->ordinal == OBSERVED_NO_ORDINAL || other->ordinal > ordinal)) {
            break;
        }
    }
    if (view->member_count == VIEW_MEMBERS_MAX) {
        return NULL;
    }
    memmove(&view->members[place + 1], &view->members[place],
            (view->member_count - place) * sizeof(struct member_view));
    view->member_count++;
    struct member_view *made = &view->members[place];
    memset(made, 0, sizeof(*made));
    snprintf(made->name.text, sizeof(made->name.text), "%s", name);
    made->ordinal = ordinal;
    return made;
}

/* The ordinal of an etcd member by its peer URL; its name in out. Foreign: its own name or id. */
static int64_t etcd_member_ordinal(const struct cluster_spec *want,
                                   const struct observed_etcd_member *member, struct name *out)
{
    for (size_t i = 0; i < member->peer_url_count; i++) {
        const char *host = strstr(member->peer_urls[i], "://");
        host = host == NULL ? "" : host + strlen("://");
        snprintf(out->text, sizeof(out->text), "%.*s", (int)strcspn(host, ".:"), host);
        int64_t ordinal = observed_ordinal(out->text, "", want->name);
        if (ordinal != OBSERVED_NO_ORDINAL &&
            strcmp(names_peer_url(spec_scheme(want), out->text, want->name, want->ns).text,
                   member->peer_urls[i]) == 0) {
            return ordinal;
        }
    }
    if (member->name[0] != '\0') {
        snprintf(out->text, sizeof(out->text), "%s", member->name);
    } else {
        snprintf(out->text, sizeof(out->text), "%" PRIx64, member->id);
    }
    return OBSERVED_NO_ORDINAL;
}

static void note_ordinal(struct view *view, int64_t ordinal)
{
    if (ordinal >= view->next_ordinal) {
        view->next_ordinal = ordinal + 1;
    }
}

/* A volume that ends with an earlier cluster of the same name is none of ours. */
static bool is_ours(const struct cluster_spec *want, const struct observed_pvc *pvc)
{
    return pvc->owner_uid == NULL || strcmp(pvc->owner_uid, want->uid) == 0;
}

static void join_objects(const struct cluster_spec *want, const struct observed *seen,
                         struct view *view)
{
    for (size_t i = 0; i < seen->member_object_count; i++) {
        const struct observed_member_object *object = &seen->member_objects[i];
        struct member_view *member = row(view, object->name, object->ordinal);
        if (member != NULL) {
            member->object = object;
        }
        note_ordinal(view, object->ordinal);
    }
    for (size_t i = 0; i < seen->pod_count; i++) {
        const struct observed_pod *pod = &seen->pods[i];
        struct member_view *member = row(view, pod->name, pod->ordinal);
        if (member != NULL) {
            member->pod = pod;
        }
        note_ordinal(view, pod->ordinal);
    }
    for (size_t i = 0; i < seen->pvc_count; i++) {
        const struct observed_pvc *pvc = &seen->pvcs[i];
        note_ordinal(view, pvc->ordinal);
        if (pvc->next_ordinal > view->next_ordinal) {
            view->next_ordinal = pvc->next_ordinal;
        }
        if (!is_ours(want, pvc)) {
            continue;
        }
        if (pvc->retired || !str_starts_with(pvc->name, "data-")) {
            continue;
        }
        struct member_view *member = row(view, pvc->name + strlen("data-"), pvc->ordinal);
        if (member != NULL) {
            member->pvc = pvc;
        }
    }
}

static void join_etcd(const struct cluster_spec *want, const struct observed *seen,
                      struct view *view)
{
    for (size_t i = 0; i < seen->etcd.member_count; i++) {
        const struct observed_etcd_member *etcd = &seen->etcd.members[i];
        struct name name;
        int64_t ordinal = etcd_member_ordinal(want, etcd, &name);
        note_ordinal(view, ordinal);
        struct member_view *member = row(view, name.text, ordinal);
        if (member == NULL) {
            continue;
        }
        member->etcd = etcd;
        member->is_voter = !etcd->is_learner;
        member->never_started = etcd->name[0] == '\0';
        if (etcd->is_learner) {
            view->learner_count++;
        } else {
            view->voter_count++;
        }
    }
}

static void latch_id(struct view *view, uint64_t id)
{
    if (id == 0) {
        return;
    }
    if (view->latched_id != 0 && view->latched_id != id) {
        view->latch_conflict = true;
        return;
    }
    view->latched_id = id;
}

static uint64_t hex_id(const char *text)
{
    return text == NULL ? 0 : strtoull(text, NULL, 16);
}

/* Any volume that carries an id forbids a second first start, a retired one too; but only the
 * volume of a member says which id it is. One that is being deleted counts while the status holds
 * an id. */
static void read_latch(const struct cluster_spec *want, const struct observed *seen,
                       struct view *view)
{
    latch_id(view, hex_id(json_str(json_get(seen->status, "clusterID"), NULL)));
    view->latched_in_status = view->latched_id != 0;
    for (size_t i = 0; i < seen->pvc_count; i++) {
        const struct observed_pvc *pvc = &seen->pvcs[i];
        uint64_t id = hex_id(pvc->cluster_id);
        if (!is_ours(want, pvc)) {
            view->old_volume_count++;
            continue;
        }
        if (id == 0) {
            continue;
        }
        if (pvc->retired) {
            view->latched_on_retired = true;
        } else if (pvc->deleting && !view->latched_in_status) {
            view->old_volume_count++;
        } else {
            latch_id(view, id);
            view->latched_on_volume = true;
        }
    }
    int64_t next = json_i64(json_get(seen->status, "nextOrdinal"), 0);
    if (next > view->next_ordinal) {
        view->next_ordinal = next;
    }
}

/* Puts the fresh probe on each row; one that serves another cluster id is a conflict, not a member.
 */
static void join_endpoints(const struct observed *seen, int64_t now_ms, struct view *view)
{
    for (size_t i = 0; i < view->member_count; i++) {
        struct member_view *member = &view->members[i];
        const struct observed_endpoint *endpoint = observed_endpoint(seen, member->name.text);
        if (endpoint == NULL || !is_fresh(endpoint->probed_ms, now_ms)) {
            continue;
        }
        member->probed = true;
        if (!endpoint->reachable) {
            continue;
        }
        if (view->latched_id != 0 && endpoint->cluster_id != view->latched_id) {
            view->latch_conflict = true;
            continue;
        }
        if (member->etcd != NULL && endpoint->member_id != member->etcd->id) {
            continue;
        }
        member->endpoint = endpoint;
    }
}

/* The leader is the one that names itself in the highest term. */
static void find_leader(struct view *view)
{
    for (size_t i = 0; i < view->member_count; i++) {
        const struct observed_endpoint *endpoint = view->members[i].endpoint;
        if (endpoint == NULL) {
            continue;
        }
        if (endpoint->term > view->term) {
            view->term = endpoint->term;
            view->leader_id = 0;
        }
        if (endpoint->term == view->term && endpoint->leader_id != 0) {
            view->leader_id = endpoint->leader_id;
        }
        if (endpoint->revision > view->revision) {
            view->revision = endpoint->revision;
        }
    }
    for (size_t i = 0; i < view->member_count; i++) {
        struct member_view *member = &view->members[i];
        if (member->etcd != NULL && member->etcd->id == view->leader_id && view->leader_id != 0) {
            member->is_leader = true;
            view->leader_index = member->endpoint == NULL ? 0 : member->endpoint->raft_index;
        }
    }
}

/* Nothing is latched: what does the only Pod, started with state=new, serve? */
static uint64_t find_seed_id(const struct view *view)
{
    const struct member_view *seed = NULL;
    for (size_t i = 0; i < view->member_count; i++) {
        if (view->members[i].pod != NULL) {
            if (seed != NULL) {
                return 0;
            }
            seed = &view->members[i];
        }
    }
    bool serves = seed != NULL && seed->pod->state_new && !seed->pod->deleting &&
                  seed->endpoint != NULL && seed->endpoint->healthy;
    return serves ? seed->endpoint->cluster_id : 0;
}

void view_make(const struct cluster_spec *want, const struct observed *seen, int64_t now_ms,
               struct view *out)
{
    out->member_count = 0;
    memset((char *)out + offsetof(struct view, member_count), 0,
           sizeof(*out) - offsetof(struct view, member_count));
    read_latch(want, seen, out);
    bool list_fresh = seen->etcd.known && is_fresh(seen->etcd.read_ms, now_ms);
    if (list_fresh && (out->latched_id == 0 || seen->etcd.cluster_id == out->latched_id)) {
        out->fresh = true;
        join_etcd(want, seen, out); /* first: no row of a member may be lost to the limit */
    } else if (list_fresh) {
        out->latch_conflict = true;
    }
    join_objects(want, seen, out);
    join_endpoints(seen, now_ms, out);
    find_leader(out);
    if (out->latched_id == 0) {
        out->seed_id = find_seed_id(out);
    }
    operation_read(json_get(seen->status, "operation"), &out->operation);
    for (size_t i = 0; i < out->member_count; i++) {
        evidence_judge(want, seen, out, &out->members[i], now_ms);
        if (out->members[i].is_voter && out->members[i].healthy) {
            out->healthy_voter_count++;
        }
    }
}

bool view_quorum_without(const struct view *view, const struct member_view *victim)
{
    int64_t voters_after = view->voter_count - (victim->is_voter ? 1 : 0);
    int64_t healthy_after =
        view->healthy_voter_count - (victim->is_voter && victim->healthy ? 1 : 0);
    /* The removal itself is committed by the configuration that still holds the victim. */
    return view->fresh && voters_after > 0 &&
           view->healthy_voter_count >= spec_quorum(view->voter_count) &&
           healthy_after >= spec_quorum(voters_after);
}

const struct member_view *view_member(const struct view *view, const char *name)
{
    for (size_t i = 0; i < view->member_count; i++) {
        if (strcmp(view->members[i].name.text, name) == 0) {
            return &view->members[i];
        }
    }
    return NULL;
}

const struct member_view *view_caller(const struct view *view, const struct member_view *except)
{
    const struct member_view *best = NULL;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        if (member == except || !member->is_voter || !member->healthy) {
            continue;
        }
        if (best == NULL || member->is_leader) {
            best = member;
        }
    }
    return best;
}
