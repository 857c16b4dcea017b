/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms: a small list, and its rows in table alarm (key: AlarmMember in wire form, empty value).
 */
#include "engine/server/alarm.h"

#include "base/arena.h"
#include "engine/proto/codec.h"

#define ALARM_KEY_BYTES_MAX 32u

static struct bytes alarm_key(struct alarm alarm, uint8_t out[ALARM_KEY_BYTES_MAX])
{
    Etcdserverpb__AlarmMember member = ETCDSERVERPB__ALARM_MEMBER__INIT;
    member.memberid = alarm.member_id;
    member.alarm = (Etcdserverpb__AlarmType)alarm.kind;
    return bytes_of(out, etcdserverpb__alarm_member__pack(&member, out));
}

static uint32_t find(const struct alarms *alarms, struct alarm alarm)
{
    uint32_t at = 0;
    while (at < alarms->count && (alarms->items[at].member_id != alarm.member_id ||
                                  alarms->items[at].kind != alarm.kind)) {
        at++;
    }
    return at;
}

int alarms_load(struct alarms *alarms, const struct store_seam *seam, struct store_view *view,
                struct err *err)
{
    struct store_item item;
    alarms->count = 0;
    int rc = seam->view_seek(view, STORE_ALARM, (struct bytes){NULL, 0}, &item);
    while (rc == 0 && alarms->count < ALARMS_MAX) {
        struct arena arena;
        arena_init(&arena, proto_arena_limit(item.key.size));
        Etcdserverpb__AlarmMember *member;
        rc = PROTO_UNPACK(etcdserverpb__alarm_member, item.key, &arena, &member);
        if (rc == 0) {
            alarms->items[alarms->count++] = (struct alarm){member->memberid, (int)member->alarm};
        }
        arena_free(&arena);
        if (rc != 0) {
            return err_set(err, E_CORRUPT, "table alarm holds a key that is no AlarmMember");
        }
        rc = seam->view_next(view, STORE_ALARM, &item);
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}

bool alarms_activate(struct alarms *alarms, struct alarm alarm, struct store_batch *batch)
{
    if (find(alarms, alarm) < alarms->count || alarms->count == ALARMS_MAX) {
        return false;
    }
    uint8_t key[ALARM_KEY_BYTES_MAX];
    alarms->items[alarms->count++] = alarm;
    store_batch_put(batch, STORE_ALARM, alarm_key(alarm, key), (struct bytes){NULL, 0});
    return true;
}

bool alarms_deactivate(struct alarms *alarms, struct alarm alarm, struct store_batch *batch)
{
    uint32_t at = find(alarms, alarm);
    if (at == alarms->count) {
        return false;
    }
    uint8_t key[ALARM_KEY_BYTES_MAX];
    alarms->items[at] = alarms->items[--alarms->count];
    store_batch_remove(batch, STORE_ALARM, alarm_key(alarm, key));
    return true;
}

bool alarms_any(const struct alarms *alarms, int kind)
{
    for (uint32_t i = 0; i < alarms->count; i++) {
        if (alarms->items[i].kind == kind) {
            return true;
        }
    }
    return false;
}

bool alarms_has(const struct alarms *alarms, struct alarm alarm)
{
    return find(alarms, alarm) < alarms->count;
}

const char *alarm_name(int kind)
{
    switch (kind) {
    case ETCDSERVERPB__ALARM_TYPE__NOSPACE:
        return "NOSPACE";
    case ETCDSERVERPB__ALARM_TYPE__CORRUPT:
        return "CORRUPT";
    default:
        return "NONE";
    }
}
