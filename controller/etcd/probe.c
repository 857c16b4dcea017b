/* SPDX-License-Identifier: Apache-2.0 */
/* Three calls per member, read when all are done. */
#include "controller/etcd/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc.pb-c.h"

#define PROBE_ARENA_MAX (64u * 1024u * 1024u)

enum probe_call { PROBE_STATUS, PROBE_READ, PROBE_MEMBERS, PROBE_CALL_COUNT };

struct probe_target {
    char *url;
    char *connect_to;
    struct etcd_call *calls[PROBE_CALL_COUNT];
};

struct etcd_probe {
    struct arena arena;
    struct probe_target *targets;
    struct etcd_probed *results;
    size_t count;
    bool is_read;
};

static void target_start(struct probe_target *target, struct http *http,
                         const struct etcd_endpoint *endpoint, uint64_t timeout_ms)
{
    Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    target->calls[PROBE_STATUS] = etcd_call_start(
        http, endpoint, "/etcdserverpb.Maintenance/Status", &status.base, timeout_ms);
    /* The key is never there: the read costs nothing, and still waits for a quorum. */
    static const uint8_t KEY[] = "\0quorate/probe";
    Etcdserverpb__RangeRequest read = ETCDSERVERPB__RANGE_REQUEST__INIT;
    read.key = proto_binary(bytes_of(KEY, sizeof(KEY) - 1));
    read.keys_only = 1;
    read.limit = 1;
    target->calls[PROBE_READ] =
        etcd_call_start(http, endpoint, "/etcdserverpb.KV/Range", &read.base, timeout_ms);
    Etcdserverpb__MemberListRequest members = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    members.linearizable = 1;
    target->calls[PROBE_MEMBERS] = etcd_call_start(
        http, endpoint, "/etcdserverpb.Cluster/MemberList", &members.base, timeout_ms);
}

struct etcd_probe *etcd_probe_start(struct http *http, const struct etcd_endpoint *endpoints,
                                    size_t count, uint64_t timeout_ms)
{
    struct etcd_probe *probe = mem_zalloc(sizeof(*probe));
    arena_init(&probe->arena, PROBE_ARENA_MAX);
    probe->count = count;
    probe->targets = mem_array(count, sizeof(*probe->targets));
    probe->results = mem_array(count, sizeof(*probe->results));
    for (size_t i = 0; i < count; i++) {
        struct probe_target *target = &probe->targets[i];
        target->url = str_dup(endpoints[i].url);
        target->connect_to = str_dup(endpoints[i].connect_to);
        const struct etcd_endpoint endpoint = {
            .url = target->url, .connect_to = target->connect_to, .tls = endpoints[i].tls};
        target_start(target, http, &endpoint, timeout_ms);
    }
    return probe;
}

bool etcd_probe_done(const struct etcd_probe *probe)
{
    for (size_t i = 0; i < probe->count; i++) {
        for (size_t j = 0; j < PROBE_CALL_COUNT; j++) {
            if (!etcd_call_done(probe->targets[i].calls[j])) {
                return false;
            }
        }
    }
    return true;
}

/* Reads "memberID:8925027824743593106 alarm:NOSPACE ", as Status lists alarms among its errors. */
static bool alarm_parse(const char *text, struct etcd_alarm *out)
{
    static const char ID[] = "memberID:";
    static const char ALARM[] = "alarm:";
    const char *id = strstr(text, ID);
    const char *alarm = strstr(text, ALARM);
    if (id == NULL || alarm == NULL) {
        return false;
    }
    alarm += sizeof(ALARM) - 1;
    out->member_id = strtoull(id + sizeof(ID) - 1, NULL, 10);
    out->alarm = 0;
    if (strncmp(alarm, "NOSPACE", 7) == 0) {
        out->alarm = ETCD_ALARM_NOSPACE;
    } else if (strncmp(alarm, "CORRUPT", 7) == 0) {
        out->alarm = ETCD_ALARM_CORRUPT;
    }
    return out->alarm != 0;
}

/*
 * Alarms are taken from Status, which every member answers from its own memory: the Alarm call
 * itself would write an entry into the log of the cluster each time that somebody looks.
 */
static void alarms_read(struct etcd_probe *probe, const Etcdserverpb__StatusResponse *answer,
                        struct etcd_probed *out)
{
    struct etcd_alarm *alarms =
        arena_zalloc(&probe->arena, (answer->n_errors + 1) * sizeof(*alarms));
    for (size_t i = 0; i < answer->n_errors; i++) {
        if (alarm_parse(answer->errors[i], &alarms[out->alarm_count])) {
            out->alarm_count++;
        }
    }
    out->alarms = alarms;
}

