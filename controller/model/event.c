/* SPDX-License-Identifier: Apache-2.0 */
/* Events own their texts. */
#include "controller/model/event.h"

#include "base/alloc.h"

void event_set(struct event *event, enum event_type type, const char *reason, const char *related,
               const char *format, ...)
{
    event_free(event);
    va_list args;
    va_start(args, format);
    event->message = str_vprintf(format, args);
    va_end(args);
    event->type = type;
    event->reason = reason;
    event->related = str_dup(related);
}

void event_free(struct event *event)
{
    mem_free(event->message);
    mem_free(event->related);
    *event = (struct event){EVENT_NORMAL, NULL, NULL, NULL};
}

const char *event_type_text(enum event_type type)
{
    return type == EVENT_NORMAL ? "Normal" : "Warning";
}
