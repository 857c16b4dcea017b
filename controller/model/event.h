/* SPDX-License-Identifier: Apache-2.0 */
/* One Kubernetes Event: what was changed or noticed, for a person. act posts it. */
#ifndef CONTROLLER_MODEL_EVENT_H
#define CONTROLLER_MODEL_EVENT_H

#include "base/defs.h"

enum event_type { EVENT_NORMAL, EVENT_WARNING };

/* message is owned; NULL message: no event. regarding is always the EtcdCluster. */
struct event {
    enum event_type type;
    const char *reason; /* CamelCase, static */
    char *message;
    char *related; /* name of the object it is about ("demo-2"), or NULL; owned */
};

/* Sets the event (taking nothing; the texts are copied or formatted). */
void event_set(struct event *event, enum event_type type, const char *reason, const char *related,
               const char *format, ...) BASE_PRINTF(5, 6);
void event_free(struct event *event);
const char *event_type_text(enum event_type type);

#endif