static void status_read(struct etcd_probe *probe, const struct probe_target *target,
                        struct etcd_probed *out)
{
    Etcdserverpb__StatusResponse *answer = NULL;
    struct err err = {{0}};
    int rc =
        etcd_call_result(target->calls[PROBE_STATUS], &etcdserverpb__status_response__descriptor,
                         &probe->arena, (ProtobufCMessage **)(void *)&answer, &err);
    out->version = out->cluster_version = "";
    if (rc == 0 && answer->header == NULL) {
        rc = err_set(&err, E_CORRUPT, "Status %s: answer without header", target->url);
    }
    if (rc != 0) {
        out->error = arena_str(&probe->arena, err.text);
        return;
    }
    out->reachable = true;
    out->cluster_id = answer->header->cluster_id;
    out->member_id = answer->header->member_id;
    out->revision = answer->header->revision;
    out->leader_id = answer->leader;
    out->term = answer->raftterm;
    out->raft_index = answer->raftindex;
    out->applied_index = answer->raftappliedindex;
    out->db_size_bytes = answer->dbsize;
    out->db_in_use_bytes = answer->dbsizeinuse;
    out->is_learner = answer->islearner;
    out->version = answer->version;
    out->cluster_version = answer->storageversion; /* the store follows the cluster version */
    alarms_read(probe, answer, out);
}

/* True when a quorum answered the read. A cluster with a CORRUPT alarm refuses it, but only after
 * the quorum was asked, and its member list is needed to repair it. */
static bool read_confirmed(struct etcd_probe *probe, const struct probe_target *target,
                           struct etcd_probed *out)
{
    Etcdserverpb__RangeResponse *answer = NULL;
    int rc = etcd_call_result(target->calls[PROBE_READ], &etcdserverpb__range_response__descriptor,
                              &probe->arena, (ProtobufCMessage **)(void *)&answer, NULL);
    out->healthy = rc == 0;
    return rc == 0 || rc == E_CORRUPT;
}

static void members_read(struct etcd_probe *probe, const struct probe_target *target,
                         struct etcd_probed *out)
{
    Etcdserverpb__MemberListResponse *answer = NULL;
    int rc = etcd_call_result(target->calls[PROBE_MEMBERS],
                              &etcdserverpb__member_list_response__descriptor, &probe->arena,
                              (ProtobufCMessage **)(void *)&answer, NULL);
    /* etcd 3.4 answers from its own memory: only the read beside it proves that a quorum agrees. */
    bool confirmed = read_confirmed(probe, target, out);
    if (rc != 0 || !confirmed || !out->reachable || answer->header == NULL ||
        answer->header->cluster_id != out->cluster_id) {
        return;
    }
    struct etcd_member *members =
        arena_zalloc(&probe->arena, (answer->n_members + 1) * sizeof(*members));
    for (size_t i = 0; i < answer->n_members; i++) {
        const Etcdserverpb__Member *from = answer->members[i];
        members[i] = (struct etcd_member){
            .id = from->id,
            .name = from->name,
            .peer_urls = (const char *const *)(void *)from->peerurls,
            .peer_url_count = from->n_peerurls,
            .client_urls = (const char *const *)(void *)from->clienturls,
            .client_url_count = from->n_clienturls,
            .is_learner = from->islearner,
        };
    }
    out->has_members = true;
    out->members = members;
    out->member_count = answer->n_members;
}

const struct etcd_probed *etcd_probe_results(struct etcd_probe *probe, size_t *out_count)
{
    ASSERT(etcd_probe_done(probe));
    for (size_t i = 0; i < probe->count && !probe->is_read; i++) {
        status_read(probe, &probe->targets[i], &probe->results[i]);
        members_read(probe, &probe->targets[i], &probe->results[i]);
    }
    probe->is_read = true;
    *out_count = probe->count;
    return probe->results;
}

void etcd_probe_free(struct etcd_probe *probe)
{
    if (probe == NULL) {
        return;
    }
    for (size_t i = 0; i < probe->count; i++) {
        for (size_t j = 0; j < PROBE_CALL_COUNT; j++) {
            etcd_call_free(probe->targets[i].calls[j]);
        }
        mem_free(probe->targets[i].url);
        mem_free(probe->targets[i].connect_to);
    }
    mem_free(probe->targets);
    mem_free(probe->results);
    arena_free(&probe->arena);
    mem_free(probe);
}
