/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events (events.k8s.io/v1): one object per story. The same story again within KUBE_EVENT_WINDOW_MS
 * is not told again.
 */
#ifndef CONTROLLER_KUBE_EVENTS_H
#define CONTROLLER_KUBE_EVENTS_H

#include "base/defs.h"
#include "base/json.h"
#include "base/map.h"
#include "base/seam/clock.h"
#include "controller/kube/client.h"

#define KUBE_EVENT_WINDOW_MS   (10u * 60u * 1000u)
#define KUBE_EVENT_STORIES_MAX 1024u
#define KUBE_EVENT_NOTE_MAX    1024u
#define KUBE_EVENT_CONTROLLER  "quorate.dev/operator"

struct kube_events {
    const struct kube_seam *seam;
    const struct clock_seam *clock;
    char *instance;
    struct map stories;
    uint64_t sequence;
};

/* One thing to tell. Borrowed for the call. */
struct kube_event {
    const struct kube_kind *kind;         /* of regarding */
    const struct json *regarding;         /* the object it is about */
    const struct kube_kind *related_kind; /* NULL: nothing related */
    const char *related_name;
    const char *type;   /* "Normal" or "Warning" */
    const char *reason; /* CamelCase */
    const char *action; /* CamelCase; what the operator was doing */
    const char *note;
};

void kube_events_init(struct kube_events *events, const struct kube_seam *seam,
                      const struct clock_seam *clock, const char *instance);
void kube_events_free(struct kube_events *events);

/* Posts, or keeps quiet. The outcome is for the log: an event is never worth a retry. */
int kube_events_post(struct kube_events *events, const struct kube_event *event, struct err *err);

#endif
