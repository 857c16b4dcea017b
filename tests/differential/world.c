/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. */
#include "tests/differential/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "engine/proto/rpc.pb-c.h"

#define OWN_ADDRESS "127.0.0.1:" /* members that are added have other addresses */

static const char *const NAMES[USER_COUNT] = {"", "root", "al", "bo", "cy", ""};

void world_init(struct world *world)
{
    *world = (struct world){.self = 0};
    snprintf(world->tokens[USER_FORGED], TOKEN_BYTES_MAX, "forgedforgedforg.7");
}

const char *world_token(const struct world *world, enum op_user user)
{
    return world->tokens[user][0] == '\0' ? NULL : world->tokens[user];
}

static uint64_t real_id(const struct world *world, uint64_t id)
{
    switch (id) {
    case MEMBER_SELF:
        return world->self;
    case MEMBER_NEWEST:
        return world->newest == 0 ? MEMBER_NOBODY : world->newest;
    case MEMBER_BEFORE:
        return world->before == 0 ? MEMBER_NOBODY : world->before;
    default:
        return id;
    }
}

static uint64_t shown_id(const struct world *world, uint64_t id)
{
    if (id == 0) {
        return 0;
    }
    if (id == world->self) {
        return MEMBER_SELF;
    }
    if (id == world->newest) {
        return MEMBER_NEWEST;
    }
    return id == world->before ? MEMBER_BEFORE : id;
}

void world_fill_request(const struct world *world, enum op_kind kind, ProtobufCMessage *request)
{
    uint64_t *id = NULL;
    switch (kind) {
    case OP_MEMBER_REMOVE:
        id = &((Etcdserverpb__MemberRemoveRequest *)request)->id;
        break;
    case OP_MEMBER_UPDATE:
        id = &((Etcdserverpb__MemberUpdateRequest *)request)->id;
        break;
    case OP_MEMBER_PROMOTE:
        id = &((Etcdserverpb__MemberPromoteRequest *)request)->id;
        break;
    case OP_MOVE_LEADER:
        id = &((Etcdserverpb__MoveLeaderRequest *)request)->targetid;
        break;
    case OP_ALARM:
        id = &((Etcdserverpb__AlarmRequest *)request)->memberid;
        break;
    default:
        return;
    }
    *id = real_id(world, *id);
}

/* In place: what stands there is longer. */
static void rename_text(char *text, const char *name)
{
    if (strlen(text) >= strlen(name)) {
        memcpy(text, name, strlen(name) + 1);
    }
}

static void rename_member(const struct world *world, Etcdserverpb__Member *member)
{
    bool is_self = member->id == world->self;
    member->id = shown_id(world, member->id);
    if (is_self) {
        rename_text(member->name, "self");
    }
    for (size_t i = 0; i < member->n_peerurls; i++) {
        if (strstr(member->peerurls[i], OWN_ADDRESS) != NULL) {
            rename_text(member->peerurls[i], "own peer URL");
        }
    }
    for (size_t i = 0; i < member->n_clienturls; i++) {
        if (strstr(member->clienturls[i], OWN_ADDRESS) != NULL) {
            rename_text(member->clienturls[i], "own client URL");
        }
    }
}

static int member_order(const void *a, const void *b)
{
    uint64_t x = (*(Etcdserverpb__Member *const *)a)->id,
             y = (*(Etcdserverpb__Member *const *)b)->id;
    return x < y ? -1 : (x > y ? 1 : 0);
}

static void rename_members(const struct world *world, size_t count, Etcdserverpb__Member **members)
{
    for (size_t i = 0; i < count; i++) {
        rename_member(world, members[i]);
    }
    if (count > 1) {
        qsort(members, count, sizeof(*members), member_order);
    }
}

/* "memberID:123 alarm:NOSPACE " */
static void rename_error(const struct world *world, char *text)
{
    static const char HEAD[] = "memberID:";
    char *at = strstr(text, HEAD);
    if (at == NULL) {
        return;
    }
    at += strlen(HEAD);
    char *end;
    uint64_t id = shown_id(world, strtoull(at, &end, 10));
    char number[24];
    int size = snprintf(number, sizeof(number), "%" PRIu64, id);
    if (size <= end - at) {
        memcpy(at, number, (size_t)size);
        memmove(at + size, end, strlen(end) + 1);
    }
}

static void take_token(struct world *world, const Etcdserverpb__AuthenticateRequest *request,
                       Etcdserverpb__AuthenticateResponse *response)
{
    for (size_t i = USER_ROOT; i < USER_FORGED; i++) {
        if (strcmp(request->name, NAMES[i]) == 0) {
            snprintf(world->tokens[i], TOKEN_BYTES_MAX, "%s", response->token);
        }
    }
    rename_text(response->token, "token");
}

static void rename_alarms(const struct world *world, Etcdserverpb__AlarmResponse *alarms)
{
    for (size_t i = 0; i < alarms->n_alarms; i++) {
        alarms->alarms[i]->memberid = shown_id(world, alarms->alarms[i]->memberid);
    }
}

void world_rename_answer(struct world *world, enum op_kind kind, const ProtobufCMessage *request,
                         ProtobufCMessage *response)
{
    if (kind == OP_AUTHENTICATE) {
        take_token(world, (const Etcdserverpb__AuthenticateRequest *)request,
                   (Etcdserverpb__AuthenticateResponse *)response);
    } else if (kind == OP_MEMBER_ADD) {
        Etcdserverpb__MemberAddResponse *added = (Etcdserverpb__MemberAddResponse *)response;
        if (added->member != NULL) {
            world->before = world->newest;
            world->newest = added->member->id;
            rename_member(world, added->member);
        }
        rename_members(world, added->n_members, added->members);
    } else if (kind == OP_MEMBER_REMOVE) {
        Etcdserverpb__MemberRemoveResponse *removed =
            (Etcdserverpb__MemberRemoveResponse *)response;
        rename_members(world, removed->n_members, removed->members);
    } else if (kind == OP_MEMBER_UPDATE) {
        Etcdserverpb__MemberUpdateResponse *updated =
            (Etcdserverpb__MemberUpdateResponse *)response;
        rename_members(world, updated->n_members, updated->members);
    } else if (kind == OP_MEMBER_PROMOTE) {
        Etcdserverpb__MemberPromoteResponse *promoted =
            (Etcdserverpb__MemberPromoteResponse *)response;
        rename_members(world, promoted->n_members, promoted->members);
    } else if (kind == OP_MEMBER_LIST) {
        Etcdserverpb__MemberListResponse *list = (Etcdserverpb__MemberListResponse *)response;
        rename_members(world, list->n_members, list->members);
    } else if (kind == OP_ALARM) {
        rename_alarms(world, (Etcdserverpb__AlarmResponse *)response);
    } else if (kind == OP_STATUS) {
        Etcdserverpb__StatusResponse *status = (Etcdserverpb__StatusResponse *)response;
        status->leader = shown_id(world, status->leader);
        for (size_t i = 0; i < status->n_errors; i++) {
            rename_error(world, status->errors[i]);
        }
    }
}
