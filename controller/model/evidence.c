/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What counts as proof that a member is lost, after which grace, and what never does (out of
 * memory, an image that cannot be pulled, no room on any node: replacing would cure none of them).
 */
#include "controller/model/evidence.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/model/rfc3339.h"

static const char *const TEXTS[] = {
#define X(name) #name,
    MEMBER_EVIDENCES(X)
#undef X
};
_Static_assert(ARRAY_COUNT(TEXTS) == EVIDENCE_COUNT, "every evidence has a word");

/* For persons: what it means, and what comes next or what to do. */
static const struct {
    const char *cause;
    const char *next;
} WORDS[] = {
    [EVIDENCE_None] = {"no fault is known", "nothing to do"},
    [EVIDENCE_Starting] = {"it is starting", "wait"},
    [EVIDENCE_NotProbed] = {"the operator did not reach it", "check the network between them"},
    [EVIDENCE_NotReadyInGrace] = {"it does not serve",
                                  "its Pod is made again after spec.repair.notReadyGracePeriod"},
    [EVIDENCE_NodeLostInGrace] = {"its node is not ready",
                                  "it is replaced after spec.repair.nodeLostGracePeriod"},
    [EVIDENCE_CatchingUp] = {"it is catching up with the leader", "wait"},
    [EVIDENCE_OutOfMemory] = {"it ran out of memory",
                              "raise the memory limit in spec.pod.resources"},
    [EVIDENCE_ImagePullFailed] = {"its image cannot be pulled", "check spec.image"},
    [EVIDENCE_Unschedulable] = {"no node takes its Pod",
                                "add nodes, or relax spec.availability.spread"},
    [EVIDENCE_PodMissing] = {"its Pod is gone", "it is made again on the same volume"},
    [EVIDENCE_PodFinished] = {"its Pod has ended", "it is made again on the same volume"},
    [EVIDENCE_CrashLoopFirst] = {"it ends again and again",
                                 "look at its log; its Pod is made again once"},
    [EVIDENCE_NotReadyFirst] = {"it does not serve", "its Pod is made again once"},
    [EVIDENCE_DataError] =
        {"its data cannot be used",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_DataCorrupt] =
        {"it raised the CORRUPT alarm",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_VolumeGone] =
        {"its volume is gone",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_VolumeLost] =
        {"its volume is lost",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_NodeLost] =
        {"its node is lost",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_CrashLoop] = {"it ends again and again, in a new Pod too",
                            "look at its log; it is replaced if spec.repair.policy allows it and "
                            "the others are a quorum"},
    [EVIDENCE_NotReady] =
        {"it does not serve, in a new Pod neither",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
    [EVIDENCE_LearnerTimedOut] = {"it did not catch up within spec.repair.learnerPromoteTimeout",
                                  "it is removed, and another one is added"},
    [EVIDENCE_AskedByUser] =
        {"its EtcdMember was deleted",
         "it is replaced if spec.repair.policy allows it and the others are a quorum"},
};
_Static_assert(ARRAY_COUNT(WORDS) == EVIDENCE_COUNT, "every evidence is put in words");

static const char *const IMAGE_REASONS[] = {"ErrImagePull",      "ImagePullBackOff",
                                            "InvalidImageName",  "ErrImageNeverPull",
                                            "ImageInspectError", "CreateContainerConfigError"};

/* All that one judgement reads. */
struct judge {
    const struct cluster_spec *want;
    const struct observed *seen;
    const struct view *view;
    int64_t now_ms;
};

const char *evidence_text(enum member_evidence evidence)
{
    ASSERT(evidence < EVIDENCE_COUNT);
    return TEXTS[evidence];
}

const char *evidence_cause(enum member_evidence evidence)
{
    ASSERT(evidence < EVIDENCE_COUNT);
    return WORDS[evidence].cause;
}

const char *evidence_next(enum member_evidence evidence)
{
    ASSERT(evidence < EVIDENCE_COUNT);
    return WORDS[evidence].next;
}

bool evidence_is_proof(enum member_evidence evidence)
{
    return evidence >= EVIDENCE_DataError;
}

/* The row of status.members as last written, or NULL. */
static const struct json *previous_row(const struct observed *seen, const char *name)
{
    const struct json *rows = json_get(seen->status, "members");
    for (size_t i = 0; i < json_count(rows); i++) {
        const struct json *row = json_at(rows, i);
        if (strcmp(json_str(json_get(row, "name"), ""), name) == 0) {
            return row;
        }
    }
    return NULL;
}

static bool is_healthy(const struct member_view *member)
{
    const struct observed_endpoint *endpoint = member->endpoint;
    if (member->etcd == NULL || endpoint == NULL || endpoint->leader_id == 0 ||
        (endpoint->alarms & OBSERVED_ALARM_CORRUPT) != 0) {
        return false;
    }
    /* A learner answers no linearizable read; that it knows the leader is all it can show. */
    return member->etcd->is_learner || endpoint->healthy;
}

static bool is_caught_up(const struct view *view, const struct member_view *member)
{
    if (!member->healthy || view->leader_index == 0) {
        return false;
    }
    uint64_t applied = member->endpoint->applied_index;
    uint64_t leader = view->leader_index;
    return applied > 0 && applied + VIEW_CAUGHT_UP_ENTRIES >= leader && applied / 9 >= leader / 10;
}

/* Times: since the state of health last changed, and where grace begins. */
static void judge_times(const struct judge *in, struct member_view *member)
{
    const struct json *before = previous_row(in->seen, member->name.text);
    member->since_ms = in->now_ms;
    if (before != NULL && json_truth(json_get(before, "healthy"), false) == member->healthy) {
        int64_t since_ms = rfc3339_parse(json_str(json_get(before, "since"), NULL));
        member->since_ms = since_ms > 0 ? since_ms : in->now_ms;
    }
    member->grace_since_ms = member->since_ms;
    if (member->pod != NULL) {
        member->grace_since_ms = BASE_MAX(member->grace_since_ms, member->pod->created_ms);
        if (!member->pod->ready) {
            member->grace_since_ms =
                BASE_MAX(member->grace_since_ms, member->pod->ready_changed_ms);
        }
    }
    struct operation operation;
    const struct json *last = json_get(in->seen->status, "lastOperations");
    for (size_t i = 0; i < json_count(last); i++) {
        if (strcmp(json_str(json_get(json_at(last, i), "target"), ""), member->name.text) != 0) {
            continue;
        }
        operation_read(json_at(last, i), &operation);
        if (operation.type == OPERATION_RECREATE && operation.started_ms >= member->since_ms) {
            member->was_recreated = true;
        }
    }
}

/* The applied index moved since the status was last written: it lives and works. */
static bool is_moving(const struct judge *in, const struct member_view *member)
{
    const struct json *before = previous_row(in->seen, member->name.text);
    if (member->endpoint == NULL || before == NULL) {
        return false;
    }
    int64_t applied_before = json_i64(json_get(before, "appliedIndex"), 0);
    return (int64_t)member->endpoint->applied_index > applied_before;
}

static bool is_data_error(const struct judge *in, const struct observed_pod *pod)
{
    if (pod == NULL || !pod->has_last_exit) {
        return false;
    }
    bool is_code = pod->last_exit_code == EXIT_DATA_CORRUPT ||
                   pod->last_exit_code == EXIT_WRONG_CLUSTER ||
                   pod->last_exit_code == EXIT_MEMBER_REMOVED;
    bool is_current = pod->waiting_reason != NULL || pod->phase != POD_RUNNING ||
                      in->now_ms - pod->last_exit_ms <= EVIDENCE_EXIT_RECENT_MS;
    return is_code && is_current;
}

/* The volume of a member that has run. One never started gets its volume from us, so it proves
 * nothing. */
static enum member_evidence judge_volume(const struct member_view *member)
{
    if (member->never_started) {
        return EVIDENCE_None;
    }
    if (member->pvc == NULL || member->pvc->deleting) {
        return EVIDENCE_VolumeGone;
    }
    return member->pvc->phase == PVC_LOST ? EVIDENCE_VolumeLost : EVIDENCE_None;
}

static enum member_evidence judge_node(const struct judge *in, struct member_view *member)
{
    int64_t since_ms = 0;
    const char *node = member->pod == NULL ? NULL : member->pod->node;
    if (node == NULL && member->pvc != NULL) {
        node = member->pvc->selected_node;
    }
    member->node = observed_node_state(in->seen, node, &since_ms);
    int64_t grace_ms = in->want->repair.node_lost_grace_ms;
    if (member->node == NODE_NOT_READY) {
        return in->now_ms - BASE_MAX(since_ms, 1) >= grace_ms ? EVIDENCE_NodeLost
                                                              : EVIDENCE_NodeLostInGrace;
    }
    if (member->node == NODE_GONE) {
        /* The volume may be able to move: a Pod that finds no node gets twice the grace. */
        int64_t full_ms =
            member->pod != NULL && member->pod->node == NULL ? 2 * grace_ms : grace_ms;
        return in->now_ms - member->since_ms >= full_ms ? EVIDENCE_NodeLost
                                                        : EVIDENCE_NodeLostInGrace;
    }
    return EVIDENCE_None;
}

static bool is_image_reason(const char *reason)
{
    for (size_t i = 0; reason != NULL && i < ARRAY_COUNT(IMAGE_REASONS); i++) {
        if (strcmp(IMAGE_REASONS[i], reason) == 0) {
            return true;
        }
    }
    return false;
}

/* What the Pod alone says; None: it runs and says nothing. */
static enum member_evidence judge_pod(const struct judge *in, const struct member_view *member)
{
    const struct observed_pod *pod = member->pod;
    int64_t grace_ms = in->want->repair.not_ready_grace_ms;
    if (pod == NULL) {
        return EVIDENCE_PodMissing;
    }
    if (pod->deleting) {
        /* deletionTimestamp already includes the time to end; past the grace its node is not ending
         * it. */
        return in->now_ms - pod->deletion_ms >= grace_ms ? EVIDENCE_NotReady : EVIDENCE_Starting;
    }
    if (pod->phase == POD_FAILED || pod->phase == POD_SUCCEEDED) {
        return EVIDENCE_PodFinished;
    }
    if (is_image_reason(pod->waiting_reason)) {
        return EVIDENCE_ImagePullFailed;
    }
    if (pod->has_last_exit && str_equal(pod->last_exit_reason, "OOMKilled")) {
        return EVIDENCE_OutOfMemory;
    }
    if (pod->unschedulable) {
        return EVIDENCE_Unschedulable;
    }
    if (str_equal(pod->waiting_reason, "CrashLoopBackOff") &&
        pod->restart_count >= in->want->repair.crash_loop_threshold) {
        return member->was_recreated ? EVIDENCE_CrashLoop : EVIDENCE_CrashLoopFirst;
    }
    return EVIDENCE_None;
}

/* It runs, and does not serve. */
static enum member_evidence judge_silence(const struct judge *in, const struct member_view *member)
{
    if (in->now_ms - member->grace_since_ms < in->want->repair.not_ready_grace_ms) {
        return member->never_started ? EVIDENCE_Starting : EVIDENCE_NotReadyInGrace;
    }
    if (!member->probed) {
        return EVIDENCE_NotProbed;
    }
    if (is_moving(in, member)) {
        return EVIDENCE_CatchingUp;
    }
    return member->was_recreated ? EVIDENCE_NotReady : EVIDENCE_NotReadyFirst;
}

static bool is_timed_out_learner(const struct judge *in, const struct member_view *member)
{
    if (member->etcd == NULL || !member->etcd->is_learner) {
        return false;
    }
    const struct operation *operation = &in->view->operation;
    int64_t started_ms = member->object == NULL ? 0 : member->object->created_ms;
    if (strcmp(operation->target, member->name.text) == 0 ||
        strcmp(operation->replacement, member->name.text) == 0) {
        started_ms = BASE_MAX(started_ms, operation->started_ms);
    }
    return started_ms > 0 && in->now_ms - started_ms >= in->want->repair.learner_promote_timeout_ms;
}

static enum member_evidence judge_unhealthy(const struct judge *in, struct member_view *member)
{
    bool learner = member->etcd != NULL && member->etcd->is_learner;
    enum member_evidence node = judge_node(in, member);
    if (member->endpoint != NULL && (member->endpoint->alarms & OBSERVED_ALARM_CORRUPT) != 0) {
        return EVIDENCE_DataCorrupt;
    }
    if (member->object != NULL && member->object->deleting) {
        return EVIDENCE_AskedByUser;
    }
    if (is_data_error(in, member->pod)) {
        return EVIDENCE_DataError;
    }
    enum member_evidence volume = judge_volume(member);
    if (volume != EVIDENCE_None) {
        return volume;
    }
    if (is_timed_out_learner(in, member)) {
        return EVIDENCE_LearnerTimedOut;
    }
    if (node != EVIDENCE_None) {
        return node;
    }
    enum member_evidence pod = judge_pod(in, member);
    if (pod != EVIDENCE_None) {
        return pod;
    }
    if (learner) {
        return EVIDENCE_Starting; /* its own time limit decides */
    }
    return judge_silence(in, member);
}

void evidence_judge(const struct cluster_spec *want, const struct observed *seen,
                    const struct view *view, struct member_view *member, int64_t now_ms)
{
    const struct judge in = {want, seen, view, now_ms};
    member->healthy = is_healthy(member);
    member->caught_up = is_caught_up(view, member);
    judge_times(&in, member);
    if (!member->healthy) {
        member->evidence = judge_unhealthy(&in, member);
        return;
    }
    int64_t node_since_ms = 0;
    member->node =
        observed_node_state(seen, member->pod == NULL ? NULL : member->pod->node, &node_since_ms);
    bool asked = member->object != NULL && member->object->deleting;
    bool doomed = member->pvc != NULL && (member->pvc->deleting || member->pvc->phase == PVC_LOST);
    member->must_go = asked || doomed;
    if (is_timed_out_learner(&in, member) && !member->caught_up) {
        member->evidence = EVIDENCE_LearnerTimedOut;
    } else if (member->etcd->is_learner && !member->caught_up) {
        member->evidence = EVIDENCE_CatchingUp;
    }
}
