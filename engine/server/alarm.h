/* SPDX-License-Identifier: Apache-2.0 */
/* The alarms of the cluster (NOSPACE, CORRUPT), as the log has set them; kept in table alarm. Pure.
 */
#ifndef ENGINE_SERVER_ALARM_H
#define ENGINE_SERVER_ALARM_H

#include "base/err.h"
#include "engine/mvcc/store.h"
#include "rpc.pb-c.h"

#define ALARMS_MAX 128u /* members times kinds */

struct alarm {
    uint64_t member_id;
    int kind; /* Etcdserverpb__AlarmType */
};

struct alarms {
    struct alarm items[ALARMS_MAX];
    uint32_t count;
};

/* Replaces all by what the view holds. */
BASE_MUST_CHECK int alarms_load(struct alarms *alarms, const struct store_seam *seam,
                                struct store_view *view, struct err *err);

/* Raises; true when it was not there before. */
bool alarms_activate(struct alarms *alarms, struct alarm alarm, struct store_batch *batch);

/* Takes away; true when it was there. */
bool alarms_deactivate(struct alarms *alarms, struct alarm alarm, struct store_batch *batch);

/* True when any member has raised kind. */
bool alarms_any(const struct alarms *alarms, int kind);
bool alarms_has(const struct alarms *alarms, struct alarm alarm);
const char *alarm_name(int kind);

#endif
