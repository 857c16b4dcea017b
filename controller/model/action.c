/* SPDX-License-Identifier: Apache-2.0 */
/* Plans own their actions; the words and API names of kinds are tables. */
#include "controller/model/action.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static const char *const ACTIONS[] = {"Apply",         "ApplyStatus",  "Patch",
                                      "Delete",        "Certificate",  "MemberAdd",
                                      "MemberPromote", "MemberRemove", "MoveLeader"};
_Static_assert(ARRAY_COUNT(ACTIONS) == ACTION_KIND_COUNT, "every action has a word");

static const struct {
    const char *kind;
    const char *api_version;
    const char *plural;
} OBJECTS[] = {
    {"EtcdCluster", "quorate.dev/v1alpha1", "etcdclusters"},
    {"EtcdMember", "quorate.dev/v1alpha1", "etcdmembers"},
    {"Pod", "v1", "pods"},
    {"PersistentVolumeClaim", "v1", "persistentvolumeclaims"},
    {"Service", "v1", "services"},
    {"PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"},
    {"Secret", "v1", "secrets"},
    {"Issuer", "cert-manager.io/v1", "issuers"},
    {"Certificate", "cert-manager.io/v1", "certificates"},
};
_Static_assert(ARRAY_COUNT(OBJECTS) == OBJECT_KIND_COUNT, "every object kind has a row");

void action_free(struct action *action)
{
    mem_free(action->name);
    mem_free(action->uid);
    mem_free(action->resource_version);
    json_free(action->body);
    mem_free(action->peer_url);
    mem_free(action->via);
    event_free(&action->event);
    memset(action, 0, sizeof(*action));
}

const char *action_kind_text(enum action_kind kind)
{
    ASSERT(kind < ACTION_KIND_COUNT);
    return ACTIONS[kind];
}

const char *object_kind_text(enum object_kind kind)
{
    ASSERT(kind < OBJECT_KIND_COUNT);
    return OBJECTS[kind].kind;
}

const char *object_kind_api_version(enum object_kind kind)
{
    ASSERT(kind < OBJECT_KIND_COUNT);
    return OBJECTS[kind].api_version;
}

const char *object_kind_plural(enum object_kind kind)
{
    ASSERT(kind < OBJECT_KIND_COUNT);
    return OBJECTS[kind].plural;
}

bool action_is_membership(enum action_kind kind)
{
    return kind == ACTION_MEMBER_ADD || kind == ACTION_MEMBER_PROMOTE ||
           kind == ACTION_MEMBER_REMOVE || kind == ACTION_MOVE_LEADER;
}

void plan_init(struct plan *plan)
{
    memset(plan, 0, sizeof(*plan));
}

void plan_free(struct plan *plan)
{
    for (size_t i = 0; i < plan->action_count; i++) {
        action_free(&plan->actions[i]);
    }
    mem_free(plan->actions);
    for (size_t i = 0; i < plan->event_count; i++) {
        event_free(&plan->events[i]);
    }
    mem_free(plan->progress);
    plan_init(plan);
}

struct action *plan_append(struct plan *plan, enum action_kind kind)
{
    plan->actions = mem_realloc(plan->actions, (plan->action_count + 1) * sizeof(struct action));
    struct action *action = &plan->actions[plan->action_count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

struct action *plan_apply(struct plan *plan, enum object_kind object, struct json *body)
{
    struct action *action = plan_append(plan, ACTION_APPLY);
    action->object = object;
    action->name = str_dup(json_path_str(body, "metadata.name", ""));
    action->body = body;
    ASSERT(action->name[0] != '\0');
    return action;
}

struct action *plan_delete_object(struct plan *plan, enum object_kind object, const char *name,
                                  const char *uid, const char *resource_version)
{
    struct action *action = plan_append(plan, ACTION_DELETE);
    action->object = object;
    action->name = str_dup(name);
    action->uid = str_dup(uid);
    action->resource_version = str_dup(resource_version);
    return action;
}

struct action *plan_patch(struct plan *plan, enum object_kind object, const char *name,
                          struct json *body)
{
    struct action *action = plan_append(plan, ACTION_PATCH);
    action->object = object;
    action->name = str_dup(name);
    action->body = body;
    return action;
}

void plan_event(struct plan *plan, enum event_type type, const char *reason, const char *related,
                const char *format, ...)
{
    if (plan->event_count == PLAN_EVENTS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    char *message = str_vprintf(format, args);
    va_end(args);
    event_set(&plan->events[plan->event_count++], type, reason, related, "%s", message);
    mem_free(message);
}

void plan_say(struct plan *plan, enum condition_reason reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    mem_free(plan->progress);
    plan->progress = text;
    plan->reason = reason;
}
