/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a watch stream. Pure: bytes in, events out, however the bytes were cut. */
#ifndef CONTROLLER_KUBE_WATCH_H
#define CONTROLLER_KUBE_WATCH_H

#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/json.h"

enum kube_watch_type {
    KUBE_WATCH_ADDED,
    KUBE_WATCH_MODIFIED,
    KUBE_WATCH_DELETED,
    KUBE_WATCH_BOOKMARK,
    KUBE_WATCH_ERROR,
};

/* One event; owns object. */
struct kube_watch_event {
    enum kube_watch_type type;
    struct json *object;
    int error_code; /* KUBE_WATCH_ERROR: the code of the Status object, 410: too old */
};

/*
 * Decodes the first whole line of in. Returns 0 with *out_used bytes eaten and the event in
 * *out_event (json_free its object); E_AGAIN when no whole line is there yet (blank lines are
 * eaten, *out_used says how many bytes); E_CORRUPT with the reason in err.
 */
BASE_MUST_CHECK int kube_watch_decode(struct bytes in, size_t *out_used,
                                      struct kube_watch_event *out_event, struct err *err);

/*
 * Compares two resourceVersions: below, at or above 0 as a is older, equal, newer. Versions that
 * are not numbers cannot be compared: false.
 */
bool kube_version_compare(const char *a, const char *b, int *out_order);

#endif
