/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per member: everything that is known of it, joined by name, and the judgement on its
 * health (the evidence table). Planner, conditions and status all read this one join. Pure.
 */
#ifndef CONTROLLER_MODEL_VIEW_H
#define CONTROLLER_MODEL_VIEW_H

#include "controller/model/names.h"
#include "controller/model/observed.h"
#include "controller/model/operation.h"
#include "controller/model/spec.h"

#define VIEW_MEMBERS_MAX 32u
#define VIEW_CAUGHT_UP_ENTRIES                                                                     \
    1000u /* a learner this close to the leader's log may be promoted                              \
           */

/* The judgement. Everything from EVIDENCE_DATA_ERROR on is proof that the member must be replaced.
 */
#define MEMBER_EVIDENCES(X)                                                                        \
    X(None)                                                                                        \
    X(Starting)                                                                                    \
    X(NotProbed)                                                                                   \
    X(NotReadyInGrace)                                                                             \
    X(NodeLostInGrace)                                                                             \
    X(CatchingUp)                                                                                  \
    X(OutOfMemory)                                                                                 \
    X(ImagePullFailed)                                                                             \
    X(Unschedulable)                                                                               \
    X(PodMissing)                                                                                  \
    X(PodFinished)                                                                                 \
    X(CrashLoopFirst)                                                                              \
    X(NotReadyFirst)                                                                               \
    X(DataError)                                                                                   \
    X(DataCorrupt)                                                                                 \
    X(VolumeGone)                                                                                  \
    X(VolumeLost)                                                                                  \
    X(NodeLost)                                                                                    \
    X(CrashLoop)                                                                                   \
    X(NotReady)                                                                                    \
    X(LearnerTimedOut)                                                                             \
    X(AskedByUser)

enum member_evidence {
#define X(name) EVIDENCE_##name,
    MEMBER_EVIDENCES(X)
#undef X
        EVIDENCE_COUNT
};

/* Borrows everything from the observation. */
struct member_view {
    struct name name;
    int64_t ordinal;                         /* OBSERVED_NO_ORDINAL: a foreign member */
    const struct observed_etcd_member *etcd; /* NULL: not in the member list */
    const struct observed_member_object *object;
    const struct observed_pod *pod;
    const struct observed_pvc *pvc;
    const struct observed_endpoint *endpoint; /* fresh and of this cluster, else NULL */
    enum observed_node_state node;
    bool is_voter;
    bool is_leader;
    bool never_started; /* in the member list without a name */
    bool healthy;       /* freshly reachable, right ids, knows a leader, no CORRUPT alarm */
    bool probed;        /* dialled freshly, whatever came of it */
    bool caught_up;
    bool was_recreated; /* its Pod was recreated already in this spell of being unhealthy */
    bool must_go; /* healthy, but a person or its volume wants it replaced: add before remove */
    enum member_evidence evidence;
    int64_t since_ms; /* since when it is healthy, or unhealthy: what status.members[].since says */
    int64_t grace_since_ms; /* unhealthy: where grace counts from (never before the Pod was made) */
};

struct view {
    struct member_view members[VIEW_MEMBERS_MAX]; /* ascending ordinal, foreign ones last */
    size_t member_count;
    bool fresh;              /* a linearizable member list of this cluster, freshly read */
    uint64_t latched_id;     /* from status and PVCs; 0: not latched */
    bool latched_in_status;  /* the id stands in status */
    bool latched_on_volume;  /* the id stands on a volume of a member */
    bool latched_on_retired; /* only a retired volume carries an id */
    size_t old_volume_count; /* volumes of a cluster of the same name that is gone or going */
    bool latch_conflict;     /* two different ids are latched, or a member serves another id */
    uint64_t
        seed_id; /* the cluster id that the only Pod serves while nothing is latched; 0: none */
    uint64_t leader_id; /* 0: none */
    uint64_t term;
    uint64_t leader_index; /* raft index of the leader */
    int64_t revision;
    int64_t next_ordinal; /* larger than every ordinal ever seen */
    int64_t voter_count;  /* in the member list */
    int64_t learner_count;
    int64_t healthy_voter_count;
    struct operation operation; /* as journaled */
};

/* Joins. */
void view_make(const struct cluster_spec *want, const struct observed *seen, int64_t now_ms,
               struct view *out);

const char *evidence_text(enum member_evidence evidence);  /* CamelCase */
const char *evidence_cause(enum member_evidence evidence); /* "its volume is lost" */
const char *evidence_next(enum member_evidence evidence);  /* what comes next, or what to do */
bool evidence_is_proof(enum member_evidence evidence);     /* the member is to be replaced */

/* True when the cluster keeps a healthy quorum after victim (a voter) is removed. */
bool view_quorum_without(const struct view *view, const struct member_view *victim);

/* Finds a row; NULL when absent. */
const struct member_view *view_member(const struct view *view, const char *name);

/* A healthy voter to send calls to, the leader if possible, never except; NULL when none. */
const struct member_view *view_caller(const struct view *view, const struct member_view *except);

#endif
