/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be done: a closed set of actions, and the plan that holds them in order. act carries
 * out one action at a time and stops at the first that fails; the next pass decides again from live
 * state.
 *
 * The law for the shell: write the status (status_build) FIRST; carry out actions only when the
 * write succeeded or nothing had to be written. So a step is journaled in status.operation before
 * it starts. Re-verify the leader Lease before each action.
 */
#ifndef CONTROLLER_MODEL_ACTION_H
#define CONTROLLER_MODEL_ACTION_H

#include "base/defs.h"
#include "base/json.h"
#include "controller/model/certs.h"
#include "controller/model/event.h"
#include "controller/model/operation.h"
#include "controller/model/reason.h"

enum action_kind {
    ACTION_APPLY,        /* server-side apply of body, field manager "quorate-operator", forced */
    ACTION_APPLY_STATUS, /* the same on the status subresource (EtcdMember) */
    ACTION_PATCH,       /* JSON merge patch of body on ref; body carries metadata.resourceVersion */
    ACTION_DELETE,      /* delete ref with precondition uid (and resourceVersion when given) */
    ACTION_CERTIFICATE, /* the task on the Secret name: act makes keys, the plan holds none */
    ACTION_MEMBER_ADD,  /* MemberAdd(peer_url, isLearner=true) */
    ACTION_MEMBER_PROMOTE, /* MemberPromote(member_id) */
    ACTION_MEMBER_REMOVE,  /* MemberRemove(member_id) */
    ACTION_MOVE_LEADER,    /* MoveLeader(member_id) sent to the leader (via) */
    ACTION_KIND_COUNT
};

enum object_kind {
    OBJECT_CLUSTER,
    OBJECT_MEMBER,
    OBJECT_POD,
    OBJECT_PVC,
    OBJECT_SERVICE,
    OBJECT_PDB,
    OBJECT_SECRET,
    OBJECT_ISSUER,
    OBJECT_CERTIFICATE,
    OBJECT_KIND_COUNT
};

/* Owns its strings and body. The namespace is the cluster's. */
struct action {
    enum action_kind kind;
    enum object_kind object; /* APPLY, PATCH, DELETE */
    char *name;              /* the object's or the member's name */
    char *uid;               /* DELETE: precondition; NULL: none */
    char *resource_version;  /* DELETE: precondition; NULL: none */
    struct json *body;       /* APPLY: the whole object; PATCH: the merge patch */
    uint64_t cluster_id;     /* MEMBER_*: the call must go to a member of this cluster only */
    uint64_t member_id;      /* MEMBER_*, MOVE_LEADER (the new leader) */
    char *peer_url;          /* MEMBER_ADD */
    char *via; /* MEMBER_*, MOVE_LEADER: Pod name of the member to call (healthy; the leader
                  for MOVE_LEADER) */
    struct certs_task task;             /* CERTIFICATE */
    char version[CERTS_VERSION_MAX];    /* CERTIFICATE: of the Secret as it was judged */
    char ca_version[CERTS_VERSION_MAX]; /* CERTIFICATE: of its authority's Secret; "": none */
    struct event event;                 /* posted after success; message NULL: none */
};

#define PLAN_EVENTS_MAX   16u
#define PLAN_FINISHED_MAX 4u
#define PLAN_HASH_MAX     20u

/* Owns everything. */
struct plan {
    struct action *actions;
    size_t action_count;
    struct operation operation;                   /* type OPERATION_NONE: nothing in flight */
    struct operation finished[PLAN_FINISHED_MAX]; /* operations that end in this pass, to be put
                                                     into lastOperations */
    size_t finished_count;
    int64_t next_ordinal;   /* goes into status.nextOrdinal */
    uint64_t cluster_id;    /* goes into status.clusterID; 0: not latched */
    int64_t scale_failures; /* failed attempts in a row to grow from one to two voters */
    struct event events[PLAN_EVENTS_MAX]; /* posted after the status was written */
    size_t event_count;
    char template_hash[PLAN_HASH_MAX]; /* of the Pods that the spec wants */
    int64_t
        requeue_ms; /* look again after so many ms even when nothing is heard; 0: only on events */
    enum condition_reason reason; /* why the plan is what it is: feeds the conditions */
    enum condition_reason
        block;      /* REASON_AsExpected, or what keeps a needed repair from being done */
    char *progress; /* one human sentence, for status.phase; never NULL after plan_make */
};

void action_free(struct action *action);
const char *action_kind_text(enum action_kind kind);
const char *object_kind_text(enum object_kind kind); /* "Pod" */
const char *
object_kind_api_version(enum object_kind kind); /* "v1", "policy/v1", "quorate.dev/v1alpha1" */
const char *object_kind_plural(enum object_kind kind); /* "pods" */

/* True for the four kinds that change etcd's membership or leadership. */
bool action_is_membership(enum action_kind kind);

/* Makes an empty plan. */
void plan_init(struct plan *plan);
void plan_free(struct plan *plan);

/* Appends an action of that kind, zeroed, and gives it (valid until the next append). */
struct action *plan_append(struct plan *plan, enum action_kind kind);

/* Shorthands; each gives the action so that an event can be put on it. plan_apply takes body. */
struct action *plan_apply(struct plan *plan, enum object_kind object, struct json *body);
struct action *plan_delete_object(struct plan *plan, enum object_kind object, const char *name,
                                  const char *uid, const char *resource_version);
struct action *plan_patch(struct plan *plan, enum object_kind object, const char *name,
                          struct json *body);

/* Adds an event to the plan; dropped past PLAN_EVENTS_MAX. */
void plan_event(struct plan *plan, enum event_type type, const char *reason, const char *related,
                const char *format, ...) BASE_PRINTF(5, 6);

/* Sets the sentence of progress. */
void plan_say(struct plan *plan, enum condition_reason reason, const char *format, ...)
    BASE_PRINTF(3, 4);

#endif
