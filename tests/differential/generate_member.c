/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members, alarms and the stream of watches. What is added is a learner that never starts, at an
 * address where nobody listens: a voter would take the only member its majority. See generate.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/defs.h"
#include "engine/proto/health.pb-c.h"
#include "tests/differential/generate.h"
#include "tests/differential/stream.h"
#include "tests/differential/world.h"

#define ALARM_OPS_MAX 12 /* so many operations an alarm stays */

/* Addresses of one run are all different: an id follows from them and from the second. */
static char *new_url(struct generate *gen)
{
    char *url = arena_zalloc(&gen->arena, 64);
    gen->url_count++;
    snprintf(url, 64, "http://127.77.%u.%u:9", (unsigned)(gen->url_count / 250 % 250),
             (unsigned)(gen->url_count % 250 + 1));
    return url;
}

static uint64_t some_id(struct generate *gen)
{
    static const uint64_t IDS[] = {MEMBER_SELF, MEMBER_NEWEST, MEMBER_BEFORE, MEMBER_NOBODY};
    return IDS[generate_below(gen, (int64_t)ARRAY_COUNT(IDS))];
}

static void add_update(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__MemberUpdateRequest update = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
    char *urls[3];
    /* Of a learner etcd would make a voter in its list. */
    static const uint64_t IDS[] = {MEMBER_SELF, MEMBER_BEFORE, MEMBER_NOBODY};
    update.id = IDS[generate_below(gen, (int64_t)ARRAY_COUNT(IDS))];
    update.n_peerurls = (size_t)generate_below(gen, 3) + 1;
    for (size_t i = 0; i < update.n_peerurls; i++) {
        urls[i] = new_url(gen);
    }
    update.peerurls = urls;
    op_list_add(list, OP_MEMBER_UPDATE, &update.base);
}

static void add_learner(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char *urls[3];
    add.islearner = true;
    add.n_peerurls = (size_t)generate_below(gen, 3);
    for (size_t i = 0; i < add.n_peerurls; i++) {
        urls[i] = generate_once_in(gen, 15) ? new_url(gen) + 4 : new_url(gen); /* or none */
    }
    add.peerurls = urls;
    op_list_add(list, OP_MEMBER_ADD, &add.base);
}

static void add_health(struct generate *gen, struct op_list *list)
{
    Grpc__Health__V1__HealthCheckRequest check = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthListRequest all = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    int64_t choice = generate_below(gen, 3);
    if (choice == 0 && !gen->spares_old) { /* younger than it */
        op_list_add(list, OP_HEALTH_LIST, &all.base);
        return;
    }
    if (generate_once_in(gen, 2)) { /* it knows the server as a whole alone */
        static const char SERVICE[] = "etcdserverpb.KV";
        check.service = arena_zalloc(&gen->arena, sizeof(SERVICE));
        memcpy(check.service, SERVICE, sizeof(SERVICE));
    }
    op_list_add(list, choice == 1 ? OP_HEALTH_WATCH : OP_HEALTH, &check.base);
}

void generate_member(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__MemberRemoveRequest removal = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    Etcdserverpb__MemberPromoteRequest promote = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    Etcdserverpb__MemberListRequest members = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    Etcdserverpb__MoveLeaderRequest move = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    int64_t choice = generate_below(gen, 100);
    if (choice < 20) {
        add_learner(gen, list);
    } else if (choice < 40) {
        removal.id = some_id(gen);
        removal.id = removal.id == MEMBER_SELF ? MEMBER_NEWEST : removal.id;
        op_list_add(list, OP_MEMBER_REMOVE, &removal.base);
    } else if (choice < 50) {
        add_update(gen, list);
    } else if (choice < 60) {
        promote.id = some_id(gen);
        op_list_add(list, OP_MEMBER_PROMOTE, &promote.base);
    } else if (choice < 80) {
        members.linearizable = generate_once_in(gen, 2);
        op_list_add(list, OP_MEMBER_LIST, &members.base);
    } else if (choice < 85) {
        move.targetid = some_id(gen);
        op_list_add(list, OP_MOVE_LEADER, &move.base);
    } else if (choice < 92) {
        add_health(gen, list);
    } else {
        op_list_add(list, OP_STATUS, &status.base);
    }
}

/* ---- alarms ---- */

static void add_alarm(struct op_list *list, Etcdserverpb__AlarmRequest__AlarmAction action,
                      uint64_t member, Etcdserverpb__AlarmType type)
{
    Etcdserverpb__AlarmRequest alarm = ETCDSERVERPB__ALARM_REQUEST__INIT;
    alarm.action = action;
    alarm.memberid = member;
    alarm.alarm = type;
    op_list_add(list, OP_ALARM, &alarm.base)->user = USER_ROOT;
}

void generate_alarm(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__AlarmType type = (Etcdserverpb__AlarmType)generate_below(gen, 3);
    uint64_t member = generate_once_in(gen, 2) ? MEMBER_SELF : MEMBER_NOBODY;
    /* 3.4 asks nobody for rights while there is an alarm. */
    bool may_raise = !gen->spares_old || !gen->seen.is_auth_on;
    switch (may_raise ? generate_below(gen, 4) : 3) {
    case 0:
        if (type == ETCDSERVERPB__ALARM_TYPE__NONE && gen->spares_old) {
            type = ETCDSERVERPB__ALARM_TYPE__NOSPACE; /* there is no alarm of that name */
        }
        add_alarm(list, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE, member, type);
        gen->alarm_left = (uint64_t)generate_below(gen, ALARM_OPS_MAX) + 1;
        break;
    case 1:
        add_alarm(list, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE, member, type);
        break;
    default:
        add_alarm(list, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET,
                  generate_once_in(gen, 2) ? 0 : member, type);
        break;
    }
}

void generate_alarms_off(struct generate *gen)
{
    static const uint64_t IDS[] = {MEMBER_SELF, MEMBER_NOBODY};
    for (size_t i = 0; i < ARRAY_COUNT(IDS); i++) {
        for (int type = 0; type < 3; type++) {
            add_alarm(&gen->script, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE, IDS[i],
                      (Etcdserverpb__AlarmType)type);
        }
    }
}

/* ---- the stream of watches ---- */

void generate_sync(struct op_list *list)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    op_list_add(list, OP_STREAM_SYNC, &progress.base);
}

void generate_stream(struct generate *gen, struct op_list *list)
{
    Etcdserverpb__WatchCancelRequest cancel = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create;
    int64_t choice = generate_below(gen, 100);
    if (choice < 45) {
        generate_sync(list);
    } else if (choice < 65) {
        cancel.watch_id = generate_below(gen, STREAM_IDS);
        generate_sync(list); /* what it has told by then is a matter of time otherwise */
        op_list_add(&gen->script, OP_STREAM_CANCEL, &cancel.base);
    } else {
        generate_watch(gen, &create);
        create.watch_id = generate_below(gen, STREAM_IDS);
        create.progress_notify = generate_once_in(gen, 4);
        /* With a watch that waits for a revision to come, or that was cancelled by a compaction,
         * etcd never says again that the stream has told everything. */
        create.start_revision = BASE_MIN(create.start_revision, gen->seen.revision);
        if (create.start_revision > 0) {
            create.start_revision = BASE_MAX(create.start_revision, gen->seen.compacted);
        }
        op_list_add(list, OP_STREAM_CREATE, &create.base);
    }
}
