/* SPDX-License-Identifier: Apache-2.0 */
/* Event objects and the memory of what was told already. */
#include "controller/kube/events.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "controller/kube/timestamp.h"

struct kube_event_story {
    uint64_t first_ms;
};

void kube_events_init(struct kube_events *events, const struct kube_seam *seam,
                      const struct clock_seam *clock, const char *instance)
{
    *events = (struct kube_events){.seam = seam, .clock = clock, .instance = str_dup(instance)};
    map_init(&events->stories);
}

static void stories_drop(struct kube_events *events, uint64_t before_ms)
{
    size_t cursor = 0;
    struct bytes key;
    for (void *value; map_next(&events->stories, &cursor, &key, &value);) {
        struct kube_event_story *story = value;
        if (story->first_ms < before_ms) {
            map_remove(&events->stories, key);
            mem_free(story);
        }
    }
}

void kube_events_free(struct kube_events *events)
{
    stories_drop(events, UINT64_MAX);
    map_free(&events->stories);
    mem_free(events->instance);
}

static struct json *reference(const struct kube_kind *kind, const char *namespace_,
                              const char *name)
{
    struct json *out = json_object();
    struct buf version;
    buf_init(&version, 256);
    kube_kind_api_version(kind, &version);
    json_set_str(out, "apiVersion", buf_cstr(&version));
    buf_free(&version);
    json_set_str(out, "kind", kind->kind);
    if (kind->namespaced) {
        json_set_str(out, "namespace", namespace_);
    }
    json_set_str(out, "name", name);
    return out;
}

static struct json *event_body(struct kube_events *events, const struct kube_event *event,
                               const char *namespace_, const char *name)
{
    struct json *body = json_object();
    json_set_str(body, "apiVersion", "events.k8s.io/v1");
    json_set_str(body, "kind", "Event");
    struct json *metadata = json_ensure_object(body, "metadata");
    json_set_str(metadata, "name", name);
    json_set_str(metadata, "namespace", namespace_);
    struct kube_timestamp now = kube_timestamp_micro(events->clock->wall_ns(events->clock->ctx));
    json_set_str(body, "eventTime", now.text);
    json_set_str(body, "type", event->type);
    json_set_str(body, "reason", event->reason);
    json_set_str(body, "action", event->action);
    json_set(body, "note", json_string_n(event->note, strnlen(event->note, KUBE_EVENT_NOTE_MAX)));
    json_set_str(body, "reportingController", KUBE_EVENT_CONTROLLER);
    json_set_str(body, "reportingInstance", events->instance);
    struct json *regarding =
        reference(event->kind, namespace_, json_path_str(event->regarding, "metadata.name", ""));
    json_set_str(regarding, "uid", json_path_str(event->regarding, "metadata.uid", ""));
    json_set_str(regarding, "resourceVersion",
                 json_path_str(event->regarding, "metadata.resourceVersion", ""));
    json_set(body, "regarding", regarding);
    if (event->related_kind != NULL && event->related_name != NULL) {
        json_set(body, "related", reference(event->related_kind, namespace_, event->related_name));
    }
    return body;
}

int kube_events_post(struct kube_events *events, const struct kube_event *event, struct err *err)
{
    uint64_t now_ms = clock_monotonic_ms(events->clock);
    if (now_ms > KUBE_EVENT_WINDOW_MS) {
        stories_drop(events, now_ms - KUBE_EVENT_WINDOW_MS);
    }
    char *key = str_printf("%s|%s|%s|%s", json_path_str(event->regarding, "metadata.uid", ""),
                           event->reason, event->related_name == NULL ? "" : event->related_name,
                           event->note);
    if (map_get(&events->stories, bytes_of_str(key)) != NULL) {
        mem_free(key);
        return 0;
    }
    if (events->stories.count >= KUBE_EVENT_STORIES_MAX) {
        stories_drop(events, UINT64_MAX);
    }
    struct kube_event_story *story = mem_zalloc(sizeof(*story));
    story->first_ms = now_ms;
    map_set(&events->stories, bytes_of_str(key), story);
    mem_free(key);
    const char *namespace_ = json_path_str(event->regarding, "metadata.namespace", "default");
    int64_t wall_ns = events->clock->wall_ns(events->clock->ctx);
    char *name =
        str_printf("%.200s.%llx%04llx", json_path_str(event->regarding, "metadata.name", ""),
                   (unsigned long long)wall_ns, (unsigned long long)(events->sequence++ & 0xffff));
    struct json *body = event_body(events, event, namespace_, name);
    mem_free(name);
    const struct kube_call call = {.verb = KUBE_CREATE,
                                   .kind = &KUBE_KINDS[KUBE_EVENT],
                                   .namespace_ = namespace_,
                                   .body = body};
    int rc = kube_call(events->seam, &call, NULL, err);
    json_free(body);
    return rc;
}
